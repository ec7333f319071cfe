"""Which backup is started next, and on which storage; and how long a whole night of them will take.

Proxmox runs one vzdump a node at a time, on the node of the machine, and a backup storage takes a limited number at
a time. So two things bound a night: a node with much to do, and storages whose slots are in demand. Among the backups
that can be started, the one comes first for which the two together promise the longest wait.

Nothing is held back for later: as long as a backup can be started, one is. That is list scheduling, and its guarantee
holds: until the last backup to end begins, either its node is at work or all slots of its storages are.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

_Key = tuple[str, str]
"""A site and the name of a node or storage there."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One backup to be made.

    Attributes:
        key: client and machine; unique.
        site, node: where the machine is; its vzdump runs there.
        storages: those of the site that it may go to, at least one.
        seconds: how long it is expected to take; more than 0.
        size: bytes that its archive is expected to have; 0 or more.
        first: whether it goes before the others: it would end in working hours else.

    Raises:
        ValueError: if a figure is out of its range, or there is no storage.
    """

    key: tuple[str, str]
    site: str
    node: str
    storages: tuple[str, ...]
    seconds: float
    size: int
    first: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf and self.size >= 0 and self.storages):
            raise ValueError(f"no backup can be planned from {self}")


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A job that is to be started now, and the storage that it goes to."""

    job: Job
    storage: str


@dataclass
class _Storage:
    """A backup storage during the night.

    Attributes:
        open: slots that are free.
        free: bytes that are free, less what running backups are expected to take; below 0 if more was promised.
        work: expected seconds of the waiting jobs that are its share, by slots.
    """

    name: str
    slots: int
    open: int
    free: int
    work: float = 0.0


@dataclass
class _Group:
    """The waiting jobs of a site that may go to the same storages.

    Attributes:
        work: their expected seconds.
        queues: by node, the longest first.
        within: the groups that can use no storage but these, itself among them.
    """

    site: str
    storages: list[_Storage]
    work: float = 0.0
    queues: dict[str, list[Job]] = field(default_factory=dict)
    within: list[_Group] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return sum(storage.slots for storage in self.storages)

    @property
    def pressure(self) -> float:
        """Seconds that its storages need at least for what only they can take."""
        return sum(group.work for group in self.within) / self.slots

    def share(self, seconds: float) -> None:
        """Count work that waits for its storages; negative: that waits no more."""
        self.work += seconds
        for storage in self.storages:
            storage.work += seconds * storage.slots / self.slots


