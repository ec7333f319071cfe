"""Snapshots: what is declared for the day is taken, what has lived its seven days is removed (article 3.2)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from rich.text import Text

from orchestrator.applying.limits import Limits
from orchestrator.applying.marking import change_mark
from orchestrator.applying.snapshots import remove_snapshot, take_snapshot
from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import told
from orchestrator.nightly.result import LineOfMachine
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import Failures
from orchestrator.planning.words import sides
from orchestrator.reports.page import Cell, Section, Tone, table_of
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.snapshot import (
    expired,
    expires_at,
    owned,
    snapshot_changes,
    was_taken,
    with_taken,
)

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.telling import Telling
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.subscriptions.model import DeclaredSnapshot

_WORKERS = 8

OVER = "its seven days are over (art. 3.2)"

T = TypeVar("T")
_Action = Literal["taken", "removed", "refused", "failed", "foreign"]


@dataclass(frozen=True, kw_only=True)
class SnapshotLine(LineOfMachine):
    """What became of one snapshot tonight.

    Attributes:
        action: ``taken`` or ``removed``; ``refused`` and ``failed`` with the reason; ``foreign`` for snapshots that
            others made on our machines: shown, never removed.
        expires_at: when its seven days are over (aware); None if it has no such end.
    """

    snapshot: str
    action: Literal["taken", "removed", "refused", "failed", "foreign"]
    message: str = ""
    expires_at: dt.datetime | None = None

    @property
    def failed(self) -> bool:
        """Whether it tells of a failure."""
        return self.action in ("failed", "refused")


class SnapshotStep(Step):
    """Takes the snapshots that are declared for tonight.

    Attributes:
        due: machines with the snapshots that are declared, and what stands in the way of some.
    """

    name = "snapshots"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.due: list[tuple[ObservedMachine, list[Change]]] = []

    def decide(self) -> None:
        """Find what is declared."""
        self.due = due_snapshots(self.work.night, self.work.readings.values())

    def preview(self) -> Iterator[Text]:
        """What would be taken."""
        for machine, changes in self.due:
            for change in changes:
                if change.effect is Effect.UNABLE:
                    yield Text(f"  ✗ {change.what} {_name(machine)}   {change.why}", "red")
                else:
                    yield Text(f"  + {change.what} {_name(machine)}   {sides(change)[1]}", "green")

    def run(self) -> None:
        """Note what an earlier run took, then take what is due."""
        work = self.work
        work.lines += work.decided(
            self.name, lambda: note_taken(work.night, work.readings.values(), work.limits), []
        )
        work.lines += take_declared(work.night, self.due, work.limits)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Snapshots that failed or were refused."""
        words = telling.speech.words
        for action, name, remedy in (
            ("failed", words.snapshot_failed, words.snapshot_failed_remedy),
            ("refused", words.snapshot_refused, words.snapshot_refused_remedy),
        ):
            found = (
                (f"{telling.name(line)} {line.snapshot}", line.site, line.message or words.no_reason)
                for line in telling.report.of(SnapshotLine)
                if line.action == action
            )
            yield Failures(name, remedy, tuple(found))

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """What became of snapshots."""
        speech, words = telling.speech, telling.speech.words
        actions: dict[str, tuple[str, Tone]] = {
            "taken": (words.snapshot_taken, "good"),
            "removed": (words.snapshot_removed, "plain"),
            "refused": (words.refused, "bad"),
            "failed": (words.failed, "bad"),
            "foreign": (words.snapshot_foreign, "warn"),
        }
        columns = (words.machine, words.site, words.snapshot, words.result, words.expires, words.remark)
        rows = [
            (
                telling.name(line),
                line.site,
                line.snapshot,
                Cell(*actions[line.action]),
                words.nothing if line.expires_at is None else speech.moment(line.expires_at),
                line.message,
            )
            for line in telling.report.of(SnapshotLine)
        ]
        tables = table_of(words.snapshots, columns, rows)
        yield Section(title=words.snapshots, empty=words.no_snapshots, tables=tables)


