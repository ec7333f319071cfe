"""Snapshots for which there is room only once others have lived their seven days (articles 3.2 and 3.3).

Seven days after a night its snapshots expire during the night, not at its beginning. So one that is declared for that
day waits for them: each keeps its seven days, and there are never three.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.applying.limits import Limits
from orchestrator.applying.snapshots import remove_expired
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import told
from orchestrator.nightly.snapshot_step import (
    OVER,
    SnapshotLine,
    in_parallel,
    marked_machines,
    snapshot_line,
    take_one,
)
from orchestrator.nightly.step import Step, Work
from orchestrator.resources.snapshot import waiting_for_room

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

_LONGEST_PAUSE = 30.0
"""Seconds until somebody who asked for the end of the night is heard, while a snapshot's expiry is waited for."""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A snapshot that is declared for tonight, and for which there is room once others have lived their seven days.

    Attributes:
        until: when that is (aware): before the night is over.
    """

    machine: ObservedMachine
    mark: Mark
    desired: DesiredMachine
    snapshot: str
    until: dt.datetime


class WaitingSnapshotStep(Step):
    """Takes the snapshots for which there is room only when others have lived their seven days, to the minute. It may
    wait for that, so it is the last work of a night.
    """

    name = "waiting snapshots"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._waiting: list[Waiting] = []

    def decide(self) -> None:
        """Find them."""
        self._waiting = waiting_snapshots(self.work.night, self.work.readings.values())

    def preview(self) -> Iterator[Text]:
        """What would be taken, and when."""
        for item in self._waiting:
            yield Text(
                f"  + snapshot {item.snapshot} {item.mark.client}/{item.mark.machine}   when another has expired: "
                f"{paris_time(item.until, weekday=True)} (art. 3.2)",
                "green",
            )

    @property
    def wanted(self) -> bool:
        """Whether any waits."""
        return super().wanted and bool(self._waiting)

    def run(self) -> None:
        """Take each when its time has come."""
        work = self.work
        work.lines += take_waiting(work.night, self._waiting, work.limits)


def waiting_snapshots(night: Night, sites: Iterable[SiteReading]) -> list[Waiting]:
    """What the files declare for tonight, where other snapshots have to expire before there is room."""
    now = night.clock()
    found = []
    for machine, mark in marked_machines(sites):
        desired = night.desired.get((mark.client, mark.machine))
        if desired is None or not desired.snapshots or night.out_of_service(mark.client, mark):
            continue
        try:
            until = waiting_for_room(desired, machine, mark, now)
        except Exception:  # noqa: S112  (see due_snapshots, which stumbles over the same and tells of it)
            continue
        found += [
            Waiting(machine=machine, mark=mark, desired=desired, snapshot=name, until=moment)
            for name, moment in until.items()
        ]
    return found


def take_waiting(night: Night, waiting: Iterable[Waiting], limits: Limits) -> list[SnapshotLine]:
    """Take snapshots that wait until others have lived their seven days: those go first, then these are taken.

    What is still waited for when the window closes, or when somebody asks for the end of the night, is told as failed.
    """
    left = sorted(waiting, key=lambda item: item.until)
    lines: list[SnapshotLine] = []
    while left:
        now = night.clock()
        ready = [item for item in left if item.until <= now]
        left = left[len(ready) :]
        machines: dict[tuple[str, str], list[Waiting]] = {}
        for item in ready:
            machines.setdefault(item.desired.key, []).append(item)
        lines += in_parallel(lambda items: _take_in_turn(night, items, limits), list(machines.values()))
        if left and night.closed:
            lines += [_waited_in_vain(item) for item in left]
            break
        if left and not ready:
            night.pause(min((left[0].until - now).total_seconds(), _LONGEST_PAUSE))
    return lines


def _take_in_turn(night: Night, items: list[Waiting], limits: Limits) -> list[SnapshotLine]:
    """The snapshots of one machine whose time has come."""
    lines = []
    for item in items:
        machine, mark = item.machine, item.mark
        try:
            with limits.write(machine.site, machine.summary.node):
                removed = remove_expired(
                    night.vm(machine, mark),
                    night.clock(),
                    objection=lambda vm: night.clocks.objection(vm.site),
                )
        except Exception as error:
            why = told(error)
            night.tell("snapshot-failed", client=mark.client, machine=mark.machine, reason=why)
            lines.append(
                snapshot_line(mark, machine.site, item.snapshot, "failed", f"there was no room: {why}")
            )
            continue
        for name in removed:
            night.tell("snapshot-expired", client=mark.client, machine=mark.machine, snapshot=name)
            lines.append(snapshot_line(mark, machine.site, name, "removed", OVER))
        lines.append(take_one(night, machine, mark, item.desired, item.snapshot, limits))
    return lines


def _waited_in_vain(item: Waiting) -> SnapshotLine:
    why = (
        f"not taken: it waited for the expiry of another snapshot at {paris_time(item.until)}, and the night ended "
        "before; run the night again"
    )
    return snapshot_line(item.mark, item.machine.site, item.snapshot, "failed", why)
