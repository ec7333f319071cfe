"""Consoles that were asked for, and what a node's WebSocket does with one.

A node starts a task that listens on a port for 10 seconds, for one connection, and gives a ticket for it that is bound
to the caller and the machine. ``vncwebsocket`` checks the ticket, changes to the protocol, and hands bytes on: to
QEMU's VNC server, or to the serial port behind a small protocol of its own (``termproxy``). Whoever comes too late, or
second, finds nobody on the port: the connection is closed without an answer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from lab.api.access import Caller
from lab.api.errors import Refused, Unauthorized
from lab.qemu import GuestNotRunningError

if TYPE_CHECKING:
    from lab.api.cluster import Cluster
    from lab.api.tasks import Log

_FIRST_PORT, _LAST_PORT = 5900, 5999
WAIT_SECONDS = 10.0
"""How long a port waits for its one connection."""

_TICKET_SECONDS = 40.0
_PASSWORD_SECONDS = 30
_CHUNK = 32 * 1024
_LARGEST_MESSAGE = 64 * 1024
_LONGEST_COMMAND = 32


@dataclass
class Console:
    """One console that was asked for.

    Attributes:
        caller: whose; nobody else's ticket is it.
        port: a node's; nothing listens there in a lab.
        ticket: for the WebSocket; for a terminal its first message as well.
        password: for VNC; None for a terminal.
        serial: the configured serial port of a terminal, such as `serial0`; empty if there is none.
    """

    vmid: int
    caller: Caller
    port: int
    ticket: str
    password: str | None
    serial: str = ""
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Consoles:
    """The consoles of one cluster."""

    def __init__(self) -> None:
        self._waiting: dict[int, Console] = {}
        self._tickets: dict[str, tuple[str, int, float]] = {}
        self._open: set[asyncio.Task[object]] = set()

    def ask(self, caller: Caller, vmid: int, *, password: str | None, serial: str = "") -> Console:
        """Give a ticket and a port, which waits from now on; see :meth:`wait`.

        Raises:
            Refused: no port is free.
        """
        ports = (port for port in range(_FIRST_PORT, _LAST_PORT + 1) if port not in self._waiting)
        port = next(ports, None)
        if port is None:
            raise Refused("unable to find free vnc port")
        ticket = f"PVEVNC:{secrets.token_hex(4).upper()}::{secrets.token_urlsafe(32)}"
        console = Console(vmid, caller, port, ticket, password, serial)
        self._waiting[port] = console
        now = time.monotonic()
        self._tickets = {
            old: given for old, given in self._tickets.items() if now - given[2] < _TICKET_SECONDS
        }
        self._tickets[ticket] = (caller.identity, vmid, now)
        return console

    async def wait(self, console: Console, log: Log) -> None:
        """What the node's task does: wait for the connection, and until it has ended.

        Raises:
            Refused: nobody came.
        """
        log(f"starting console of VM {console.vmid} on port {console.port}")
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await console.taken.wait()
            await console.ended.wait()
        except TimeoutError:
            raise Refused("connection timed out") from None
        finally:
            self._waiting.pop(console.port, None)

    def check_ticket(self, ticket: str, caller: Caller, vmid: int) -> None:
        """Refuse a ticket that was not given to this caller for this machine.

        Raises:
            Unauthorized: it was not, or too long ago.
        """
        identity, machine, given = self._tickets.get(ticket, ("", 0, -_TICKET_SECONDS))
        if (identity, machine) != (caller.identity, vmid) or time.monotonic() - given >= _TICKET_SECONDS:
            raise Unauthorized("permission denied - invalid PVEVNC ticket")

    def take(self, port: int, ticket: str) -> Console | None:
        """The console that waits on a port; None if nobody does, or another does."""
        console = self._waiting.get(port)
        if console is None or console.ticket != ticket or console.taken.is_set():
            return None
        console.taken.set()
        return console

    async def close(self, _: web.Application) -> None:
        """Cut all that are open, as a node's do not outlive its server."""
        for task in self._open:
            task.cancel()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count this task as one that serves a console, until it ends."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (a request is served by one)
        self._open.add(task)
        try:
            yield
        finally:
            self._open.discard(task)


