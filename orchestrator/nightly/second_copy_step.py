"""The second copies of the night's backups: made after the first ones, and told apart from them (article 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from orchestrator.nightly.backup_run import BackupRun
from orchestrator.nightly.backup_step import BackupStep
from orchestrator.nightly.due_backups import BackupLine, BackupPlan, Due, capacity, with_begun
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.second_copies import second_of
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import Failures, Urgency
from orchestrator.reports.page import Cell

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling


@dataclass(frozen=True, kw_only=True)
class SecondCopyLine(LineOfMachine):
    """What became of the second copy of a machine's backup tonight.

    Attributes:
        result: as of :class:`BackupLine`.
        size: bytes of the archive.
        volid: the archive; None if there is none.
    """

    result: Literal["done", "earlier", "failed", "not-started", "missing", "not-created"]
    storage: str = ""
    message: str = ""
    size: int = 0
    volid: str | None = None

    @property
    def failed(self) -> bool:
        """Whether one that should have been made was not."""
        return self.result in ("failed", "not-started")


class SecondCopyStep(Step):
    """Makes the second copies: at its first turn those whose first copy is there, at its second the others, of machines
    that were being updated meanwhile.
    """

    name = "second copies"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._runs: list[BackupRun] = []
        self._begun: set[tuple[str, str]] = set()
        self._turns = 0

    def preview(self) -> Iterator[Text]:
        """What would be made."""
        for (client, name), item in sorted(self.work.step(BackupStep).copies.items()):
            if item.missing:
                text = f"  + second copy {client}/{name}   on another storage of the same site (art. 3.2)"
                yield Text(text, "green")

    @property
    def wanted(self) -> bool:
        """Whether any machine has two copies."""
        return super().wanted and bool(self.work.step(BackupStep).copies)

    def run(self) -> None:
        """Make them."""
        self._turns += 1
        self._begin()
        if self._turns > 1:
            for run in self._runs:
                self.work.lines += [_told(line) for line in run.run_rest()]

    def _begin(self) -> None:
        """Make those whose first copy was made, or failed, and that no earlier turn has begun."""
        night, backups = self.work.night, self.work.step(BackupStep)
        firsts = backups.making.lines if backups.making is not None else list(backups.plan.settled)
        due: dict[tuple[str, str], Due] = {}
        settled: list[BackupLine] = []
        for first in firsts:
            key = first.client, first.machine
            item = backups.copies.get(key)
            if item is None or key in self._begun:
                continue
            self._begun.add(key)
            chosen = second_of(night, item, first)
            if isinstance(chosen, BackupLine):
                settled.append(chosen)
            else:
                due[key] = chosen
        due, problems = with_begun(night, due)
        slots, free = capacity(night, self.work.readings)
        plan = BackupPlan(due=due, settled=(*settled, *problems), slots=slots, free=free, forecast=None)
        run = BackupRun(night, plan)
        run.run()
        self._runs.append(run)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Second copies that were not made."""
        words = telling.speech.words
        found = (
            (line, line.message or words.out_of_time)
            for line in telling.report.of(SecondCopyLine)
            if line.failed
        )
        yield telling.failures(
            words.second_copy_failed, words.second_copy_failed_remedy, found, Urgency.BACKUP
        )

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """How many were made."""
        speech, words = telling.speech, telling.speech.words
        lines = telling.report.of(SecondCopyLine)
        good = sum(not line.failed for line in lines)
        if lines:
            text = words.of.format(part=speech.number(good), whole=speech.number(len(lines)))
            yield words.second_copies, Cell(text, "good" if good == len(lines) else "bad")


def _told(line: BackupLine) -> SecondCopyLine:
    return SecondCopyLine(
        client=line.client,
        machine=line.machine,
        site=line.site,
        result=line.result,
        storage=line.storage,
        message=line.message,
        size=line.size,
        volid=line.volid,
    )
