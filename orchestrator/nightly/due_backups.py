"""Which backups are due tonight, where each may go, and how long that will take (article 3.5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.applying.archive_tasks import running_backups
from orchestrator.contract.calendar import (
    in_working_hours,
    night_begins,
    night_of,
    work_begins_after,
    working_hours_between,
)
from orchestrator.contract.retention import dated_later
from orchestrator.errors import told
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.schedule import Job, Planned, lower_bound, simulate
from orchestrator.proxmox import parse_disk
from orchestrator.resources.machine_archives import Archive, ArchiveMark, newest_good

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedMachine

_BYTES_A_SECOND = 50 * 1024**2
"""What a backup is expected to read, where no earlier night tells how long it takes."""

_COMPRESSED = 0.4
"""What an archive is expected to be of the disks, where no earlier archive tells."""

_SHORTEST = 5.0
_LONGEST = 30 * 86400.0
"""No backup takes a month, whatever a history or a disk's size says."""
_Result = Literal["done", "earlier", "failed", "not-started"]


@dataclass(frozen=True, kw_only=True)
class BackupLine(LineOfMachine):
    """What became of one machine's backup tonight.

    Attributes:
        result: ``done``; ``earlier`` (an earlier run of this night made it); ``failed``; ``not-started`` (the
            window closed before its turn); ``missing`` (it should have been made, and no step of the night could even
            try); ``not-created`` (its machine does not exist yet: no failure).
        seconds: how long it took; 0 if it was not made.
        size: bytes of the archive.
        volid: the archive; None if there is none.
    """

    sighting: ClassVar[bool] = True

    node: str = ""
    storage: str = ""
    result: Literal["done", "earlier", "failed", "not-started", "missing", "not-created"]
    message: str = ""
    started_at: dt.datetime | None = None
    seconds: float = 0.0
    size: int = 0
    volid: str | None = None
    upid: str | None = None

    @property
    def failed(self) -> bool:
        """Whether a backup that should have been made was not."""
        return self.result in ("failed", "not-started", "missing")

    @property
    def made(self) -> bool:
        """Whether there is a backup of this night."""
        return self.result in ("done", "earlier")

    @property
    def ended_late(self) -> dt.datetime | None:
        """When it ended, if it ran in working hours, which article 3.5 keeps free of backups; None if it did not."""
        if self.result != "done" or self.started_at is None:
            return None
        ended = self.started_at + dt.timedelta(seconds=self.seconds)
        return ended if working_hours_between(self.started_at, ended) else None


@dataclass(frozen=True, kw_only=True)
class LateBackup(LineOfMachine):
    """A backup that is expected, at the start of the night, to run into working hours (article 3.5).

    Attributes:
        ends_at: when it should end (aware).
    """

    ends_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class BackupForecast(Line):
    """What the run expects of itself at its start.

    Attributes:
        backups: how many are to be made.
        ends_at: when the last one should end.
        closes_at: when the window closes.
        bound_seconds: no schedule could be shorter than that.
        planned_seconds: how long this one is expected to take.
    """

    backups: int
    starts_at: dt.datetime
    ends_at: dt.datetime
    closes_at: dt.datetime
    bound_seconds: float
    planned_seconds: float

    @property
    def fits(self) -> bool:
        """Whether it ends before the window closes."""
        return self.ends_at <= self.closes_at


@dataclass(frozen=True, kw_only=True)
class Due:
    """A backup to be made tonight.

    Attributes:
        mark: what its archive's notes shall say.
        begun: the task of an earlier, killed run that is still making it; None if there is none.
    """

    machine: ObservedMachine
    mark: ArchiveMark
    job: Job
    begun: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupPlan:
    """Tonight's backups.

    Attributes:
        due: to be made, by client and machine.
        settled: lines of those that need no more work: made earlier this night, or impossible.
        slots: how many each storage takes at once, by site and storage.
        free: bytes that are free on each.
        forecast: what the run expects of itself; None if nothing is to be made.
        late: backups that would end in working hours all the same, although they are begun first.
    """

    due: Mapping[tuple[str, str], Due]
    settled: tuple[BackupLine, ...]
    slots: Mapping[tuple[str, str], int]
    free: Mapping[tuple[str, str], int]
    forecast: BackupForecast | None
    late: tuple[LateBackup, ...] = ()


