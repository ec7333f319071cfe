"""What the file says of a contract and nobody has applied yet, and guests that resist (articles 9 and 10)."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import pytest

from orchestrator.nightly.contract_running import StillRunningLine
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.report import render_night
from orchestrator.planning.saved import read_saved
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, PARIS, STORE, NightDesk

SUSPENDED: dict[str, Any] = {
    "status": "suspended",
    "suspension": {"since": "2026-04-01", "reference": "LRAR-7"},
}
UNPAID: dict[str, Any] = {
    "status": "terminated",
    "termination": {"notice": "2026-11-02", "reference": "LRAR-9", "default_of_payment": True},
}
OVER: dict[str, Any] = {
    "status": "terminated",
    "termination": {"notice": "2026-09-01", "reference": "LRAR-9"},
}


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _write(desk: Desk, names: list[str], *, backup: bool = False, **contract: Any) -> None:
    made = [machine(name, **({"backup": {"retention_days": 7}} if backup else {})) for name in names]
    file = subscription("dupont", made)
    file["contract"].update(contract)
    desk.write(file)


@pytest.mark.parametrize(
    ("contract", "article"),
    [(SUSPENDED, "art. 9"), (UNPAID, "default of payment: no reversibility (art. 10)"), (OVER, "art. 10")],
    ids=["suspended", "default of payment", "thirty days over"],
)
def test_article_9_a_night_names_each_machine_that_still_runs_and_backs_it_up_until_it_is_stopped(
    night: NightDesk, contract: dict[str, Any], article: str
) -> None:
    night.deliver("web-1", "db-1")
    _write(night.desk, ["web-1", "db-1"], backup=True, **contract)
    shown = " ".join(night.desk.run("nightly", "--dry-run", "--at", "2026-11-23T22:00").out.split())
    assert "machine dupont/web-1 still runs: " in shown, shown
    report = night.night()
    still = report.of(StillRunningLine)
    assert not report.well and sorted(line.machine for line in still) == ["db-1", "web-1"]
    assert all(article in line.why for line in still), still
    assert {(line.machine, line.result) for line in report.of(BackupLine)} == {
        ("db-1", "done"),
        ("web-1", "done"),
    }
    page = render_night(report, form="md", language="en")
    assert "dupont/web-1" in page and "Machine to be stopped still runs" in page

    assert night.desk.apply().code == 0
    report = night.night(MONDAY_NIGHT + dt.timedelta(days=1))
    assert report.of(StillRunningLine) == () and report.of(BackupLine) == ()
    assert report.well and len(night.archives()) == 2


def test_article_9_a_guest_that_ignores_the_power_button_is_switched_off_by_force(desk: Desk) -> None:
    names = [f"web-{number}" for number in range(1, 6)]
    _write(desk, names)
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    fake, vm = desk.fakes["paris"], desk.machines()["web-1"]
    stubborn = rf".*/qemu/{vm['vmid']}/status/shutdown"
    fake.fault("POST", stubborn, "task", text="VM quit/powerdown failed - got timeout", times=9)

    _write(desk, names, **SUSPENDED)
    assert desk.plan()["dangers"] == [], "five of five machines stop: no limit holds a suspension back"
    answer = desk.apply()
    assert answer.code == 0, answer
    assert {item["status"] for item in desk.machines().values()} == {"stopped"}
    told = desk.run("history", "dupont/web-1").out
    assert "it is switched off instead" in told and "switch off" in told, told
    said = "by force, the guest did not shut down: suspended since 2026-04-01 (LRAR-7, art. 9)"
    assert said in told, told


def test_a_guest_that_ignores_its_clients_own_change_is_never_switched_off(desk: Desk) -> None:
    _write(desk, ["web-1"])
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    desk.fakes["paris"].fault(
        "POST", ".*/status/shutdown", "task", text="VM quit/powerdown failed - got timeout", times=9
    )
    desk.write(subscription("dupont", [machine("web-1", power="stopped")]))
    answer = desk.apply()
    assert answer.code == 1 and "never switched off by force" in " ".join(answer.out.split()), answer
    assert desk.machines()["web-1"]["status"] == "running"


@pytest.mark.parametrize(
    ("days", "ages", "erased"),
    [(None, (40, 20, 1), None), (7, (33, 12, 9, 2), "2 of 4 archives go tonight")],
    ids=["switched off", "31 to 7"],
)
def test_article_3_5_only_what_goes_because_of_the_change_is_a_risk(
    night: NightDesk, days: int | None, ages: tuple[int, ...], erased: str | None
) -> None:
    night.deliver("web-1", days=31)
    now = dt.datetime.now(dt.UTC)
    notes = archive_notes(ArchiveMark(client="dupont", machine="web-1", contract="C-dupont", days=31))
    taken = [{"ctime": int((now - dt.timedelta(days=age, minutes=1)).timestamp())} for age in ages]
    night.fake.add_archives(
        [
            {"storage": STORE, "vmid": night.vmid("web-1"), "size": 1024**3, "notes": notes, **at}
            for at in taken
        ]
    )
    night.files("web-1", days=days)
    risks = [risk["words"] for risk in night.desk.plan()["dangers"]]
    assert [words.partition(": ")[2].partition(":")[0] for words in risks] == ([erased] if erased else [])


MANAGED: dict[str, Any] = {"level": "supervision", "standard_changes_per_month": 1}


def _managed(desk: Desk, *machines: dict[str, Any], **contract: Any) -> None:
    file = subscription("dupont", list(machines), managed_services=MANAGED)
    del file["contract"]["quotes"]
    file["contract"].update(contract)
    desk.write(file)


def _power(desk: Desk) -> dict[str, str]:
    return {name: vm["status"] for name, vm in desk.machines().items()}


def test_article_9_a_machine_that_left_its_file_is_stopped_too_and_waits_for_no_order(desk: Desk) -> None:
    """Its guest resists; and one that somebody starts again is stopped again."""
    _managed(desk, machine("web-1"), machine("db-1"))
    assert desk.apply("--order", "BC-1").code == 0
    desk.put_in_service(firewall=True)
    vm = desk.machines()["db-1"]
    stubborn = rf".*/qemu/{vm['vmid']}/status/shutdown"
    desk.fakes["paris"].fault(
        "POST", stubborn, "task", text="VM quit/powerdown failed - got timeout", times=9
    )
    _managed(desk, machine("web-1"), **SUSPENDED)
    answer = desk.apply()
    assert answer.code == 0 and "needs the order" not in answer.out, answer
    assert _power(desk) == {"web-1": "stopped", "db-1": "stopped"}
    said = "by force, the guest did not shut down: suspended since 2026-04-01 (LRAR-7, art. 9)"
    assert said in desk.run("history", "dupont/db-1").out

    desk.fakes["paris"].cluster().post(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/start")
    desk.fakes["paris"].control("report")
    answer = desk.apply()
    assert answer.code == 0 and "art. 9" in answer.out, answer
    assert _power(desk) == {"web-1": "stopped", "db-1": "stopped"}
    assert not desk.plan()["has_changes"]


def test_3_8_4_what_was_edited_during_a_suspension_needs_its_references_afterwards(desk: Desk) -> None:
    _managed(desk, machine("web-1"))
    assert desk.apply("--order", "BC-1").code == 0
    desk.put_in_service(firewall=True)
    _managed(desk, machine("web-1"), **SUSPENDED)
    assert desk.apply().code == 0
    _managed(desk, machine("web-1", memory="2GiB"))
    refused = desk.apply()
    assert refused.code == 1 and "--order REFERENCE" in refused.out, refused
    assert str(desk.machines()["web-1"]["config"]["memory"]) == "1024"
    assert desk.apply("--order", "BC-2").code == 0
    assert str(desk.machines()["web-1"]["config"]["memory"]) == "2048"
    assert _power(desk) == {"web-1": "running"}


def test_article_9_a_plan_saved_before_a_suspension_is_not_applied_after_it(desk: Desk) -> None:
    """No file changed in between: the day that the file names came."""
    _write(desk, ["web-1"])
    assert desk.run("plan", "--out", "saved.json").code == 0
    today = dt.datetime.now(PARIS)
    announced = {**SUSPENDED, "suspension": {"since": f"{today:%Y-%m-%d}", "reference": "LRAR-7"}}
    _write(desk, ["web-1"], **announced)
    path = desk.folder / "saved.json"
    saved = read_saved(path)
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    plan = saved.plan.model_copy(update={"made_at": midnight - dt.timedelta(minutes=5)})
    files = {name: hashlib.sha256((desk.folder / name).read_bytes()).hexdigest() for name in saved.files}
    path.write_text(saved.model_copy(update={"plan": plan, "files": files}).sealed().model_dump_json())
    answer = desk.apply("--plan", "saved.json", "--max-plan-age", "48")
    said = f"changed since: the contract of dupont: suspended since {today:%Y-%m-%d} (LRAR-7, art. 9)"
    assert answer.code == 1 and said in answer.err, answer
    assert desk.machines() == {}
