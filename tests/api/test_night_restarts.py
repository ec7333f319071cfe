"""The night takes up what waits for a restart, in each machine's maintenance window (articles 3.2, 3.8.3)."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

import pytest

from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.restart_round import RestartLine
from orchestrator.nightly.restart_step import WaitingRestart
from orchestrator.nightly.result import NightReport
from orchestrator.resources.notes import Mark, RestartNote, read_mark, write_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import PARIS, NightDesk

_DAY = dt.datetime.now(PARIS).date() + dt.timedelta(days=3)
_NIGHT = dt.datetime.combine(_DAY, dt.time(22), PARIS)
"""Ahead of what is applied now: the window is not open then, for apply would restart machines in it."""

_WINDOW = {"days": [f"{_DAY:%A}".lower()], "from": "22:00", "to": "23:30"}


class _Restarts(NightDesk):
    """Machines of a client with managed services and a window, and nights in which they are restarted."""

    def write(self, *machines: dict[str, Any], window: Any = _WINDOW, **changes: Any) -> None:
        managed = {"level": "supervision", **({"maintenance_window": window} if window else {})}
        document = subscription("dupont", list(machines), managed_services=managed)
        document["contract"].update(changes)
        self.desk.write(document)
        # JSON is YAML, and quotes every time of day.
        (self.desk.folder / "subscriptions" / "dupont.yaml").write_text(json.dumps(document, indent=1))

    def waits(self, *names: str, window: Any = _WINDOW, apart: bool = False, **changes: Any) -> None:
        """Deliver machines, then apply more memory: it waits for a restart."""

        def one(name: str, memory: str) -> dict[str, Any]:
            others = [other for other in names if other != name] if apart else []
            return machine(name, memory=memory, **({"apart_from": others} if others else {}), **changes)

        self.write(*(one(name, "1GiB") for name in names), window=window)
        assert self.desk.apply("--order", "BC-1", "--only", "dupont").code == 0
        self.desk.put_in_service()
        for name in names:
            self.fake.guest_agent({"files": {}}, vmid=self.vmid(name))
        self.write(*(one(name, "2GiB") for name in names), window=window)
        history = str(self.desk.folder / "history.db")
        answer = self.desk.apply("--order", "BC-1", "--only", "dupont", "--history", history)
        assert answer.code == 0, answer
        self.fake.control("report")
        self.fake.control("reset_calls")

    def memory(self, name: str) -> tuple[str, str | None]:
        """What it runs with, and what it will after its next start."""
        vm = self.desk.machines()[name]
        pending = vm["pending"].get("memory")
        return str(vm["config"]["memory"]), None if pending is None else str(pending)

    def mark(self, name: str) -> Mark:
        mark = read_mark(self.desk.machines()[name]["config"]["description"])
        assert mark is not None
        return mark

    def power(self) -> list[str]:
        """The changes of power that the cluster was asked for."""
        words = ("reboot", "shutdown", "stop", "start", "reset")
        calls = self.fake.calls()
        vmids = [
            vm["vmid"] for vm in self.desk.machines().values()
        ]  # the copies of restore tests are gone by now
        named = {f"/{vmid}/status/{word}": word for vmid in vmids for word in words}
        return sorted(
            word
            for call, count in calls.items()
            for ending, word in named.items()
            for _ in range(count)
            if call.startswith("POST") and call.endswith(ending)
        )

    def restarts(self, at: dt.datetime = _NIGHT, **options: Any) -> NightReport:
        """A night in which a minute passes in a second: slow enough for a loaded computer to keep the windows."""
        return self.night(at, speed=60.0, boot_seconds=60.0, **options)

    def set_vm(self, name: str, **attributes: Any) -> None:
        self.fake.control("set_vm", vmid=self.vmid(name), **attributes)

    def plan(self, name: str) -> dict[str, Any]:
        (item,) = [item for item in self.desk.plan()["machines"] if item["machine"] == name]
        return {change["what"]: change for change in item["changes"]}


@pytest.fixture
def night(desk: Desk) -> _Restarts:
    return _Restarts(desk)


def test_a_setting_that_waits_is_taken_up_in_the_window_and_the_guest_is_waited_for(night: _Restarts) -> None:
    night.waits("web-1", backup={"retention_days": 7})
    assert night.memory("web-1") == ("1024", "2048")
    assert f"~ restart dupont/web-1   memory 2048, in the window {_NIGHT:%a %Y-%m-%d} 22:00" in night.preview(
        _NIGHT
    )
    report = night.restarts()
    (line,) = report.of(RestartLine)
    assert (line.result, line.wave, dict(line.settings)) == ("restarted", 1, {"memory": "2048"}), line
    assert not line.failed and not report.of(WaitingRestart)
    assert [made.result for made in report.of(BackupLine)] == ["done"], "one after the other"
    assert night.memory("web-1") == ("2048", None) and night.power() == ["reboot"]
    assert night.mark("web-1").restart is None
    assert "restart" not in night.plan("web-1")
    again = night.restarts(_NIGHT + dt.timedelta(hours=1))
    assert night.power() == ["reboot"], "nothing waits, so nothing is restarted"
    (made,) = again.of(RestartLine)
    assert made.result == "restarted", "and the next report still says what another run has restarted"


def test_a_machine_that_does_not_come_back_is_as_it_was_before_and_is_left_so(night: _Restarts) -> None:
    night.waits("web-1", "web-2", apart=True)
    night.set_vm("web-1", hangs_with={"memory": "2048"})
    report = night.restarts()
    failed, other = sorted(report.of(RestartLine), key=lambda line: line.machine)
    assert (failed.result, failed.failed, failed.wave) == ("put-back", True, 1), failed
    assert "its guest agent did not answer within" in failed.message, failed
    assert "the settings from before are in force again (memory 1024)" in failed.message
    assert other.result == "not-started" and "wave 1 did not end well (dupont/web-1)" in other.message
    assert night.memory("web-1") == ("1024", None) and night.memory("web-2") == ("1024", "2048")
    assert night.power() == ["reboot", "reboot", "start", "stop"], (
        "asked to shut down before it was switched off"
    )
    text = render_night(report, form="md", language="fr")
    assert (
        "Machine non revenue avec ses nouveaux réglages" in text
        and "restart CLIENT/MACHINE --release" in text
    )
    told = render_night(report, form="md", language="fr", client="dupont")
    assert "elle fonctionne avec ceux d’avant" in told and "wave 1" not in told and "--release" not in told

    # It is held: apply does not set it again, no night tries it again, and it is no drift.
    held = night.plan("web-1")["memory"]
    assert (held["kind"], held["drift"]) == ("notice", False) and "its restart is held back since" in held[
        "why"
    ]
    assert night.desk.apply("--order", "BC-1", "--only", "dupont/web-1").code == 0
    assert night.memory("web-1") == ("1024", None)
    night.set_vm("web-1", hangs_with=None)
    night.fake.control("reset_calls")
    week = night.restarts(_NIGHT + dt.timedelta(days=7))
    (line,) = week.of(RestartLine)
    assert (line.machine, line.result) == ("web-2", "restarted") and night.power() == ["reboot"]
    (waiting,) = week.of(WaitingRestart)
    assert waiting.machine == "web-1" and waiting.held and not waiting.failed

    # A person releases it; then it is the file's again.
    released = night.desk.run("restart", "dupont/web-1", "--release", "--reason", "bug 7 fixed")
    assert released.code == 0 and "no longer held back" in released.out, released
    change = night.plan("web-1")["memory"]
    assert (change["kind"], change["drift"]) == ("update", False), change
    assert change["restart"].startswith("in the window"), change


def test_a_machine_that_proxmox_cannot_start_with_its_new_setting_runs_again_with_the_old_one(
    night: _Restarts,
) -> None:
    night.waits("web-1")
    night.set_vm("web-1", fails_with={"memory": "2048"})
    (line,) = night.restarts().of(RestartLine)
    assert line.result == "put-back" and "does not run after" in line.message, line
    assert night.memory("web-1") == ("1024", None) and night.power() == ["reboot", "start"]
    assert night.desk.machines()["web-1"]["status"] == "running"
    # Other settings in the file are other settings: they get their own restart.
    night.set_vm("web-1", fails_with=None)
    night.write(machine("web-1", memory="3GiB"))
    assert night.desk.apply("--order", "BC-2", "--only", "dupont").code == 0
    assert night.memory("web-1") == ("1024", "3072") and night.mark("web-1").restart is None
    (line,) = night.restarts(_NIGHT + dt.timedelta(days=7)).of(RestartLine)
    assert line.result == "restarted" and night.memory("web-1") == ("3072", None)


def test_a_guest_at_work_on_its_disks_is_not_switched_off(night: _Restarts) -> None:
    night.waits("web-1")
    night.set_vm("web-1", hangs_with={"memory": "2048"}, at_work=True)
    (line,) = night.restarts().of(RestartLine)
    assert line.result == "broken" and "is at work on its disks" in line.message, line
    assert night.power() == ["reboot", "reboot"], "never by force"
    assert night.memory("web-1") == ("2048", "1024"), "its next start has the settings from before"


def test_a_guest_that_does_not_shut_down_runs_as_before_and_is_asked_once(night: _Restarts) -> None:
    night.waits("web-1")
    night.set_vm("web-1", acpi=False)
    (line,) = night.restarts().of(RestartLine)
    assert line.result == "stubborn" and line.failed, line
    assert night.memory("web-1") == ("1024", "2048") and night.power() == ["reboot"]
    waiting = night.plan("web-1")["restart"]
    assert waiting["kind"] == "waiting" and "held back since" in waiting["why"] and waiting["restart"] is None
    week = night.restarts(_NIGHT + dt.timedelta(days=7))
    assert not week.of(RestartLine) and night.power() == ["reboot"]
    (held,) = week.of(WaitingRestart)
    assert held.held and not held.failed
    # Restarted by a person, it is held back no more.
    forced = night.desk.run("restart", "dupont/web-1", "--force", "--yes", "--boot-timeout", "5")
    assert forced.code == 0, forced
    assert night.memory("web-1") == ("2048", None) and night.mark("web-1").restart is None


def test_what_is_not_restarted_and_what_is_said_of_it(night: _Restarts) -> None:
    names = ("web-1", "web-2", "web-3", "web-4", "web-5")
    night.waits(*names)
    cluster = night.fake.cluster()
    # Somebody gave one more memory by hand, another one another processor; a backup of somebody's own runs.
    by_hand = night.desk.machines()["web-1"]
    cluster.put(f"/nodes/{by_hand['node']}/qemu/{by_hand['vmid']}/config", memory=65536)
    other = night.desk.machines()["web-2"]
    cluster.put(f"/nodes/{other['node']}/qemu/{other['vmid']}/config", cpu="host")
    night.set_vm("web-3", status="stopped", qmpstatus="stopped")
    night.set_vm("web-4", lock="backup")
    # The client restarted the last one from Proxmox's point of view: nothing waits any more.
    fifth = night.desk.machines()["web-5"]
    night.fake.control("report")
    cluster.wait_for_task(
        str(cluster.post(f"/nodes/{fifth['node']}/qemu/{fifth['vmid']}/status/reboot")), timeout_seconds=30
    )
    night.fake.control("reset_calls")
    report = night.restarts(closes_at=_NIGHT + dt.timedelta(minutes=30))
    ends = {line.machine: line for line in report.of(RestartLine)}
    assert ends.keys() == {"web-1", "web-2", "web-4"}, ends
    assert (
        "a restart would also take up what nobody applied from a file (memory of VM" in ends["web-1"].message
    )
    assert "(cpu of VM" in ends["web-2"].message
    assert ends["web-4"].result in ("busy", "not-started") and ends["web-4"].failed
    assert night.power() == [], "nothing was restarted, stopped or started"
    assert night.memory("web-3") == ("1024", "2048"), "taken up when it is started"
    text = render_night(report, form="md", language="fr")
    assert text.count("Redémarrage non ") >= 2 and "Réglages qui attendent un redémarrage" in text


def test_suspended_clients_and_machines_without_a_window_have_no_restart(night: _Restarts) -> None:
    night.waits("web-1")
    suspension = {"since": f"{_DAY}", "reference": "LRAR-1"}
    night.write(machine("web-1", memory="2GiB"), status="suspended", suspension=suspension)
    report = night.restarts()
    assert not report.of(RestartLine) and not report.of(WaitingRestart) and night.power() == []
    night.write(machine("web-1", memory="2GiB"), window=None)
    (waiting,) = night.restarts().of(WaitingRestart)
    assert (waiting.machine, waiting.opens, waiting.held, waiting.failed) == ("web-1", None, "", False)
    assert waiting.since is not None and dict(waiting.settings) == {"memory": "2048"}
    assert night.power() == []


def test_a_window_that_leaves_no_time_begins_nothing_and_one_that_passed_is_told(night: _Restarts) -> None:
    night.waits("web-1")
    short = _NIGHT + dt.timedelta(minutes=88)  # the window closes at 23:30; a restart may take four minutes
    (line,) = night.restarts(short).of(RestartLine)
    assert line.result == "not-started" and "none was begun that could not end in it" in line.message, line
    assert night.power() == []
    # The next night sees that the window passed and nobody restarted it: outside the nights that is the timer's.
    later = night.restarts(_NIGHT + dt.timedelta(days=1))
    (waiting,) = later.of(WaitingRestart)
    assert waiting.failed and waiting.missed is not None and waiting.missed[0] == _NIGHT, waiting
    text = render_night(later, form="md", language="en")
    assert "Window passed without the restart" in text and "orchestrator-restarts.timer" in text


@pytest.mark.parametrize("call", ["note", "reboot", "config"])
def test_a_killed_run_is_finished_by_the_next_one(night: _Restarts, call: str) -> None:
    """Killed before the restart, after it, or after the settings were put back: the machine's notes say which."""
    night.waits("web-1")
    vm = night.desk.machines()["web-1"]
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
    cluster = night.fake.cluster()
    since = dt.datetime.now(dt.UTC).replace(microsecond=0)
    note = RestartNote(
        state="going-back" if call == "config" else "running",
        since=since,
        settings={"memory": "2048"},
        before={"memory": "1024"},
        reason="it did not come back",
    )
    text = vm["config"]["description"]
    mark = read_mark(text)
    assert mark is not None
    cluster.put(f"{path}/config", description=write_mark(mark.with_(restart=note), text))
    if call != "note":
        cluster.wait_for_task(str(cluster.post(f"{path}/status/reboot")), timeout_seconds=30)
    if call == "config":
        cluster.put(f"{path}/config", memory=1024)
    night.fake.control("reset_calls")
    outside = _NIGHT - dt.timedelta(days=1)
    (line,) = night.restarts(outside).of(RestartLine)
    if call == "note":
        assert line.result == "not-started" and "its window is closed, the next one opens" in line.message
        assert night.power() == [] and night.mark("web-1").restart is None, "never outside its window"
        (line,) = night.restarts().of(RestartLine)
        assert line.result == "restarted"
    elif call == "reboot":
        assert line.result == "restarted" and night.power() == [], (
            "it was restarted once, and that was enough"
        )
        assert night.memory("web-1") == ("2048", None) and night.mark("web-1").restart is None
    else:
        assert line.result == "put-back" and night.power() == ["reboot"]
        assert night.memory("web-1") == ("1024", None)
        held = night.mark("web-1").restart
        assert held is not None and held.state == "held"


