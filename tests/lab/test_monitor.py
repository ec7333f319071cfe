"""QEMU's monitor as the lab uses it: one connection a question, however busy QEMU is with jobs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from lab.qemu import Guests

_TALKING_OVER = """
import json, socket, sys

def say(connection, message):
    connection.sendall(json.dumps(message).encode() + b"\\n")

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
    while text := connection.recv(65536):
        asked = json.loads(text)
        if asked["execute"] == "qmp_capabilities" and number == 1:
            say(connection, event)
        say(connection, {"return": {"heard": asked["execute"]}} | ({"id": asked["id"]} if "id" in asked else {}))
"""
"""A monitor that says an event before its greeting, then one before its first answer (QEMU 7.2: one copy in forty)."""


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
