"""``was`` renames a machine in place: VM, disks, backups and history are those of the new name."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import open_history
from orchestrator.history.declared import Outage
from orchestrator.history.records import add, read
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from orchestrator.resources.notes import read_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import MONDAY_NIGHT, NightDesk


def _file(*machines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return subscription("dupont", list(machines), **changes)


@pytest.fixture
def served(desk: Desk) -> Desk:
    """Two machines in service."""
    desk.write(_file(machine("web-1"), machine("db-1", memory="2GiB")))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    return desk


def _mark(desk: Desk, name: str) -> Any:
    return read_mark(desk.machines()[name]["config"]["description"])


def _changes(document: dict[str, Any], name: str) -> list[tuple[str, str, str | None, str | None]]:
    (found,) = [item for item in document["machines"] if item["machine"] == name]
    return [(item["kind"], item["what"], item["before"], item["after"]) for item in found["changes"]]


def _why(document: dict[str, Any], name: str) -> str:
    (found,) = [item for item in document["machines"] if item["machine"] == name]
    return " ".join(item["why"] or "" for item in found["changes"])


def test_a_machine_is_renamed_in_place_and_the_next_plan_is_empty(served: Desk) -> None:
    before = served.machines()["web-1"]
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    plan = served.plan()
    assert _changes(plan, "www-1") == [("update", "renamed", "web-1", "www-1")]
    (item,) = [found for found in plan["items"] if found["address"] == "dupont/machine/www-1"]
    assert [(one["attribute"], one["before"], one["after"]) for one in item["changes"]] == [
        ("renamed", "web-1", "www-1")
    ]
    assert item["changes"][0]["change_class"] == "standard"
    assert (plan["summary"]["create"], plan["summary"]["retire"]) == (0, 0)
    assert "host name at its next start" in _why(plan, "www-1")
    answer = served.apply()
    assert answer.code == 0, answer
    assert set(served.machines()) == {"www-1", "db-1"}
    after = served.machines()["www-1"]
    assert after["vmid"] == before["vmid"]
    assert (after["config"]["scsi0"], after["status"]) == (before["config"]["scsi0"], before["status"])
    mark = _mark(served, "www-1")
    assert (mark.key, mark.former) == (("dupont", "www-1"), (("dupont", "web-1"),))
    assert after["config"]["description"].startswith("dupont / www-1, contract")
    assert not served.plan()["has_changes"], "was may stay"
    served.write(_file(machine("www-1"), machine("db-1", memory="2GiB")))
    assert not served.plan()["has_changes"], "and may go"


def test_one_machine_alone_can_be_renamed(served: Desk) -> None:
    served.write(_file(machine("www-1", was="web-1"), machine("db-2", was="db-1", memory="2GiB")))
    assert served.apply("--only", "dupont/www-1").code == 0
    assert set(served.machines()) == {"www-1", "db-1"}


def test_other_changes_of_the_machine_are_made_with_it(served: Desk) -> None:
    served.write(_file(machine("www-1", was="web-1", memory="3GiB"), machine("db-1", memory="2GiB")))
    assert [row[1] for row in _changes(served.plan(), "www-1")] == ["renamed", "memory"]
    assert served.apply().code == 0
    assert [row[:2] for row in _changes(served.plan(), "www-1")] == [("waiting", "restart")], "it runs"


def test_a_refused_change_keeps_the_name_as_well(served: Desk) -> None:
    served.write(_file(machine("www-1", was="web-1", image="debian-13"), machine("db-1", memory="2GiB")))
    assert served.apply().code == 1
    assert set(served.machines()) == {"web-1", "db-1"}


def test_nothing_of_a_machine_is_applied_without_its_new_name(served: Desk) -> None:
    snapshot = {"name": "before", "taken_on": dt.date.today().isoformat()}
    served.write(_file(machine("www-1", was="web-1", snapshots=[snapshot]), machine("db-1", memory="2GiB")))
    answer = served.run("plan", "--only", "dupont/snapshot/www-1:before")
    assert answer.code == 1 and "renamed would be applied with it" in answer.out, answer


@pytest.mark.parametrize("call", range(6))
def test_a_rename_that_was_killed_is_finished_by_the_next_run(served: Desk, call: int) -> None:
    vmid = served.machines()["web-1"]["vmid"]
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    served.run_killed(call, "apply", "--yes", "--no-guests", method="P(OST|UT)")
    assert served.apply().code == 0
    assert served.machines()["www-1"]["vmid"] == vmid
    assert set(served.machines()) == {"www-1", "db-1"}
    assert not served.plan()["has_changes"]
    told = served.run("history", "dupont/www-1").out
    assert "create" in told or "clone" in told, "the history follows"


def test_a_renamed_machine_without_a_word_looks_like_it_and_the_plan_says_how_to_say_so(served: Desk) -> None:
    served.write(_file(machine("www-1"), machine("db-1", memory="2GiB")))
    plan = served.plan()
    assert ("notice", "renamed", "web-1", "www-1") in _changes(plan, "www-1")
    assert "write `was: web-1` below its name" in _why(plan, "www-1")
    assert plan["summary"]["create"] == 1
    served.write(_file(machine("www-1", memory="4GiB"), machine("db-1", memory="2GiB")))
    assert "was:" not in _why(served.plan(), "www-1"), "another size: another machine"
    served.write(_file(machine("www-1"), machine("www-2"), machine("db-1", memory="2GiB")))
    assert "was:" not in _why(served.plan(), "www-1"), "which of the two it is nobody knows"


def test_with_its_address_in_the_file_it_looks_like_it_as_well(served: Desk) -> None:
    address = served.machines()["web-1"]["config"]["ipconfig0"].partition("ip=")[2].partition("/")[0]
    served.write(_file(machine("www-1", address=address), machine("db-1", memory="2GiB")))
    why = _why(served.plan(), "www-1")
    assert f"configured with {address} already" in why and "write `was: web-1`" in why


def test_a_new_name_beside_the_old_machine_is_refused_and_nothing_is_retired(served: Desk) -> None:
    served.write(_file(machine("web-1"), machine("db-1", memory="2GiB"), machine("www-1")))
    assert served.apply().code == 0
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    plan = served.plan()
    assert _changes(plan, "www-1") == [("refused", "renamed", "web-1", "www-1")]
    assert "no machine is put in the place of another" in _why(plan, "www-1")
    assert _changes(plan, "web-1") == [("refused", "renamed", "web-1", "www-1")]
    assert plan["summary"]["retire"] == 0


def test_a_former_name_may_be_given_to_another_machine_once_it_is_free(served: Desk) -> None:
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    assert served.apply().code == 0
    served.write(_file(machine("www-1"), machine("web-1"), machine("db-1", memory="2GiB")))
    assert served.apply().code == 0
    assert set(served.machines()) == {"www-1", "web-1", "db-1"}
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    assert _changes(served.plan(), "web-1")[0][0] == "retire", "www-1 has been renamed: web-1 is another one"


def test_a_former_name_that_nothing_has_is_said_where_a_machine_would_be_made(served: Desk) -> None:
    served.write(_file(machine("www-1", was="wbe-1"), machine("web-1"), machine("db-1", memory="2GiB")))
    plan = served.plan()
    assert _changes(plan, "www-1")[-1] == ("notice", "renamed", "wbe-1", "www-1")
    assert "dupont has no machine wbe-1" in _why(plan, "www-1")
    assert plan["summary"]["create"] == 1


def test_another_clients_machine_of_that_name_is_not_meant(served: Desk) -> None:
    served.write(
        _file(machine("web-1"), machine("db-1", memory="2GiB")),
        subscription("acme", [machine("www-1", was="web-1")]),
    )
    plan = served.plan()
    assert "acme has no machine web-1" in _why(plan, "www-1")
    assert not [row for row in _changes(plan, "web-1") if row[0] != "notice"]


def test_a_machine_is_not_renamed_across_sites(fakepve: FakePve, tmp_path: Path) -> None:
    with FakePve(site="lyon") as lyon:
        for fake in (fakepve, lyon):
            fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, {"paris": fakepve, "lyon": lyon})
        desk.write(_file(machine("web-1")))
        assert desk.apply().code == 0
        desk.write(_file(machine("www-1", was="web-1"), site="lyon"))
        plan = desk.plan()
        assert _changes(plan, "www-1") == [("refused", "renamed", "web-1", "www-1")]
        assert "never moved by renaming it: set the site back to paris" in _why(plan, "www-1")
        assert (plan["summary"]["create"], plan["summary"]["retire"]) == (0, 0)


def test_a_machine_that_cannot_be_read_is_not_made_again_under_its_new_name(served: Desk) -> None:
    vm = served.machines()["web-1"]
    broken = vm["config"]["description"].replace('"v":3', '"v":9')
    served.fakes["paris"].control("set_config", vmid=vm["vmid"], description=broken)
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    plan = served.plan()
    assert _changes(plan, "www-1")[0][0] == "refused" and plan["summary"]["create"] == 0
    assert "seems to be this machine" in _why(plan, "www-1")


@pytest.mark.parametrize(
    ("machines", "told"),
    [
        ([{"name": "a", "was": "a"}], "was is a, which is the machine's own name"),
        ([{"name": "a", "was": "c"}, {"name": "b", "was": "c"}], "c is the former name of a already"),
        ([{"name": "a", "was": "b"}, {"name": "b"}], "b, which a was, is the name of a machine of this file"),
        ([{"name": "b", "was": "a"}, {"name": "c", "was": "b"}], "rename one after the other"),
        ([{"name": "a", "was": "b"}, {"name": "b", "was": "a"}], "cannot swap their names at once"),
    ],
    ids=["own", "twice", "still-there", "chain", "swap"],
)
def test_what_was_cannot_say(desk: Desk, machines: list[dict[str, str]], told: str) -> None:
    desk.write(_file(*(machine(**item) for item in machines)))
    for command in ("validate", "plan"):
        answer = desk.run(command)
        text = " ".join((answer.out + answer.err).split())
        assert answer.code != 0 and told in text and "subscriptions/dupont.yaml:" in text, text


def test_backups_under_the_old_name_are_this_machines(desk: Desk) -> None:
    night = NightDesk(desk)
    night.deliver("web-1", "other")
    night.night()
    other = machine("other", backup={"retention_days": 7})
    desk.write(_file(machine("www-1", was="web-1", backup={"retention_days": 7}), other))
    between = night.night(MONDAY_NIGHT + dt.timedelta(days=1))
    assert between.well, between
    own = [item for item in night.archives() if item["vmid"] == night.vmid("web-1")]
    assert len(own) == 2, "the night before it is applied backs it up as it was"
    assert desk.apply().code == 0
    listed = desk.run("backup", "list", "dupont/www-1", "--format", "json")
    assert listed.out.count("vzdump-qemu") == 2, listed
    after = night.night(MONDAY_NIGHT + dt.timedelta(days=2))
    assert after.well, after
    lines = {line.machine: line for line in after.of(MachineLine)}
    assert lines["www-1"].archives == 3 and "web-1" not in lines
    desk.write(_file(machine("www-1", backup={"retention_days": 7}), machine("web-1"), other))
    assert desk.apply().code == 0
    listed = desk.run("backup", "list", "dupont/www-1", "--format", "json")
    assert listed.out.count("vzdump-qemu") == 3, "a new machine of the old name does not get them"


def test_what_was_recorded_under_the_old_name_counts_for_the_machine(served: Desk) -> None:
    place = served.folder / "state" / "orchestrator" / "history.db"
    start = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
    with open_history(place) as history:
        outage = Outage(
            client="dupont", machines=("web-1",), start=start, notified_by="client", notified_at=start
        )
        recorded = add(history, outage, who="alice", why="ticket")
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    assert served.apply().code == 0
    with open_history(place) as history:
        (found,) = read(history, client="dupont").of(Outage)
        assert found.said.machines == ("www-1",) and found.number == recorded.number
        entries = history.entries(client="dupont", machine="www-1")
        assert {entry.action for entry in entries} >= {"rename", "outage"}
        assert all(entry.machine == "www-1" for entry in entries)
        assert history.verify().ok
    assert "dupont/web-1" in served.run("history", "dupont/www-1").out, "as it was recorded"
    assert "dupont/web-1" in served.run("history", "dupont/web-1").out, "also by the old name"


def test_a_machine_is_not_renamed_while_a_restore_into_it_is_to_be_finished(served: Desk) -> None:
    """Else the next machine of its name would be given the disks of that restore."""
    mark = CopyMark(
        purpose="in-place", client="dupont", machine="web-1", volid="backup:x", made_at=MONDAY_NIGHT, vmid=800
    )  # fmt: skip
    config = {"description": copy_notes(mark), "tags": COPY_TAG}
    fake = served.fakes["paris"]
    fake.add_vms(1, first=800, config=config, pool="client-dupont", status="stopped")
    served.write(_file(machine("www-1", was="web-1"), machine("db-1", memory="2GiB")))
    stopped = served.apply()
    assert stopped.code == 1 and "a restore of backup:x into dupont/web-1 was interrupted" in (
        stopped.out + stopped.err
    ), stopped
    assert {"web-1", "db-1"} < set(served.machines())
    fake.cluster().run_task("DELETE", "/nodes/pve1/qemu/800")
    assert served.apply().code == 0 and "www-1" in served.machines()
