"""Ctrl-C and SIGTERM: nothing new is begun, what runs is finished or left to Proxmox, and a second one ends at once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.applying.journal import Journal
from orchestrator.applying.limits import FIRST_CLONES
from orchestrator.applying.stopping import LEAVE_SECONDS, Interrupted, Stopping
from orchestrator.history import open_history
from orchestrator.proxmox import TaskLeft, Unreachable
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import NightDesk

_APPLY = ("apply", "--yes", "--no-guests")


def _until(happened: Callable[[], object]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def _line(process: subprocess.Popen[str], text: str) -> str:
    """Read the process's errors up to a line with this text."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"it never said {text!r}")


def _clones(fake: FakePve) -> int:
    return sum(n for call, n in fake.calls("POST").items() if call.endswith("/clone"))


def _locks(fake: FakePve) -> list[str]:
    return [name for name in fake.dump()["pools"] if name.startswith("orchestrator-lock-")]


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """The commands hear every signal, also where the tests run in the background (a shell has them ignored there)."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_the_first_signal_finishes_what_runs_and_begins_nothing_more(desk: Desk, number: int) -> None:
    """More machines than clones at a time: none goes on to its configuration, and no other one is begun."""
    names = [f"web-{number}" for number in range(1, FIRST_CLONES + 3)]
    desk.write(subscription("dupont", [machine(name) for name in names]))
    fake = desk.fakes["paris"]
    fake.control("pace", clone_seconds=3600)
    process = desk.start(*_APPLY)
    assert process.stdout is not None
    begun = 0
    while begun < FIRST_CLONES:
        begun += process.stdout.readline().endswith("  clone\n")
    process.send_signal(number)
    said = _line(process, "interrupted")
    assert "nothing new is started" in said and "dupont/web-" in said and "clone" in said, said
    fake.control("pace")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, (out, err)
    assert f"0 done, {len(names)} not" in out and out.count("interrupted  dupont/web-") == len(names), out
    assert len(desk.machines()) == FIRST_CLONES, (out, fake.calls())
    assert all("ipconfig0" not in vm["config"] for vm in desk.machines().values())
    assert _locks(fake) == []
    assert desk.apply().code == 0
    assert sorted(desk.machines()) == names
    assert {vm["status"] for vm in desk.machines().values()} == {"running"}
    assert desk.run("history", "verify").code == 0


def test_the_second_signal_ends_at_once_and_the_next_run_goes_on(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    fake = desk.fakes["paris"]
    fake.fault("POST", ".*/clone", "endless")
    process = desk.start(*_APPLY)
    _until(lambda: _clones(fake))
    process.send_signal(signal.SIGINT)
    _line(process, "Interrupt again to end at once")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "ended at once" in err and "Traceback" not in err, err
    assert len(_locks(fake)) == 1, (
        "nobody knows what still runs: the lock stays until the next run sees that it is dead"
    )
    fake.control("clear_faults")
    again = desk.apply()
    assert again.code == 0 and list(desk.machines()) == ["web-1"], again
    assert _locks(fake) == []


def _waits(pid: int) -> bool:
    """Whether the main thread of a process sleeps, and goes on sleeping."""
    stat = Path(f"/proc/{pid}/task/{pid}/stat")
    for _ in range(20):
        if stat.read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.02)
    return True


def test_a_plan_that_waits_for_a_silent_site_ends_soon(desk: Desk) -> None:
    """The threads that read it would wait for minutes. Of the second signal, at once."""
    fake = desk.fakes["paris"]
    fake.fault("GET", "/cluster/resources", "hang", seconds=3600, times=9)
    desk.write(subscription("dupont", [machine("web-1")]))
    for signals in (1, 2):
        fake.control("reset_calls")
        process = desk.start("plan")
        _until(lambda: fake.calls().get("GET /cluster/resources"))
        # Before, it reads the files, and ends in order when it is interrupted.
        _until(partial(_waits, process.pid))
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)  # two that come at once may be heard as one
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130 and "ended at once" in err and "Traceback" not in err, err


def test_an_interrupted_run_does_not_send_a_failed_call_again(fakepve: FakePve) -> None:
    cluster = fakepve.cluster()
    fakepve.fault("GET", "/version", "reset", times=9)
    cluster.leaves_task = lambda: True
    with pytest.raises(Unreachable):
        cluster.get("/version")
    assert fakepve.calls() == {"GET /version": 1}


def test_an_interruption_at_the_question_changes_nothing(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    fake = desk.fakes["paris"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "apply", "--no-guests"],
        cwd=desk.folder,
        env={
            **os.environ,
            "ORCHESTRATOR_INVENTORY": str(desk.folder / "sites.yaml"),
            "XDG_STATE_HOME": str(desk.folder / "state"),
        },
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    assert process.stdout is not None
    shown = b""
    while b"Apply this plan?" not in shown:
        shown += os.read(process.stdout.fileno(), 1000) or b"Apply this plan? it ended"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode in (1, 130) and b"Traceback" not in err, err
    assert not [call for call in fake.calls(locks=True) if not call.startswith("GET ")]


def test_a_night_that_is_ended_reports_what_it_did_not_do(desk: Desk) -> None:
    night = NightDesk(desk)
    night.deliver("web-1", "db-1")
    fake = desk.fakes["paris"]
    fake.clock(speed=1.0)
    fake.backup_behaviour(default_seconds=600)
    process = desk.start("nightly", "--in-working-hours", "--log-format", "text")
    _until(lambda: any(call.endswith("/vzdump") for call in fake.calls("POST")))
    process.send_signal(signal.SIGTERM)
    _line(process, "nothing new is started")
    fake.set_clock(fake.now() + 600)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130 and "Traceback" not in err, (out, err)
    (report,) = (desk.folder / "state" / "orchestrator" / "reports").glob("*.md")
    assert "db-1" in report.read_text() and len(night.archives()) == 1, (out, err)
    assert _locks(fake) == []


def test_a_restore_test_that_is_ended_removes_its_copy_and_judges_nothing(desk: Desk) -> None:
    night = NightDesk(desk)
    night.deliver("web-1")
    assert desk.run("backup", "now", "dupont/web-1").code == 0
    night.fake.guest_agent({"ping": False}, vmid=night.vmid("web-1"))
    process = desk.start("backup", "verify", "dupont/web-1")
    _until(lambda: any(call.endswith("/agent/ping") for call in night.fake.calls("POST")))
    for second in (
        desk.run("snapshot", "create", "dupont/web-1", "now"),
        desk.run("backup", "restore", "dupont/web-1", "--as", "web-9"),
    ):
        assert second.code == 1 and "a restore test) is changing dupont" in second.err, second
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err, (out, err)
    assert list(desk.machines()) == ["web-1"] and _locks(night.fake) == [], "the copy has gone"
    (archive,) = night.archives()
    assert "test" not in archive["notes"].split("orchestrator-backup")[1], archive


def test_a_long_task_is_left_to_proxmox_and_what_must_not_be_half_done_is_seen_through(
    fakepve: FakePve,
) -> None:
    now = [0.0]
    stopping = Stopping(monotonic=lambda: now[0])
    cluster = fakepve.cluster()
    cluster.leaves_task = stopping.leaves_task
    fakepve.add_vms(1, first=100)
    fakepve.fault("POST", ".*/status/start", "endless")
    stopping.ask()
    asked: list[float] = []

    def leaves() -> bool:
        asked.append(now[0])
        now[0] += LEAVE_SECONDS / 3
        return stopping.leaves_task()

    cluster.leaves_task = leaves
    with pytest.raises(TaskLeft, match="continues in Proxmox"):
        cluster.run_task("POST", "/nodes/pve1/qemu/100/status/start")
    assert len(asked) == 3, "it was waited for as long as a short task takes"
    with stopping.finishing("exchange of disks"):
        stopping.check()
        assert not stopping.leaves_task() and stopping.running == ["exchange of disks (to its end)"]
    assert stopping.leaves_task()
    with pytest.raises(Interrupted):
        stopping.pause(60)


def test_no_step_begins_after_the_end_was_asked_for(tmp_path: Path) -> None:
    with open_history(tmp_path / "h.db") as history:
        journal = Journal(history=history, who="me", why="test", run="r")
        with journal.step("dupont", "web-1", "paris", "start"):
            assert journal.stopping.running == ["dupont/web-1: start"]
            journal.stopping.ask()
        with pytest.raises(Interrupted), journal.step("dupont", "web-1", "paris", "configure"):
            raise AssertionError("it was begun")
        assert [entry.action for entry in history.entries()] == ["start"]


_DEAF = """
import signal, sys
from orchestrator.applying import stopping
stopping.GRACE_SECONDS = 0.3
with stopping.Signals(stopping.Stopping(), lambda running: None):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the main thread's wait is not interrupted
    print("asked", flush=True)
    sys.stdin.read()
"""


def test_a_signal_in_the_instant_before_an_answer_is_waited_for_ends_the_command() -> None:
    """It wakes nobody: the main thread is in C code by then, and looks for signals when the answer has come."""
    process = subprocess.Popen(
        [sys.executable, "-c", _DEAF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None and process.stdout.readline() == b"asked\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.communicate()
