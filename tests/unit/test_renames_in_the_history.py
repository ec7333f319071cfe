"""Names that are given again: what is recorded of one client or machine is never shown as another's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import History, open_history
from orchestrator.history.declared import Approval, Outage
from orchestrator.history.records import add, read

NINE = dt.datetime(2026, 11, 10, 8, tzinfo=dt.UTC)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "h.db") as opened:
        yield opened


def rename(history: History, was: str, now: str, *, hours: int) -> None:
    """Each of them ``CLIENT/MACHINE``."""
    before, after = was.split("/"), now.split("/")
    details: dict[str, Any] = {"was": {"client": before[0], "machine": before[1]}, "vmid": 104}
    history.append(
        who="alice", why="apply", client=after[0], machine=after[1], site="paris", action="rename", result="ok",
        run="r", details=details, at=NINE + dt.timedelta(hours=hours),
    )  # fmt: skip


def approve(history: History, client: str, by: str) -> None:
    said = Approval(client=client, subject="reversibility-plan", by=by, day=NINE.date())
    add(history, said, who="alice", why="ticket")


def approved(history: History, client: str) -> list[str]:
    return [item.said.by for item in read(history, kinds=(Approval,), client=client).of(Approval)]


def test_what_is_of_the_client_itself_stays_with_it_though_another_had_its_name_since(
    history: History,
) -> None:
    approve(history, "dupond", "the first")
    rename(history, "dupond/web-1", "dupont/web-1", hours=1)
    approve(history, "dupond", "the second")
    rename(history, "dupond/db-1", "durand/db-1", hours=2)
    approve(history, "dupond", "the third")
    assert approved(history, "dupont") == ["the first"]
    assert approved(history, "durand") == ["the second"]
    assert approved(history, "dupond") == ["the third"]


def test_a_client_that_got_its_old_name_back_has_everything(history: History) -> None:
    approve(history, "dupond", "before")
    rename(history, "dupond/web-1", "dupont/web-1", hours=1)
    rename(history, "dupond/db-1", "dupont/db-1", hours=1)
    approve(history, "dupont", "between")
    rename(history, "dupont/web-1", "dupond/web-1", hours=2)
    rename(history, "dupont/db-1", "dupond/db-1", hours=2)
    assert approved(history, "dupond") == ["before", "between"] and approved(history, "dupont") == []


def test_an_outage_of_several_machines_follows_the_client_though_one_was_gone_before(
    history: History,
) -> None:
    said = Outage(
        client="dupond", machines=("gone-1", "web-1"), start=NINE, notified_by="client", notified_at=NINE
    )
    add(history, said, who="alice", why="ticket")
    rename(history, "dupond/web-1", "dupont/www-1", hours=1)
    records = read(history, client="dupont")
    assert not records.unreadable
    assert [item.said.machines for item in records.of(Outage)] == [("gone-1", "www-1")]


def test_a_name_over_months_and_its_next_owner(history: History) -> None:
    for client_machine, hours in (("c/a", 0), ("c/b", 1), ("c/c", 2)):
        if hours:
            rename(history, "c/" + "ab"[hours - 1], client_machine, hours=hours)
    renames = history.renames()
    assert [era.key for era in renames.eras(("c", "c"))] == [("c", "c"), ("c", "b"), ("c", "a")]
    assert renames.called_at(("c", "a"), NINE) == ("c", "c")
    assert renames.called_at(("c", "a"), NINE + dt.timedelta(hours=5)) == ("c", "a"), (
        "the next one of the name"
    )
    (next_one,) = renames.eras(("c", "a"))
    assert not next_one.includes(NINE) and next_one.includes(NINE + dt.timedelta(hours=5))
