"""A machine that somebody erased comes back from its archive's mark alone (articles 3.5 and 10)."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from orchestrator.history import open_history
from orchestrator.resources.machine_archives import read_archive_mark
from orchestrator.resources.notes import read_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.night_desk import STORE, NightDesk

_WEB = "dupont/web-1"


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    """web-1 in service, with an archive."""
    found = NightDesk(desk)
    found.deliver("web-1")
    desk.put_in_service(firewall=True)
    assert desk.run("backup", "now", _WEB).code == 0
    return found


def erase(night: NightDesk, name: str = "web-1") -> dict[str, Any]:
    """Erase a machine in Proxmox, as somebody would who takes its protection off first. Return what it was."""
    vm, cluster = night.desk.machines()[name], night.fake.cluster()
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
    cluster.run_task("POST", f"{path}/status/stop")
    cluster.put(f"{path}/config", protection=0)
    cluster.run_task("DELETE", path, params={"purge": 1})
    return vm


def recreate(desk: Desk, *more: str, target: str = _WEB, confirm: bool = True) -> Answer:
    sure = ("--confirm", target) if confirm else ()
    return desk.run("backup", "restore", target, "--recreate", *sure, *more)


def test_an_erased_machine_is_made_again_under_its_number_and_is_ours_at_once(night: NightDesk) -> None:
    desk = night.desk
    refused = recreate(desk)
    assert refused.code == 1 and "dupont/web-1 exists: VM" in refused.err, refused
    before = erase(night)
    asked = recreate(desk, confirm=False)
    assert asked.code == 1 and "pass --confirm dupont/web-1" in asked.err and "web-1" not in desk.machines()
    done = recreate(desk, "--no-start")
    assert done.code == 0 and "Everything written since then is lost" in done.out, done
    after = desk.machines()["web-1"]
    assert after["vmid"] == before["vmid"] and after["pool"] == "client-dupont"
    assert after["config"]["net0"] == before["config"]["net0"]
    mark = read_mark(after["config"]["description"])
    assert mark is not None and mark.vmid == before["vmid"] and mark.firewall is None and mark.ready
    changes = [change for item in desk.plan()["machines"] for change in item["changes"]]
    assert {change["what"] for change in changes} <= {"power", "firewall"}, changes
    assert desk.apply().code == 0 and desk.machines()["web-1"]["status"] == "running"
    entry = desk.run("history", _WEB, "--format", "json").out
    assert '"recreate' in entry and ":qmrestore:" in entry


def test_a_plan_says_that_a_machine_which_it_makes_anew_was_backed_up(night: NightDesk) -> None:
    desk = night.desk
    assert "archives" not in {
        change["what"] for item in desk.plan()["machines"] for change in item["changes"]
    }
    erase(night)
    desk.write(subscription("dupont", desk_machines("web-1", "web-2")))
    (new, notice), (only,) = (
        [change for change in item["changes"] if change["kind"] in ("create", "notice")]
        for item in sorted(desk.plan()["machines"], key=lambda item: str(item["machine"]))
    )
    assert new["kind"] == only["kind"] == "create", "one that never was is made without a word"
    assert (notice["kind"], notice["what"]) == ("notice", "archives")
    assert notice["before"].startswith("last backup ") and "20" in notice["before"]
    command = "orchestrator backup restore dupont/web-1 --recreate"
    assert command in notice["why"]
    shown = " ".join(desk.run("plan").out.split())
    assert command in shown and "an empty machine is made in its place" in shown, shown
    assert "2 to create" in shown, "a notice is no change"
    unread = desk.run("plan", "--history", str(desk.folder / "none.db"))
    assert unread.code == 0 and "2 to create" in unread.out and command not in unread.out, unread
    assert desk.run("plan", "--out", "saved.json").code == 0
    applied = desk.run("apply", "--plan", "saved.json", "--yes", "--no-guests")
    assert applied.code == 0 and set(desk.machines()) == {"web-1", "web-2"}, applied


def test_a_machine_that_comes_back_was_tested_when_its_backups_were(night: NightDesk) -> None:
    desk = night.desk
    assert desk.run("backup", "verify", _WEB).code == 0
    before = read_mark(desk.machines()["web-1"]["config"]["description"])
    assert before is not None and before.tested is not None
    erase(night)
    assert recreate(desk, "--no-start").code == 0
    after = read_mark(desk.machines()["web-1"]["config"]["description"])
    assert after is not None and after.tested == before.tested


def test_it_comes_back_without_a_file_and_is_started_as_it_was(night: NightDesk) -> None:
    erase(night)
    (night.desk.folder / "subscriptions" / "dupont.yaml").write_text("client: [")
    done = recreate(night.desk)
    assert done.code == 0 and "no file of dupont without errors was found" in done.out, done
    assert night.desk.machines()["web-1"]["status"] == "running"


def test_a_number_that_another_client_has_by_now_is_left_to_them(night: NightDesk) -> None:
    desk = night.desk
    before = erase(night)
    night.fake.add_vms(
        1, first=before["vmid"], pool="client-martin", config={"tags": "orchestrator;client-martin"}
    )
    address = before["config"]["ipconfig0"].partition("/")[0]
    night.fake.control("set_config", vmid=before["vmid"], ipconfig0=f"{address}/24")
    taken = recreate(desk, "--no-start")
    assert taken.code == 1 and "is that of" in taken.err and "--address auto" in taken.err, taken
    done = recreate(desk, "--no-start", "--address", "auto")
    assert done.code == 0, done
    after = desk.machines()["web-1"]
    assert after["vmid"] != before["vmid"]
    mark = read_mark(after["config"]["description"])
    assert mark is not None and mark.vmid == after["vmid"]
    assert after["config"]["ipconfig0"] != before["config"]["ipconfig0"]
    assert desk.plan()["summary"]["create"] == 0


def test_the_archive_of_another_client_is_refused_and_so_are_forged_notes(night: NightDesk) -> None:
    desk = night.desk
    desk.write(subscription("dupont", desk_machines("web-1")), subscription("martin", desk_machines("db-1")))
    assert desk.apply().code == 0
    desk.put_in_service()
    assert desk.run("backup", "now", "martin/db-1").code == 0
    theirs = next(item for item in night.archives() if "martin" in item["notes"])
    erase(night)
    refused = recreate(desk, "--archive", theirs["volid"])
    assert refused.code == 1 and "its notes say martin/db-1" in refused.err, refused
    # Somebody copies dupont's notes onto martin's archive, number and night made right.
    number = theirs["vmid"]
    forged = next(item for item in night.archives() if "dupont" in item["notes"])["notes"]
    forged = forged.replace(f'"vmid":{vmid_in(forged)}', f'"vmid":{number}')
    night.fake.cluster().put(f"/nodes/pve1/storage/{STORE}/content/{theirs['volid']}", notes=forged)
    refused = recreate(desk, "--archive", theirs["volid"])
    assert refused.code == 1 and "the configuration inside it says martin/db-1" in refused.err, refused
    assert "web-1" not in desk.machines()


def desk_machines(*names: str) -> list[dict[str, Any]]:
    return [machine(name, backup={"retention_days": 7}) for name in names]


def vmid_in(notes: str) -> int:
    mark = read_archive_mark(notes)
    assert mark is not None and mark.vmid is not None
    return mark.vmid


def test_9_a_suspended_contract_brings_it_back_stopped_and_10_an_ended_one_not_at_all(
    night: NightDesk,
) -> None:
    desk = night.desk
    erase(night)
    ended = {"status": "terminated", "termination": {"notice": "2026-06-01", "reference": "L-1"}}
    file = subscription("dupont", desk_machines("web-1"))
    desk.write({**file, "contract": {**file["contract"], **ended}})
    refused = recreate(desk)
    assert refused.code == 1 and "the contract ended" in refused.err and "(art. 10)" in refused.err, refused
    for path in (desk.folder / "subscriptions").iterdir():
        path.unlink()
    # Its file is gone since; what a night recorded of the notice stays.
    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        history.append(
            who="timer", why="night", client="dupont", site="*", action="end of contract noted", result="ok", run="r",
            details={"reference": "C-dupont", "notice": "2026-06-01", "night": "2026-06-01"},
        )  # fmt: skip
    refused = recreate(desk)
    assert refused.code == 1 and "the contract ended" in refused.err, refused
    suspended = {"status": "suspended", "suspension": {"since": "2026-11-01", "reference": "L-2"}}
    desk.write({**file, "contract": {**file["contract"], **suspended}})
    done = recreate(desk)
    assert done.code == 0 and "it is not started: suspended since 2026-11-01" in done.out, done
    vm = desk.machines()["web-1"]
    mark = read_mark(vm["config"]["description"])
    assert vm["status"] == "stopped" and mark is not None and mark.suspended is not None
    desk.write(file)
    assert desk.apply().code == 0 and desk.machines()["web-1"]["status"] == "running", "it resumes as it was"


def test_10_what_was_erased_by_the_night_does_not_come_back(night: NightDesk) -> None:
    erase(night)
    with open_history(night.desk.folder / "state" / "orchestrator" / "history.db") as history:
        history.append(
            who="timer", why="night", client="dupont", machine="web-1", site="paris", action="erase", result="ok",
            run="r", details={"contract": "C-dupont"}, at=dt.datetime(2026, 11, 2, 1, tzinfo=dt.UTC),
        )  # fmt: skip
    refused = recreate(night.desk)
    assert refused.code == 1 and "was carried out on 2026-11-02" in refused.err, refused
    assert "web-1" not in night.desk.machines()


def test_a_disk_left_out_of_the_backup_is_told_and_not_waited_for(desk: Desk) -> None:
    night = NightDesk(desk)
    disks = [{"name": "system", "size": "4GiB"}, {"name": "scratch", "size": "1GiB", "backup": False}]
    night.deliver("web-1", disks=disks)
    assert desk.run("backup", "now", _WEB).code == 0
    erase(night)
    done = recreate(desk, "--no-start")
    assert done.code == 0 and "the disk scratch is not in the archive" in done.out, done
    changes = {change["what"]: change for item in desk.plan()["machines"] for change in item["changes"]}
    assert changes["disk scratch"]["kind"] != "refused", changes


def test_a_restore_that_a_kill_left_running_is_not_begun_a_second_time(night: NightDesk) -> None:
    before = erase(night)
    night.fake.restore_behaviour(default_seconds=3600.0)
    restore = ("backup", "restore", _WEB, "--recreate", "--confirm", _WEB)
    assert night.desk.kill_at("POST", "/nodes/pve1/qemu", *restore)
    waits = recreate(night.desk)
    assert waits.code == 1 and "an earlier run began to restore dupont/web-1" in waits.err, waits
    assert len(night.fake.dump()["vms"]) == 2, "the template, and what is being restored"
    night.fake.set_clock(night.fake.now() + 7200)
    vm = wait_for_name(night, "web-1")
    assert vm["vmid"] == before["vmid"] and vm["pool"] == "client-dupont"
    there = recreate(night.desk)
    assert there.code == 1 and "dupont/web-1 exists: VM" in there.err, there
    assert night.desk.apply().code == 0 and night.desk.machines()["web-1"]["status"] == "running"


def wait_for_name(night: NightDesk, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while name not in night.desk.machines():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return night.desk.machines()[name]