class ExpiryStep(Step):
    """Removes what has lived its seven days: at the beginning, and at the end what came of age while the night ran,
    else it would live a day too long.
    """

    name = "expiry"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._expiring: list[tuple[ObservedMachine, str]] = []

    def decide(self) -> None:
        """Find what is over."""
        night, now = self.work.night, self.work.started_at
        for machine, mark in marked_machines(self.work.readings.values()):
            if not night.out_of_service(mark.client, mark) and not night.clocks.objection(machine.site):
                self._expiring += [(machine, item.snapshot.name) for item in expired(machine.snapshots, now)]

    def preview(self) -> Iterator[Text]:
        """What would be removed."""
        for machine, snapshot in self._expiring:
            yield Text(
                f"  - snapshot {snapshot} {_name(machine)}   its seven days are over (art. 3.2)", "red"
            )

    def run(self) -> None:
        """Remove what is over now."""
        work = self.work
        told = (line for line in work.lines if isinstance(line, SnapshotLine))
        done = {(line.client, line.machine, line.snapshot) for line in told}
        work.lines += expire(work.night, work.readings.values(), work.limits, done=done)


class ForeignSnapshotStep(Step):
    """Tells of the snapshots that others made on our machines."""

    name = "snapshots"

    def run(self) -> None:
        """Look for them."""
        self.work.lines += foreign_snapshots(self.work.readings.values())


def _name(machine: ObservedMachine) -> str:
    return f"{machine.mark.client}/{machine.mark.machine}" if machine.mark else machine.summary.name


def due_snapshots(night: Night, sites: Iterable[SiteReading]) -> list[tuple[ObservedMachine, list[Change]]]:
    """What the files declare for tonight, and what stands in its way: machines with their changes."""
    now = night.clock()
    found = []
    for machine, mark in marked_machines(sites):
        desired = night.desired.get((mark.client, mark.machine))
        if desired is None or night.out_of_service(mark.client, mark):
            continue
        try:
            changes = [
                change
                for change in snapshot_changes(desired, machine, mark, now)
                if change.effect in (Effect.SNAPSHOT, Effect.UNABLE)
            ]
        except Exception as error:
            failed = Change(effect=Effect.UNABLE, what="snapshot *", why=told(error))
            changes = [failed] if desired.snapshots else []
        if changes:
            found.append((machine, changes))
    return found


def take_declared(
    night: Night, due: list[tuple[ObservedMachine, list[Change]]], limits: Limits
) -> list[SnapshotLine]:
    """Take the snapshots that are declared for tonight; a machine's expired ones make room first."""

    def one(item: tuple[ObservedMachine, list[Change]]) -> list[SnapshotLine]:
        machine, changes = item
        assert machine.mark is not None  # noqa: S101  (only ours are due)
        desired = night.desired[machine.mark.client, machine.mark.machine]
        names = [item.snapshot.name for item in expired(machine.snapshots, night.clock())]
        lines = (
            []
            if night.clocks.objection(machine.site)
            else _expire(night, machine, machine.mark, names, limits)
        )
        for change in changes:
            name = change.what.removeprefix("snapshot ")
            if change.effect is Effect.UNABLE:
                lines.append(snapshot_line(machine.mark, machine.site, name, "refused", str(change.why)))
            else:
                lines.append(take_one(night, machine, machine.mark, desired, name, limits))
        return lines

    return in_parallel(one, due)


def note_taken(night: Night, sites: Iterable[SiteReading], limits: Limits) -> list[SnapshotLine]:
    """Note in the machines' marks which declared snapshots were taken, where an earlier run could not any more.

    Returns:
        A line for each that could not be noted.
    """

    def one(item: tuple[ObservedMachine, Mark, DesiredMachine, DeclaredSnapshot]) -> list[SnapshotLine]:
        machine, mark, desired, declared = item
        try:
            with limits.write(machine.site, machine.summary.node):
                change_mark(night.vm(machine, mark), lambda now: with_taken(now, desired, declared))
        except Exception as error:  # whatever one machine stumbles over, the others go on
            text = f"it was taken, but that could not be noted: {told(error)}"
            return [snapshot_line(mark, machine.site, declared.name, "failed", text)]
        return []

    unnoted = [
        (machine, mark, desired, declared)
        for machine, mark in marked_machines(sites)
        if (desired := night.desired.get((mark.client, mark.machine))) is not None
        for declared in desired.snapshots
        if mark.snapshots.get(declared.name) != declared.taken_on.isoformat()
        and was_taken(declared, mark, machine.snapshots)
    ]
    return in_parallel(one, unnoted)


