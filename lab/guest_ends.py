"""How guests end, as a node's qmeventd sees it and writes it into the node's log when it runs with ``-v``.

Every QEMU connects to one socket and tells its events. SHUTDOWN says whether the guest asked for it; the end of the
connection is the end of the process, with a SHUTDOWN before it or without. A QEMU connects again by itself when the
server was away, as to qmeventd.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import time
from collections import deque
from pathlib import Path

EVENTS = "events"
"""The socket's name in the run directory."""

_LINES = 2000
"""Lines of a node's log that are kept."""

_LONGEST_EVENT = 64 * 1024


class GuestEnds:
    """The socket, and what is known of guests that ended."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / EVENTS
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=_LINES)

    async def listen(self) -> asyncio.Server:
        """Take connections until the server that is returned is closed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        return await asyncio.start_unix_server(self._serve, str(self._path), limit=_LONGEST_EVENT)

    def lines(self, node: str, since: float, until: float) -> list[str]:
        """A node's log between two times (seconds since the epoch), both included to the second."""
        return [
            text for at, where, text in self._lines if where == node and int(since) <= int(at) <= int(until)
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guest = _guest_of(writer)
        graceful = asked_by_guest = False
        try:
            writer.write(b'{"execute":"qmp_capabilities"}\n')
            while line := await reader.readline():
                event = json.loads(line)
                if event.get("event") == "SHUTDOWN":
                    graceful, asked_by_guest = True, bool(event.get("data", {}).get("guest"))
        except (ValueError, OSError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if guest is not None:
            self._ended(*guest, graceful=graceful, asked_by_guest=asked_by_guest)

    def _ended(self, node: str, vmid: str, *, graceful: bool, asked_by_guest: bool) -> None:
        told = f"executing cleanup (graceful: {int(graceful)}, guest: {int(asked_by_guest)})"
        for text in (f"{vmid}: {told}", f"Starting cleanup for {vmid}", f"Finished cleanup for {vmid}"):
            now = time.time()
            when = time.strftime("%b %d %H:%M:%S", time.gmtime(now))
            self._lines.append((now, node, f"{when} {node} qmeventd[{os.getpid()}]: {text}"))


def _guest_of(writer: asyncio.StreamWriter) -> tuple[str, str] | None:
    """Node and number of the guest that connected: its process names the file of its process id, as in Proxmox."""
    connection: socket.socket = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid = struct.unpack("3i", credentials)[0]
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        file = Path(arguments[arguments.index("-pidfile") + 1])
    except (OSError, ValueError, IndexError):
        return None
    return file.parent.name, file.stem
