"""How much is asked of Proxmox at a time. No user ever tunes this.

Where clones run into each other: a disk allocation locks its storage (in the whole cluster if it is shared, else on
its node), and a request waits 10 s for that lock. How long an allocation takes differs between storages by a factor of
a hundred, so the number of clones at a time is found out while they run, for each storage (:mod:`.pace`). The lock of
an image is shared between the clones of a template, so it limits nothing. Machines are started at a pace that is found
out in the same way, for each node.

What is fixed comes from what cannot be seen from outside: a node serves three API requests at a time (pvedaemon's
workers), and a configuration write holds one for as long as it takes, so two leave one worker for everybody's reads.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.applying.pace import Pace
from orchestrator.proxmox import LockTimeout, TaskFailed

FIRST_CLONES = 5
"""Clones into a storage at a time, before anything is known of it."""

FIRST_POWERED = 4
MOST_AT_A_TIME = 16
WRITES_PER_NODE = 2


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a call, or the task that it began, did not get a lock in time: it passes by itself."""
    return isinstance(error, LockTimeout) or (
        isinstance(error, TaskFailed) and isinstance(error.cause, LockTimeout)
    )


class Lane:
    """Things that may run into each other, and how many of them run at a time. Thread-safe.

    Args:
        pace: how many.
        monotonic: seconds that only go forward.
    """

    def __init__(self, pace: Pace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self.monotonic = monotonic
        self._free = threading.Condition()
        self._at_work = 0

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Hold while one of them runs. A lock time-out that leaves the context slows the lane down."""
        turn = Turn(self)
        turn.begin()
        try:
            yield turn
        except BaseException as error:
            turn.end(well=False if is_lock_timeout(error) else None)
            raise
        turn.end(well=True)

    def enter(self) -> int:
        """Wait for a place. Return how often the limit was halved until then."""
        with self._free:
            self._free.wait_for(lambda: self._at_work < self.pace.limit)
            self._at_work += 1
            return self.pace.halvings

    def leave(self, *, began: int, seconds: float, well: bool | None) -> None:
        """Give a place back: it went well, met a lock time-out (False), or says nothing of the pace (None)."""
        with self._free:
            if well:
                self.pace.went_well(seconds)
            elif well is False:
                self.pace.timed_out(began, self._at_work)
            self._at_work -= 1
            self._free.notify_all()


class Turn:
    """One thing's place in its lane."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._held = False
        self._halvings = 0
        self._since = 0.0

    @property
    def usual_seconds(self) -> float | None:
        """How long such things take at least; None if none has ended yet."""
        return self._lane.pace.quickest

    def begin(self) -> None:
        """Wait for a place."""
        self._halvings = self._lane.enter()
        self._since = self._lane.monotonic()
        self._held = True

    def end(self, *, well: bool | None) -> None:
        """Give the place back, if it is held; see :meth:`Lane.leave`."""
        if self._held:
            self._held = False
            seconds = self._lane.monotonic() - self._since
            self._lane.leave(began=self._halvings, seconds=seconds, well=well)

    def again(self, wait: Callable[[], None]) -> None:
        """After a lock time-out: give the place back, wait a little, and queue up for another one.

        Args:
            wait: waits; what it raises is raised, and no place is held any more.
        """
        self.end(well=False)
        wait()
        self.begin()


class Limits:
    """The lanes of one run."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._lanes: dict[tuple[str, ...], Lane] = {}
        self._writes: dict[tuple[str, str], threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(WRITES_PER_NODE)
        )

    def _lane(self, first: int, *key: str) -> Lane:
        with self._guard:
            if key not in self._lanes:
                self._lanes[key] = Lane(Pace(first, MOST_AT_A_TIME))
            return self._lanes[key]

    @contextmanager
    def clone(self, site: str, storage: str, node: str | None) -> Iterator[Turn]:
        """Hold while a clone into a storage runs.

        Args:
            site: where.
            storage: where its disks are allocated.
            node: on which node; None if the storage is shared, and so its lock.
        """
        with self._lane(FIRST_CLONES, "clone", site, storage, node or "").turn() as turn:
            yield turn

    @contextmanager
    def power(self, site: str, node: str, action: str) -> Iterator[Turn]:
        """Hold while a machine is started, shut down or restarted on this node."""
        with self._lane(FIRST_POWERED, "power", site, node, action).turn() as turn:
            yield turn

    @contextmanager
    def write(self, site: str, node: str) -> Iterator[None]:
        """Hold while a configuration is written or a disk is resized on this node."""
        with self._guard:
            semaphore = self._writes[site, node]
        with semaphore:
            yield
