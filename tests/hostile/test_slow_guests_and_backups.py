"""Backups never wait for guests: one whose SSH never answers holds neither the backups nor the night's report."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time

import yaml

from orchestrator.guests import SshSettings
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
        deadline = time.monotonic() + 60
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
    assert [item.machine.key for item in plan.updates.planned] == [("dupont", "web-1")]
    assert alive == [True], "the backup began while the look hung"
    assert [line.result for line in report.backups] == ["done"]
    assert _runs(int(hanging.read_text().split()[0])), "and the report did not wait for it"
    assert any("did not end within 3 hours" in problem for problem in report.problems)
    assert [(line.machine, bool(line.problem)) for line in report.guests] == [("web-1", True)]
    assert [line.result for line in report.updates] == ["not-started"], "its update does not begin any more"
    for pid in hanging.read_text().split()[::2]:
        if _runs(int(pid)):
            os.kill(int(pid), 9)


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
    deadline = time.monotonic() + 60
    while not (hanging.exists() and hanging.read_text().strip() and night.archives()):
        assert time.monotonic() < deadline and process.poll() is None, "nobody looks into the guest"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
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
