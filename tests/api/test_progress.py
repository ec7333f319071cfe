"""What people see while a command works: a line a machine on a terminal, lines elsewhere, events in JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import struct
import sys
import termios
from concurrent.futures import ThreadPoolExecutor, wait
from fcntl import ioctl
from queue import Queue

from orchestrator.proxmox.task_share import listening
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

START = 1_793_000_000.0
BACKUP = "/nodes/pve1/vzdump"


def _on_a_terminal(desk: Desk, *arguments: str) -> str:
    """Run a command on a terminal of 80 columns. Return what it wrote there."""
    environment = {**desk._environment({}), "TERM": "xterm-256color"}
    del environment["COLUMNS"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(desk.folder)
        ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execve(sys.executable, [sys.executable, "-m", "orchestrator", *arguments], environment)
    written = b""
    try:
        while piece := os.read(terminal, 65536):
            written += piece
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert status == 0, written.decode()
    return written.decode()


def test_a_terminal_shows_a_line_a_machine_and_how_each_ended(desk: Desk) -> None:
    names = ("web-1", "web-2", "a-machine-with-a-name-that-is-rather-long")
    desk.write(subscription("dupont", [machine(name) for name in names]))
    desk.fakes["paris"].control("pace", time_scale=0.05)
    written = _on_a_terminal(desk, "apply", "--yes", "--no-guests")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    moved = [line.rstrip() for line in re.findall(r"[⠀-⣿] [^⠀-⣿\r\n]*", plain)]
    assert moved and all(len(line) <= 80 for line in moved), moved
    shown = {line.split()[1] for line in moved} - {"dupont"}
    assert shown and shown <= {"dupont/web-1", "dupont/web-2", "dupont/a-machine-with-a…"}, shown
    for name in names:
        assert re.search(rf"✓ dupont/{name}  done in \d+ s", plain), plain
    assert re.search(r"[0-3] of 3 machines through, 0\d:\d\d", plain), plain
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is back"


def test_in_json_each_machine_that_is_expected_ends(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    answer = desk.run("apply", "--yes", "--no-guests", "--log-format", "json")
    assert answer.code == 0
    events = [json.loads(line) for line in answer.err.splitlines()]
    (expected,) = [event["machines"] for event in events if event["event"] == "expected"]
    assert sorted(expected) == ["dupont/web-1", "dupont/web-2"]
    ends = {
        (event["client"], event["machine"], event["end"])
        for event in events
        if event["event"] == "machine-ended"
    }
    assert ends == {("dupont", "web-1", "done"), ("dupont", "web-2", "done")}


def test_how_far_a_backup_is_is_told_to_whoever_listens(fakepve: FakePve) -> None:
    fakepve.add_vms(1)
    fakepve.backup_behaviour(default_seconds=100, default_size=4 * 1024**3)
    fakepve.clock(START, speed=0.001)  # the time moves by our hand
    told: Queue[float] = Queue()

    def back_up() -> None:
        with listening(told.put):
            fakepve.cluster().run_task("POST", BACKUP, params={"vmid": 1000, "storage": "local"})

    heard: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(back_up)
        while not fakepve.backup_runs() and not ended.done():
            wait([ended], 0.01)
        try:
            for _ in range(3):
                fakepve.set_clock(fakepve.now() + 26)
                heard.append(told.get(timeout=60))
        finally:
            fakepve.set_clock(START + 1000)
        ended.result(timeout=60)
    assert heard == [0.25, 0.5, 0.75]
    assert any(call.endswith("/log") for call in fakepve.calls("GET"))


def test_nobody_who_does_not_listen_pays_for_it(fakepve: FakePve) -> None:
    fakepve.add_vms(1)
    fakepve.clock(START, speed=1000)
    fakepve.backup_behaviour(default_seconds=100)
    fakepve.cluster().run_task("POST", BACKUP, params={"vmid": 1000, "storage": "local"})
    calls = fakepve.calls("GET")
    assert any(call.endswith("/status") for call in calls)
    assert not any(call.endswith("/log") for call in calls)
