"""The life of a contract: suspended and resumed, ended and erased; a machine that leaves its file (articles 9, 10)."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest

from orchestrator.contract.calendar import add_working_days
from orchestrator.history import open_history
from orchestrator.history.approvals import REVERSIBILITY_PLAN
from orchestrator.history.declared import Approval
from orchestrator.history.records import add
from orchestrator.nightly.contract_ends import ContractLine
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from orchestrator.resources.notes import Mark, read_mark
from orchestrator.resources.snapshot import snapshot_description
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, PARIS, STORE, NightDesk

_DAY = dt.timedelta(days=1)
SUSPENDED: dict[str, Any] = {
    "status": "suspended",
    "suspension": {"since": "2026-04-01", "reference": "LRAR-7"},
}


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _file(
    client: str, machines: list[dict[str, Any]], offer: str = "cloud-vm-advanced", **contract: Any
) -> Any:
    made = subscription(client, machines, offer=offer)
    made["contract"].update(contract)
    return made


def _mark(desk: Desk, name: str) -> Mark:
    mark = read_mark(desk.machines()[name]["config"]["description"])
    assert mark is not None
    return mark


def _states(desk: Desk) -> dict[str, str]:
    return {name: vm["status"] for name, vm in sorted(desk.machines().items())}


def test_a_suspension_stops_what_runs_and_its_end_brings_back_what_ran(desk: Desk) -> None:
    dupont = [machine("idle-1", power="stopped"), machine("web-1")]
    martin = [machine("gone-1"), machine("shop-1")]
    essential = "cloud-vm-essential"
    desk.write(_file("dupont", dupont), _file("martin", martin, essential))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    node = desk.machines()["gone-1"]
    desk.fakes["paris"].cluster().post(f"/nodes/{node['node']}/qemu/{node['vmid']}/status/stop")
    desk.fakes["paris"].control("report")
    before = {name: vm["config"]["scsi0"] for name, vm in desk.machines().items()}
    edited = [machine("idle-1", power="stopped"), machine("web-1", memory="2GiB"), machine("new-1")]
    desk.write(_file("dupont", edited, **SUSPENDED), _file("martin", martin, essential, **SUSPENDED))
    shown = " ".join(desk.run("plan").out.split())
    assert "suspended since 2026-04-01 (LRAR-7, art. 9)" in shown and "0 to erase" in shown
    assert "edits web-1 memory" in shown and "machine new-1 not made" in shown
    answer = desk.apply()
    assert answer.code == 0, answer
    assert set(_states(desk).values()) == {"stopped"} and "new-1" not in desk.machines()
    assert {name: vm["config"]["scsi0"] for name, vm in desk.machines().items()} == before
    assert str(desk.machines()["web-1"]["config"]["memory"]) == "1024"
    assert str(desk.machines()["web-1"]["config"]["onboot"]) == "0", "its node's restart does not start it"
    assert not desk.plan()["has_changes"]

    web = desk.machines()["web-1"]
    desk.fakes["paris"].cluster().post(f"/nodes/{web['node']}/qemu/{web['vmid']}/status/start")
    desk.fakes["paris"].control("report")
    (change,) = [c for item in desk.plan()["machines"] for c in item["changes"] if c["kind"] == "stop"]
    assert change["drift"], "somebody started it"
    assert desk.apply().code == 0

    desk.write(_file("dupont", dupont), _file("martin", martin, essential))
    answer = desk.apply()
    assert answer.code == 0, answer
    assert _states(desk) == {
        "gone-1": "stopped",
        "idle-1": "stopped",
        "shop-1": "running",
        "web-1": "running",
    }
    assert str(desk.machines()["web-1"]["config"]["onboot"]) == "1"
    assert [_mark(desk, name).suspended for name in ("web-1", "shop-1")] == [None, None]
    assert not desk.plan()["has_changes"]


def test_a_run_killed_while_it_suspends_forgets_nothing(desk: Desk) -> None:
    """Around each write: what ran before runs again when the suspension is over."""
    web = [machine("web-1")]
    for call in (6, 8, 9, 10, 11, 12, 40):  # from the first write on
        desk.write(_file("dupont", web))
        assert desk.apply().code == 0
        desk.put_in_service(firewall=True)
        assert _states(desk) == {"web-1": "running"}, call
        desk.write(_file("dupont", web, **SUSPENDED))
        killed = desk.run_killed(call, "apply", "--yes", "--no-guests").killed
        assert desk.apply().code == 0 and _states(desk) == {"web-1": "stopped"}, call
        if not killed:
            break
    else:
        raise AssertionError("never ran to its end")
    assert call == 40


def _archives(night: NightDesk, name: str, ages: list[float]) -> None:
    notes = archive_notes(ArchiveMark(client="dupont", machine=name, contract="C-dupont", days=7))
    night.fake.add_archives(
        [
            {
                "storage": STORE,
                "vmid": night.vmid(name),
                "ctime": int(MONDAY_NIGHT.timestamp() - age * 86400),
                "size": 1024**3,
                "notes": notes,
            }
            for age in ages
        ]
    )


def _write(night: NightDesk, names: list[str], *others: Any, **contract: Any) -> None:
    machines = [machine(name, backup={"retention_days": 7}) for name in names]
    night.desk.write(_file("dupont", machines, **contract), *others)


def _line(report: NightReport) -> ContractLine:
    (line,) = report.of(ContractLine)
    return line


def test_while_it_is_suspended_the_night_neither_makes_nor_removes_anything(night: NightDesk) -> None:
    night.deliver("web-1")
    _archives(night, "web-1", [30, 9])
    taken = int(MONDAY_NIGHT.timestamp()) - 30 * 86400
    mark = snapshot_description("dupont", "web-1", declared_for=None)
    night.fake.add_snapshot(night.vmid("web-1"), "old", snaptime=taken, description=mark)
    _write(night, ["web-1"], **SUSPENDED)
    assert night.desk.apply().code == 0
    report = night.night()
    assert (
        report.well
        and report.of(BackupLine) == ()
        and report.of(RestoreTestLine) == ()
        and report.of(RetentionLine) == ()
    ), report
    assert len(night.archives()) == 2 and night.desk.machines()["web-1"]["snapshots"] == ["old"]
    assert _line(report).standing == "suspended"
    _write(night, ["web-1"])
    report = night.night(MONDAY_NIGHT + _DAY)
    assert [line.result for line in report.of(BackupLine)] == ["done"] and len(night.archives()) == 1


ENDED: dict[str, Any] = {
    "status": "terminated",
    "termination": {"notice": "2026-11-02", "reference": "LRAR-9"},
}
# 30 working days after 2 November 2026, 11 November being a holiday: 15 December.
LAST = dt.datetime(2026, 12, 15, 22, 0, tzinfo=PARIS)


def _erasure(night: NightDesk, allowed: bool) -> None:
    night.desk.erasure = allowed
    night.desk.write_sites()


def test_an_ended_contract_is_erased_when_its_days_are_over_and_not_before(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    _write(night, ["web-1", "db-1"], _file("martin", [machine("shop-1")]))
    assert night.desk.apply().code == 0
    night.fake.add_vms(1, first=5000)
    _archives(night, "web-1", [1])
    _erasure(night, True)
    martin = _file("martin", [machine("shop-1")])
    _write(night, ["web-1", "db-1"], martin, **ENDED)
    plan = " ".join(night.desk.run("plan").out.split())
    assert "0 to erase" in plan or "no changes" in plan
    report = night.night()
    line = _line(report)
    assert (line.standing, line.last_day, line.days_left) == ("ending", LAST.date(), 16), line
    assert "not approved by the client yet" in render_night(report, form="md", language="en")
    said = Approval.model_validate(
        {
            "client": "dupont",
            "subject": REVERSIBILITY_PLAN,
            "by": "Jeanne Dupont",
            "day": "2026-11-09",
            "reference": "LRAR-140",
        }
    )
    with open_history(night.desk.folder / "history.db") as history:
        add(history, said, who="bob", why="her letter", at=MONDAY_NIGHT)
    assert {item.result for item in report.of(BackupLine)} == {"done"}, "the services go on"
    report = night.night(LAST)
    line = _line(report)
    assert (line.standing, line.days_left) == ("ending", 0)
    assert "approved by Jeanne Dupont" in render_night(report, form="md", language="en", client="dupont")
    assert {"web-1", "db-1", "shop-1"} <= set(night.desk.machines())

    report = night.night(LAST + _DAY)
    assert report.well and "2 machines and" in _line(report).message, report.of(ContractLine)
    left = night.desk.machines()
    assert "shop-1" in left and not {"web-1", "db-1"} & set(left) and len(left) == 2, (
        "martin's and the stranger's"
    )
    assert night.archives() == []
    report = night.night(LAST + 2 * _DAY)
    assert report.well and "nothing is left" in _line(report).message
    dump = night.fake.dump()
    assert "client-dupont" not in dump["pools"] and "client-martin" in dump["pools"]
    numbers = {str(vm["vmid"]) for vm in dump["vms"].values()}
    disks = [volume for volume in dump["volumes"]["local"] if "vm-" in volume]
    assert {re.findall(r"vm-(\d+)-", volume)[0] for volume in disks} <= numbers, disks
    writes = night.fake.calls()
    assert _line(night.night(LAST + 3 * _DAY)).message == "nothing is left; the file can be taken out"
    assert night.fake.calls("DELETE") == {path: n for path, n in writes.items() if path.startswith("DELETE")}


@pytest.mark.parametrize(
    "mistake", ["no night before", "not allowed", "other contract", "file gone", "file broken"]
)
def test_what_does_not_hold_altogether_erases_nothing(night: NightDesk, mistake: str) -> None:
    night.deliver("web-1")
    _archives(night, "web-1", [1])
    _erasure(night, mistake != "not allowed")
    contract: dict[str, Any] = dict(ENDED)
    if mistake == "other contract":
        contract["reference"] = "C-another"
    _write(night, ["web-1"], **contract)
    if mistake != "no night before":
        night.night(LAST)
    path = night.desk.folder / "subscriptions" / "dupont.yaml"
    if mistake == "file gone":
        path.unlink()
        night.desk.write(_file("martin", [machine("shop-1")]))
    elif mistake == "file broken":
        path.write_text(path.read_text() + "typo: 1\n")
        (night.desk.folder / "subscriptions" / "martin.yaml").write_text("")
    report = night.night(LAST + 3 * _DAY)
    assert "web-1" in night.desk.machines() and night.archives()
    if mistake in ("no night before", "not allowed"):
        assert "would be erased" in _line(report).message
        expected = "no earlier night" if mistake == "no night before" else "erasure: true"
        assert expected in _line(report).message and not _line(report).failed
        assert report.failures == 1, "it still runs: nobody applied"
    elif mistake == "other contract":
        assert (
            "web-1" in _line(report).message
            and "is kept: it carries the contract C-dupont" in _line(report).message
        )
        assert not report.well
    else:
        assert report.of(ContractLine) == ()


def test_an_erasure_that_failed_half_way_is_finished_by_the_next_night(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    _archives(night, "web-1", [1])
    _erasure(night, True)
    _write(night, ["web-1", "db-1"], **ENDED)
    night.night(LAST)
    vmid = night.vmid("web-1")
    night.fake.fault("DELETE", rf".*/qemu/{vmid}$", "status", status=500, times=20)
    report = night.night(LAST + _DAY)
    assert not report.well and f"VM {vmid}" in _line(report).message
    assert set(night.desk.machines()) == {"web-1"}
    night.fake.control("clear_faults")
    assert night.night(LAST + 2 * _DAY).well
    assert night.desk.machines() == {} and night.archives() == []
    assert "nothing is left" in _line(night.night(LAST + 3 * _DAY)).message


def test_default_of_payment_stops_at_once_and_erases_no_earlier(night: NightDesk) -> None:
    night.deliver("web-1")
    _erasure(night, True)
    today = dt.datetime.now(PARIS).date()
    unpaid = {
        "status": "terminated",
        "termination": {"notice": str(today), "reference": "LRAR-9", "default_of_payment": True},
    }
    last = dt.datetime.combine(add_working_days(today, 30), dt.time(22), PARIS)
    _write(night, ["web-1"], **unpaid)
    assert "default of payment" in night.desk.run("plan").out
    assert night.desk.apply().code == 0
    assert _states(night.desk) == {"web-1": "stopped"}
    assert _line(night.night(last - _DAY)).standing == "suspended"
    night.night(last)
    assert "web-1" in night.desk.machines()


def test_a_machine_that_leaves_its_file_gets_a_last_backup_and_comes_back(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.files("db-1")
    answer = night.desk.apply()
    assert answer.code == 0, answer
    (archive,) = night.archives()
    assert archive["vmid"] == night.vmid("web-1") and _states(night.desk) == {
        "db-1": "running",
        "web-1": "stopped",
    }
    assert (
        _mark(night.desk, "web-1").retired and "retired" in night.desk.machines()["web-1"]["config"]["tags"]
    )
    assert night.desk.apply().code == 0
    assert len(night.archives()) == 1, "one, not one a run"
    night.files("web-1", "db-1")
    assert night.desk.apply().code == 0
    assert _states(night.desk) == {"db-1": "running", "web-1": "running"}
    assert _mark(night.desk, "web-1").retired is None
    assert "retired" not in night.desk.machines()["web-1"]["config"]["tags"]


def test_without_a_backup_storage_a_machine_is_not_retired_in_silence(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.files("db-1")
    night.fake.set_storage(STORE, active=0)
    answer = night.desk.apply()
    assert answer.code == 1 and "gets no last backup" in answer.out, answer
    assert _mark(night.desk, "web-1").retired is None
    night.fake.set_storage(STORE, active=1)
    assert night.desk.apply().code == 0
    assert _mark(night.desk, "web-1").retired is not None and len(night.archives()) == 1
