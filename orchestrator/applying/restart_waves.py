"""A round of restarts: machines in waves, as updates are installed, and never two at once that are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from orchestrator.applying.claims import Claims
from orchestrator.applying.due_restart import OneRestart, RestartTerms
from orchestrator.applying.restart_candidates import Restartable
from orchestrator.applying.restart_outcome import MachineRestart
from orchestrator.planning.waves import Course

_WORKERS = 8

_LOOK_FIRST = "look there first; its next window is for it"


@dataclass(frozen=True, kw_only=True)
class RestartRun:
    """One round of restarts.

    Attributes:
        terms: what all its machines share.
        claims: machines that somebody else in this process works on.
        unwell: clients with a machine that did not come back in an earlier round or run of the same window.
    """

    terms: RestartTerms
    claims: Claims = field(default_factory=Claims)
    unwell: frozenset[str] = frozenset()

    def run(self, machines: Sequence[Restartable]) -> list[MachineRestart]:
        """Restart machines in waves. Return how it ended for each; ``busy`` for those that have to come again."""
        by_key = {machine.key: machine for machine in machines}
        apart = {
            key: [(machine.desired.client, name) for name in machine.desired.apart_from]
            for key, machine in by_key.items()
        }
        course = Course(by_key, apart, last=[key for key, machine in by_key.items() if machine.unfinished])
        lines: list[MachineRestart] = []
        self.terms.journal.progress.expect(by_key)
        left = course.ended((client, "") for client in sorted(self.unwell))
        why = f"a machine of {', '.join(sorted(self.unwell))} did not come back in this window: {_LOOK_FIRST}"
        number = 0
        lines += self._leave([by_key[key] for key in left], why, number)
        while course:
            number += 1
            done = self._wave([by_key[key] for key in course.next()], number, self.terms)
            lines += done
            unwell = [(line.client, line.machine) for line in done if line.stops_others]
            names = ", ".join(map("/".join, unwell))
            why = f"wave {number} did not end well ({names}): {_LOOK_FIRST}"
            lines += self._leave([by_key[key] for key in course.ended(unwell)], why, number)
        return lines

    def _leave(self, machines: Sequence[Restartable], why: str, number: int) -> list[MachineRestart]:
        """Restart these no more. What an earlier run began is seen through: such a machine may be down."""
        begun = [machine for machine in machines if machine.unfinished]
        left = [machine.ended("not-started", message=why) for machine in machines if not machine.unfinished]
        return left + self._wave(begun, number, replace(self.terms, may_begin=lambda _machine: why))

    def _wave(self, group: Sequence[Restartable], number: int, terms: RestartTerms) -> list[MachineRestart]:
        def one(machine: Restartable) -> MachineRestart:
            if not self.claims.take(machine.key, wait=False):
                return machine.ended("busy", message="its backup or its update runs")
            try:
                ended = OneRestart(machine, terms).run()
            finally:
                self.claims.give_back(machine.key)
            if ended.well or ended.went_wrong:
                words = "" if ended.well else ended.result.replace("-", " ")
                terms.journal.progress.ended(*machine.key, "done" if ended.well else "failed", words)
            return replace(ended, wave=number)

        if not group:
            return []
        with ThreadPoolExecutor(min(_WORKERS, len(group)), thread_name_prefix="restart") as pool:
            return list(pool.map(one, group))
