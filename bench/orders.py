"""Nights in which the order of the backups matters, and the plain order to compare with.

Where one node has clearly the most to do, or the storages have a slot for every node, any order is nearly the best.
Here a few nodes have each as much to do as one slot can take: as soon as one of them waits while others take the slots,
the night gets longer.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.nightly.schedule import Job

NODES = 20
LOADED = 8
"""Nodes that need a slot from the beginning of the night to its end."""

_NEARLY = 0.002
"""So much of its share may be missing on a loaded node."""


def spread(seconds: Sequence[float], slots: int, chance: random.Random) -> list[int]:
    """The node of each job: the loaded ones get a slot's share of all work each, the others the rest.

    Args:
        seconds: how long each job takes.
        slots: how many run at a time, on all storages together; more than there are loaded nodes.
        chance: decides which job goes where.
    """
    share = sum(seconds) / slots
    order = list(range(len(seconds)))
    chance.shuffle(order)
    found = [0] * len(seconds)
    node, load = 0, 0.0
    for number in order:
        if node < LOADED and load + seconds[number] <= share:
            load += seconds[number]
            found[number] = node
        elif node < LOADED and share - load < _NEARLY * share:
            node, load = node + 1, 0.0
            found[number] = chance.randrange(LOADED, NODES)
        else:
            found[number] = chance.randrange(LOADED, NODES)
    return found


def plain_order(jobs: Iterable[Job], slots: Mapping[tuple[str, str], int]) -> float:
    """Seconds of a night in which the backups begin in the order of their names, wherever there is room."""
    waiting = sorted(jobs, key=lambda job: job.key)
    left = dict(slots)
    busy: set[str] = set()
    running: list[tuple[float, str, tuple[str, str]]] = []
    now = 0.0
    while waiting or running:
        kept = []
        for job in waiting:
            place = next((name for name in job.storages if left[job.site, name]), None)
            if place is None or job.node in busy:
                kept.append(job)
                continue
            left[job.site, place] -= 1
            busy.add(job.node)
            heapq.heappush(running, (now + job.seconds, job.node, (job.site, place)))
        waiting = kept
        now, node, storage = heapq.heappop(running)
        busy.discard(node)
        left[storage] += 1
    return now
