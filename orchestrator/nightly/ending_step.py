"""What ends within thirty days: certificates, quotes, contracts (article 3.8.1: found before it is an incident)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.forecasts import Ending, ends_soon
from orchestrator.nightly.result import Line
from orchestrator.nightly.step import Step
from orchestrator.reports.page import Cell, Column, Section, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures


@dataclass(frozen=True, kw_only=True)
class EndingLine(Line):
    """Something that ends soon.

    Attributes:
        days: calendar days that are left after today.
    """

    ending: Ending
    days: int

    def concerns(self, client: str) -> bool:
        """Whether it is about this client's quote, licence or contract."""
        return self.ending.client == client


class EndingStep(Step):
    """Names what ends within thirty days. It is no failure: there is time."""

    name = "what ends soon"

    def run(self) -> None:
        """Look at the files, and at the certificates of the sites."""
        night = self.work.night
        today = day_in_paris(night.clock())
        endings = [*_of_files(night), *_of_sites(night)]
        self.work.lines += [
            EndingLine(ending=item, days=(item.last_day - today).days) for item in ends_soon(endings, today)
        ]

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """All of them; shown only if there are any."""
        speech, words = telling.speech, telling.speech.words
        kinds = {
            "certificate": words.ending_certificate,
            "licence": words.ending_licence,
            "quote": words.ending_quote,
            "contract": words.ending_contract,
        }
        rows = [
            (
                kinds[line.ending.kind],
                line.ending.name,
                line.ending.client or words.nothing,
                Cell(speech.day(line.ending.last_day), "warn"),
                speech.number(line.days),
            )
            for line in telling.report.of(EndingLine)
        ]
        columns: list[Column | str] = [words.ending_what, words.ending_name, words.client, words.last_day]
        columns.append(Column(words.days_left, figures=True))
        if rows:
            tables = table_of(words.ends_soon, columns, rows)
            yield Section(title=words.ends_soon, empty=words.nothing, tables=tables)

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """The days that are left, for the alert rule."""
        gauge = figures.gauge(
            "orchestrator_ends_in_days",
            "Calendar days until a certificate, licence, quote or contract ends; only those of the next 30.",
            ("kind", "name", "client"),
        )
        for line in report.of(EndingLine):
            gauge.labels(line.ending.kind, line.ending.name, line.ending.client).set(line.days)


def _of_files(night: Night) -> set[Ending]:
    """Quotes and contracts: a client's machines all know those of their file."""
    found = set()
    for machine in night.desired.values():
        life, client = machine.life, machine.client
        if life.last_day is not None:
            ending = Ending(kind="contract", name=life.reference, client=client, last_day=life.last_day)
            found.add(ending)
        for quote in machine.change_terms.quotes if machine.change_terms else ():
            last_day = quote.valid_until
            found.add(Ending(kind="quote", name=quote.reference, client=client, last_day=last_day))
    return found


def _of_sites(night: Night) -> Iterator[Ending]:
    for site, expires in sorted(night.certificates(night.sites).items()):
        yield Ending(kind="certificate", name=site, client="", last_day=day_in_paris(expires))
