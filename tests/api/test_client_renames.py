"""``was`` at a client renames the client in place: pool, tags, marks, backups, history and what was declared."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from orchestrator.applying.lock import RunLocks
from orchestrator.history import open_history
from orchestrator.history.declared import Approval, Request
from orchestrator.history.records import add, read
from orchestrator.resources.notes import read_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, NightDesk


def _file(client: str, *machines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A client's file; whatever the client is called, the contract is the same."""
    found = subscription(client, list(machines), **changes)
    found["contract"]["reference"] = "C-1"
    return found


WEB, DB = machine("web-1"), machine("db-1", memory="2GiB")


@pytest.fixture
def served(desk: Desk) -> Desk:
    desk.write(_file("dupond", WEB, DB))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    return desk


def _owners(desk: Desk) -> dict[str, tuple[str, str, str]]:
    """Client in the mark, tags and pool of each machine."""
    found = {}
    for name, vm in desk.machines().items():
        mark = read_mark(vm["config"]["description"])
        assert mark is not None
        found[name] = (mark.client, vm["config"]["tags"], vm["pool"])
    return found


def test_a_client_is_renamed_in_place_and_the_next_plan_is_empty(served: Desk) -> None:
    before = {name: vm["vmid"] for name, vm in served.machines().items()}
    served.write(_file("dupont", WEB, DB, was="dupond"))
    plan = served.plan()
    changes = [
        (change["what"], change["before"], change["after"]) for change in plan["machines"][0]["changes"]
    ]
    assert changes == [("client", "dupond", "dupont"), ("pool", "client-dupond", "client-dupont")]
    assert [pool["pool"] for pool in plan["pools"]] == ["client-dupont"]
    assert (plan["summary"]["create"], plan["summary"]["retire"], plan["without_file"]) == (0, 0, [])
    assert served.apply().code == 0
    assert {name: vm["vmid"] for name, vm in served.machines().items()} == before
    theirs = ("dupont", "client-dupont;orchestrator", "client-dupont")
    assert _owners(served) == {"web-1": theirs, "db-1": theirs}
    assert "client-dupond" not in served.fakes["paris"].dump()["pools"], "empty, it goes"
    assert not served.plan()["has_changes"] and served.plan()["without_file"] == []
    served.write(_file("dupont", WEB, DB))
    assert not served.plan()["has_changes"]


def test_client_and_machine_can_be_renamed_at_once(served: Desk) -> None:
    served.write(_file("dupont", machine("www-1", was="web-1"), DB, was="dupond"))
    assert served.apply().code == 0
    assert set(served.machines()) == {"www-1", "db-1"}
    assert not served.plan()["has_changes"]


@pytest.mark.parametrize("call", range(9))
def test_a_rename_that_was_killed_is_finished_by_the_next_run(served: Desk, call: int) -> None:
    served.write(_file("dupont", WEB, DB, was="dupond"))
    served.run_killed(call, "apply", "--yes", "--no-guests", method="P(OST|UT)")
    served.fakes["paris"].control("report")
    answer = served.apply()
    assert answer.code == 0, answer
    theirs = ("dupont", "client-dupont;orchestrator", "client-dupont")
    assert _owners(served) == {"web-1": theirs, "db-1": theirs}
    assert not served.plan()["has_changes"]


