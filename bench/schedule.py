"""Planning a night of 2,000 backups on 20 nodes: how near it comes to the shortest possible, what it costs.

    python -m bench.schedule [MACHINES]

Durations are log-normal (most take minutes, a few take hours) from a fixed seed. A few nodes have as much to do as one
slot can take, so the order matters (``bench.orders``): what the plain order would need is printed beside it. What a
dispatch costs is given as a multiple of putting one of the same jobs into a heap and taking it out again, the best of
three of each in this run.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
import tracemalloc
from collections.abc import Callable

from bench.orders import NODES, plain_order, spread
from orchestrator.nightly.schedule import Job, lower_bound, simulate

_SEED = 20261123
_ROUNDS = 3
_SLOTS = {("paris", "vault-1"): 2, ("paris", "vault-2"): 3, ("paris", "vault-3"): 4}
_ALL = ("vault-1", "vault-2", "vault-3")
_REACHES: dict[str, Callable[[int], tuple[str, ...]]] = {
    "every node reaches every storage": lambda _: _ALL,
    "half of the nodes reach two of three": lambda node: _ALL if node % 2 else _ALL[:2],
    "one node in four reaches the weakest alone": lambda node: _ALL if node % 4 else _ALL[:1],
}


def _jobs(machines: int, reach: Callable[[int], tuple[str, ...]]) -> list[Job]:
    chance = random.Random(_SEED)
    jobs = []
    lengths = [chance.lognormvariate(4.5, 1.0) for _ in range(machines)]
    nodes = spread(lengths, sum(_SLOTS.values()), chance)
    for number, (node, seconds) in enumerate(zip(nodes, lengths, strict=True)):
        jobs.append(
            Job(
                key=(f"client-{number // 5}", f"machine-{number % 5}"),
                site="paris",
                node=f"pve{node}",
                storages=reach(node),
                seconds=seconds,
                size=int(seconds * 20 * 1024**2),
            )
        )
    return jobs


def _best(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def _through_a_heap(jobs: list[Job]) -> None:
    heap: list[tuple[float, tuple[str, str]]] = []
    for job in jobs:
        heapq.heappush(heap, (-job.seconds, job.key))
    while heap:
        heapq.heappop(heap)


def _peak_mib(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1024**2


def _measure(jobs: list[Job], share: float) -> None:
    """Plan the night where each storage has that share of all jobs' bytes free, and print."""
    free = dict.fromkeys(_SLOTS, int(sum(job.size for job in jobs) * share))
    makespan, bound = simulate(jobs, _SLOTS, free).makespan, lower_bound(jobs, _SLOTS)
    planning = _best(lambda: simulate(jobs, _SLOTS, free))
    times = planning / _best(lambda: _through_a_heap(jobs))
    peak = _peak_mib(lambda: simulate(jobs, _SLOTS, free))
    print(f"    each storage has {share:.0%} of what is needed free")
    print(f"      planned     {makespan / 3600:.2f} h = {makespan / bound:.3f} times the bound")
    if share == 1.0:  # it knows nothing of free space
        plain = plain_order(jobs, _SLOTS)
        print(f"      plain order {plain / 3600:.2f} h = {plain / bound:.3f} times the bound")
    print(
        f"      a dispatch  {planning * 1e6 / len(jobs):.0f} us = {times:.0f} times a pass through a heap, "
        f"peak {peak:.1f} MiB"
    )


def main() -> None:
    """Measure and print."""
    machines = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    print(f"a night of {machines} backups on {NODES} nodes, storages with 2, 3 and 4 slots")
    for name, reach in _REACHES.items():
        print(f"  {name}")
        for share in (1.0, 0.4):
            _measure(_jobs(machines, reach), share)


if __name__ == "__main__":
    main()