async def serve_console(cluster: Cluster, console: Console, request: web.Request) -> web.WebSocketResponse:
    """Change to the protocol, and hand bytes on until one of the two sides ends."""
    socket = web.WebSocketResponse(protocols=("binary",), max_msg_size=_LARGEST_MESSAGE)
    try:
        with cluster.consoles.counted():
            await socket.prepare(request)
            with suppress(ConnectionError, FileNotFoundError, GuestNotRunningError, EOFError):
                await (_screen if console.password else _terminal)(cluster, console, socket)
            await socket.close()
    finally:
        console.ended.set()
    return socket


async def _screen(cluster: Cluster, console: Console, socket: web.WebSocketResponse) -> None:
    guests, node, vmid = cluster.guests, cluster.node, console.vmid
    await guests.open_screen(node, vmid, console.password or "", _PASSWORD_SECONDS)
    async with _connected(str(guests.files(node, vmid).vnc)) as (reader, writer):
        await _both(_to_browser(reader, socket), _from_browser(socket, writer))


async def _terminal(cluster: Cluster, console: Console, socket: web.WebSocketResponse) -> None:
    if await _message(socket) != f"{console.caller.identity}:{console.ticket}\n".encode():
        return
    await socket.send_bytes(b"OK")
    if not console.serial:
        await socket.send_bytes(b"unable to find a serial interface\r\n")
        return
    if not await cluster.is_running(console.vmid):
        await socket.send_bytes(f"VM {console.vmid} not running\r\n".encode())
        return
    await socket.send_bytes(f"starting serial terminal on interface {console.serial}\r\n".encode())
    async with _connected(str(cluster.guests.files(cluster.node, console.vmid).serial)) as (reader, writer):
        await _both(_to_browser(reader, socket), _typed(socket, writer))


@asynccontextmanager
async def _connected(path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _both(*ways: Coroutine[object, object, None]) -> None:
    """Hand on in both directions until one of them ends."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _to_browser(reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
    while data := await reader.read(_CHUNK):
        await socket.send_bytes(data)


async def _from_browser(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    while (data := await _message(socket)) is not None:
        writer.write(data)
        await writer.drain()


async def _message(socket: web.WebSocketResponse) -> bytes | None:
    """The next message; None if there is none any more. A node hands on text and binary ones alike."""
    received = await socket.receive()
    if received.type == WSMsgType.TEXT:
        return str(received.data).encode()
    return bytes(received.data) if received.type == WSMsgType.BINARY else None


async def _typed(socket: web.WebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """What is typed: `0:LENGTH:BYTES`. `1:COLUMNS:ROWS:` and `2`, a sign of life, say nothing to a serial port."""
    stream = bytearray()
    while (data := await _message(socket)) is not None:
        stream += data
        while (taken := _command(stream)) is not None:
            typed, used = taken
            del stream[:used]
            if typed:
                writer.write(typed)
                await writer.drain()


def _command(stream: bytearray) -> tuple[bytes, int] | None:
    """The first command: what it types, and how long it is; None if it is not complete.

    Raises:
        EOFError: it is none; a terminal ends by that.
    """
    if stream[:1] == b"2":
        return b"", 1
    parts = bytes(stream[:_LONGEST_COMMAND]).split(b":", 3)
    if parts[0] == b"0" and len(parts) > 2 and parts[1].isdigit():
        begins = len(parts[1]) + 3
        ends = begins + int(parts[1])
        return (bytes(stream[begins:ends]), ends) if len(stream) >= ends else None
    if parts[0] == b"1" and len(parts) > 3:
        return b"", len(parts[1]) + len(parts[2]) + 4
    if parts[0] not in (b"", b"0", b"1") or len(stream) > _LONGEST_COMMAND:
        raise EOFError(f"no command: {parts[0]!r}")
    return None
