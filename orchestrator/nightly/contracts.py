"""Contracts that are suspended or end: what the night does about them, and how many working days are left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.contract.life import Standing
from orchestrator.nightly.endings import ContractLine, Endings
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import Failures
from orchestrator.reports.page import Cell, Column, Section, Tone, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling

_SOON_DAYS = 5
"""From so many working days on a line is marked."""


class ContractStep(Step):
    """Reminds of contracts that end, and erases what one that has ended leaves (article 10)."""

    name = "ends of contracts"
    changes = True

    def run(self) -> None:
        """Carry it out."""
        work = self.work
        work.lines += Endings(work.night, work.history).carry_out(work.readings)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Ends of contracts that could not be carried out."""
        words = telling.speech.words
        found = (
            (line.client, "", line.message or words.no_reason)
            for line in telling.report.of(ContractLine)
            if line.failed
        )
        yield Failures(words.end_failed, words.end_failed_remedy, tuple(found))

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """Only if a contract is not simply in force."""
        if telling.report.of(ContractLine):
            yield contracts_section(telling)


def contracts_section(telling: Telling) -> Section:
    """The contracts that are not simply in force (articles 9 and 10); shown only if there are any."""
    speech, words = telling.speech, telling.speech.words
    standings = {
        Standing.SUSPENDED: words.standing_suspended,
        Standing.ENDING: words.standing_ending,
        Standing.ENDED: words.standing_ended,
    }
    columns = [
        Column(words.client),
        Column(words.contract),
        Column(words.state),
        Column(words.last_day),
        Column(words.working_days_left, figures=True),
    ]
    if telling.client is None:
        columns.append(Column(words.remark))
    rows = []
    for line in telling.report.of(ContractLine):
        ending = line.standing is Standing.ENDING
        tone: Tone = "warn" if ending and line.days_left <= _SOON_DAYS else "plain"
        cells = [
            Cell(line.client),
            Cell(line.contract),
            Cell(standings[line.standing]),
            Cell(speech.day(line.last_day) if line.last_day else words.nothing, tone),
            Cell(speech.number(line.days_left) if line.last_day else words.nothing, tone),
        ]
        if telling.client is None:
            cells.append(Cell(line.message, "bad" if line.failed else "plain"))
        rows.append(tuple(cells))
    return Section(
        title=words.contracts, empty=words.nothing, tables=table_of(words.contracts, tuple(columns), rows)
    )