def test_what_was_recorded_of_the_client_is_the_clients(served: Desk) -> None:
    place = served.folder / "state" / "orchestrator" / "history.db"
    came = dt.datetime(2026, 11, 2, 8, tzinfo=dt.UTC)
    with open_history(place) as history:
        request = Request(client="dupond", machines=("web-1",), kind="update", came=came)
        add(history, request, who="alice", why="ticket")
        approval = Approval(
            client="dupond", subject="reversibility-plan", by="M. Dupont", day=dt.date(2026, 11, 2)
        )
        add(history, approval, who="alice", why="ticket")
    served.write(_file("dupont", WEB, DB, was="dupond"))
    assert served.apply().code == 0
    with open_history(place) as history:
        records = read(history, client="dupont")
        assert not records.unreadable
        assert [item.said.machines for item in records.of(Request)] == [("web-1",)]
        assert [item.said.client for item in records.of(Approval)] == ["dupont"]
        assert {entry.client for entry in history.entries(client="dupont")} == {"dupont"}
        assert len(history.entries(client="dupont", machine="web-1")) > 5
        assert history.entries(client="dupond") == []
    told = served.run("history", "dupont").out
    assert "dupond/web-1" in told and "dupont/web-1" in told, "as it was recorded"


def test_backups_follow_the_client(desk: Desk) -> None:
    night = NightDesk(desk)
    kept = machine("web-1", backup={"retention_days": 7})
    desk.write(_file("dupond", kept))
    assert desk.apply().code == 0
    desk.put_in_service()
    night.fake.guest_agent({"files": {"/etc/hostname": "web-1\n"}}, vmid=night.vmid("web-1"))
    night.night()
    desk.write(_file("dupont", kept, was="dupond"))
    between = night.night(MONDAY_NIGHT + dt.timedelta(days=1))
    assert len(night.archives()) == 2, between
    assert desk.apply().code == 0
    listed = desk.run("backup", "list", "dupont/web-1", "--format", "json")
    assert listed.out.count("vzdump-qemu") == 2, listed
    after = night.night(MONDAY_NIGHT + dt.timedelta(days=2))
    assert len(night.archives()) == 3 and not after.problems, after


def test_another_clients_machines_are_not_taken_by_a_file(served: Desk) -> None:
    mallory = _file("mallory", WEB, DB, was="dupond")
    mallory["contract"]["reference"] = "C-2"
    served.write(mallory)
    plan = served.plan("subscriptions/mallory.yaml")
    assert {change["kind"] for item in plan["machines"] for change in item["changes"]} == {"refused"}
    assert "a machine never changes hands by a file" in served.run("plan").out
    assert served.apply().code != 0
    assert {owner for owner, _, _ in _owners(served).values()} == {"dupond"}
    served.write(_file("dupond", WEB, DB), {**mallory, "services": mallory["services"]})
    answer = served.run("plan")
    text = " ".join((answer.out + answer.err).split())
    assert answer.code != 0 and "dupond, which mallory was, has a file: subscriptions/dupond.yaml:1" in text


def test_two_clients_were_not_one_and_none_was_itself(desk: Desk) -> None:
    desk.write(_file("a", WEB, was="c"), {**_file("b", DB, was="c")}, _file("d", machine("x"), was="d"))
    answer = desk.run("validate")
    text = " ".join((answer.out + answer.err).split())
    assert answer.code != 0
    assert "c is the former name of the client a already: subscriptions/a.yaml:" in text
    assert "was is d, which is the client's own name" in text


def test_a_machine_that_the_new_file_lacks_stays_with_the_old_client_and_is_named(served: Desk) -> None:
    served.write(_file("dupont", WEB, was="dupond"))
    plan = served.plan()
    assert [(item["client"], item["machines"]) for item in plan["without_file"]] == [("dupond", 1)]
    assert plan["summary"]["retire"] == 0
    assert served.apply().code == 0
    assert _owners(served)["db-1"][0] == "dupond"
    assert "client-dupond" in served.fakes["paris"].dump()["pools"], "it is not empty"


def test_a_run_on_the_old_name_keeps_the_rename_waiting(served: Desk) -> None:
    served.write(_file("dupont", WEB, DB, was="dupond"))
    with RunLocks({"paris": served.fakes["paris"].cluster()}, "alice") as locks:
        locks.clients(["dupond"])
        answer = served.apply()
    assert answer.code != 0 and "alice is changing dupond" in answer.out + answer.err, answer
    assert {owner for owner, _, _ in _owners(served).values()} == {"dupond"}
