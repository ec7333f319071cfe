"""Backups never wait for guests: one whose SSH never answers holds neither the backups nor the night's report."""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
import time

import yaml

from orchestrator.guests import SshSettings
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.guest_look import GuestLine
from orchestrator.nightly.update_round import UpdateLine
from orchestrator.nightly.update_step import UpdateStep
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import AGENT, MONDAY_NIGHT, NightDesk

_MANAGED = {
    "level": "supervision",
    "updates": "automatic",
    "maintenance_window": {"days": ["monday"], "from": "22:00", "to": "23:30"},
}
_HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKURtZCucXETzzcQIDs1+Vtfi1dn37SdGSoJus4g4ca3"


def test_a_guest_that_hangs_holds_neither_backups_nor_the_report(desk: Desk) -> None:
    night = NightDesk(desk)
    made = machine("web-1", backup={"retention_days": 7})
    desk.write(subscription("dupont", [made], managed_services=_MANAGED))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True, host_keys=(_HOST_KEY,))
    night.fake.guest_agent({"files": AGENT["files"]}, vmid=night.vmid("web-1"))
    hanging = desk.folder / "hanging"
    # The way to the guest takes the connection and never says a word; it notes itself, and the ssh that waits for it.
    hung = desk.folder / "hang.sh"
    hung.write_text(f"#!/bin/sh\necho $$ $PPID >> {hanging}\nexec sleep 600\n")
    hung.chmod(0o755)
    alive: list[bool] = []

    def at_the_first_backup(event: str) -> None:
        if event != "backup-started":
            return
        deadline = time.monotonic() + 120
        while not hanging.exists() or not hanging.read_text().strip():
            assert time.monotonic() < deadline, "nobody looks into the guest"
            time.sleep(0.05)
        alive.append(all(_runs(int(pid)) for pid in hanging.read_text().split()[:2]))

    night.on_event = at_the_first_backup
    key = desk.folder / "id"
    ssh = SshSettings(private_key=key, proxy_command=str(hung), connect_timeout_seconds=120)
    report, plan = night.night_and_plan(
        MONDAY_NIGHT, speed=7200, ssh=ssh, closes_at=MONDAY_NIGHT + dt.timedelta(days=30)
    )
    assert [item.machine.key for item in plan.step(UpdateStep).plan.planned] == [("dupont", "web-1")]
    assert alive == [True], "the backup began while the look hung"
    assert [line.result for line in report.of(BackupLine)] == ["done"]
    assert _runs(int(hanging.read_text().split()[0])), "and the report did not wait for it"
    assert any("did not end within 3 hours" in problem for problem in report.problems)
    assert [(line.machine, bool(line.problem)) for line in report.of(GuestLine)] == [("web-1", True)]
    assert [line.result for line in report.of(UpdateLine)] == ["not-started"], (
        "its update does not begin any more"
    )
    for pid in hanging.read_text().split()[::2]:
        if _runs(int(pid)):
            os.kill(int(pid), 9)


def test_an_update_that_goes_on_holds_up_the_backup_of_its_own_machine_alone(desk: Desk) -> None:
    """Backups on a node, and on a storage, are made one after the other: the next one does not wait for a guest."""
    night = NightDesk(desk)
    night.deliver("web-1", "db-1", "app-1")
    updated = ("dupont", "web-1")
    assert night.claims.take(updated, wait=False), "as the updates do with a machine, for as long as it likes"
    at_the_latest = threading.Timer(60, night.claims.give_back, [updated])
    at_the_latest.start()
    night.on_event = lambda event: night.claims.give_back(updated) if event == "restore-test-ended" else None
    report = night.night()
    at_the_latest.cancel()
    order = [fields["machine"] for event, fields in night.events if event == "backup-done"]
    tested = [event for event, _ in night.events if event in ("restore-test-ended", "backup-done")]
    assert sorted(order[:2]) == ["app-1", "db-1"] and order[2:] == ["web-1"] and report.well, report.problems
    assert tested.index("restore-test-ended") == 2, "nor does anything else of the night"

    # One that never ends is a failure with its name.
    tonight = MONDAY_NIGHT + dt.timedelta(days=1)
    assert night.claims.take(updated, wait=False)
    ended: list[str] = []

    def the_others_are_done(event: str) -> None:
        ended.extend([event] if event == "backup-done" else [])
        if len(ended) == 2:
            night.hurry(1200)

    night.on_event = the_others_are_done
    report = night.night(tonight, closes_at=tonight + dt.timedelta(hours=1), speed=20)
    lines = {line.machine: line for line in report.of(BackupLine)}
    assert {name: line.result for name, line in lines.items()} == {
        "app-1": "done",
        "db-1": "done",
        "web-1": "not-started",
    }
    assert "its updates had not ended" in lines["web-1"].message and not report.well


def test_a_night_that_is_ended_does_not_wait_for_a_guest_that_hangs(desk: Desk) -> None:
    """The look changes nothing: systemd would kill the night long before it ends, and then there is no report."""
    night = NightDesk(desk)
    desk.write(
        subscription("dupont", [machine("web-1", backup={"retention_days": 7})], managed_services=_MANAGED)
    )
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True, host_keys=(_HOST_KEY,))
    hanging = desk.folder / "hanging"
    hung = desk.folder / "hang.sh"
    hung.write_text(f"#!/bin/sh\necho $$ >> {hanging}\nexec sleep 600\n")
    hung.chmod(0o755)
    provider = yaml.safe_load((desk.folder / "sites.yaml").read_text())
    provider["management"]["ssh_proxy_command"] = str(hung)
    (desk.folder / "sites.yaml").write_text(yaml.safe_dump(provider))
    process = desk.start("nightly", "--in-working-hours", "--boot-timeout", "1")
    deadline = time.monotonic() + 120
    while not (hanging.exists() and hanging.read_text().strip() and night.archives()):
        assert time.monotonic() < deadline and process.poll() is None, "nobody looks into the guest"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, err
    (report,) = (desk.folder / "state" / "orchestrator" / "reports").glob("*.md")
    assert "interrupted" in report.read_text(), report.read_text()
    for pid in hanging.read_text().split():
        if _runs(int(pid)):
            os.kill(int(pid), 9)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