class Dispatcher:
    """Hands out the backups of a night. Not thread-safe: the caller locks.

    A choice looks at every node's queue for each different set of storages, as a rule at its first job only; where the
    free space keeps jobs back, it passes over those.

    Args:
        jobs: all to be made.
        slots: how many backups a storage takes at a time, by site and storage; at least 1.
        free: bytes free on it; a storage that is not named counts as full.

    Raises:
        ValueError: if two jobs have the same key, or the slots of a storage are not known.
    """

    def __init__(self, jobs: Iterable[Job], slots: Mapping[_Key, int], free: Mapping[_Key, int]) -> None:
        jobs = _checked(jobs, slots)
        self._storages = {
            (site, name): _Storage(name=name, slots=number, open=number, free=free.get((site, name), 0))
            for (site, name), number in slots.items()
        }
        self._busy: set[_Key] = set()
        self._running: dict[tuple[str, str], Assignment] = {}
        self._wait(jobs)

    @property
    def pending(self) -> int:
        """How many jobs wait to be started."""
        return self._pending

    @property
    def running(self) -> int:
        """How many were started and have not ended."""
        return len(self._running)

    def next(self) -> Assignment | None:
        """Say which job to start now, and count it as running from now on.

        Among the jobs that can be started, those that are marked so come first. Then it is one of the node with the
        most work left, counting with it the work that only the job's own storages can take, over their slots; among a
        node's jobs for the same storages, the longest. It goes where it fits and the free slots are the most for the
        work that waits for them, then where the most bytes are free. A job that fits on one of its storages waits for
        one of those; a job that fits on none is started all the same, where the least is missing: sizes are only
        expectations.

        Returns:
            None if nothing can be started now: never while nothing runs and a job waits.
        """
        best: tuple[tuple[bool, float, float], _Group, Job] | None = None
        for group in self._groups:
            if any(storage.open for storage in group.storages):
                pressure = group.pressure
                for job in self._startable(group):
                    rank = job.first, self._work[job.site, job.node] + pressure, job.seconds
                    if best is None or rank > best[0]:
                        best = rank, group, job
        if best is None:
            return None
        _, group, job = best
        storage = min(
            (storage for storage in group.storages if storage.open),
            key=lambda s: (max(job.size - s.free, 0), s.work / s.open, -s.free, s.name),
        )
        group.queues[job.node].remove(job)
        group.share(-job.seconds)
        self._pending -= 1
        self._work[job.site, job.node] -= job.seconds
        storage.open -= 1
        storage.free -= job.size
        self._busy.add((job.site, job.node))
        assignment = self._running[job.key] = Assignment(job=job, storage=storage.name)
        return assignment

    def ended(self, assignment: Assignment, size: int) -> None:
        """Free a job's node and slot, whether it went well or not.

        Args:
            assignment: as ``next`` gave it.
            size: bytes that it really takes on the storage; 0 if it failed.

        Raises:
            ValueError: if it is not running.
        """
        job = assignment.job
        if self._running.get(job.key) != assignment:
            raise ValueError(f"the backup of {'/'.join(job.key)} is not running on {assignment.storage}")
        del self._running[job.key]
        self._busy.discard((job.site, job.node))
        if storage := self._storages.get((job.site, assignment.storage)):
            storage.open += 1
            storage.free += job.size - size

    def drop(self, *, site: str, storage: str | None = None, node: str | None = None) -> list[Job]:
        """Count a storage or a node of a site as gone. What runs there runs on until ``ended``.

        Returns:
            The waiting jobs that can no longer go anywhere, by key; they wait no more.
        """
        if storage is not None:
            self._storages.pop((site, storage), None)
        waiting = self._waiting()
        stranded = [job for job in waiting if (job.site, job.node) == (site, node) or not self._reached(job)]
        gone = {job.key for job in stranded}
        self._wait([job for job in waiting if job.key not in gone])
        return stranded

    def drain(self) -> list[Job]:
        """Take out all jobs that wait, for nothing is to begin any more; by key."""
        waiting = self._waiting()
        self._wait([])
        return waiting

    def _waiting(self) -> list[Job]:
        left = [job for group in self._groups for queue in group.queues.values() for job in queue]
        return sorted(left, key=lambda job: job.key)

    def _reached(self, job: Job) -> tuple[str, ...]:
        return tuple(sorted({name for name in job.storages if (job.site, name) in self._storages}))

    def _wait(self, jobs: list[Job]) -> None:
        """Make groups and queues of the jobs that wait."""
        self._pending = len(jobs)
        self._work: dict[_Key, float] = defaultdict(float)
        groups: dict[tuple[str, tuple[str, ...]], _Group] = {}
        for storage in self._storages.values():
            storage.work = 0.0
        for job in sorted(jobs, key=lambda job: (not job.first, -job.seconds, job.key)):
            place = job.site, self._reached(job)
            if place not in groups:
                groups[place] = _Group(
                    site=job.site, storages=[self._storages[job.site, n] for n in place[1]]
                )
            groups[place].queues.setdefault(job.node, []).append(job)
            groups[place].share(job.seconds)
            self._work[job.site, job.node] += job.seconds
        self._groups = [group for _, group in sorted(groups.items(), key=lambda item: item[0])]
        for group in self._groups:
            group.queues = dict(sorted(group.queues.items()))
        _nest(self._groups)

    def _startable(self, group: _Group) -> Iterator[Job]:
        """The longest job of each idle node that can be started now: it fits where a slot is open, or nowhere."""
        fits = max(storage.free for storage in group.storages if storage.open)
        beyond = max(storage.free for storage in group.storages)
        for node, queue in group.queues.items():
            if (group.site, node) not in self._busy:
                yield from islice((job for job in queue if job.size <= fits or job.size > beyond), 1)


