"""The history leaf by leaf: filters, days of Paris, going on where a leaf ended, a limited number of queries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestrator.errors import RequestRefused
from orchestrator.history import History, open_history
from orchestrator.operations import history as operation
from orchestrator.operations.history import Leaf, LeafRequest, leaf

NOON = dt.datetime(2026, 11, 10, 11, 0, tzinfo=dt.UTC)
"""Noon in Paris."""
HOUR = dt.timedelta(hours=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Sixty entries, one an hour from noon of the 10th: of two clients, two people, three actions."""
    with open_history(tmp_path_factory.mktemp("history") / "history.db") as history:
        for number in range(60):
            history.append(
                who="alice" if number % 2 else "bob",
                why="change",
                client="dupont" if number % 3 else "martin",
                machine="web-1" if number % 3 else None,
                site="paris",
                action=("backup", "restart", "clone")[number % 3],
                result="failed" if number % 10 == 7 else "ok",
                run="r",
                at=NOON + number * HOUR,
            )
        yield history


def everything(history: History, request: LeafRequest) -> list[int]:
    """The numbers of all leaves, one after the other."""
    numbers: list[int] = []
    for _ in range(100):
        found = leaf(history, request)
        assert len(found.entries) <= request.limit
        numbers += [entry.sequence for entry in found.entries]
        if found.below is None:
            return numbers
        request = LeafRequest(**{**vars(request), "below": found.below})
    raise AssertionError("it goes on for ever")


@pytest.mark.parametrize("limit", [1, 7, 50, 200])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, range(60)),
        ({"client": "martin"}, range(0, 60, 3)),
        ({"client": "dupont", "machine": "web-1"}, [n for n in range(60) if n % 3]),
        ({"action": "restart"}, range(1, 60, 3)),
        ({"who": "alice"}, range(1, 60, 2)),
        ({"result": "failed"}, range(7, 60, 10)),
        ({"client": "martin", "who": "bob", "result": "ok"}, range(0, 60, 6)),
        ({"client": "nobody"}, []),
        ({"first_day": dt.date(2026, 11, 12)}, range(36, 60)),
        ({"last_day": dt.date(2026, 11, 10)}, range(12)),
        ({"first_day": dt.date(2026, 11, 11), "last_day": dt.date(2026, 11, 11)}, range(12, 36)),
        ({"first_day": dt.date(2027, 1, 1)}, []),
        ({"last_day": dt.date(2026, 1, 1)}, []),
        ({"last_day": dt.date.max}, range(60)),
        ({"first_day": dt.date.min, "who": "alice"}, range(1, 60, 2)),
    ],
)
def test_every_entry_that_is_asked_for_is_on_one_leaf(
    history: History, wanted: dict[str, object], expected: range | list[int], limit: int
) -> None:
    request = LeafRequest(limit=limit, **wanted)  # type: ignore[arg-type]
    assert everything(history, request) == [number + 1 for number in reversed(expected)]


def test_a_rare_name_is_looked_for_in_portions(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "_LOOKED_THROUGH", 20)
    first = leaf(history, LeafRequest(who="nobody"))
    assert first == Leaf(entries=(), below=41, looked_down_to=41)
    assert leaf(history, LeafRequest(who="nobody", below=21)).below is None
    assert everything(history, LeafRequest(who="bob")) == list(range(59, 0, -2))
    assert leaf(history, LeafRequest(client="nobody")).below is None, "an index leads to these"


def test_a_leaf_takes_as_many_queries_of_a_long_history_as_of_a_short_one(history: History) -> None:
    asked: list[str] = []
    engine = history.database._engine

    def note(*arguments: object) -> None:
        asked.append(str(arguments[2]))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        leaf(history, LeafRequest(limit=1))
        one = len(asked)
        leaf(history, LeafRequest(limit=200))
        assert len(asked) == 2 * one
        asked.clear()
        leaf(history, LeafRequest(first_day=dt.date(2026, 11, 11), last_day=dt.date(2026, 11, 11)))
        assert len(asked) < 30, "the days are found by halving"
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_an_empty_history_has_an_empty_leaf(tmp_path: Path) -> None:
    with open_history(tmp_path / "history.db") as empty:
        assert leaf(empty, LeafRequest(last_day=dt.date(2026, 11, 11))) == Leaf(
            entries=(), below=None, looked_down_to=1
        )


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (LeafRequest(limit=0), "0 entries at once: ask for 1 to 200"),
        (LeafRequest(limit=201), "201 entries"),
        (LeafRequest(first_day=dt.date(2026, 11, 2), last_day=dt.date(2026, 11, 1)), "is before 2026-11-02"),
    ],
)
def test_what_cannot_be_asked_is_refused(history: History, request_: LeafRequest, text: str) -> None:
    with pytest.raises(RequestRefused, match=text):
        leaf(history, request_)
