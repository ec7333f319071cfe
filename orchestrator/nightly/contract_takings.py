"""Takings over that are not settled, and probations that run (article 4.2): what the night's report says of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import day_in_paris
from orchestrator.history.declared import DocumentName
from orchestrator.history.taking_over import Taking, takings
from orchestrator.nightly.result import LineOfClient
from orchestrator.nightly.step import Step
from orchestrator.reports.page import Cell, Row, Section, Tone, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.language import Speech


@dataclass(frozen=True, kw_only=True)
class TakingLine(LineOfClient):
    """A client whose estate was taken over.

    Attributes:
        probation_ends: the first day with a service level; None without managed services: there is no probation.
        taking: how far it is.
    """

    probation_ends: dt.date | None
    taking: Taking


class TakingStep(Step):
    """Tells of each until its probation is over and nothing is left to do."""

    name = "takings over"

    def run(self) -> None:
        """Find them: nothing is read where nobody was taken over."""
        night = self.work.night
        ends = {
            machine.client: machine.probation_ends
            for machine in night.desired.values()
            if machine.taken_over is not None and machine.site in night.sites
        }
        known = takings(self.work.history) if ends else {}
        today = day_in_paris(night.clock())
        for client, day in sorted(ends.items()):
            taking = known.get(client, Taking(client=client))
            if (day is not None and today < day) or not taking.settled:
                self.work.lines.append(TakingLine(client=client, probation_ends=day, taking=taking))

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """Gaps, documents and probation; shown only if there are any."""
        speech, words = telling.speech, telling.speech.words
        rows: list[Row] = [
            (
                line.client,
                _gaps(line.taking, speech),
                _missing(line.taking, speech),
                speech.day(line.probation_ends - dt.timedelta(days=1))
                if line.probation_ends
                else words.nothing,
                speech.day(line.probation_ends) if line.probation_ends else words.nothing,
            )
            for line in telling.report.of(TakingLine)
        ]
        columns = (
            words.client,
            words.gaps,
            words.missing_documents,
            words.probation_until,
            words.service_level_from,
        )
        if rows:
            tables = table_of(words.takings, columns, rows)
            yield Section(title=words.takings, empty=words.nothing, tables=tables)


def _missing(taking: Taking, speech: Speech) -> str:
    words = speech.words
    names: dict[DocumentName, str] = {
        "operations-manual": words.document_operations_manual,
        "application-configuration": words.document_application_configuration,
        "specifics": words.document_specifics,
        "security-level": words.document_security_level,
        "architecture": words.document_architecture,
    }
    return ", ".join(names[name] for name in taking.missing) or words.nothing


def _gaps(taking: Taking, speech: Speech) -> Cell:
    words, decided = speech.words, taking.decided
    if decided is None:
        tone: Tone = "warn" if taking.gaps_found else "plain"
        return Cell(words.gaps_not_notified(taking.gaps_found) if taking.gaps_found else words.no_gaps, tone)
    state = {
        "notified": words.gaps_notified,
        "corrected": words.gaps_corrected,
    }.get(taking.state, words.gaps_impossible)
    said = state.format(day=speech.day(decided.said.day), who=decided.who, reference=decided.said.reference)
    return Cell(said, "bad" if taking.state == "impossible" else "plain")
