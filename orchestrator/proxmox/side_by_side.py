"""Many reads of one cluster at once: as many as its addresses serve, and no more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

T = TypeVar("T")
G = TypeVar("G")

AT_ONCE = 2
"""Calls at a time to one address: of the three workers that pvedaemon has on a node, one stays for others."""

_WORTH_A_CONNECTION = 3
"""So few reads are made over one connection sooner than a second one is open."""


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