def plan_backups(
    night: Night,
    sites: Mapping[str, SiteReading],
    last_seconds: Mapping[tuple[str, str], float],
    also: Iterable[Job] = (),
) -> BackupPlan:
    """Say which backups are to be made tonight, and how long that will take.

    Args:
        night: the run.
        sites: as they were read.
        last_seconds: how long each machine's last backup took.
        also: what else is to be made: the forecast counts it.
    """
    now = night.clock()
    since = night_begins(night_of(now))
    due: dict[tuple[str, str], Due] = {}
    settled = []
    for reading in sites.values():
        for machine in reading.observed.machines:
            try:
                wanted = wanted_archive(night, machine)
                found = _one(night, reading, machine, wanted, since, last_seconds) if wanted else None
            except Exception as error:  # whatever one machine stumbles over, the others are backed up
                found = _failed(machine, told(error))
            if isinstance(found, BackupLine):
                settled.append(found)
            elif found is not None and (twin := due.get(found.job.key)):
                settled.append(_twin(found, twin))
            elif found is not None:
                due[found.job.key] = found
    due, problems = with_begun(night, due)
    settled += problems
    slots, free = capacity(night, sites)
    plan = BackupPlan(due=due, settled=tuple(settled), slots=slots, free=free, forecast=None)
    return _expected(night, plan, now, tuple(also))


def _one(
    night: Night,
    reading: SiteReading,
    machine: ObservedMachine,
    wanted: ArchiveMark,
    since: dt.datetime,
    last_seconds: Mapping[tuple[str, str], float],
) -> Due | BackupLine:
    """One machine's backup, or the line of one that needs no more work."""
    if made := made_since(machine, since, night.clock()):
        return backup_line(wanted, machine, made[-1].stored.storage, "earlier", archive=made[-1])
    return due_of(night, reading, machine, wanted, last_seconds)


def due_of(
    night: Night,
    reading: SiteReading,
    machine: ObservedMachine,
    wanted: ArchiveMark,
    last_seconds: Mapping[tuple[str, str], float],
) -> Due | BackupLine:
    """A backup that is to be made of a machine, wherever it can go; or the line of one that cannot be."""
    now, site = night.clock(), machine.site
    desired = night.desired.get((wanted.client, wanted.machine))
    chosen = desired.backup_storages if desired else night.provider.sites[site].backup_storages
    names = tuple(storage.name for storage in chosen)
    storages, problem = _storages(names, machine, reading)
    if problem:
        return backup_line(wanted, machine, "", "failed", message=problem)
    key = (wanted.client, wanted.machine)
    seconds = last_seconds.get(key, 0.0)
    job = Job(
        key=key,
        site=site,
        node=machine.summary.node,
        storages=storages,
        seconds=seconds if 0 < seconds < _LONGEST else _expected_seconds(machine),
        size=expected_size(machine, now),
    )
    # Its archives are let go: thousands of machines wait here for hours.
    return Due(machine=replace(machine, archives=None), mark=wanted, job=job)


def _failed(machine: ObservedMachine, why: str) -> BackupLine | None:
    """The line of a machine whose backup could not even be planned."""
    mark = machine.mark
    if mark is None:
        return None
    return BackupLine(
        client=mark.client,
        machine=mark.machine,
        site=machine.site,
        node=machine.summary.node,
        storage="",
        result="failed",
        message=why,
    )


