"""Which backup is begun next: longest work first, within what nodes and storages bear.

A VM is backed up on its own node, one at a time there (Proxmox holds a lock for it). A storage takes a limited number
at a time. With both limits the best order is hard to find and easily approached: serve the node with the most work
left first, and there the longest backup; the short ones fill the gaps at the end.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Place = tuple[str, str]
"""Site, and a node or a storage of it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One machine's backup.

    Attributes:
        key: client and machine.
        storages: those it may go to: that its node reaches.
        seconds: how long it is expected to take; more than 0.
        size: bytes that its archive is expected to have.
    """

    key: tuple[str, str]
    site: str
    node: str
    storages: tuple[str, ...]
    seconds: float
    size: int


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A job that begins, and where its archive goes."""

    job: Job
    storage: str


class _Queue:
    """The jobs of one node, by the storages that they may go to, each list the longest last."""

    def __init__(self) -> None:
        self.left = 0.0
        self.groups: dict[tuple[str, ...], list[Job]] = defaultdict(list)

    def add(self, job: Job) -> None:
        self.left += job.seconds
        self.groups[job.storages].append(job)

    def sort(self) -> None:
        for jobs in self.groups.values():
            jobs.sort(key=lambda job: (job.seconds, job.key))

    def pop(self, storages: tuple[str, ...]) -> Job:
        job = self.groups[storages].pop()
        self.left -= job.seconds
        if not self.groups[storages]:
            del self.groups[storages]
        return job