def take_one(
    night: Night, machine: ObservedMachine, mark: Mark, desired: DesiredMachine, name: str, limits: Limits
) -> SnapshotLine:
    """Take one declared snapshot, and note that in the machine's mark. Return its line, whatever becomes of it."""
    declared = next(item for item in desired.snapshots if item.name == name)
    vm = night.vm(machine, mark)
    try:
        with limits.write(machine.site, machine.summary.node):
            taken = take_snapshot(vm, name, declared_for=declared.taken_on)
            change_mark(vm, lambda now: with_taken(now, desired, declared))
    except Exception as error:
        why = told(error)
        night.tell("snapshot-failed", client=mark.client, machine=mark.machine, reason=why)
        return snapshot_line(mark, machine.site, name, "failed", why)
    night.tell("snapshot-taken", client=mark.client, machine=mark.machine, snapshot=name)
    return SnapshotLine(
        client=mark.client,
        machine=mark.machine,
        site=machine.site,
        snapshot=name,
        action="taken",
        expires_at=expires_at(taken),
    )


def expire(
    night: Night, sites: Iterable[SiteReading], limits: Limits, *, done: Collection[tuple[str, str, str]]
) -> list[SnapshotLine]:
    """Remove every snapshot of ours whose seven days are over, on every machine of ours where the clocks agree.

    Args:
        night: the run.
        sites: as they were read.
        limits: of what is written at a time.
        done: snapshots that were seen to already: client, machine and name.
    """
    now = night.clock()
    found = []
    for machine, mark in marked_machines(sites):
        if night.out_of_service(mark.client, mark) or night.clocks.objection(machine.site):
            continue  # suspended: nothing is deleted (article 9)
        names = [item.snapshot.name for item in expired(machine.snapshots, now)]
        left = [name for name in names if (mark.client, mark.machine, name) not in done]
        if left:
            found.append((machine, mark, left))
    return in_parallel(lambda item: _expire(night, *item, limits), found)


def _expire(
    night: Night, machine: ObservedMachine, mark: Mark, names: list[str], limits: Limits
) -> list[SnapshotLine]:
    vm = night.vm(machine, mark)
    lines = []
    for name in names:
        try:
            with limits.write(machine.site, machine.summary.node):
                remove_snapshot(vm, name, action="expire snapshot")
        except Exception as error:
            why = told(error)
            night.tell("snapshot-failed", client=mark.client, machine=mark.machine, reason=why)
            lines.append(snapshot_line(mark, machine.site, name, "failed", f"could not be removed: {why}"))
        else:
            night.tell("snapshot-expired", client=mark.client, machine=mark.machine, snapshot=name)
            lines.append(snapshot_line(mark, machine.site, name, "removed", OVER))
    return lines


def foreign_snapshots(sites: Iterable[SiteReading]) -> list[SnapshotLine]:
    """Snapshots that others made on our machines: shown and counted, never removed."""
    return [
        snapshot_line(
            mark,
            machine.site,
            snapshot.name,
            "foreign",
            f"made by others in Proxmox on {day_in_paris(snapshot.taken_at)}; it counts towards the two",
        )
        for machine, mark in marked_machines(sites)
        for snapshot in machine.snapshots
        if owned(snapshot) is None
    ]


def marked_machines(sites: Iterable[SiteReading]) -> list[tuple[ObservedMachine, Mark]]:
    """The machines that are ours, with their marks."""
    return [(machine, machine.mark) for site in sites for machine in site.observed.machines if machine.mark]


def snapshot_line(mark: Mark, site: str, name: str, action: _Action, message: str) -> SnapshotLine:
    """One line of the report about a snapshot."""
    return SnapshotLine(
        client=mark.client, machine=mark.machine, site=site, snapshot=name, action=action, message=message
    )


def in_parallel(work: Callable[[T], list[SnapshotLine]], items: list[T]) -> list[SnapshotLine]:
    """Do the work for several machines at a time; their lines, in the order of the items."""
    if not items:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(items)), thread_name_prefix="snapshot") as pool:
        return [line for lines in pool.map(work, items) for line in lines]