def _twin(found: Due, other: Due) -> BackupLine:
    """The line of a second machine that bears the name of one whose backup is due: nobody knows which it is."""
    text = (
        f"VM {found.machine.summary.vmid} at {found.machine.site} and VM {other.machine.summary.vmid} at "
        f"{other.machine.site} both carry its mark: only the second is backed up; remove the mark from the notes of "
        "the one that is not it"
    )
    return backup_line(found.mark, found.machine, "", "failed", message=text)


def wanted_archive(night: Night, machine: ObservedMachine) -> ArchiveMark | None:
    """What the notes of a machine's next archive shall say; None if it gets no backup here.

    A machine that runs although its contract is suspended or over is served all the same, and its data changes: it is
    backed up until it is really stopped (articles 3.5, 9, 10).
    """
    mark = machine.mark
    if mark is None or mark.retired or (days := night.backup_days(mark)) is None:
        return None
    if night.out_of_service(mark.client, mark) and not machine.running:
        return None
    desired = night.desired.get((mark.client, mark.machine))
    if desired is not None and desired.site != machine.site:
        return None
    contract = desired.contract if desired else mark.contract
    return ArchiveMark(client=mark.client, machine=mark.machine, contract=contract, days=days)


def with_begun(
    night: Night, due: dict[tuple[str, str], Due]
) -> tuple[dict[tuple[str, str], Due], list[BackupLine]]:
    """Find the backups that an earlier, killed run had begun and that still run or wait: one call a node."""
    problems: list[BackupLine] = []
    for site, node in sorted({(item.job.site, item.job.node) for item in due.values()}):
        here = [key for key, item in due.items() if (item.job.site, item.job.node) == (site, node)]
        try:
            begun = running_backups(night.clusters[site], node)
        except Exception as error:
            # What runs there is not known, so nothing is begun there: it might be done twice.
            for key in here:
                item = due.pop(key)
                problems.append(backup_line(item.mark, item.machine, "", "failed", message=told(error)))
            continue
        for key in here:
            upid = begun.get(due[key].machine.summary.vmid)
            if upid:
                due[key] = replace(due[key], begun=upid)
    return due, problems


def made_since(machine: ObservedMachine, since: dt.datetime, now: dt.datetime) -> list[Archive]:
    """Tonight's good archives, the oldest first. One that a wrong clock dated into the future is not tonight's, nor any
    night's; and one that was made in working hours, by hand, is not the backup that article 3.5 promises outside them.
    """
    return [
        archive
        for archive in machine.archives or ()
        if archive.taken_at >= since
        and archive.good
        and not dated_later(archive, now)
        and not in_working_hours(archive.taken_at)
    ]


def _storages(
    wanted: tuple[str, ...], machine: ObservedMachine, reading: SiteReading
) -> tuple[tuple[str, ...], str | None]:
    """The backup storages that the machine's node reaches now, or why there is none."""
    state, node = reading.observed.state, machine.summary.node
    there = next((item for item in state.nodes if item.name == node), None)
    if there is None or there.off:
        return (), f"its node {node} is offline: bring it back, then run the night again"
    reached = {
        item.name for item in state.storages if item.node == node and item.usable and "backup" in item.content
    } - reading.unread.keys()  # one that cannot even be listed takes no backup
    names = tuple(name for name in wanted if name in reached)
    if names:
        return names, None
    reasons = "; ".join(f"{name}: {why}" for name, why in reading.unread.items())
    return (), (
        f"no backup storage can be used on {node} (the site has {', '.join(wanted) or 'none'}): "
        f"{reasons or 'see that it takes content `backup` and is enabled there'}"
    )


def _disk_bytes(machine: ObservedMachine) -> int:
    total = 0
    for key, value in machine.config.current.items():
        if key.startswith(("scsi", "virtio", "sata", "ide")) and key[-1:].isdigit():
            disk = parse_disk(value)
            total += 0 if disk.is_cdrom or disk.left_out else disk.size_bytes
    return total