def _open_window() -> dict[str, Any]:
    """A window that is open now, whatever the time and the day, for two hours at least."""
    now = dt.datetime.now(PARIS)
    days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    starts, ends = now - dt.timedelta(hours=1), now + dt.timedelta(hours=3)
    return {"days": days, "from": f"{starts:%H:%M}", "to": f"{ends:%H:%M}"}


def _due(night: _Restarts, *options: str) -> Any:
    history = str(night.desk.folder / "history.db")
    return night.desk.run("restart", "--due", "--boot-timeout", "3", "--history", history, *options)


def test_the_timer_asks_no_site_while_no_window_is_open(night: _Restarts) -> None:
    night.waits("web-1")
    answer = _due(night)
    assert answer.code == 0 and night.fake.calls() == {}, answer
    assert f"no maintenance window is open; the next opens {_NIGHT:%a %Y-%m-%d} 22:00" in answer.out


def test_the_timer_restarts_in_a_window_outside_the_night_and_what_waits_is_counted(night: _Restarts) -> None:
    night.waits("web-1", "web-2", apart=True)
    history = ("--history", str(night.desk.folder / "history.db"))
    since = night.desk.plan(*history)["waiting_since"]
    assert since.keys() == {"dupont/web-1", "dupont/web-2"}
    today = f"{dt.datetime.fromisoformat(since['dupont/web-1']).astimezone(PARIS):%a %Y-%m-%d %H:%M}"
    plan, shown = night.desk.run("plan", *history), night.desk.run("show", "dupont", *history)
    assert f"2 restarts on {_NIGHT:%a %Y-%m-%d} 22:00" in plan.out, plan
    assert f"2 waiting already, the oldest since {today}" in plan.out
    assert re.search(rf"restart web-1 +memory 2048   since {today}", plan.out)
    assert f"memory 2048 (until its next restart, since {today}" in shown.out, shown
    assert f"2 machines wait for a restart, the oldest since {today}" in shown.out

    both = [
        machine(name, memory="2GiB", apart_from=[other])
        for name, other in (("web-1", "web-2"), ("web-2", "web-1"))
    ]
    night.write(*both, window=_open_window())
    looked = _due(night, "--dry-run")
    assert looked.code == 0 and "would be restarted: dupont/web-1: memory 2048" in looked.out, looked
    assert night.power() == []
    night.set_vm("web-2", hangs_with={"memory": "2048"})
    answer = _due(night)
    assert answer.code == 1 and "dupont/web-1: restarted" in answer.out, answer
    assert "dupont/web-2: put back: it runs, but its guest agent did not answer" in answer.out
    assert night.memory("web-1") == ("2048", None) and night.memory("web-2") == ("1024", None)
    night.fake.control("reset_calls")
    again = _due(night)
    assert again.code == 0 and night.power() == [], again
    rows = night.desk.run("history", "dupont/web-2", *history).out
    assert "restart in window" in rows and "set back" in rows and "switch off" in rows
    told = night.restarts(dt.datetime.now(PARIS) + dt.timedelta(hours=4))
    assert "restarted" in {line.result for line in told.of(RestartLine)}, "the night tells what the timer did"


