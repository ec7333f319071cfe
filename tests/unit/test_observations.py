"""What was observed becomes intervals, in SQLite and in PostgreSQL: once, whole, and without a hole."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.history.errors import HistoryUnavailable
from orchestrator.history.intervals import Cause, Look, Span, follow, moment
from orchestrator.history.observations import Observations
from orchestrator.history.observed_site import Known, Outcome, SiteState
from tests.postgres import postgresql

T0 = 1_790_000_000
WEB = Known(vmid=101, client="dupont", machine="web-1", node="n1")
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of each sort."""
    if request.param == "sqlite":
        yield str(tmp_path_factory.mktemp("observed") / "history.db")
    else:
        with postgresql() as url:
            yield url


def outcome(state: SiteState, looks: Sequence[Look], until: int) -> Outcome:
    """One machine's looks, as a round makes of them."""
    spans = follow(state.spans.get(101), looks, state.until)
    until = max(until, state.until or 0)
    return Outcome(
        until=until, machines={101: WEB}, spans={101: spans}, listed=until, guests=1, source="export"
    )


def record(store: Observations, site: str, looks: Sequence[Look], until: int) -> None:
    """Write one machine's looks."""
    store.record(site, lambda state: outcome(state, looks, until))


def looks_of(ticks: Sequence[bool], first: int, last: int) -> list[Look]:
    """Looks every ten seconds, as the truth is; a process that runs began at the start of its run."""
    found = []
    for index in range(first, last):
        begun = index
        while begun and ticks[begun - 1]:
            begun -= 1
        up = ticks[index]
        uptime = (index - begun) * 10 + 5 if up else None
        found.append(Look(at=T0 + index * 10, state="up" if up else "down", uptime=uptime))
    return found


@given(
    ticks=st.lists(st.booleans(), min_size=1, max_size=60),
    windows=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=20),
    data=st.data(),
)
def test_intervals_are_the_truth_whatever_is_seen_twice_late_or_by_two_observers(
    ticks: list[bool], windows: list[tuple[int, int]], data: st.DataObject
) -> None:
    seen = 0
    spans: list[Span] = []
    until = None
    while seen < len(ticks):
        count = data.draw(st.integers(1, 12))
        back = data.draw(st.integers(0, 12))
        looks = looks_of(ticks, max(0, seen - back), min(seen + count, len(ticks)))
        spans = [*spans[:-1], *follow(spans[-1] if spans else None, data.draw(st.permutations(looks)), until)]
        seen = min(seen + count, len(ticks))
        until = T0 + seen * 10
    for start, length in windows:  # once more, by somebody who is late
        again = follow(spans[-1], looks_of(ticks, min(start, seen), min(start + length, seen)), until)
        assert again == [spans[-1]]
    reckoned = [
        next(span.state for span in reversed(spans) if span.start <= T0 + index * 10)
        for index in range(len(ticks))
    ]
    assert reckoned == ["up" if tick else "down" for tick in ticks]
    assert all(one.end == other.start for one, other in pairwise(spans))
    runs = [len(list(run)) for run in "".join("10"[not tick] for tick in ticks).replace("1", " ").split()]
    assert sum(span.outage for span in spans) == sum(run >= 2 for run in runs)


def test_what_is_written_is_read_the_same_without_a_hole(place: str) -> None:
    ticks = [True] * 6 + [False] * 6 + [True] * 6
    with Observations(place) as store:
        for first in range(0, 18, 3):
            record(store, "paris", looks_of(ticks, first, first + 3), T0 + first * 10 + 20)
        seen = store.seen("dupont", "web-1", moment(T0 - 60), moment(T0 + 240))
    assert [(item.state, item.cause, (item.end - item.start).seconds) for item in seen] == [
        ("unknown", "not observed", 60),
        ("up", "", 60),
        ("down", "unknown", 60),
        ("up", "", 50),
        ("unknown", "not observed", 70),
    ]
    assert seen[0].start == moment(T0 - 60)
    with Observations(place) as store:
        assert store.seen_of_client("dupont", moment(T0 - 60), moment(T0 + 240)) == {"web-1": seen}
        assert store.seen_of_all(moment(T0 - 60), moment(T0 + 240)) == {("dupont", "web-1"): seen}


