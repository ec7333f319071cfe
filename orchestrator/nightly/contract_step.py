"""Contracts that are suspended or end: what the night does about them, and how many working days are left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.contract.life import Standing
from orchestrator.nightly.contract_ends import ContractLine, Endings
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import Failures
from orchestrator.reports.page import Cell, Column, Row, Section, Tone, table_of
from orchestrator.reports.reversibility import approval_words

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling

_SOON_DAYS = 5
"""From so many working days on a line is marked."""


class ContractStep(Step):
    """Reminds of contracts that end, and erases what one that has ended leaves (article 10)."""

    name = "ends of contracts"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.erased: set[tuple[str, int]] = set()

    def run(self) -> None:
        """Carry it out."""
        work, endings = self.work, Endings(self.work.night, self.work.history)
        self.erased = endings.erased
        work.lines += endings.carry_out(work.readings)

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
        """The contracts that are not simply in force (articles 9 and 10); shown only if there are any."""
        speech, words, provider = telling.speech, telling.speech.words, telling.provider
        standings = {
            Standing.SUSPENDED: words.standing_suspended,
            Standing.ENDING: words.standing_ending,
            Standing.ENDED: words.standing_ended,
        }
        rows: list[Row] = []
        for line in telling.report.of(ContractLine):
            ending = line.standing is Standing.ENDING
            tone: Tone = "warn" if ending and line.days_left <= _SOON_DAYS else "plain"
            last, left, approved = words.nothing, words.nothing, words.nothing
            if line.last_day:
                approved = approval_words(line.approval, speech)
                last, left = speech.day(line.last_day), speech.number(line.days_left)
            remark = [Cell(line.message, "bad" if line.failed else "plain")] if provider else []
            standing = standings[line.standing]
            rows.append(
                (line.client, line.contract, standing, Cell(last, tone), Cell(left, tone), approved, *remark)
            )
        left_heading = Column(words.working_days_left, figures=True)
        columns: list[Column | str] = [
            words.client,
            words.contract,
            words.state,
            words.last_day,
            left_heading,
            words.reversibility_plan,
        ]
        columns += [words.remark] if provider else []
        if rows:
            tables = table_of(words.contracts, columns, rows)
            yield Section(title=words.contracts, empty=words.nothing, tables=tables)