def _expected_seconds(machine: ObservedMachine) -> float:
    return min(max(_disk_bytes(machine) / _BYTES_A_SECOND, _SHORTEST), _LONGEST)


_MUCH = 2**60
"""Bytes that count as free on a storage that has room and deduplicates."""


def expected_size(machine: ObservedMachine, now: dt.datetime) -> int:
    """How large the machine's next archive is expected to be, bytes. ``now`` is aware."""
    last = newest_good(machine.archives or (), now)
    return last.stored.size if last else int(_disk_bytes(machine) * _COMPRESSED)


def capacity(
    night: Night, sites: Mapping[str, SiteReading]
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """How many backups each storage takes at a time, and the bytes that are free on it; by site and storage."""
    slots, free = {}, {}
    for site, reading in sites.items():
        for storage in night.provider.sites[site].backup_storages:
            slots[site, storage.name] = storage.backups_at_a_time
            figures = [item for item in reading.observed.state.storages if item.name == storage.name]
            if figures:
                left = min(max(item.maxdisk - item.disk, 0) for item in figures)
                # What an archive takes there is what is new in it: how large it is says nothing of that.
                unlimited = left and any(item.deduplicates for item in figures)
                free[site, storage.name] = _MUCH if unlimited else left
    return slots, free


def _expected(night: Night, plan: BackupPlan, now: dt.datetime, also: tuple[Job, ...]) -> BackupPlan:
    """The plan with what the run expects of itself. What would end in working hours is begun first (article 3.5)."""
    if not plan.due and not also:
        return plan
    try:
        planned = _simulated(plan, also)
        if first := _late(night, planned, now):
            due = {
                key: replace(item, job=replace(item.job, first=True)) if key in first else item
                for key, item in plan.due.items()
            }
            plan = replace(plan, due=due)
            planned = _simulated(plan, also)
        bound = lower_bound([*(item.job for item in plan.due.values()), *also], plan.slots)
    except (ValueError, OverflowError):  # figures of a site that cannot be: the backups are made all the same
        return plan
    forecast = BackupForecast(
        backups=len(planned.backups),
        starts_at=now,
        ends_at=now + dt.timedelta(seconds=min(planned.makespan, _LONGEST)),
        closes_at=night.closes_at,
        bound_seconds=bound,
        planned_seconds=planned.makespan,
    )
    sites = {item.job.key: item.job.site for item in planned.backups}
    lines = [
        LateBackup(client=key[0], machine=key[1], site=sites[key], ends_at=ends_at)
        for key, ends_at in sorted(_late(night, planned, now).items())
    ]
    return replace(plan, forecast=forecast, late=tuple(lines))


def _simulated(plan: BackupPlan, also: tuple[Job, ...]) -> Planned:
    return simulate([*(item.job for item in plan.due.values()), *also], plan.slots, plan.free)


def _late(night: Night, planned: Planned, now: dt.datetime) -> dict[tuple[str, str], dt.datetime]:
    """The backups that are expected to be begun before the window closes, and to run into working hours: their ends."""
    if in_working_hours(now):
        return {}  # somebody asked for a night in working hours
    closes = (night.closes_at - now).total_seconds()
    opens = (work_begins_after(now) - now).total_seconds()
    return {
        item.job.key: now + dt.timedelta(seconds=min(item.ends, _LONGEST))
        for item in planned.backups
        if item.starts < closes and item.ends > opens
    }


def backup_line(
    mark: ArchiveMark,
    machine: ObservedMachine,
    storage: str,
    result: _Result,
    *,
    message: str = "",
    archive: Archive | None = None,
) -> BackupLine:
    """One line of the report about a machine's backup."""
    return BackupLine(
        client=mark.client,
        machine=mark.machine,
        site=machine.site,
        node=machine.summary.node,
        storage=storage,
        result=result,
        message=message,
        size=archive.stored.size if archive else 0,
        volid=archive.stored.volid if archive else None,
    )
