"""A mark is a claim: copies, restored and moved machines, damaged and forged marks are kept, named and asked about."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address
from typing import Any

import pytest

from orchestrator.nightly.due_backups import BackupLine
from orchestrator.resources.notes import read_mark, write_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk


def _vms(desk: Desk) -> dict[int, dict[str, Any]]:
    return {int(vmid): vm for vmid, vm in desk.fakes["paris"].dump()["vms"].items()}


def _in_service(desk: Desk, *names: str, **changes: Any) -> None:
    desk.write(subscription("dupont", [machine(name, **changes) for name in names]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    answer = desk.run("plan")
    assert answer.code == 0 and "no changes" in answer.out, answer


def _clone(desk: Desk, vmid: int, newid: int, name: str, **params: Any) -> None:
    """What ``qm clone`` does: notes and tags are copied, the pool is not."""
    cluster = desk.fakes["paris"].cluster()
    cluster.run_task(
        "POST", f"/nodes/pve1/qemu/{vmid}/clone", params={"newid": newid, "name": name, "full": 1, **params}
    )


def _notes(desk: Desk, vmid: int, change: Any) -> None:
    vm = _vms(desk)[vmid]
    path = f"/nodes/{vm['node']}/qemu/{vmid}/config"
    desk.fakes["paris"].cluster().put(path, description=change(vm["config"]["description"]))


def _as_before(notes: str) -> str:
    """The notes as earlier versions wrote them: the mark does not say which VM it is for."""
    mark = read_mark(notes)
    assert mark is not None
    return write_mark(mark.with_(vmid=None), notes)


def test_a_clone_of_our_machine_is_a_stranger_and_the_machine_itself_goes_on(desk: Desk) -> None:
    _in_service(desk, "web-1")
    _clone(desk, 100, 105, "web-1-copy", pool="client-dupont")
    copied = _vms(desk)[105]["config"]
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    document = desk.plan()
    (item,) = document["unreadable"]
    assert (item["vmid"], item["client"], item["machine"], item["copy_of_ours"]) == (
        105,
        "dupont",
        "web-1",
        True,
    )
    assert "mark of VM 100" in item["reason"] and "adopt: 105" in item["reason"]
    answer = desk.apply("--restart-now")
    assert answer.code == 1 and "not touched: VM 105 web-1-copy on pve1" in answer.out, answer
    vms = _vms(desk)
    assert (str(vms[100]["config"]["memory"]), vms[105]["config"]) == ("2048", copied)
    shown = desk.run("show", "dupont/web-1")
    assert shown.code == 0 and "VM 100 on pve1" in shown.out and "VM 105" in shown.out

    # Out of the file the machine is retired, and its copy is not; it can be taken over under a name of its own.
    desk.write(subscription("dupont", [machine("web-2", adopt=105, address="203.0.113.10", power="stopped")]))
    assert desk.run("plan").code == 1, "its address is still the original's"
    desk.fakes["paris"].control("set_config", vmid=105, ipconfig0="ip=203.0.113.60/24")
    adopting = machine("web-2", adopt=105, address="203.0.113.60", power="stopped")
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB"), adopting]))
    answer = desk.apply()
    assert answer.code == 0, answer
    mark = read_mark(_vms(desk)[105]["config"]["description"])
    assert mark and (mark.machine, mark.vmid, mark.adopted) == ("web-2", 105, IPv4Address("203.0.113.60"))
    assert desk.plan()["unreadable"] == []


def test_the_end_of_a_contract_erases_what_is_ours_and_never_a_clone(desk: Desk) -> None:
    from orchestrator.applying.erasing import erase_machine
    from orchestrator.applying.journal import Journal
    from orchestrator.applying.stopped import Stopped
    from orchestrator.applying.vm import Vm
    from orchestrator.history import open_history

    night = NightDesk(desk)
    night.deliver("web-1")
    _clone(desk, 100, 105, "web-1-copy", pool="client-dupont")
    report = night.night()
    assert [line.machine for line in report.of(BackupLine)] == ["web-1"]
    assert {archive["vmid"] for archive in night.archives()} == {100}
    (problem,) = [text for text in report.problems if "not touched" in text]
    assert "VM 105 web-1-copy on pve1" in problem and "mark of VM 100" in problem and not report.well

    # Whatever was decided before: at the moment itself the machine is looked at again.
    cluster = desk.fakes["paris"].cluster()
    with open_history(desk.folder / "erasing.db") as history:
        journal = Journal(history=history, who="t", why="t", run="t")
        for vmid, spoil in ((105, None), (100, "tags"), (100, "pool")):
            vm = Vm(
                cluster=cluster,
                journal=journal,
                site="paris",
                client="dupont",
                machine="web-1",
                node="pve1",
                vmid=vmid,
            )
            if spoil == "tags":
                desk.fakes["paris"].control("set_config", vmid=100, tags="orchestrator")
            if spoil == "pool":
                desk.fakes["paris"].control("set_config", vmid=100, tags="client-dupont;orchestrator")
                cluster.put("/pools", poolid="client-dupont", vms=100, delete=1)
            with pytest.raises(Stopped):
                erase_machine(vm, contract="C-dupont")
    assert set(_vms(desk)) >= {100, 105}


SPOILT = {
    "other-pool": "it is in the pool other, not in client-dupont: `pvesh set /pools/client-dupont --vms {} --allow",
    "no-tag": "it lacks the tag client-dupont: add them in Proxmox",
    "no-notes": "it bears our tags, and its notes carry no mark of ours (were they overwritten?)",
    "bad-mark": 'our mark in its notes cannot be read: its restart_due is "soon": Input should be a valid integer',
    "two-marks": "there are 2 marks, and there may only be one",
    "odd-disk": "its configuration cannot be understood: scsi0: ",
    "template": "was made a template",
    "other-client": "its notes say martin/other-client, but it is in the pool client-dupont",
}
"""What was done to each machine, and what is told of it."""


def _spoil(desk: Desk) -> dict[str, int]:
    """Spoil machines, each in its way. Return their numbers."""
    fake, cluster = desk.fakes["paris"], desk.fakes["paris"].cluster()
    ids = {name: int(vm["vmid"]) for name, vm in desk.machines().items()}
    cluster.put("/pools", poolid="client-dupont", vms=ids["other-pool"], delete=1)
    cluster.post("/pools", poolid="other")
    cluster.put("/pools", poolid="other", vms=ids["other-pool"])
    fake.control("set_config", vmid=ids["no-tag"], tags="orchestrator")
    _notes(desk, ids["no-notes"], lambda _: "web server, ask Jean")
    _notes(desk, ids["bad-mark"], lambda text: text.replace('"slots"', '"restart_due":"soon","slots"'))
    _notes(desk, ids["two-marks"], lambda text: text + text)
    _notes(desk, ids["other-client"], lambda text: text.replace('"client":"dupont"', '"client":"martin"'))
    fake.control("set_config", vmid=ids["odd-disk"], scsi0="local:100/x.qcow2,size=large")
    fake.control("set_vm", vmid=ids["template"], status="stopped", template=1)
    fake.control("set_config", vmid=ids["template"], template=1)
    return ids


def test_machines_that_are_not_surely_ours_are_kept_told_and_not_made_again(desk: Desk) -> None:
    _in_service(desk, "sound-1", *SPOILT)
    ids = _spoil(desk)
    before = {vmid: vm["config"] for vmid, vm in _vms(desk).items()}
    edited = [machine(name, memory="2GiB") for name in ("sound-1", *SPOILT)]
    desk.write(subscription("dupont", edited), subscription("martin", [machine("shop-1")]))
    document = desk.plan()
    items = {item["vmid"]: item for item in document["unreadable"]}
    refused = {item["machine"]: item for item in document["machines"] if item["refused"]}
    assert set(items) == {ids[name] for name in SPOILT} and set(refused) == set(SPOILT)
    for name, told in SPOILT.items():
        why = refused[name]["changes"][0]["why"]
        assert told.format(ids[name]) in why and items[ids[name]]["reason"] in why, (name, why)
        assert (refused[name]["vmid"], refused[name]["changes"][0]["kind"]) == (ids[name], "refused")
    text, markdown = desk.run("plan"), desk.run("plan", "--format", "markdown")
    assert text.code == markdown.code == 1
    assert text.out.splitlines()[-1].endswith(f"{len(SPOILT)} refused"), "each is listed once, as refused"
    assert "**Not touched:**" not in markdown.out and "not touched:" not in text.out
    assert all(text.out.count(items[ids[name]]["reason"]) == 1 for name in SPOILT)

    answer = desk.apply("--restart-now", "--allow", "change:dupont", "--allow", "restart:dupont")
    assert answer.code == 1 and "Traceback" not in answer.err, answer
    assert all(f"refused  dupont/{name}" in answer.out for name in SPOILT), answer
    vms = _vms(desk)
    made = [vm["name"] for vmid, vm in vms.items() if vmid not in before]
    assert made == ["shop-1"], "nothing is made beside what is there, and the other client gets its machine"
    assert {vmid: vms[vmid]["config"] for vmid in items} == {vmid: before[vmid] for vmid in items}
    assert str(vms[ids["sound-1"]]["config"]["memory"]) == "2048"

    shown = desk.run("show", "dupont/bad-mark")
    assert shown.code == 1 and SPOILT["bad-mark"] in " ".join(shown.out.split()), shown
    snapshot = desk.run("snapshot", "create", "dupont/bad-mark", "before")
    assert snapshot.code == 1 and "what seems to be it" in snapshot.err, snapshot
    # By pool and tags it is dupont's: martin's plan reads it where it may be the machine that is asked for.
    martin = [machine("shop-1")]
    for asked, unread in ((martin, []), ([*martin, machine("other-client")], ["other-client"])):
        desk.write(subscription("dupont", edited), subscription("martin", asked))
        document = json.loads(desk.run("plan", "--only", "martin", "--format", "json").out)
        assert [item["machine"] for item in document["unreadable"]] == unread
        assert [item["machine"] for item in document["machines"] if item["refused"]] == unread


def test_a_machine_restored_under_another_number_is_taken_over_by_its_file(desk: Desk) -> None:
    _in_service(desk, "web-1")
    old = _vms(desk)[100]
    cluster = desk.fakes["paris"].cluster()
    _clone(desk, 100, 105, "web-1")
    desk.fakes["paris"].control("set_config", vmid=105, ipconfig0=old["config"]["ipconfig0"])
    cluster.put("/nodes/pve1/qemu/100/config", protection=0)
    cluster.run_task("POST", "/nodes/pve1/qemu/100/status/stop")
    cluster.run_task("DELETE", "/nodes/pve1/qemu/100")
    answer = desk.apply()
    assert answer.code == 1 and "write `adopt: 105`" in answer.out, answer
    assert {vmid for vmid, vm in _vms(desk).items() if vm["name"] == "web-1"} == {105}, (
        "nothing is made beside it"
    )
    adopting = machine("web-1", adopt=105, address="203.0.113.10", power="stopped")
    desk.write(subscription("martin", [adopting]))
    answer = desk.run("plan")
    assert answer.code == 1 and "it is dupont's" in answer.out, "a file takes nothing from another client"
    desk.write(subscription("dupont", [adopting]))
    answer = desk.apply()
    assert answer.code == 0, answer
    assert desk.plan()["unreadable"] == [] and not desk.plan()["has_changes"]


def test_marks_of_earlier_versions_are_read_and_name_their_vm_after_the_next_change(desk: Desk) -> None:
    _in_service(desk, "web-1")
    _notes(desk, 100, _as_before)
    assert "no changes" in desk.run("plan").out, "no change is made for that alone"
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    assert desk.apply("--restart-now").code == 0
    mark = read_mark(_vms(desk)[100]["config"]["description"])
    assert mark and mark.vmid == 100

    # A copy by hand has no pool, which tells; where it has, nobody can tell the two apart.
    _notes(desk, 100, _as_before)
    _clone(desk, 100, 105, "copy")
    document = desk.plan()
    assert [item["vmid"] for item in document["unreadable"]] == [105] and not document["machines"][0][
        "refused"
    ]
    desk.fakes["paris"].cluster().put("/pools", poolid="client-dupont", vms=105)
    answer = desk.run("plan")
    assert answer.code == 1 and "all carry the mark of dupont/web-1" in answer.out, answer
    assert desk.plan()["machines"][0]["refused"]
    assert [vm["name"] for vm in _vms(desk).values()].count("web-1") == 1


def test_a_fresh_machine_is_ours_although_the_list_does_not_know_it_yet(desk: Desk) -> None:
    """For ten seconds the cluster's list has neither name nor state of a machine that was made."""
    desk.fakes["paris"].control("stale_names", vmids=[100, 101])
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    answer = desk.apply()
    assert answer.code == 0, answer
    killed = desk.run_killed(7, "apply", "--yes", "--no-guests")
    assert not killed.out or "Traceback" not in killed.err
    assert desk.apply().code == 0
    assert sorted(vm["name"] for vm in _vms(desk).values() if not vm["template"]) == ["web-1", "web-2"]
    assert not re.search("unmanaged|not touched", desk.run("plan").out)


def test_a_suspension_that_does_not_reach_a_machine_says_so(desk: Desk) -> None:
    """A machine that lost its tags runs on: that it is "not made" would be wrong, and nobody would look."""
    _in_service(desk, "web-1", "web-2")
    vmid = desk.machines()["web-2"]["vmid"]
    desk.fakes["paris"].control("set_config", vmid=vmid, tags="orchestrator")
    suspended = subscription("dupont", [machine("web-1"), machine("web-2"), machine("new-1")])
    suspended["contract"] |= {
        "status": "suspended",
        "suspension": {"since": "2026-11-01", "reference": "L-1"},
    }
    desk.write(suspended)
    answer = desk.apply()
    assert answer.code == 1 and f"refused  dupont/web-2  machine: VM {vmid} web-2 on pve1" in answer.out, (
        answer
    )
    changes = {item["machine"]: item["changes"][0] for item in desk.plan()["machines"]}
    assert (changes["web-2"]["kind"], changes["new-1"]["after"]) == ("refused", "not made")
    assert {vm["name"]: vm["status"] for vm in _vms(desk).values() if not vm["template"]} == {
        "web-1": "stopped",
        "web-2": "running",
    }
