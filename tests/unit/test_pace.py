"""How many clones run at a time: found out while they run, with few time-outs where they wait for a storage's lock."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.applying.limits import FIRST_CLONES, MOST_AT_A_TIME
from orchestrator.applying.pace import Pace
from orchestrator.proxmox.tasks import look_again_in

PATIENCE = 10.0
"""Proxmox waits so long for a storage's lock, in seconds."""


@dataclass
class _Run:
    seconds: float
    timeouts: int
    most: int
    late: int
    """Time-outs after half of the clones were made."""


def _run(clones: int, allocation: float, copying: float, *, fixed: int = 0) -> _Run:
    """Make clones on one storage, in the order of events: each holds its lock while it allocates, then copies.

    Args:
        clones: how many.
        allocation, copying: seconds.
        fixed: so many at a time, whatever happens; 0: as the pace says.
    """
    pace = Pace(FIRST_CLONES, MOST_AT_A_TIME)
    events: list[tuple[float, int, str]] = []
    begun: dict[int, tuple[float, int]] = {}
    queue: deque[int] = deque()
    numbers = itertools.count()
    now, holder, at_work, left = 0.0, -1, 0, clones
    run = _Run(0.0, 0, 0, 0)

    def begin() -> None:
        nonlocal holder, at_work, left
        while left and at_work < (fixed or pace.limit):
            left, at_work, number = left - 1, at_work + 1, next(numbers)
            run.most = max(run.most, at_work)
            begun[number] = now, pace.halvings
            if holder < 0:
                holder = number
                heapq.heappush(events, (now + allocation, number, "allocated"))
            else:
                queue.append(number)
                heapq.heappush(events, (now + PATIENCE, number, "late"))

    begin()
    made = 0
    while made < clones:
        now, number, what = heapq.heappop(events)
        if what == "allocated":
            heapq.heappush(events, (now + copying, number, "copied"))
            holder = queue.popleft() if queue else -1
            if holder >= 0:
                heapq.heappush(events, (now + allocation, holder, "allocated"))
        elif what == "copied":
            pace.went_well(now - begun[number][0])
            made, at_work = made + 1, at_work - 1
        elif number in queue:
            queue.remove(number)
            pace.timed_out(begun[number][1], at_work)
            left, at_work, run.timeouts = left + 1, at_work - 1, run.timeouts + 1
            run.late += made > clones / 2
            if fixed and run.timeouts > clones:
                break
        begin()
    run.seconds = now
    return run


def test_clones_that_do_not_contend_run_ever_more_at_a_time() -> None:
    assert _run(20, 0.0, 3.0) == _Run(seconds=6.0, timeouts=0, most=15, late=0)
    assert _run(20, 0.1, 3.0).seconds < 8


@pytest.mark.parametrize(("allocation", "copying"), [(1, 10), (2, 1), (3, 1), (5, 5), (8, 1), (11, 1)])
def test_clones_that_contend_run_as_many_as_the_lock_lets_through(allocation: int, copying: int) -> None:
    naive = _run(100, allocation, copying, fixed=MOST_AT_A_TIME)
    run = _run(100, allocation, copying)
    assert naive.timeouts > 3 * run.timeouts
    assert run.seconds < 1.2 * (100 * allocation + copying), "the lock is hardly ever idle"
    assert run.late <= 2, "what did not fit is tried ever more rarely"


@given(
    clones=st.integers(1, 300),
    allocation=st.floats(0, 30, allow_nan=False),
    copying=st.floats(0, 300, allow_nan=False),
)
def test_every_clone_is_made_with_few_time_outs(clones: int, allocation: float, copying: float) -> None:
    run = _run(clones, allocation, copying)
    assert run.most <= MOST_AT_A_TIME
    assert run.timeouts <= MOST_AT_A_TIME + 2 * math.log2(clones + 1)


def test_those_that_time_out_together_halve_the_limit_once() -> None:
    pace = Pace(8, 16)
    for at_work in (8, 7, 6):
        pace.timed_out(0, at_work)
    assert (pace.limit, pace.halvings) == (4, 1)
    pace.timed_out(1, 4)
    assert pace.limit == 2
    for _ in range(2 << 2):
        pace.went_well(1.0)
    assert pace.limit == 3, "it recovers by one, after windows that grow with every time-out"
    for _ in range(3):
        pace.timed_out(pace.halvings, 1)
    assert pace.limit == 1, "never nothing"


@given(
    seconds=st.floats(0.01, 20_000, allow_nan=False),
    expected=st.none() | st.floats(0.01, 1000, allow_nan=False),
)
def test_the_end_of_a_task_is_noticed_soon_and_with_few_looks(seconds: float, expected: float | None) -> None:
    now, looks = 0.0, 1
    while now < seconds:
        now += look_again_in(now, first=0.1, longest=2.0, expected=expected)
        looks += 1
    assert now - seconds <= max(2.0, seconds / 20) + 0.001
    assert expected is not None or now - seconds <= max(0.1, seconds / 4) + 0.001
    assert looks < 200


def test_clones_like_those_before_are_looked_at_when_they_should_be_ready() -> None:
    now, looks = 0.0, []
    while now < 3.05:
        now += look_again_in(now, first=0.1, longest=2.0, expected=3.0)
        looks.append(round(now, 2))
    assert looks[-2:] == [3.0, 3.15] and len(looks) < 9
