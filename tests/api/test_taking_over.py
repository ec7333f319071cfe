"""Existing machines are described by a file, taken over as they are, and left as they are (article 4.2)."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest
import yaml

from orchestrator.contract.probation import probation_ends
from orchestrator.history import open_history
from orchestrator.history.taking_over import DOCUMENTS, takings
from orchestrator.nightly.contract_takings import TakingLine
from orchestrator.nightly.drift_step import DriftLine
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.result import NightReport
from orchestrator.resources.notes import read_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import AGENT, MONDAY_NIGHT, NightDesk

IMPORT = ("--client", "dupont", "--contract", "C-7", "--starts", "2026-03-01")
OLD: dict[str, Any] = {
    "cores": 2,
    "sockets": 2,
    "memory": "3072",
    "boot": "order=virtio0;net0",
    "virtio0": "local:500/vm-500-disk-0.qcow2,size=32G",
    "scsi3": "local:500/vm-500-disk-1.qcow2,discard=on,size=100G",
    "unused0": "local:500/vm-500-disk-2.qcow2",
    "ide2": "local:iso/debian.iso,media=cdrom",
    "net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0",
    "net1": "virtio=BC:24:11:00:00:03,bridge=vmbr9",
    "cpu": "kvm64",
    "tags": "legacy",
    "description": "Ask Jean before touching this.",
}


def _add(
    desk: Desk, vmid: int = 500, name: str = "Web01.dupont.fr", status: str = "running", **config: Any
) -> None:
    merged = {key: value for key, value in {**OLD, **config}.items() if value is not None}
    vm = {"vmid": vmid, "name": name, "status": status, "config": {"name": name, **merged}}
    desk.fakes["paris"].control("add_vms", vms=[vm])


def _config(desk: Desk, vmid: int = 500) -> dict[str, Any]:
    config: dict[str, Any] = desk.fakes["paris"].dump()["vms"][str(vmid)]["config"]
    return config


def test_what_is_imported_is_taken_over_as_it_is_and_the_plan_after_that_is_empty(desk: Desk) -> None:
    _add(desk)
    _add(desk, 501, "db", "stopped", ipconfig0="ip=203.0.113.51/24", agent="1")
    before = {vmid: _config(desk, vmid) for vmid in (500, 501)}
    asked = desk.run(
        "import", "pve1/500", *IMPORT, "--address", "203.0.113.50", "--out", "subscriptions/dupont.yaml"
    )
    assert asked.code == 0, asked
    assert "l’agent invité n’est pas activé" in asked.out and "kvm64" in asked.out and "unused0" in asked.out
    written = yaml.safe_load((desk.folder / "subscriptions" / "dupont.yaml").read_text())
    (made,) = written["services"][0]["machines"]
    assert made == {
        "name": "web01-dupont-fr",
        "adopt": 500,
        "image": "debian-12",
        "vcpus": 4,
        "memory": "3GiB",
        "disks": [{"name": "system", "size": "32GiB"}, {"name": "data-1", "size": "100GiB"}],
        "network": "public",
        "address": "203.0.113.50",
    }
    second = desk.run(
        "import", "pve1/501", "--client", "martin", *IMPORT[2:], "--format", "json", "--language", "en"
    )
    assert second.code == 0, second
    codes = {gap["code"] for gap in json.loads(second.out)["gaps"]["db"]}
    assert "no-guest-agent" not in codes and {"old-cpu-type", "not-on-boot", "no-discard"} <= codes
    assert {vmid: _config(desk, vmid) for vmid in before} == before, "importing changes nothing"
    path = desk.folder / "subscriptions" / "dupont.yaml"
    path.write_text(path.read_text() + "managed_services: { level: supervision }\n")
    planned = desk.run("plan")
    assert planned.code == 0 and "VM 500 Web01.dupont.fr on pve1 → taken over as it is" in planned.out, (
        planned
    )
    assert "probation until" in planned.out and "service level from" in planned.out

    desk.fakes["paris"].control("reset_calls")
    answer = desk.run("apply", "--yes")
    assert answer.code == 0, answer
    writes = [call for call in desk.fakes["paris"].calls() if not call.startswith("GET ")]
    assert sorted(writes) == [
        "POST /pools",
        "PUT /nodes/pve1/qemu/500/config",
        "PUT /nodes/pve1/qemu/501/config",
        "PUT /pools",
    ]
    for vmid, old in before.items():
        now = _config(desk, vmid)
        assert {key for key in now if now[key] != old.get(key)} == {"tags", "description"}
        assert "Ask Jean before touching this." in now["description"] and "legacy" in now["tags"]
    mark = read_mark(_config(desk)["description"])
    assert mark and mark.slots == {"system": "virtio0", "data-1": "scsi3"}
    assert {vm["vmid"]: vm["pool"] for vm in desk.fakes["paris"].dump()["vms"].values() if vm["pool"]} == {
        500: "client-dupont",
        501: "client-martin",
    }
    document = desk.plan()
    assert not document["has_changes"], document
    assert desk.run("plan", "--detailed-exitcode").code == 0
    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        (entry,) = history.entries(client="dupont", action="import")
    assert "no-guest-agent" in json.loads(entry.details)["gaps"]


def test_what_was_taken_over_is_edited_like_any_other_and_keeps_its_disks(desk: Desk) -> None:
    _add(desk)
    out = ("--out", "subscriptions/dupont.yaml")
    assert desk.run("import", "pve1/500", *IMPORT, "--address", "203.0.113.50", *out).code == 0
    assert desk.apply().code == 0
    path = desk.folder / "subscriptions" / "dupont.yaml"
    path.write_text(path.read_text().replace("3GiB", "4GiB").replace("32GiB", "40GiB"))
    answer = desk.apply("--restart-now")
    assert answer.code == 0, answer
    now = _config(desk)
    assert str(now["memory"]) == "4096" and "size=40G" in now["virtio0"] and now["name"] == "Web01.dupont.fr"
    assert not desk.plan()["has_changes"]


def test_show_tells_what_a_machine_has_where_its_configuration_says_nothing(desk: Desk) -> None:
    """Case: ``memory None MiB``. Proxmox gives such a machine 512 MiB."""
    _add(desk, memory=None)
    out = ("--out", "subscriptions/dupont.yaml")
    assert desk.run("import", "pve1/500", *IMPORT, "--address", "203.0.113.50", *out).code == 0
    assert desk.apply().code == 0
    shown = desk.run("show", "dupont").out
    assert re.search(r"memory +512MiB", shown) and "None" not in shown, shown


def test_article_4_2_a_taking_over_is_a_state_with_its_documents_recorded_and_shown(desk: Desk) -> None:
    night = NightDesk(desk)
    _add(desk)
    out = ("--out", "subscriptions/dupont.yaml", "--language", "en")
    imported = desk.run("import", "pve1/500", *IMPORT, "--address", "203.0.113.50", *out)
    assert imported.code == 0 and "orchestrator taking-over dupont --state notified" in imported.out, imported
    assert "gaps, not notified yet; missing documents: operations-manual" in desk.run("plan").out
    assert desk.apply().code == 0

    refused = desk.run("taking-over", "dupont", "--state", "notified")
    assert refused.code == 1 and "name it with --reference" in refused.err
    told = desk.run("taking-over", "dupont", "--state", "notified", "--reference", "LRAR-150")
    assert told.code == 0 and "notified on" in told.out and "(LRAR-150)" in told.out, told
    for command in (("plan",), ("plan", "--format", "html"), ("show", "dupont")):
        assert "(LRAR-150); missing documents: operations-manual" in " ".join(desk.run(*command).out.split())

    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        (entry,) = history.entries(client="dupont", action="taking over")
        assert entry.who
        known = takings(history)
    recorded = NightReport(
        night=MONDAY_NIGHT.date(),
        run="r",
        started_at=MONDAY_NIGHT,
        ended_at=MONDAY_NIGHT,
        sites=("paris",),
        lines=(TakingLine(client="dupont", probation_ends=dt.date(2027, 2, 28), taking=known["dupont"]),),
    )
    page = render_night(recorded, form="md", client="dupont")
    assert "notifiés le" in page and "LRAR" in page and "dossier d’architecture" in page
    (line,) = night.night().of(TakingLine)
    assert line.client == "dupont", "the night tells of it while anything is left to do"

    helped = "".join(desk.run("taking-over", "--help").out.split())
    assert all(name in helped for name in DOCUMENTS)
    names = [word for name in DOCUMENTS for word in ("--document", name)]
    done = desk.run(
        "taking-over", "dupont", "--state", "corrected", *names, "--reference", "D-140", "--format", "json"
    )
    assert done.code == 0, done
    found = json.loads(done.out)
    assert (found["state"], found["missing"], found["settled"]) == ("corrected", [], True)
    assert "taking over:" not in desk.run("plan").out

    _add(desk, 501, "db", "stopped", ipconfig0="ip=203.0.113.51/24")
    desk.fakes["paris"].control("report")
    later = desk.run("import", "pve1/501", *IMPORT, "--out", "others.yaml", "--language", "en")
    assert later.code == 0, later
    assert "gaps, not notified yet" in desk.run("plan").out, "a machine that came after the others' gaps"


@pytest.mark.parametrize(
    ("vm", "arguments", "said"),
    [
        ({}, ["pve1/999"], "there is no machine pve1/999"),
        ({}, ["pve2/500"], "VM 500 is on pve1"),
        ({}, ["pve1/9000"], "VM 9000 is a template"),
        ({}, ["500"], "say NODE/VMID"),
        ({}, ["pve1/500"], "the address of VM 500 is not known"),
        ({}, ["pve1/500", "--address", "x"], "is not a valid IPv4 address"),
        ({}, ["pve1/500", "--address", "10.9.9.9"], "is not in the subnet"),
        ({}, ["pve1/500", "--address", "203.0.113.50", "--image", "bsd"], "the site has no image bsd"),
        ({}, ["pve1/500", "--address", "203.0.113.50", "--offer", "gold"], "cannot be described by a file"),
        ({"net0": "virtio=BC:24:11:00:00:02,bridge=vmbr7,tag=9"}, ["pve1/500"], "bridge vmbr7, VLAN 9"),
        ({"virtio0": None, "scsi3": None}, ["pve1/500"], "VM 500 has no disk"),
        ({"lock": "backup"}, ["pve1/500"], "VM 500 is locked (backup)"),
    ],
)
def test_what_cannot_be_described_is_refused_and_nothing_is_written(
    desk: Desk, vm: dict[str, Any], arguments: list[str], said: str
) -> None:
    lock = vm.pop("lock", None)
    _add(desk, **vm)
    if lock:
        desk.fakes["paris"].set_lock(500, lock)
    answer = desk.run("import", *arguments, *IMPORT)
    assert answer.code == 1 and said in " ".join(answer.err.split()), answer
    assert list((desk.folder / "subscriptions").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vcpus": 2}, "vCPU is 4, its file says 2"),
        ({"disks": [{"name": "system", "size": "32GiB"}]}, "disks (GiB) is [32, 100], its file says [32]"),
        ({"adopt": 777}, "VM 777 does not exist at paris"),
        ({"adopt": 9000}, "VM 9000 is a template"),
    ],
)
def test_a_machine_that_is_not_as_its_file_says_is_not_taken_over(
    desk: Desk, changes: dict[str, Any], said: str
) -> None:
    _add(desk)
    disks = [{"name": "system", "size": "32GiB"}, {"name": "data-1", "size": "100GiB"}]
    wanted = machine("web-1", adopt=500, vcpus=4, memory="3GiB", disks=disks, address="203.0.113.50")
    desk.write(subscription("dupont", [wanted | changes]))
    before = _config(desk)
    answer = desk.apply()
    assert answer.code == 1 and said in answer.out, answer
    assert _config(desk) == before and "client-dupont" not in desk.fakes["paris"].dump()["pools"]


def test_a_machine_of_ours_is_not_taken_over_again(desk: Desk) -> None:
    desk.write(subscription("martin", [machine("shop-1")]))
    assert desk.apply().code == 0
    vmid = desk.machines()["shop-1"]["vmid"]
    answer = desk.run("import", f"pve1/{vmid}", *IMPORT)
    assert answer.code == 1 and f"VM {vmid} is martin/shop-1 of ours already" in answer.err
    taken = machine("web-1", adopt=vmid, address="203.0.113.50")
    desk.write(subscription("martin", [machine("shop-1")]), subscription("dupont", [taken]))
    refused = desk.apply()
    assert refused.code == 1 and "is martin/shop-1 already" in refused.out, refused


def test_a_taking_over_that_is_killed_anywhere_is_finished_by_the_next_run(desk: Desk) -> None:
    _add(desk)
    assert desk.run("import", "pve1/500", *IMPORT, "--address", "203.0.113.50").code == 0
    for call in range(5, 30):
        killed = desk.run_killed(call, "apply", "--yes", "--no-guests").killed
        if not killed:
            break
    answer = desk.apply()
    assert answer.code == 0 and not desk.plan()["has_changes"], answer
    assert len(desk.fakes["paris"].dump()["vms"]) == 2


def test_the_night_sees_what_is_imported_and_not_yet_applied_as_the_plan_does(desk: Desk) -> None:
    night = NightDesk(desk)
    _add(desk, ipconfig0="ip=203.0.113.50/24", agent="1")
    imported = desk.run("import", "pve1/500", *IMPORT, "--out", "subscriptions/dupont.yaml")
    assert imported.code == 0, imported
    path = desk.folder / "subscriptions" / "dupont.yaml"
    written = yaml.safe_load(path.read_text())
    written["services"][0]["machines"][0]["backup"] = {"retention_days": 7}
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    assert "taken over as it is" in desk.run("plan").out
    shown = desk.run("nightly", "--dry-run", "--in-working-hours")
    assert shown.code == 0 and "adopt" not in shown.out, shown
    report = night.night()
    (line,) = report.of(BackupLine)
    assert (report.failures, report.of(DriftLine), line.result) == (0, (), "not-created"), report
    assert line.message == "VM 500 is not taken over yet: orchestrator apply does it"


def test_three_calendar_months_end_on_the_same_day_or_the_months_last() -> None:
    import datetime as dt

    assert probation_ends(dt.date(2026, 11, 23)) == dt.date(2027, 2, 23)
    assert probation_ends(dt.date(2026, 11, 30)) == dt.date(2027, 2, 28)
    assert probation_ends(dt.date(2027, 11, 30)) == dt.date(2028, 2, 29)
    assert probation_ends(dt.date(2026, 10, 31)) == dt.date(2027, 1, 31)


def test_a_machine_that_was_taken_over_keeps_its_own_host_name_in_its_restore_test(desk: Desk) -> None:
    """It is the one that Proxmox has, or the one that the original gives itself; another is another machine's."""
    night = NightDesk(desk)
    sized: dict[str, Any] = {
        "virtio0": None,
        "scsi3": None,
        "scsi0": "local:500/vm-500-disk-0.qcow2,size=32G",
    }
    _add(desk, ipconfig0="ip=203.0.113.50/24", agent="1", boot="order=scsi0", **sized)
    imported = desk.run("import", "pve1/500", *IMPORT, "--out", "subscriptions/dupont.yaml")
    assert imported.code == 0, imported
    path = desk.folder / "subscriptions" / "dupont.yaml"
    written = yaml.safe_load(path.read_text())
    written["services"][0]["machines"][0]["backup"] = {"retention_days": 7}
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    answer = desk.apply()
    assert answer.code == 0, answer

    def calls_itself(name: str) -> None:
        night.fake.guest_agent({"files": {**AGENT["files"], "/etc/hostname": f"{name}\n"}}, vmid=500)

    calls_itself("web01.dupont.fr")
    report = night.night()
    assert [(line.result, line.message[:11]) for line in report.of(RestoreTestLine)] == [
        ("sound", "it is web01")
    ], report.of(RestoreTestLine)
    calls_itself("Compta")
    assert desk.run("backup", "now", "dupont/web01-dupont-fr").code == 0
    assert desk.run("backup", "verify", "dupont/web01-dupont-fr").code == 0, "so does the original"
    night.fake.control("set_vm", vmid=500, status="stopped")
    unknown = desk.run("backup", "verify", "dupont/web01-dupont-fr")
    assert unknown.code == 1 and "it calls itself compta, not web01" in unknown.err, unknown
