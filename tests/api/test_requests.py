"""The register of clients' requests (article 3.8.3), as an engineer uses it."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from orchestrator.contract.calendar import PARIS
from orchestrator.history import open_history
from tests.api.desk import Answer, Desk, machine, subscription

MANAGED = {"level": "supervision", "updates": "on-request"}


@pytest.fixture
def registered(desk: Desk) -> Desk:
    """Two clients, the first with managed services, and a request for updates of web-1."""
    desk.write(
        subscription("dupont", [machine("web-1"), machine("db-1")], managed_services=MANAGED),
        subscription("martin", [machine("shop-1")]),
    )
    answer = add(desk, "dupont/web-1", "--came", "2026-11-02T08:00", "--by", "Mme Dupont")
    assert answer.code == 0, answer
    return desk


def add(desk: Desk, target: str, *more: str, kind: str = "update") -> Answer:
    return desk.run(
        "request", "add", target, "--kind", kind, "--words", "please\n  install [b]them[/b]", *more
    )


def rows(desk: Desk, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(desk.run("request", "list", "--format", "json", *more).out)
    return found


def test_3_8_3_a_request_is_registered_when_it_came_and_closed_with_its_result(registered: Desk) -> None:
    (row,) = rows(registered)
    assert (row["client"], row["machines"], row["kind"], row["state"]) == (
        "dupont",
        ["web-1"],
        "update",
        "open",
    )
    assert dt.datetime.fromisoformat(row["came"]) == dt.datetime(2026, 11, 2, 8, tzinfo=PARIS)
    assert dt.datetime.fromisoformat(row["over_at"]) == dt.datetime(2026, 11, 12, 10, tzinfo=PARIS)
    assert (row["asked_by"], row["words"]) == ("Mme Dupont", "please install [b]them[/b]")
    text = registered.run("request", "list", "dupont").out
    assert "dupont/web-1   update   came 2026-11-02 08:00 CET from Mme Dupont" in text
    assert (
        "the 72 working hours" in text and "over at 2026-11-12 10:00 CET" in text and "1 request open" in text
    )

    (registered.folder / "id").touch()
    shown = registered.run("updates", "dupont").out
    assert "waiting: dupont/web-1   " in shown and "(the client's request)" in shown
    assert "72 are over at 2026-11-12 10:00 CET" in shown and "none installed, 1 waiting, on average" in shown

    number = str(row["number"])
    closed = registered.run("request", "close", number, "--result", "done by hand")
    assert closed.code == 0, closed
    assert rows(registered) == []
    (row,) = rows(registered, "--all")
    assert (row["number"], row["state"], row["outcome"], row["result"]) == (
        int(number), "closed", "done", "done by hand",
    )  # fmt: skip
    shown = registered.run("updates", "dupont").out
    assert "in the last 90 days: 1 update by hand, on average " in shown, shown
    twice = registered.run("request", "close", number, "--result", "again")
    assert twice.code == 1 and f"request {number} was closed at" in twice.err and "done by hand" in twice.err


def test_updates_of_a_client_are_a_request_for_each_machine_and_none_twice(registered: Desk) -> None:
    answer = add(registered, "dupont")
    assert answer.code == 0, answer
    assert "open already: " in answer.out and "registered: " in answer.out
    assert [row["machines"] for row in rows(registered)] == [["web-1"], ["db-1"]]
    again = add(registered, "dupont/web-1")
    assert again.code == 1 and "was asked for already and is open" in again.err


def test_a_restart_and_a_snapshot_are_asked_for_one_machine_and_an_offer_without_restarts_has_none(
    registered: Desk,
) -> None:
    registered.write(
        subscription("dupont", [machine("web-1"), machine("db-1")], managed_services=MANAGED),
        subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"),
    )
    answer = add(registered, "martin/shop-1", kind="restart")
    assert answer.code == 1 and "martin/shop-1: cloud-vm-essential has no restarts (art. 3.3)" in answer.err
    assert add(registered, "martin/shop-1", kind="snapshot").code == 0
    assert add(registered, "dupont/db-1", kind="restart").code == 0
    again = add(registered, "dupont/db-1", kind="restart")
    assert again.code == 1 and "was asked for already and is open" in again.err
    found = [(row["client"], row["machines"], row["kind"]) for row in rows(registered)]
    assert found[1:] == [("martin", ["shop-1"], "snapshot"), ("dupont", ["db-1"], "restart")]


def test_new_hardware_is_closed_with_the_providers_yes_or_no_alone(registered: Desk) -> None:
    assert add(registered, "dupont", "--came", "2026-11-03T09:00", kind="hardware").code == 0
    number = str(rows(registered)[-1]["number"])
    bare = registered.run("request", "close", number, "--result", "a card")
    assert bare.code == 1 and "--answer yes or --answer no" in bare.err
    answer = registered.run("request", "close", number, "--result", "no room", "--answer", "no")
    assert answer.code == 0, answer
    (row,) = [row for row in rows(registered, "--all") if row["kind"] == "hardware"]
    assert (row["answer"], row["outcome"]) == ("no", "refused")


REFUSED = [
    (("add", "durand", "--kind", "update", "--words", "x"), "no file has a client durand: there are dupont"),
    (("add", "dupont/web-9", "--kind", "change", "--words", "x"), "dupont has no machine web-9: there are db-1"),
    (("add", "dupont/", "--kind", "change", "--words", "x"), "dupont has no machine "),
    (("add", "martin", "--kind", "update", "--words", "x"), "part of the managed services"),
    (("add", "dupont", "--kind", "change", "--words", " \n"), "the request has no words"),
    (("add", "dupont", "--kind", "change", "--words", "x" * 2000), "text: "),
    (("add", "dupont", "--kind", "change", "--words", "\x1b[31m"), "text: "),
    (("add", "dupont", "--kind", "change", "--words", "x", "--came", "2999-01-01T00:00"), "is in the future"),
    (("add", "dupont", "--kind", "change", "--words", "x", "--came", "0001-01-01T00:00+14:00"),
     "is between the years"),
    (("add", "dupont", "--kind", "change", "--words", "x", "--came", "soon"),
     "soon is not a valid time: not a time"),
    (("add", "dupont", "--kind", "credit", "--words", "x"), "name it, --month 2026-11"),
    (("add", "dupont", "--kind", "change", "--words", "x", "--month", "2026-10"), "--month belongs to a credit"),
    (("add", "dupont", "--kind", "credit", "--words", "x", "--month", "2026-13"), "month: "),
    (("add", "dupont", "--kind", "credit", "--words", "x", "--month", "2998-01"), "begins after the request came"),
    (("add", "dupont", "--kind", "restart", "--words", "x"), "a restart is asked for one machine: name it"),
    (("add", "dupont", "--kind", "snapshot", "--words", "x"), "a snapshot is asked for one machine: name it"),
    (("close", "999", "--result", "x"), "there is no request with the number 999"),
    (("close", "1", "--result", " "), "is closed with its result"),
    (("close", "1", "--result", "x", "--at", "2026-11-01T09:00"), "so it was not closed at"),
    (("close", "1", "--result", "x", "--at", "2999-01-01T00:00"), "is in the future"),
    (("close", "1", "--result", "x", "--at", "0001-01-01T00:00+14:00"), "is between the years"),
    (("add", "dupont", "--kind", "change", "--words", "x", "--came", "2026-10-25T02:30"), "comes twice"),
    (("close", "1", "--result", "x", "--answer", "yes"), "--answer is for new hardware"),

]  # fmt: skip


def test_what_cannot_be_registered_says_why_and_leaves_nothing(registered: Desk) -> None:
    place = registered.folder / "state/orchestrator/history.db"
    with open_history(place) as history:
        before = history.entries()
    for arguments, said in REFUSED:
        answer = registered.run("request", *arguments)
        assert answer.code == 1, (arguments, answer)
        assert said in " ".join(answer.err.split()), (arguments, answer)
    with open_history(place) as history:
        assert history.entries() == before


def test_a_credit_is_asked_for_a_month_once(registered: Desk) -> None:
    asked = ("--month", "2026-10")
    assert add(registered, "dupont/web-1", *asked, kind="credit").code == 0
    assert [(row["kind"], row["month"]) for row in rows(registered)][-1] == ("credit", "2026-10")
    assert add(registered, "dupont/web-1", *asked, kind="credit").code == 1
    assert add(registered, "dupont/db-1", *asked, kind="credit").code == 0


def test_a_request_that_cannot_be_read_is_named_and_not_passed_over(registered: Desk) -> None:
    path = registered.folder / "state" / "orchestrator" / "history.db"
    (number,) = (row["number"] for row in rows(registered))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE history_entries SET details = '{}' WHERE sequence = ?", (number,))
    text = registered.run("request", "list").out
    assert f"record {number} could not be read and has no effect" in text and "0 requests open" in text, text
    answer = registered.run("request", "list", "--format", "json")
    assert json.loads(answer.out) == [], "programs read a list of requests, as before"
    assert f"record {number} could not be read" in answer.err, answer
    assert "could not be read" not in registered.run("request", "list", "martin").out, "another client's"
