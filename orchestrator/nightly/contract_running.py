"""Machines that run although their contract is suspended or over (articles 9 and 10): only ``apply`` stops them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.nightly.contract_step import ContractStep
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import Urgency

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Failures, Telling


@dataclass(frozen=True, kw_only=True)
class StillRunningLine(LineOfMachine):
    """A machine that runs, and shall not.

    Attributes:
        why: what its contract says, with the article.
    """

    why: str

    @property
    def failed(self) -> bool:
        """The suspension, or the end, was not carried out."""
        return True


class StillRunningStep(Step):
    """Names what a suspension, or the end of a contract, has not stopped."""

    name = "machines to be stopped"

    def preview(self) -> Iterator[Text]:
        """Those that run now."""
        for line in self._found():
            why = f"still runs: {line.why}; orchestrator apply --only {line.client} stops it"
            yield Text(f"  ✗ machine {line.client}/{line.machine}   {why}", "red")

    def run(self) -> None:
        """Name them, but for those that this night has erased."""
        self.work.lines += self._found()

    def _found(self) -> Iterator[StillRunningLine]:
        night, erased = self.work.night, self.work.step(ContractStep).erased
        for site, reading in self.work.readings.items():
            for machine in reading.observed.machines:
                mark = machine.mark
                life = night.lives.get(mark.client) if mark else None
                if mark is None or life is None or not machine.running:
                    continue
                if (why := life.why(night.clock())) and (site, machine.summary.vmid) not in erased:
                    yield StillRunningLine(client=mark.client, machine=mark.machine, site=site, why=why)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Each of them."""
        words = telling.speech.words
        found = ((line, line.why) for line in telling.report.of(StillRunningLine))
        yield telling.failures(words.still_running, words.still_running_remedy, found, Urgency.SERVICE)