class Dispatcher:
    """Hands out jobs. Not thread-safe: whoever shares it locks it.

    Attributes:
        pending: how many jobs were not begun yet.
        running: how many were begun and have not ended.
    """

    def __init__(
        self, jobs: Iterable[Job], slots: Mapping[Place, int], free: Mapping[Place, int] | None = None
    ) -> None:
        """Take the night's jobs.

        Args:
            jobs: the backups.
            slots: how many each storage (site, name) takes at once; one that is missing takes one.
            free: bytes that are free on each storage; one that is missing has room for everything.
        """
        self.pending = 0
        self.running = 0
        self._queues: dict[Place, _Queue] = defaultdict(_Queue)
        for job in jobs:
            self._queues[job.site, job.node].add(job)
            self.pending += 1
        self._slots = {
            (place[0], storage): max(slots.get((place[0], storage), 1), 1)
            for place, queue in self._queues.items()
            for group in queue.groups
            for storage in group
        }
        self._free = dict(free or {})
        self._ready: list[tuple[float, Place]] = []
        self._blocked: list[Place] = []
        for place, queue in self._queues.items():
            queue.sort()
            heapq.heappush(self._ready, (-queue.left, place))

    def next(self) -> Assignment | None:
        """The job to begin now; None if none can: all are begun, or their nodes or storages are busy."""
        while self._ready:
            _, place = heapq.heappop(self._ready)
            queue = self._queues[place]
            group = self._longest_possible(place[0], queue)
            if group is None:
                if queue.groups:
                    self._blocked.append(place)
                continue
            job = queue.pop(group)
            storage = self._storage_for(job)
            self._slots[job.site, storage] -= 1
            self._book(job.site, storage, job.size)
            self.pending -= 1
            self.running += 1
            return Assignment(job=job, storage=storage)
        return None

    def ended(self, assignment: Assignment, size: int) -> None:
        """A job has ended, well or not.

        Args:
            assignment: as :meth:`next` gave it.
            size: bytes of its archive; 0 if it left none.
        """
        job, storage = assignment.job, assignment.storage
        self.running -= 1
        if (job.site, storage) in self._slots:
            self._slots[job.site, storage] += 1
        self._book(job.site, storage, size - job.size)
        for place in {(job.site, job.node), *self._blocked}:
            heapq.heappush(self._ready, (-self._queues[place].left, place))
        self._blocked.clear()

    def drop_storage(self, site: str, storage: str) -> list[Job]:
        """A storage went away: nothing more goes there.

        Returns:
            The jobs that can go nowhere else: they are no longer pending.
        """
        self._slots.pop((site, storage), None)
        stranded: list[Job] = []
        for place, queue in self._queues.items():
            if place[0] != site:
                continue
            for group in list(queue.groups):
                if storage in group and not any((site, other) in self._slots for other in group):
                    jobs = queue.groups.pop(group)
                    queue.left -= sum(job.seconds for job in jobs)
                    stranded += jobs
        self.pending -= len(stranded)
        return stranded

    def drain(self) -> list[Job]:
        """Take everything that was not begun: the window has closed."""
        left = [job for queue in self._queues.values() for jobs in queue.groups.values() for job in jobs]
        for queue in self._queues.values():
            queue.groups.clear()
            queue.left = 0.0
        self.pending = 0
        return left

    def _longest_possible(self, site: str, queue: _Queue) -> tuple[str, ...] | None:
        possible = [
            group for group in queue.groups if any(self._slots.get((site, name), 0) > 0 for name in group)
        ]
        if not possible:
            return None
        return max(possible, key=lambda group: (queue.groups[group][-1].seconds, group))

    def _storage_for(self, job: Job) -> str:
        """Where it fits, if it fits anywhere; then the one with the most free places, then the most free room."""

        def preference(name: str) -> tuple[bool, int, int, str]:
            free = self._free.get((job.site, name))
            fits = free is None or free >= job.size
            return fits, self._slots[job.site, name], 0 if free is None else free, name

        open_ones = [name for name in job.storages if self._slots.get((job.site, name), 0) > 0]
        return max(open_ones, key=preference)

    def _book(self, site: str, storage: str, size: int) -> None:
        if (site, storage) in self._free:
            self._free[site, storage] -= size


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A schedule.

    Attributes:
        spans: each job's begin and end, seconds from the start.
        makespan: when the last one ends, seconds.
    """

    spans: Mapping[tuple[str, str], tuple[float, float]]
    makespan: float


def simulate(
    jobs: Iterable[Job], slots: Mapping[Place, int], free: Mapping[Place, int] | None = None
) -> Planned:
    """Run the dispatcher against the expected durations: what the night would be if all went as expected."""
    dispatcher = Dispatcher(jobs, slots, free)
    clock, number = 0.0, 0
    running: list[tuple[float, int, Assignment]] = []
    spans: dict[tuple[str, str], tuple[float, float]] = {}
    while True:
        while (assignment := dispatcher.next()) is not None:
            end = clock + assignment.job.seconds
            spans[assignment.job.key] = (clock, end)
            heapq.heappush(running, (end, number, assignment))
            number += 1
        if not running:
            return Planned(spans=spans, makespan=clock)
        clock, _, assignment = heapq.heappop(running)
        dispatcher.ended(assignment, assignment.job.size)


def lower_bound(jobs: Iterable[Job], slots: Mapping[Place, int]) -> float:
    """Seconds that no schedule can stay under.

    The longest job; each node's work one after the other; and, for each set of storages, the work that can go to
    these alone, spread evenly over their places.
    """
    every = list(jobs)
    nodes: dict[Place, float] = defaultdict(float)
    sets: dict[tuple[str, frozenset[str]], float] = defaultdict(float)
    for job in every:
        nodes[job.site, job.node] += job.seconds
        sets[job.site, frozenset(job.storages)] += job.seconds
    unions = set(sets) | {
        (site, frozenset().union(*(group for place, group in sets if place == site))) for site, _ in sets
    }
    bounds = [max((job.seconds for job in every), default=0.0), *nodes.values()]
    for site, union in unions:
        work = sum(seconds for (place, group), seconds in sets.items() if place == site and group <= union)
        bounds.append(work / sum(max(slots.get((site, storage), 1), 1) for storage in union))
    return max(bounds)
