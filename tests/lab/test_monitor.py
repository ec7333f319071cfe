"""QEMU's monitor as the lab uses it: one connection a question, however busy QEMU is with jobs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from lab.qemu import GuestNotRunningError, Guests

_TALKING_OVER = """
import contextlib, json, socket, sys

def say(connection, message):
    with contextlib.suppress(BrokenPipeError):  # who is told an event first may have gone
        connection.sendall(json.dumps(message).encode() + b"\\n")

def heard(connection):
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(65536)

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
event = {"event": "JOB_STATUS_CHANGE", "data": {"id": "copy-scsi0", "status": "waiting"},
         "timestamp": {"seconds": 1, "microseconds": 1}}
for number in range(3):
    connection, _ = listener.accept()
    if number == 0:
        say(connection, event)
    say(connection, {"QMP": {"version": {}, "capabilities": []}})
    while text := heard(connection):
        asked = json.loads(text)
        if asked["execute"] == "qmp_capabilities" and number == 1:
            say(connection, event)
        say(connection, {"return": {"heard": asked["execute"]}} | ({"id": asked["id"]} if "id" in asked else {}))
"""
"""A monitor that says an event before its greeting, then one before its first answer (QEMU 7.2: one copy in forty)."""


_SLOW = """
import json, os, socket, sys

listener = socket.socket(socket.AF_UNIX)
print("started", flush=True)
sys.stdin.readline()
listener.bind(sys.argv[1])
sys.stdin.readline()
listener.listen()
connection, _ = listener.accept()
connection.sendall(json.dumps({"QMP": {"version": {}, "capabilities": []}}).encode() + b"\\n")
while text := connection.recv(65536):
    asked = json.loads(text)
    answer = {"return": {"heard": asked["execute"]}} | ({"id": asked["id"]} if "id" in asked else {})
    connection.sendall(json.dumps(answer).encode() + b"\\n")
"""
"""A QEMU on a busy computer: its process is there, then the socket of its monitor, and later it listens."""


@contextmanager
def starting(guests: Guests) -> Iterator[subprocess.Popen[str]]:
    """A guest whose QEMU has written its process id, and goes on a step for each line that it is sent."""
    files = guests.files("pve1", 100)
    files.pid.parent.mkdir(parents=True)
    command = [sys.executable, "-c", _SLOW, str(files.monitor), str(files.pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as qemu:
        try:
            assert qemu.stdout is not None
            assert qemu.stdout.readline() == "started\n"
            files.pid.write_text(str(qemu.pid))
            yield qemu
        finally:
            qemu.kill()


@contextmanager
def refusals() -> Iterator[list[Exception | None]]:
    """Why connections are tried again, as they are."""
    seen: list[Exception | None] = []

    def keep(details: RetryDetails) -> None:
        seen.append(getattr(details.caused_by, "exc", None))

    set_on_retry_hooks([keep])
    try:
        yield seen
    finally:
        set_on_retry_hooks(None)


async def until_refused(
    asking: asyncio.Task[object], seen: list[Exception | None], reason: type[OSError]
) -> None:
    """Wait until a connection was refused for a reason, or nobody tries any more."""
    while not asking.done() and not any(isinstance(error, reason) for error in seen):
        await asyncio.sleep(0.01)


def test_a_monitor_whose_socket_is_not_there_or_does_not_listen_yet_is_waited_for(tmp_path: Path) -> None:
    guests = Guests("lab", tmp_path, tmp_path)

    async def ask(qemu: subprocess.Popen[str], seen: list[Exception | None]) -> object:
        asking = asyncio.create_task(_ask(guests))
        await until_refused(asking, seen, FileNotFoundError)
        go_on(qemu)
        await until_refused(asking, seen, ConnectionRefusedError)
        go_on(qemu)
        return await asking

    with starting(guests) as qemu, refusals() as seen:
        assert asyncio.run(ask(qemu, seen)) == {"heard": "cont"}


def test_a_qemu_that_ends_before_its_monitor_listens_is_no_running_guest(tmp_path: Path) -> None:
    guests = Guests("lab", tmp_path, tmp_path)

    async def ask(qemu: subprocess.Popen[str], seen: list[Exception | None]) -> object:
        asking = asyncio.create_task(_ask(guests))
        await until_refused(asking, seen, FileNotFoundError)
        qemu.kill()
        return await asking

    with starting(guests) as qemu, refusals() as seen, pytest.raises(GuestNotRunningError):
        asyncio.run(ask(qemu, seen))


def go_on(qemu: subprocess.Popen[str]) -> None:
    assert qemu.stdin is not None
    qemu.stdin.write("go on\n")
    qemu.stdin.flush()


def test_an_event_before_the_greeting_or_the_first_answer_is_no_failure(tmp_path: Path) -> None:
    guests = Guests("lab", tmp_path, tmp_path)
    files = guests.files("pve1", 100)
    files.pid.parent.mkdir(parents=True)
    command = [sys.executable, "-c", _TALKING_OVER, str(files.monitor), str(files.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as qemu:
        try:
            assert qemu.stdout is not None
            assert qemu.stdout.readline() == "listening\n"
            files.pid.write_text(str(qemu.pid))
            assert asyncio.run(_ask(guests)) == {"heard": "cont"}
        finally:
            qemu.terminate()


async def _ask(guests: Guests) -> object:
    async with guests.monitor("pve1", 100) as monitor:
        return await monitor.execute("cont")
