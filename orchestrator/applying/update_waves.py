"""A round of updates: machines in waves, a few first, the rest when those are well (article 3.8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from orchestrator.applying.claims import Claims
from orchestrator.applying.machine_update import OneUpdate, Updatable, UpdateTerms
from orchestrator.applying.stopping import Interrupted
from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.guests.packages import DueUpdates, UpdateOrder, UpdateResult, install_updates
from orchestrator.planning.waves import Course
from orchestrator.progress import End

_WORKERS = 8

Due = Mapping[tuple[str, str], DueUpdates | str]
"""What is due in each machine, or why that could not be seen."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def has_work(machine: Updatable, due: DueUpdates | str, *, security_only: bool) -> bool:
    """Whether there is anything to do in a machine: an update, a repair, a restart, what a killed run left."""
    if machine.unfinished:
        return True
    if isinstance(due, str):
        return False
    ready = [package for package in due.ready if package.security or not security_only]
    return bool(ready or due.interrupted or (due.reboot and machine.reboot))


@dataclass(frozen=True, kw_only=True)
class UpdateRun:
    """One round of updates.

    Attributes:
        terms: what all its machines share.
        claims: machines that somebody else in this process works on; they get their turn later.
    """

    terms: UpdateTerms
    claims: Claims = field(default_factory=Claims)

    def run(self, machines: Sequence[Updatable], due: Due) -> list[MachineUpdate]:
        """Update machines in waves. Return how it ended for each.

        Args:
            machines: those that may be updated.
            due: what is due in each.
        """
        by_key = {
            machine.key: machine
            for machine in machines
            if has_work(machine, due[machine.key], security_only=self.terms.security_only)
        }
        lines = [
            self._left_alone(machine, due[machine.key]) for machine in machines if machine.key not in by_key
        ]
        apart = {
            key: [(machine.desired.client, name) for name in machine.desired.apart_from]
            for key, machine in by_key.items()
        }
        course = Course(by_key, apart, last=[key for key, machine in by_key.items() if machine.unfinished])
        self.terms.journal.progress.expect(by_key)
        number = 0
        while course:
            number += 1
            group = [by_key[key] for key in course.next()]
            done, postponed = self._wave(group, number, wait=not course)
            lines += done
            course.postpone([machine.key for machine in postponed])
            unwell = [(line.client, line.machine) for line in done if line.stops_others]
            names = ", ".join(map("/".join, unwell))
            stopped = f"wave {number} did not end well ({names}): look there first, then begin again"
            lines += [by_key[key].ended("not-started", message=stopped) for key in course.ended(unwell)]
        return lines

    def _left_alone(self, machine: Updatable, due: DueUpdates | str) -> MachineUpdate:
        if isinstance(due, str):
            return machine.ended("untouched", message=due)
        if not (self.terms.released and machine.held):
            return machine.ended("nothing-due", reboot=due.reboot)
        problem = OneUpdate(machine, self.terms).release()
        return problem or machine.ended("nothing-due", reboot=due.reboot, message="no longer held back")

    def _wave(
        self, group: Sequence[Updatable], number: int, *, wait: bool
    ) -> tuple[list[MachineUpdate], list[Updatable]]:
        """Update the machines of a wave, in one Ansible run.

        Returns:
            How it ended, and those that somebody else works on.
        """
        taken = [machine for machine in group if self.claims.take(machine.key, wait=wait)]
        postponed = [machine for machine in group if machine not in taken]
        try:
            updates = [OneUpdate(machine, self.terms) for machine in taken]
            answers = list(zip(updates, _in_parallel(OneUpdate.begin, updates), strict=True))
            lines = [answer for _, answer in answers if isinstance(answer, MachineUpdate)]
            begun = [update for update, answer in answers if isinstance(answer, UpdateOrder)]
            lines += self._install(
                begun,
                {update.machine.key: order for update, order in answers if isinstance(order, UpdateOrder)},
            )
            for line in lines:
                if line.result not in ("held", "not-started"):
                    words = "" if line.well else line.result.replace("-", " ")
                    end: End = "done" if line.well else "failed"
                    self.terms.journal.progress.ended(line.client, line.machine, end, words)
            return [replace(line, wave=number) for line in lines], postponed
        finally:
            for machine in taken:
                self.claims.give_back(machine.key)

    def _install(
        self, begun: list[OneUpdate], orders: Mapping[tuple[str, str], UpdateOrder]
    ) -> list[MachineUpdate]:
        """Let Ansible install, and end each machine's update. Interrupted before Ansible starts, it does not."""
        stopping = self.terms.journal.stopping
        if not begun:
            return []
        what = "updates of " + ", ".join("/".join(update.machine.key) for update in begun)
        not_done = UpdateResult(status="untouched", message=str(Interrupted()))
        interrupted = stopping.stops

        def end(update: OneUpdate) -> MachineUpdate:
            with stopping.finishing("/".join(update.machine.key)):
                return update.end(not_done if interrupted else results[update.machine.key])

        with stopping.finishing(what):
            results = (
                {}
                if interrupted
                else install_updates(
                    [update.machine.guest() for update in begun],
                    orders,
                    self.terms.ssh,
                    on_event=lambda key, step: self.terms.journal.progress.step(*key, step),
                )
            )
            return _in_parallel(end, begun)


def _in_parallel(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    if not items:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(items)), thread_name_prefix="update") as pool:
        return list(pool.map(work, items))