def _checked(jobs: Iterable[Job], slots: Mapping[_Key, int]) -> list[Job]:
    jobs = list(jobs)
    if len({job.key for job in jobs}) < len(jobs):
        raise ValueError("a machine has two backups to be made in one night")
    for site, name in sorted({(job.site, name) for job in jobs for name in job.storages}):
        if slots.get((site, name), 0) < 1:
            raise ValueError(f"how many backups storage {name} of {site} takes at a time is not known")
    return jobs


def _nest(groups: list[_Group]) -> None:
    """Tell each group which others can use no storage but its own."""
    names = [{storage.name for storage in group.storages} for group in groups]
    for group, mine in zip(groups, names, strict=True):
        group.within = [
            other
            for other, its in zip(groups, names, strict=True)
            if other.site == group.site and its <= mine
        ]


@dataclass(frozen=True, kw_only=True)
class PlannedBackup:
    """When a backup is expected to run: seconds after the first one begins."""

    job: Job
    storage: str
    starts: float
    ends: float


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A night as it is expected.

    Attributes:
        backups: in the order in which they begin.
        makespan: seconds until the last one ends; 0 if there is none.
    """

    backups: tuple[PlannedBackup, ...]
    makespan: float


def simulate(jobs: Iterable[Job], slots: Mapping[_Key, int], free: Mapping[_Key, int]) -> Planned:
    """Go through a night in which every backup takes the seconds and bytes that are expected of it.

    Args:
        jobs, slots, free: as for ``Dispatcher``, which makes the choices.

    Raises:
        ValueError: as ``Dispatcher`` does.
    """
    dispatcher = Dispatcher(jobs, slots, free)
    planned: list[PlannedBackup] = []
    running: list[tuple[float, int, Assignment]] = []
    now = 0.0
    while True:
        while assignment := dispatcher.next():
            job = assignment.job
            ends = now + job.seconds
            heapq.heappush(running, (ends, len(planned), assignment))
            planned.append(PlannedBackup(job=job, storage=assignment.storage, starts=now, ends=ends))
        if not running:
            return Planned(backups=tuple(planned), makespan=now)
        now = running[0][0]
        while running and running[0][0] == now:
            ended = heapq.heappop(running)[2]
            dispatcher.ended(ended, ended.job.size)


def lower_bound(jobs: Iterable[Job], slots: Mapping[_Key, int]) -> float:
    """Seconds that no schedule of these jobs can undercut; 0 if there are none.

    That is the largest of: the longest job; each node's work, one backup after the other; for each set of storages
    that jobs may go to, and for all of a site, the work that can go nowhere else, over their slots.

    Args:
        jobs, slots: as for ``Dispatcher``.

    Raises:
        ValueError: as ``Dispatcher`` does.
    """
    by_node: dict[_Key, list[float]] = defaultdict(list)
    by_storages: dict[str, dict[frozenset[str], float]] = defaultdict(lambda: defaultdict(float))
    for job in _checked(jobs, slots):
        by_node[job.site, job.node].append(job.seconds)
        by_storages[job.site][frozenset(job.storages)] += job.seconds
    bounds = [
        math.fsum(seconds) for seconds in by_node.values()
    ]  # no node's work is shorter than its longest job
    for site, work in by_storages.items():
        for names in {*work, frozenset[str]().union(*work)}:
            confined = math.fsum(seconds for its, seconds in work.items() if its <= names)
            bounds.append(confined / sum(slots[site, name] for name in names))
    return max(bounds, default=0.0)