def _observe(place: str, site: str, ticks: list[bool], every: int) -> None:
    with Observations(place) as store:
        for first in range(0, len(ticks), every):
            looks = looks_of(ticks, max(0, first - 2), min(first + every, len(ticks)))
            record(store, site, looks, looks[-1].at)


def test_two_observers_at_once_write_nothing_twice(place: str) -> None:
    ticks = ([True] * 5 + [False] * 5) * 12
    processes = [SPAWN.Process(target=_observe, args=(place, "lyon", ticks, every)) for every in (2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    with Observations(place) as store:
        end = moment(T0 + 10 * (len(ticks) - 1))
        seen = [item for item in store.seen("dupont", "web-1", moment(T0), end) if item.source]
    assert all(one.end <= other.start for one, other in pairwise(seen))


def _observe_without_end(place: str, tell: int) -> None:
    with Observations(place) as store:
        for index in range(100_000):
            looks = looks_of([index % 7 < 4] * 1, 0, 1)
            looks = [replace(looks[0], at=T0 + index * 10, uptime=None)]
            record(store, "nice", looks, looks[0].at)
            os.write(tell, b".")


def test_a_round_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = str(tmp_path / "history.db")
    for _ in range(3):
        reads, writes = os.pipe()
        os.set_inheritable(writes, True)
        child = os.fork()
        if child == 0:
            os.close(reads)
            _observe_without_end(place, writes)
            os._exit(0)
        os.close(writes)
        os.read(reads, 20)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reads)
        with Observations(place) as store:
            state = store.state("nice")
            seen = store.seen("dupont", "web-1", moment(T0), moment(state.until or T0))
        assert all(one.end == other.start for one, other in pairwise(seen))
        assert not [item for item in seen if item.cause == Cause.AWAY]


def test_a_database_that_somebody_holds_is_waited_for_and_then_an_error_that_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "history.db")
    _observe(place, "paris", [True, True], 1)
    monkeypatch.setattr("orchestrator.history.database._BUSY_SECONDS", 0)
    holder = sa.create_engine(f"sqlite:///{place}")
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with (
            Observations(place) as store,
            pytest.raises(HistoryUnavailable, match="another program holds it"),
        ):
            store.record("paris", lambda state: outcome(state, [], T0 + 100))
        connection.exec_driver_sql("ROLLBACK")
    with Observations(place) as store:
        assert store.state("paris").until == T0 + 10


def test_only_one_observer_settles_an_interval_and_a_dead_one_loses_it(place: str) -> None:
    with Observations(place) as store:
        looks = [Look(at=T0 + 10 * index, state="down", cause=Cause.NODE) for index in range(3)]
        store.record("brest", lambda state: outcome(state, looks, T0 + 30))
        ((known, span),) = store.to_settle("brest")
        taken: list[bool] = []
        threads = [
            threading.Thread(target=lambda: taken.append(store.claim("brest", known, span, T0 + 40)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [False, False, False, True]
        assert not store.claim("brest", known, span, T0 + 100)
        assert store.claim("brest", known, span, T0 + 1000)
        store.settle("brest", known, span, 1)
        store.record("brest", lambda state: outcome(state, [Look(at=T0 + 50, state="up")], T0 + 60))
        ((_, ended),) = store.to_settle("brest")
        assert (ended.end, ended.settled) == (T0 + 50, 1)


def test_a_history_without_observations_says_that_nobody_looked(tmp_path: Path) -> None:
    start, end = moment(T0), moment(T0) + dt.timedelta(days=1)
    with Observations(tmp_path / "history.db") as store:
        (seen,) = store.seen("dupont", "web-1", start, end)
        assert (seen.state, seen.cause, seen.detail) == ("unknown", "not observed", "nobody looked")
        assert store.seen_of_client("dupont", start, end) == {}
        assert store.sites() == []
