"""Talking to the QEMU guest agent inside a guest.

One connection per guest is opened and kept: with a new connection for each command the agent was
seen spinning at 92 % of the guest's processor. Because the connection outlives reboots of the guest
and restarts of the agent, each exchange that follows a doubt (a new connection, a time-out) begins
with the agent's own synchronisation: a request with a number, and everything up to its answer is
thrown away as left over. A request to synchronise that got no answer yet is waited for again and only
repeated after a while (the guest may have been reset and lost it), so that a guest that boots slowly
does not find a heap of them.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_READ = 16 * 1024 * 1024
"""Bytes that `read_file` returns at most, as Proxmox does."""

_CHUNK = 1024 * 1024
_LINE_LIMIT = 48 * _CHUNK
"""Longest answer: 16 MiB each of a program's output and errors, in base64."""

_SYNC_REPEATED_AFTER = 3.0
"""Seconds without an answer after which a request to synchronise counts as lost."""

_DELIMITER = b"\xff"


class AgentNotRunningError(RuntimeError):
    """Nobody answers: the guest is off, still booting, or has no agent."""


class AgentError(RuntimeError):
    """The agent answered that it could not do what was asked; the message is its own."""


@dataclass(frozen=True)
class ExecStatus:
    """State of a program that the agent has started; output is what it wrote, once it has ended.

    Attributes:
        exited: whether it has ended.
        exitcode: its exit status, where it ended by itself.
        signal: the signal that killed it, where one did.
        out_data, err_data: its standard output and error.
        out_truncated, err_truncated: whether the agent has thrown some away (beyond 16 MiB).
    """

    exited: bool
    exitcode: int | None
    signal: int | None
    out_data: bytes
    err_data: bytes
    out_truncated: bool
    err_truncated: bool


class GuestAgent:
    """The agent of one guest. Commands of several tasks are sent one after the other."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._lock = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._awaited_sync: int | None = None
        self._sync_sent_at = 0.0
        self._in_sync = False

    async def ping(self, *, timeout: float = 3.0) -> None:
        """Return if the agent answers within `timeout` seconds.

        Raises:
            AgentNotRunningError: it does not.
        """
        await self.command("guest-ping", timeout=timeout)

    async def execute(
        self, argv: Sequence[str], *, input_data: bytes | None = None, timeout: float = 30.0
    ) -> int:
        """Start a program in the guest, as root and without a shell, and return its process id there.

        Raises:
            AgentNotRunningError: nobody answers.
            AgentError: there is no such program.
        """
        arguments: dict[str, object] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        if input_data is not None:
            arguments["input-data"] = base64.b64encode(input_data).decode()
        answer = await self.command("guest-exec", arguments, timeout=timeout)
        return int(answer["pid"])

    async def exec_status(self, pid: int, *, timeout: float = 30.0) -> ExecStatus:
        """Ask what became of a program started by `execute`. The agent forgets it once it was told ended.

        Raises:
            AgentNotRunningError: nobody answers.
            AgentError: the agent has started no such program.
        """
        answer = await self.command("guest-exec-status", {"pid": pid}, timeout=timeout)
        return ExecStatus(
            exited=bool(answer["exited"]),
            exitcode=answer.get("exitcode"),
            signal=answer.get("signal"),
            out_data=base64.b64decode(answer.get("out-data", "")),
            err_data=base64.b64decode(answer.get("err-data", "")),
            out_truncated=bool(answer.get("out-truncated", False)),
            err_truncated=bool(answer.get("err-truncated", False)),
        )

    async def read_file(self, path: str, *, timeout: float = 30.0) -> tuple[bytes, bool]:
        """Read a file of the guest: up to 16 MiB of it, and whether there was more.

        Raises:
            AgentNotRunningError: nobody answers.
            AgentError: there is no such file.
        """
        handle = await self.command("guest-file-open", {"path": path, "mode": "r"}, timeout=timeout)
        content = bytearray()
        try:
            while len(content) <= LARGEST_READ:
                part = await self.command(
                    "guest-file-read", {"handle": handle, "count": _CHUNK}, timeout=timeout
                )
                content += base64.b64decode(part["buf-b64"])
                if part["eof"]:
                    break
        finally:
            with suppress(AgentError, AgentNotRunningError):
                await self.command("guest-file-close", {"handle": handle}, timeout=timeout)
        return bytes(content[:LARGEST_READ]), len(content) > LARGEST_READ

    async def command(
        self, name: str, arguments: Mapping[str, object] | None = None, *, timeout: float = 30.0
    ) -> Any:
        """Send one command and return what the agent returns; `timeout` is in seconds, waiting in line included.

        Raises:
            AgentNotRunningError: nobody answers in time.
            AgentError: the agent refuses.
        """
        request: dict[str, object] = {"execute": name} | ({"arguments": dict(arguments)} if arguments else {})
        try:
            async with asyncio.timeout(timeout), self._lock:
                answer = await self._exchange(request)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise AgentNotRunningError("QEMU guest agent is not running") from error
        if "error" in answer:
            raise AgentError(str(answer["error"].get("desc", answer["error"])))
        return answer["return"]

    def close(self) -> None:
        """Give the connection up, as when the guest has ended."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = self._awaited_sync = None
        self._in_sync = False

    async def _exchange(self, request: Mapping[str, object]) -> dict[str, Any]:
        reader, writer = await self._connection()
        try:
            if not self._in_sync:
                await self._synchronise(reader, writer)
            # An interrupted exchange leaves an answer to come, which is not that of the next command.
            self._in_sync = False
            writer.write(json.dumps(request).encode() + b"\n")
            await writer.drain()
            answer: dict[str, Any] = json.loads(await reader.readuntil(b"\n"))
            self._in_sync = True
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise
        return answer

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_unix_connection(self._socket, limit=_LINE_LIMIT)
        return self._reader, self._writer

    async def _synchronise(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time()
        if self._awaited_sync is None or now - self._sync_sent_at > _SYNC_REPEATED_AFTER:
            number = next(self._numbers)
            request = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
            # The delimiter makes the agent's parser forget half a command that was left from before.
            writer.write(_DELIMITER + json.dumps(request).encode() + b"\n")
            self._awaited_sync, self._sync_sent_at = number, now
            await writer.drain()
        while True:
            await reader.readuntil(_DELIMITER)
            answer = json.loads(await reader.readuntil(b"\n"))
            if answer.get("return") == self._awaited_sync:
                break
        self._awaited_sync = None
        self._in_sync = True
