"""Snapshots by their commands, over HTTPS: declared, on demand, two at a time, seven days (articles 3.2 and 3.3)."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any
from zoneinfo import ZoneInfo

from tests.api.desk import Desk, machine, subscription

_PARIS = ZoneInfo("Europe/Paris")
_DAY = 86400


def _today() -> str:
    return dt.datetime.now(_PARIS).date().isoformat()


def _snapshots(desk: Desk, name: str = "web-1") -> set[str]:
    return set(desk.machines()[name]["snapshots"])


def _delivered(desk: Desk, *declared: dict[str, str], **changes: Any) -> int:
    """A delivered machine, and then its file with declared snapshots. Returns its VM id."""
    desk.write(subscription("dupont", [machine("web-1", **changes)]))
    assert desk.apply().code == 0
    desk.put_in_service()
    desk.write(subscription("dupont", [machine("web-1", snapshots=list(declared), **changes)]))
    return int(desk.machines()["web-1"]["vmid"])


def test_a_declared_snapshot_is_planned_and_taken_on_its_day_and_not_again_once_it_is_gone(
    desk: Desk,
) -> None:
    _delivered(desk, {"name": "before-migration", "taken_on": _today()})
    assert "+ snapshot before-migration web-1   taken, kept 7 days" in desk.run("plan").out
    assert desk.apply().code == 0
    assert _snapshots(desk) == {"before-migration"}
    assert "snapshot" not in desk.run("plan").out
    assert desk.run("snapshot", "delete", "dupont/web-1", "before-migration", "--yes").code == 0
    assert _snapshots(desk) == set()
    assert "snapshot" not in desk.run("plan").out, "it was taken once; somebody removed it on purpose"


def test_a_declared_snapshot_that_a_killed_run_took_is_not_taken_twice(desk: Desk) -> None:
    vmid = _delivered(desk, {"name": "before-migration", "taken_on": _today()})
    for call in range(40):
        answer = desk.run_killed(call, "apply", "--yes", "--no-guests")
        if not answer.killed:
            break
    assert _snapshots(desk) == {"before-migration"}
    desk.fakes["paris"].control("reset_calls")
    assert desk.apply().code == 0
    assert f"POST /nodes/pve1/qemu/{vmid}/snapshot" not in desk.fakes["paris"].calls("POST")


def test_a_snapshot_that_missed_its_day_is_told_and_not_taken_later(desk: Desk) -> None:
    long_ago = (dt.datetime.now(_PARIS).date() - dt.timedelta(days=3)).isoformat()
    _delivered(desk, {"name": "before-migration", "taken_on": long_ago})
    text = desk.run("plan").out
    assert f"missed on {long_ago}" in text and "it was not taken on its day" in text
    assert desk.apply().code == 0
    assert _snapshots(desk) == set()


def test_a_third_snapshot_is_refused_naming_the_two_and_when_they_expire(desk: Desk) -> None:
    _delivered(desk)
    for name in ("one", "two"):
        answer = desk.run("snapshot", "create", "dupont/web-1", name)
        assert answer.code == 0 and "it is removed by the first night after" in answer.out, answer
    third = desk.run("snapshot", "create", "dupont/web-1", "three")
    expiry = (dt.datetime.now(_PARIS).date() + dt.timedelta(days=7)).isoformat()
    assert third.code == 1 and third.out == "", third
    assert f"one (expires {expiry}" in third.err and f"two (expires {expiry}" in third.err
    assert "art. 3.2" in third.err and "orchestrator snapshot delete" in third.err
    assert _snapshots(desk) == {"one", "two"}


def test_snapshots_of_others_count_towards_the_two_and_are_never_removed(desk: Desk) -> None:
    vmid = _delivered(desk)
    old = time.time() - 30 * _DAY
    for name in ("by-hand-1", "by-hand-2"):
        desk.fakes["paris"].add_snapshot(vmid, name, snaptime=int(old))
    refused = desk.run("snapshot", "create", "dupont/web-1", "mine")
    assert refused.code == 1 and "by-hand-1 (made by others in Proxmox" in refused.err, refused
    removed = desk.run("snapshot", "delete", "dupont/web-1", "by-hand-1", "--yes")
    assert removed.code == 1 and "made by others" in removed.err, removed
    assert desk.apply().code == 0
    assert _snapshots(desk) == {"by-hand-1", "by-hand-2"}
    listed = desk.run("snapshot", "list", "dupont/web-1").out
    assert listed.count("made by others: counted, never removed") == 2


def test_an_expired_snapshot_is_in_the_plan_and_goes_with_the_next_apply_and_makes_room(desk: Desk) -> None:
    vmid = _delivered(desk)
    fake = desk.fakes["paris"]
    for name, days in (("young", 2), ("old", 8)):
        fake.set_clock(time.time() - days * _DAY)
        assert desk.run("snapshot", "create", "dupont/web-1", name).code == 0
    fake.set_clock(time.time())
    text = desk.run("plan").out
    assert "- snapshot old web-1" in text and "removed: 7 days old (art. 3.2)" in text and "young" not in text
    assert "1 snapshot to expire" in text
    listed = json.loads(desk.run("snapshot", "list", "dupont/web-1", "--format", "json").out)
    assert [row["name"] for row in listed] == ["old", "young"]
    assert desk.apply().code == 0
    assert _snapshots(desk) == {"young"}
    fake.add_snapshot(
        vmid, "older", snaptime=int(time.time() - 9 * _DAY), description=_description(desk, "young")
    )
    assert desk.run("snapshot", "create", "dupont/web-1", "new").code == 0, "the expired one made room"
    assert _snapshots(desk) == {"young", "new"}


def test_of_two_expired_snapshots_the_one_that_was_selected_goes(desk: Desk) -> None:
    vmid = _delivered(desk)
    fake = desk.fakes["paris"]
    fake.set_clock(time.time() - 8 * _DAY)
    assert desk.run("snapshot", "create", "dupont/web-1", "old").code == 0
    fake.set_clock(time.time())
    fake.add_snapshot(
        vmid, "older", snaptime=int(time.time() - 9 * _DAY), description=_description(desk, "old")
    )
    answer = desk.apply("--only", "dupont/snapshot/web-1:old")
    assert answer.code == 0 and "snapshot older" not in answer.out, answer
    assert _snapshots(desk) == {"older"}


def _description(desk: Desk, name: str) -> str:
    vm = desk.machines()["web-1"]
    listed = desk.fakes["paris"].cluster().get(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/snapshot")
    return next(str(entry["description"]) for entry in listed if entry["name"] == name)


def test_a_disk_that_cannot_be_snapshotted_is_noticed_at_plan_time_and_stops_nothing_else(desk: Desk) -> None:
    tomorrow = (dt.datetime.now(_PARIS).date() + dt.timedelta(days=1)).isoformat()
    desk.sites["paris"]["disk_format"] = "raw"
    desk.write_sites()
    _delivered(desk, {"name": "before-migration", "taken_on": tomorrow}, disks=_DISKS)
    desk.write(
        subscription(
            "dupont",
            [machine("web-1", vcpus=2, disks=_DISKS, snapshots=[{"name": "x1", "taken_on": tomorrow}])],
        )
    )
    planned = desk.run("plan")
    assert planned.code == 1 and "it cannot be snapshotted" in planned.out and "raw on local" in planned.out
    applied = desk.apply()
    assert applied.code == 1, "what the file asks for cannot be had"
    assert int(desk.machines()["web-1"]["pending"]["cores"]) == 2, "the machine's other changes are made"
    refused = desk.run("snapshot", "create", "dupont/web-1", "now")
    assert refused.code == 1 and "it cannot be snapshotted" in refused.err, refused


_DISKS = [{"name": "system", "size": "4GiB"}, {"name": "data", "size": "1GiB"}]


def test_every_snapshot_stands_in_the_history_with_its_task(desk: Desk) -> None:
    _delivered(desk)
    assert desk.run("snapshot", "create", "dupont/web-1", "one", "--reason", "ticket 4711").code == 0
    assert desk.run("snapshot", "delete", "dupont/web-1", "one", "--yes").code == 0
    entries = json.loads(desk.run("history", "dupont/web-1", "--format", "json", "--limit", "2").out)
    assert [entry["action"] for entry in entries] == ["delete snapshot", "snapshot"]
    assert entries[1]["why"] == "ticket 4711" and ":qmsnapshot:" in entries[1]["upid"]


def test_a_storage_that_only_goes_back_to_the_newest_snapshot_is_known_before_anything_is_asked(
    desk: Desk,
) -> None:
    """ZFS, and chained volumes of Proxmox VE 9, refuse in the middle of the task what others do."""
    vmid = _delivered(desk)
    fake = desk.fakes["paris"]
    for name in ("one", "two"):
        assert desk.run("snapshot", "create", "dupont/web-1", name).code == 0
    for spoilt in ({"type": "zfspool"}, {"type": "dir", "snapshot-as-volume-chain": 1}):
        fake.set_storage("local", **spoilt)
        fake.control("reset_calls")
        refused = desk.run("snapshot", "rollback", "dupont/web-1", "one", "--yes")
        assert refused.code == 1 and "one is not its newest snapshot" in refused.err, refused
        assert "delete two first (`orchestrator snapshot delete dupont/web-1 NAME`)" in refused.err
        assert not fake.calls("POST"), "it was not tried"
    fake.control("set_vm", vmid=vmid, status="stopped")
    newest = desk.run("snapshot", "rollback", "dupont/web-1", "two", "--yes")
    assert newest.code == 0 and "back" in newest.out, newest
    fake.set_storage("local", **{"snapshot-as-volume-chain": None})
    free = desk.run("snapshot", "rollback", "dupont/web-1", "one", "--yes")
    assert free.code == 0 and "newer snapshots stay: two" in free.out, free


def test_a_name_that_proxmox_refuses_is_refused_here(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    for name in ("1st", "x", "with space", "é1", "n" * 41, "x;y", "Current"):
        desk.fakes["paris"].control("reset_calls")
        answer = desk.run("snapshot", "create", "dupont/web-1", name)
        assert answer.code == 1 and f"a snapshot cannot be called '{name}'" in answer.err, answer
        assert desk.fakes["paris"].calls() == {}
