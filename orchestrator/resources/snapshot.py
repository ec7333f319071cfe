"""Snapshots of machines: which are declared and due, which have lived their seven days (articles 3.2 and 3.3).

A snapshot of ours carries a mark in its description. Those that others made in Proxmox count towards the two that a
machine may have, because the contract counts snapshots, not hands; they are shown and never removed.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass as model

from orchestrator.contract.calendar import PARIS, WORK_STARTS, add_calendar_days, day_in_paris, paris_time
from orchestrator.contract.snapshots import SNAPSHOT_DAYS, SNAPSHOTS_AT_A_TIME
from orchestrator.errors import Reason
from orchestrator.proxmox import VmSnapshot, can_snapshot, parse_disk
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.marks import EXACT, VERSION, Codec, Day, Version, same

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.subscriptions.model import DeclaredSnapshot

_DISK_KEY = re.compile(r"(?:scsi|virtio|sata|ide|efidisk|tpmstate)\d+")


@dataclass(frozen=True, kw_only=True)
class OwnedSnapshot:
    """A snapshot of ours.

    Attributes:
        declared_for: the day that the file names; None if it was made on demand.
        for_update: whether it was taken before an update, to come back to.
    """

    snapshot: VmSnapshot
    declared_for: dt.date | None
    for_update: bool = False

    @property
    def expires_at(self) -> dt.datetime:
        """When its seven days are over."""
        return expires_at(self.snapshot)


def expires_at(snapshot: VmSnapshot) -> dt.datetime:
    """When a snapshot's seven days are over (articles 3.2 and 3.3), in the provider's time."""
    return add_calendar_days(snapshot.taken_at, SNAPSHOT_DAYS)


@model(frozen=True, kw_only=True, slots=True, config=EXACT)
class SnapshotMark:
    """What the description of a snapshot of ours says.

    Attributes:
        declared: the day that the file names; None if it was made on demand.
        update: whether it was taken before an update.
    """

    v: Version = 3
    declared: Day | None = None
    update: bool = False


_CODEC = Codec(name="orchestrator-snapshot", form=SnapshotMark, earlier=same, versions=(1, VERSION))


def snapshot_description(
    client: str, machine: str, *, declared_for: dt.date | None, for_update: bool = False
) -> str:
    """The description of a snapshot of ours, with its mark."""
    why = f"declared for {declared_for}" if declared_for else "on demand"
    if for_update:
        why = "before an update"
    mark = _CODEC.comment(SnapshotMark(declared=declared_for, update=for_update))
    return f"{client} / {machine}, {why}, kept {SNAPSHOT_DAYS} days (art. 3.2, 3.3). {mark}"


def owned(snapshot: VmSnapshot) -> OwnedSnapshot | None:
    """The snapshot as ours; None if somebody else made it."""
    mark = _CODEC.read(snapshot.description)
    if mark is None:
        return None
    return OwnedSnapshot(snapshot=snapshot, declared_for=mark.declared, for_update=mark.update)


def days_of(now: dt.datetime) -> frozenset[dt.date]:
    """The days whose declared snapshots are taken at a moment: today, and yesterday until the night is over."""
    local = now.astimezone(PARIS)
    days = {day_in_paris(now)}
    if local.time() < WORK_STARTS:
        days.add(day_in_paris(now) - dt.timedelta(days=1))
    return frozenset(days)


def was_taken(declared: DeclaredSnapshot, mark: Mark, snapshots: Iterable[VmSnapshot]) -> bool:
    """Whether a declared snapshot was taken once, whatever became of it since."""
    if mark.snapshots.get(declared.name) == declared.taken_on:
        return True
    mine = (owned(snapshot) for snapshot in snapshots if snapshot.name == declared.name)
    return any(item is not None and item.declared_for == declared.taken_on for item in mine)


def with_taken(mark: Mark, desired: DesiredMachine, declared: DeclaredSnapshot) -> Mark:
    """The mark with a declared snapshot noted as taken; what the file no longer declares is forgotten."""
    still = {item.name for item in desired.snapshots}
    kept = {name: day for name, day in mark.snapshots.items() if name in still}
    return mark.with_(snapshots={**kept, declared.name: declared.taken_on})


def expired(snapshots: Iterable[VmSnapshot], now: dt.datetime) -> tuple[OwnedSnapshot, ...]:
    """Those of ours whose seven days are over."""
    mine = (owned(snapshot) for snapshot in snapshots)
    return tuple(item for item in mine if item is not None and item.expires_at <= now)


def no_room(snapshots: Iterable[VmSnapshot]) -> Reason | None:
    """Why no further snapshot may be taken: the two that there are, and when they go. None if there is room."""
    there = list(snapshots)
    if len(there) < SNAPSHOTS_AT_A_TIME:
        return None
    described = " and ".join(_described(snapshot) for snapshot in there)
    return (
        f"at most {SNAPSHOTS_AT_A_TIME} snapshots at a time (art. 3.2, 3.3): there are {described}; wait until one "
        "has expired, or delete one (orchestrator snapshot delete)"
    )


def _described(snapshot: VmSnapshot) -> str:
    if owned(snapshot) is None:
        day = day_in_paris(snapshot.taken_at)
        return f"{snapshot.name} (made by others in Proxmox on {day}, no expiry)"
    return f"{snapshot.name} (expires {paris_time(expires_at(snapshot))})"


def unable(observed: ObservedMachine, types: dict[str, str]) -> Reason | None:
    """Why a machine cannot be snapshotted: the disks whose storage and format cannot. None if it can, or who knows.

    Args:
        observed: the machine.
        types: the type of each storage of its cluster.
    """
    stuck = []
    for key, value in observed.config.current.items():
        if not _DISK_KEY.fullmatch(key):
            continue
        disk = parse_disk(value)
        if disk.is_cdrom or disk.storage is None:
            continue
        suffix = disk.volume.rpartition(".")[2]
        form = suffix if suffix in ("raw", "qcow2", "vmdk") else None
        if can_snapshot(types.get(disk.storage, ""), form) is False:
            stuck.append(f"{key} is {form or types[disk.storage]} on {disk.storage}")
    if not stuck:
        return None
    return (
        f"it cannot be snapshotted: {', '.join(stuck)}; move the disk to a storage that can, or to the format qcow2 "
        "(Disk Action > Move Storage in Proxmox)"
    )


def snapshot_changes(
    desired: DesiredMachine, observed: ObservedMachine, mark: Mark, now: dt.datetime
) -> Iterator[Change]:
    """Every change to the snapshots of a machine that exists: expiries first, then what is due today."""
    for change, _ in _with_their_time(desired, observed, mark, now):
        yield change


def waiting_for_room(
    desired: DesiredMachine, observed: ObservedMachine, mark: Mark, now: dt.datetime
) -> dict[str, dt.datetime]:
    """The declared snapshots that are due and have to wait until others have expired: names, and until when."""
    changes = _with_their_time(desired, observed, mark, now)
    return {change.what.removeprefix("snapshot "): until for change, until in changes if until is not None}


def _with_their_time(
    desired: DesiredMachine, observed: ObservedMachine, mark: Mark, now: dt.datetime
) -> Iterator[tuple[Change, dt.datetime | None]]:
    """Every change, with the time at which it can be made if it has to wait for the expiry of others."""
    there = list(observed.snapshots)
    for item in expired(there, now):
        there.remove(item.snapshot)
        yield (
            Change(
                effect=Effect.EXPIRE,
                what=f"snapshot {item.snapshot.name}",
                before=item.snapshot.taken_at,
            ),
            None,
        )
    days = days_of(now)
    for declared in desired.snapshots:
        if was_taken(declared, mark, observed.snapshots):
            continue
        change = _standing(declared, observed, mark, days)
        if change is not None:
            yield change, None
        elif min(days) <= declared.taken_on <= max(days):
            yield _placed(declared, there)


def _standing(
    declared: DeclaredSnapshot, observed: ObservedMachine, mark: Mark, days: frozenset[dt.date]
) -> Change | None:
    """What is to be said of a declared snapshot whatever others there are; None if nothing is."""
    what = f"snapshot {declared.name}"
    last_day = max(days)
    if declared.taken_on < min(days):
        if last_day - declared.taken_on > dt.timedelta(days=SNAPSHOT_DAYS):
            return None  # it would have expired by now
        why = "it was not taken on its day; `orchestrator snapshot create` takes one now, another day takes it then"
        return Change(effect=Effect.NOTICE, what=what, after=declared.taken_on, why=why)
    reason = unable(observed, observed.storage_types)
    if reason is not None:
        return Change(effect=Effect.UNABLE, what=what, after=declared.taken_on, why=reason)
    if declared.taken_on <= last_day and not mark.ready:
        why = "taken by tonight's run, or the next apply, once the machine is in service"
        return Change(effect=Effect.WAITING, what=what, after=declared.taken_on, why=why)
    return None


def _placed(declared: DeclaredSnapshot, there: list[VmSnapshot]) -> tuple[Change, dt.datetime | None]:
    """A declared snapshot that is due, among those that there are; it is counted among them from here on.

    Seven days after a night, its snapshots expire during the night, not at its beginning. So one that is declared for
    that day waits for them: each keeps its seven days, and there are never more than two.
    """
    what, name = f"snapshot {declared.name}", declared.name
    reason = _in_the_way(there, name)
    if reason is None:
        there.append(_imagined(declared))
        return Change(effect=Effect.SNAPSHOT, what=what, after=declared.taken_on), None
    left = list(there)
    ours = (item for snapshot in there if (item := owned(snapshot)) is not None)
    for item in sorted(ours, key=lambda item: item.expires_at):
        if item.expires_at >= _last_moment(declared):
            break
        left.remove(item.snapshot)
        if _in_the_way(left, name) is None:
            there[:] = [*left, _imagined(declared)]
            why = (
                f"taken by the night's run when {item.snapshot.name} has expired ({paris_time(item.expires_at)}): "
                "it makes room (art. 3.2, 3.3)"
            )
            waiting = Change(effect=Effect.WAITING, what=what, after=declared.taken_on, why=why)
            return waiting, item.expires_at
    return Change(effect=Effect.UNABLE, what=what, after=declared.taken_on, why=reason), None


def _in_the_way(there: list[VmSnapshot], name: str) -> Reason | None:
    """Why a snapshot of a name cannot be taken beside those that there are; None if it can."""
    if any(snapshot.name == name for snapshot in there):
        return "a snapshot of that name is there already and is not this one: choose another name"
    return no_room(there)


def _last_moment(declared: DeclaredSnapshot) -> dt.datetime:
    """When the night of a declared snapshot's day is over: the morning after, as :func:`days_of` has it."""
    return dt.datetime.combine(declared.taken_on + dt.timedelta(days=1), WORK_STARTS, PARIS)


def _imagined(declared: DeclaredSnapshot) -> VmSnapshot:
    """The snapshot that is about to be taken: it counts for the next one declared for the same day."""
    moment = dt.datetime.combine(declared.taken_on, dt.time(), PARIS)
    return VmSnapshot(name=declared.name, taken_at=moment, description="", parent=None)
