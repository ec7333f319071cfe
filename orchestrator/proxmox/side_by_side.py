"""Many reads of one cluster at once: as many as its addresses serve, and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

T = TypeVar("T")
G = TypeVar("G")
R = TypeVar("R")

AT_ONCE = 2
"""Calls at a time to one address: of the three workers that pvedaemon has on a node, one stays for others."""

_WORTH_A_CONNECTION = 3
"""So few reads are made over one connection sooner than a second one is open."""


_TOGETHER = 16
"""So many answers are understood one after the other: a thread that gets one hands it over without waking the one that
understands, and sends its next call at once."""


def side_by_side(
    cluster: Calls, items: Collection[G], node_of: Callable[[G], str], read: Callable[[G], T]
) -> list[T]:
    """Read something of each of some machines: two at a time at every address of the cluster.

    Args:
        cluster: the API.
        items: what to read.
        node_of: the node that is asked.
        read: reads one of them. What it raises ends the others, too, and is raised.

    Returns:
        What was read, in the order of the items.
    """
    lanes: dict[str, deque[tuple[int, G]]] = {}
    for number, item in enumerate(items):
        lanes.setdefault(cluster.address_of(node_of(item)), deque()).append((number, item))
    found: dict[int, T] = {}

    def work(lane: deque[tuple[int, G]]) -> None:
        try:
            while lane:
                try:
                    number, item = lane.popleft()
                except IndexError:  # another one took it
                    return
                found[number] = read(item)
        except BaseException:
            for other in lanes.values():
                other.clear()
            raise

    def work_elsewhere(lane: deque[tuple[int, G]]) -> None:
        try:
            work(lane)
        finally:
            cluster.hand_over()

    workers = [
        lane for lane in lanes.values() for _ in range(AT_ONCE if len(lane) > _WORTH_A_CONNECTION else 1)
    ]
    if len(workers) < 2:
        for lane in workers:
            work(lane)
    else:
        first, *others = workers
        with ThreadPoolExecutor(len(others), thread_name_prefix=f"read-{cluster.site}") as pool:
            beside = [pool.submit(work_elsewhere, lane) for lane in others]
            work(first)  # by this thread, which has a connection
            for ended in beside:
                ended.result()
    return [found[number] for number in range(len(items))]


def understood_beside(
    cluster: Calls,
    items: Collection[G],
    node_of: Callable[[G], str],
    read: Callable[[G], T],
    understand: Callable[[G, T], R],
) -> list[R]:
    """As :func:`side_by_side`; what is read is understood by the calling thread while more is read.

    Args:
        cluster: the API.
        items: what to read.
        node_of: the node that is asked.
        read: reads one of them.
        understand: makes something of what was read, without a call.

    Returns:
        What was understood, in the order of the items.
    """
    if len(items) <= _WORTH_A_CONNECTION:
        found = side_by_side(cluster, items, node_of, read)
        return [understand(item, value) for item, value in zip(items, found, strict=True)]
    answers: SimpleQueue[list[tuple[int, G, T]] | None] = SimpleQueue()
    gathered: list[tuple[int, G, T]] = []
    guard = threading.Lock()
    given_up = threading.Event()

    def read_one(numbered: tuple[int, G]) -> None:
        if given_up.is_set():
            raise CancelledError
        number, item = numbered
        answer = read(item)
        with guard:
            gathered.append((number, item, answer))
            if len(gathered) == _TOGETHER:
                hand_on()

    def hand_on() -> None:
        answers.put(gathered.copy())
        gathered.clear()

    def read_all() -> None:
        try:
            side_by_side(cluster, list(enumerate(items)), lambda numbered: node_of(numbered[1]), read_one)
        finally:
            hand_on()
            answers.put(None)
            cluster.hand_over()

    results: dict[int, R] = {}
    cluster.hand_over()
    with ThreadPoolExecutor(1, thread_name_prefix=f"read-{cluster.site}") as pool:
        reading = pool.submit(read_all)
        try:
            while (several := answers.get()) is not None:
                for number, item, value in several:
                    results[number] = understand(item, value)
        finally:
            given_up.set()
        reading.result()
    return [results[number] for number in range(len(items))]