def test_two_timers_at_once_restart_a_machine_once(night: _Restarts) -> None:
    night.waits("web-1")
    night.write(machine("web-1", memory="2GiB"), window=_open_window())
    history = str(night.desk.folder / "history.db")
    command = ("restart", "--due", "--boot-timeout", "3", "--history", history)
    runs = [night.desk.start(*command) for _ in range(2)]
    answers = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], answers
    assert night.power() == ["reboot"] and night.memory("web-1") == ("2048", None), answers


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("dupont/web-1", "--due"), "leave out CLIENT/MACHINE"),
        (("--due", "--force"), "leave out CLIENT/MACHINE, --force and --release"),
        ((), "name a machine, CLIENT/MACHINE, or give --due"),
        (("dupont/web-1", "--dry-run"), "--site and --dry-run go with --due"),
        (("dupont/web-1", "--release", "--yes"), "--release restarts nothing"),
        (("dupont/web-1", "--release"), "its restart is not held back"),
    ],
)
def test_a_command_that_says_two_things_does_neither(
    night: _Restarts, options: tuple[str, ...], said: str
) -> None:
    night.write(machine("web-1"))
    if said.startswith("its restart"):
        night.waits("web-1")
    answer = night.desk.run("restart", *options)
    assert answer.code == 1 and said in answer.err and night.power() == [], answer
