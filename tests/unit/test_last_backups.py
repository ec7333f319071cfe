"""When machines were last backed up, by the history: what was erased at the end of a contract has no backups."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import History, open_history
from orchestrator.history.last_backups import last_backups

NINE = dt.datetime(2026, 11, 10, 8, tzinfo=dt.UTC)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "h.db") as opened:
        yield opened


def did(
    history: History, action: str, target: str, *, hours: int, result: str = "ok", **details: Any
) -> None:
    client, _, machine = target.partition("/")
    history.append(
        who="night", why="schedule", client=client, machine=machine, site="paris", action=action, result=result,
        run="r", details=details, at=NINE + dt.timedelta(hours=hours),
    )  # fmt: skip


def test_the_last_backup_that_went_well_counts_and_nobody_elses(history: History) -> None:
    for hours, result in enumerate(("ok", "ok", "failed")):
        did(history, "backup", "dupont/web-1", hours=hours, result=result)
    did(history, "backup", "martin/web-1", hours=5)
    did(history, "backup", "dupont/db-1", hours=5, result="failed")
    asked = {("dupont", "web-1"), ("dupont", "db-1"), ("dupont", "new-1")}
    assert last_backups(history, asked) == {("dupont", "web-1"): NINE + dt.timedelta(hours=1)}
    assert last_backups(history, set()) == {}


def test_what_was_erased_since_is_not_named_and_a_later_machine_is(history: History) -> None:
    asked = {("dupont", "web-1")}
    did(history, "backup", "dupont/web-1", hours=0)
    did(history, "erase", "dupont/db-1", hours=1)
    did(history, "erase", "dupont/web-1", hours=1, result="failed")
    assert last_backups(history, asked), "another machine was erased, or this one was not"
    did(history, "erase", "dupont/web-1", hours=2)
    assert last_backups(history, asked) == {}
    did(history, "backup", "dupont/web-1", hours=3)
    assert last_backups(history, asked) == {("dupont", "web-1"): NINE + dt.timedelta(hours=3)}


def test_a_renamed_machine_has_its_backups_under_its_new_name_alone(history: History) -> None:
    did(history, "backup", "dupont/web-1", hours=0)
    did(history, "rename", "durand/shop-1", hours=1, was={"client": "dupont", "machine": "web-1"}, vmid=104)
    assert last_backups(history, {("dupont", "web-1")}) == {}
    assert last_backups(history, {("durand", "shop-1")}) == {("durand", "shop-1"): NINE}
