"""Whose an archive is, and what a copy is: notes that were forged or copied reach nobody else's backups or machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.nightly.archive_step import UnbelievedArchive
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes, read_archive_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import AGENT, MONDAY_NIGHT, STORE, NightDesk

_DAY = 86400
_FORGED = (
    '<!-- orchestrator-backup {"v":1,"client":"victim","machine":"web-1","contract":"C-victim","days":7} -->'
)


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    """Two clients with one machine each; mallory is root in hers."""
    night = NightDesk(desk)
    backup = {"backup": {"retention_days": 7}}
    desk.write(
        subscription("victim", [machine("web-1", **backup)]),
        subscription("mallory", [machine("evil-1", **backup)]),
    )
    answer = desk.apply()
    assert answer.code == 0, answer
    desk.put_in_service()
    _calls_itself(night, "evil-1", "evil-1")
    _calls_itself(night, "web-1", "web-1")
    return night


def _calls_itself(night: NightDesk, name: str, text: str) -> None:
    night.fake.guest_agent({"files": {**AGENT["files"], "/etc/hostname": text}}, vmid=night.vmid(name))


def _seed(night: NightDesk, vmid: int, notes: str, age: float) -> str:
    """An archive that lies there; its name."""
    ctime = int(MONDAY_NIGHT.timestamp() - age * _DAY)
    night.fake.add_archives(
        [{"storage": STORE, "vmid": vmid, "ctime": ctime, "size": 1024**3, "notes": notes}]
    )
    return str(next(item["volid"] for item in night.archives() if item["ctime"] == ctime))


def _notes(**changes: Any) -> str:
    values: dict[str, Any] = {"client": "victim", "machine": "web-1", "contract": "C-victim", "days": 7}
    return archive_notes(ArchiveMark(**{**values, **changes}))


def _mark(**changes: Any) -> str:
    data = {"v": 1, "client": "victim", "machine": "web-1", "contract": "C-victim", "days": 7, **changes}
    return f"<!-- orchestrator-backup {json.dumps(data)} -->"


def test_a_guest_that_puts_a_mark_into_its_host_name_reaches_no_archive_but_its_own(night: NightDesk) -> None:
    """Its restore test, and archives whose notes earlier versions wrote with that name in them."""
    victim, evil = night.vmid("web-1"), night.vmid("evil-1")
    good = _seed(night, victim, _notes(), 9)
    other = {"client": "mallory", "machine": "evil-1", "contract": "C-mallory"}
    test = {"tested": "2026-11-22", "sound": True, "found": "it is evil-1"}
    odd = [
        f"mallory / evil-1; restore test 2026-11-22: sound, it is {_FORGED} {_mark(**other, **test)}",
        _notes(),  # one mark, of another client
        _notes(
            vmid=victim, night=MONDAY_NIGHT.date(), volume=good.partition(":")[2]
        ),  # copied from its archive
        *(_mark(**change) for change in ({"days": 1e20}, {"days": True}, {"client": ["victim"]}, {"v": 2})),
        _mark(found="x" * 9000),
        _mark().replace('"days": 7', '"days": ' + "[" * 3000),
    ]
    forged = [_seed(night, evil, notes, 1 + index / 100) for index, notes in enumerate(odd)]
    night.fake.backup_behaviour(fail={victim: "the disk is on fire"})
    _calls_itself(night, "evil-1", _FORGED)

    report = night.night()
    by_name = {line.machine: line for line in report.of(MachineLine)}
    assert by_name["web-1"].archives == 1 and by_name["evil-1"].archives == 1, "tonight's"
    volids = [item["volid"] for item in night.archives()]
    assert good in volids, "its days are over, and it is the last good one: no forged one counts as newer"
    assert set(forged) <= set(volids) and {line.volid for line in report.of(UnbelievedArchive)} == set(forged)
    assert all(line.reason for line in report.of(UnbelievedArchive))
    (own,) = (item for item in night.archives() if item["vmid"] == evil and item["volid"] not in forged)
    mark = read_archive_mark(own["notes"])
    assert mark is not None and (mark.client, mark.vmid) == ("mallory", evil)
    assert mark.test is not None and not mark.test.sound, "it calls itself something else"

    # A name that is no name is a failed test, said without what the guest wrote; the next mark is its own again.
    _calls_itself(night, "evil-1", "A" * 100_000)
    answer = night.desk.run("backup", "verify", "mallory/evil-1", "--archive", own["volid"])
    assert (
        answer.code == 1
        and "100000 characters, which is not a valid host name" in answer.err
        and "AAAA" not in answer.err
    )
    listed = night.desk.run("backup", "list", "victim/web-1").out
    assert good in listed and not any(volid in listed for volid in forged)
    restored = night.desk.run("backup", "restore", "victim/web-1", "--as", "copy-1", "--archive", forged[1])
    assert restored.code == 1 and "has no archive" in restored.err


def test_a_machine_that_got_a_new_number_keeps_the_archives_of_its_old_one(night: NightDesk) -> None:
    old = 4711  # nobody's now
    _seed(night, old, _notes(), 3)
    _seed(night, old, _notes(vmid=old, night=MONDAY_NIGHT.date()), 0.1)
    _seed(night, old, _notes(vmid=old, night=MONDAY_NIGHT.date()), 5)  # notes of another night
    listed = json.loads(night.desk.run("backup", "list", "victim/web-1", "--format", "json").out)
    assert [len(item["archives"]) for item in listed] == [2]


def test_a_vm_that_only_claims_to_be_a_copy_of_a_restore_test_is_kept_and_reported(night: NightDesk) -> None:
    def mark(**changes: Any) -> str:
        values: dict[str, Any] = {
            "purpose": "restore-test",
            "client": "mallory",
            "machine": "evil-1",
            "volid": f"{STORE}:backup/x",
            "made_at": MONDAY_NIGHT,
            **changes,
        }
        return copy_notes(CopyMark(**values))

    pool, tagged = "client-mallory", {"tags": COPY_TAG}
    claims: list[dict[str, Any]] = [
        {"vmid": 601, "pool": pool, "config": {**tagged, "description": mark(vmid=600)}},  # a clone of a copy
        {"vmid": 602, "config": {**tagged, "description": mark(vmid=602)}},  # not in the pool
        {"vmid": 603, "pool": "client-victim", "config": {**tagged, "description": mark(vmid=603)}},
        {"vmid": 604, "pool": pool, "config": {**tagged, "description": mark()}},  # of an earlier version
        {"vmid": 605, "pool": pool, "config": {**tagged, "description": mark(vmid=605) + mark(vmid=605)}},
        {"vmid": 606, "pool": pool, "config": {**tagged, "description": mark(vmid=606)}},  # a real one
    ]
    night.fake.control(
        "add_vms", vms=[{"name": f"vm-{vm['vmid']}", "status": "stopped", **vm} for vm in claims]
    )
    report = night.night()
    left = {int(vm["vmid"]) for vm in night.fake.dump()["vms"].values()}
    assert {601, 602, 603, 604, 605} <= left and 606 not in left
    assert not report.well
    for vmid in (601, 602, 603, 604):
        assert any(f"VM {vmid} " in problem for problem in report.problems), report.problems
