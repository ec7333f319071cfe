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


@dataclass(frozen=True, kw_only=True)
class RestartRun:
    """One round of restarts.

    Attributes:
        terms: what all its machines share.
        claims: machines that somebody else in this process works on.
    """

    terms: RestartTerms
    claims: Claims = field(default_factory=Claims)

    def run(self, machines: Sequence[Restartable]) -> list[MachineRestart]:
        """Restart machines in waves. Return how it ended for each; ``busy`` for those that have to come again."""
        by_key = {machine.key: machine for machine in machines}
        apart = {
            key: [(machine.desired.client, name) for name in machine.desired.apart_from]
            for key, machine in by_key.items()
        }
        course = Course(by_key, apart, last=[key for key, machine in by_key.items() if machine.unfinished])
        lines: list[MachineRestart] = []
        number = 0
        while course:
            number += 1
            done = self._wave([by_key[key] for key in course.next()], number)
            lines += done
            unwell = [(line.client, line.machine) for line in done if line.stops_others]
            names = ", ".join(map("/".join, unwell))
            stopped = f"wave {number} did not end well ({names}): look there first; its next window is for it"
            lines += [by_key[key].ended("not-started", message=stopped) for key in course.ended(unwell)]
        return lines

    def _wave(self, group: Sequence[Restartable], number: int) -> list[MachineRestart]:
        def one(machine: Restartable) -> MachineRestart:
            if not self.claims.take(machine.key, wait=False):
                return machine.ended("busy", message="its backup or its update runs")
            try:
                return replace(OneRestart(machine, self.terms).run(), wave=number)
            finally:
                self.claims.give_back(machine.key)

        if not group:
            return []
        with ThreadPoolExecutor(min(_WORKERS, len(group)), thread_name_prefix="restart") as pool:
            return list(pool.map(one, group))
