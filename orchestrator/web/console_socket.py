"""The WebSocket between a browser and a machine's console.

The browser shows its page's origin, its session, and a ticket of thirty seconds in the list of subprotocols, which is
written into no log. It gets the bytes of the screen or of the terminal, and never a ticket, a password, a name or an
address of the hypervisor: VNC's authentication is done on this side.

Each side waits for the other: nothing is read from one as long as the other has not taken what came before.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from orchestrator.errors import OrchestratorError, told
from orchestrator.interface.console_tickets import Console, ConsoleKind, ConsoleTickets, TicketRefused
from orchestrator.interface.roles import Right, rights_of
from orchestrator.operations.console import close_lost, enter, leave, may_go_on, open_console
from orchestrator.proxmox.console_stream import ConsoleStream, NoTerminal, OpenedConsole, connected
from orchestrator.proxmox.web_socket import NoConsole
from orchestrator.web.sign_in import Visitor, visitor_of

if TYPE_CHECKING:
    from orchestrator.web.desk import Desk

PATH = "/console"
PROTOCOL = "binary"
TICKET = "ticket."
"""What stands before the ticket in the list of subprotocols."""

LARGEST_MESSAGE = 64 * 1024
"""Bytes that a browser may send at once."""

_LOG = logging.getLogger("orchestrator.web")
_TO_BROWSER = 32 * 1024
_MOST_COLUMNS = 500
_SIZE = re.compile(r"\[(?P<columns>[0-9]{1,4}), ?(?P<rows>[0-9]{1,4})\]")
_CALLS_AT_ONCE = 16
"""Consoles that are being opened: threads that wait for hypervisors, apart from those of the pages."""
_KEY, _POINTER, _CUT, _OTHERS = 4, 5, 6, 255
"""What somebody does, in RFB; asking for the next picture is nothing that somebody does."""


class Closed(Exception):
    """A console is closed from here.

    Attributes:
        code: of the WebSocket: what the page says to whoever sits before it.
        text: for the history.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


OPEN = "open"
"""What a terminal's page is told first, as text; all else is the machine's, as bytes."""

BY_BROWSER, BY_MACHINE = 1000, 4000
NO_TERMINAL, UNREACHABLE, IDLE, TOO_LONG, REVOKED, TAKEN_OVER = 4001, 4002, 4003, 4004, 4005, 4006


class ConsoleSocket:
    """Serves the WebSockets of consoles.

    Args:
        desk: what the pages work with.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pace = desk.settings.console_pace
        self._calls = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="console")
        self._tickets = ConsoleTickets(desk.database)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one, to its end. What may not be opened is refused before the protocol is changed."""
        try:
            taken = await run_in_threadpool(self._taken, socket)
        except OrchestratorError as error:
            _LOG.warning("a console was refused: %s", error)
            taken = None
        if taken is None:
            await socket.close(1008)
            return
        await socket.accept(subprotocol=PROTOCOL)
        source = socket.client.host if socket.client else ""
        console = taken
        closed = Closed(UNREACHABLE, "the program was ended")
        failed = True
        try:
            entry = await run_in_threadpool(enter, self._desk.history, console, source, self._desk.now())
            console = replace(console, entry=entry.sequence)
            await run_in_threadpool(self._tickets.entered, console.number, entry.sequence)
            closed, failed = await self._shown(console, socket)
        except OrchestratorError as error:
            closed = Closed(UNREACHABLE, str(error))
        finally:
            await asyncio.shield(self._end(console, source, closed, failed=failed))
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._pace.goodbye):
                await socket.close(closed.code)

    def _taken(self, socket: WebSocket) -> Console | None:
        """The console that a browser's ticket opens; None where something is not as our own pages do it."""
        if socket.headers.get("origin") != self._desk.settings.origin:
            return None
        offered = [item.strip() for item in socket.headers.get("sec-websocket-protocol", "").split(",")]
        tickets = [item.removeprefix(TICKET) for item in offered if item.startswith(TICKET)]
        if PROTOCOL not in offered or len(tickets) != 1:
            return None
        visitor = visitor_of(socket, self._desk)
        if not _may(visitor):
            return None
        assert visitor.account is not None and visitor.session is not None  # noqa: S101
        now = self._desk.now()
        close_lost(self._tickets, self._desk.history, now)
        try:
            return self._tickets.take(
                tickets[0], account=visitor.account.name, session=visitor.session.identity, now=now
            )
        except TicketRefused:
            return None

    async def _shown(self, console: Console, socket: WebSocket) -> tuple[Closed, bool]:
        """Hand on until something ends it. Returns what did, and whether the console failed."""
        try:
            async with self._opened(console) as stream:
                door = _Door(socket, stream)
                if console.kind is ConsoleKind.SCREEN:
                    async with asyncio.timeout(self._pace.opening):
                        await door.welcome_screen()
                else:
                    await socket.send_text(OPEN)  # though the machine may say nothing for long
                ways = [
                    door.from_machine(),
                    door.from_browser(console.kind),
                    self._watch(console, socket, door),
                ]
                return await _first(ways), False
        except Closed as closed:
            return closed, closed.code == UNREACHABLE
        except NoTerminal as error:
            return Closed(NO_TERMINAL, str(error)), True
        except OrchestratorError as error:
            return Closed(UNREACHABLE, str(error)), True
        except TimeoutError:
            return Closed(1002, "closed: the browser did not begin"), False
        except WebSocketDisconnect:
            return Closed(BY_BROWSER, "closed by the browser"), False
        except Exception as error:
            _LOG.exception("the console of %s", console.target)
            return Closed(UNREACHABLE, told(error)), True

    @contextlib.asynccontextmanager
    async def _opened(self, console: Console) -> AsyncIterator[ConsoleStream]:
        try:
            async with asyncio.timeout(self._pace.opening):
                loop = asyncio.get_running_loop()
                opened = await loop.run_in_executor(self._calls, self._ask, console)
        except TimeoutError:
            raise NoConsole("the hypervisor took too long to open its console") from None
        async with connected(opened, self._calls, seconds=self._pace.opening) as stream:
            yield stream

    def _ask(self, console: Console) -> OpenedConsole:
        return open_console(console, self._desk.files.read(self._desk.now()).provider)

    async def _watch(self, console: Console, socket: WebSocket, door: _Door) -> Closed:
        """Say that it is served, and look whether it still may be."""
        loop = asyncio.get_running_loop()
        began = file_read = loop.time()
        while True:
            await asyncio.sleep(self._pace.check)
            now = loop.time()
            if now - began >= self._pace.longest:
                return Closed(TOO_LONG, "closed: it was open for the longest time that is allowed")
            if now - door.typed_at >= self._pace.idle:
                return Closed(IDLE, "closed: nothing was typed for too long")
            with_file = now - file_read >= self._pace.contract
            file_read = now if with_file else file_read
            closed = await run_in_threadpool(self._ends, console, socket, with_file)
            if closed is not None:
                return closed
            if console.kind is ConsoleKind.SERIAL:
                await door.sign_of_life()

    def _ends(self, console: Console, socket: WebSocket, with_file: bool) -> Closed | None:
        """Why a console must end now; None if it may go on."""
        now = self._desk.now()
        visitor = visitor_of(socket, self._desk)
        session = visitor.session.identity if visitor.session else None
        if not _may(visitor) or session != console.session:
            return Closed(REVOKED, "closed: the session ended, or the account may no longer have it")
        if with_file and not may_go_on(console, self._desk.files.read(now), now):
            return Closed(REVOKED, "closed: the contract no longer allows it")
        by = self._tickets.replaced_by(console.number, now)
        return Closed(TAKEN_OVER, f"closed: {by} opened it") if by else None

    async def _end(self, console: Console, source: str, closed: Closed, *, failed: bool) -> None:
        def write() -> None:
            now: dt.datetime = self._desk.now()
            try:
                leave(self._desk.history, console, source, now, message=closed.text, failed=failed)
            finally:
                self._tickets.ended(console.number, now)

        try:
            await run_in_threadpool(write)
        except OrchestratorError as error:
            _LOG.error("the end of the console of %s could not be written: %s", console.target, error)


class _Door:
    """Both directions of one console."""

    def __init__(self, socket: WebSocket, stream: ConsoleStream) -> None:
        self._socket = socket
        self._stream = stream
        self.typed_at = asyncio.get_running_loop().time()

    async def from_machine(self) -> Closed:
        """Hand on what is shown."""
        while data := await self._stream.read():
            for start in range(0, len(data), _TO_BROWSER):
                await self._socket.send_bytes(data[start : start + _TO_BROWSER])
        return Closed(BY_MACHINE, "closed by the hypervisor")

    async def from_browser(self, kind: ConsoleKind) -> Closed:
        """Hand on what is typed."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return Closed(BY_BROWSER, "closed by the browser")
            data, text = message.get("bytes"), message.get("text")
            if len(data or text or "") > LARGEST_MESSAGE:
                return Closed(1009, "closed: the browser sent too much at once")
            if kind is ConsoleKind.SERIAL or (data and data[0] in (_KEY, _POINTER, _CUT, _OTHERS)):
                self.typed_at = asyncio.get_running_loop().time()
            if kind is ConsoleKind.SCREEN:
                await self._stream.send(data or b"")
            elif data:
                await self._stream.type(data)
            else:
                size = _size(text or "")
                if size is None:
                    return Closed(1003, "closed: the browser sent what is no size of a terminal")
                await self._stream.resize(*size)

    async def sign_of_life(self) -> None:
        """Keep a terminal that nobody types into."""
        await self._stream.sign_of_life()

    async def welcome_screen(self) -> None:
        """Be the server of RFB 3.8 for the browser, without a password: its session and its ticket stood for one.

        Raises:
            Closed: it speaks another protocol.
            WebSocketDisconnect: it went away.
        """
        stream = _Incoming(self._socket)
        await self._socket.send_bytes(b"RFB 003.008\n")
        if await stream.exactly(12) != b"RFB 003.008\n":
            raise Closed(1002, "closed: the browser speaks another version of RFB than 3.8")
        await self._socket.send_bytes(b"\x01\x01")
        if await stream.exactly(1) != b"\x01":
            raise Closed(1002, "closed: the browser wants an authentication that was not offered")
        await self._socket.send_bytes(bytes(4))
        if stream.more:
            await self._stream.send(stream.more)


class _Incoming:
    """A browser's messages as a stream of bytes, for as long as an opening lasts."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self.more = b""

    async def exactly(self, count: int) -> bytes:
        while len(self.more) < count:
            self.more += await self._socket.receive_bytes()
        taken, self.more = self.more[:count], self.more[count:]
        return taken


def _may(visitor: Visitor) -> bool:
    """Whether somebody may have consoles at all: a client's account, or one of the provider's that may act.

    Nobody may whose password somebody else chose, and no one of the provider's without a second factor.
    """
    account = visitor.account
    if account is None or visitor.session is None or account.initial or account.looks_only:
        return False
    return account.client is not None or Right.ACT in rights_of(account.role)


def _size(text: str) -> tuple[int, int] | None:
    """The size of a terminal, ``[80, 24]``; None if it is none."""
    size = _SIZE.fullmatch(text)
    if size is None:
        return None
    columns, rows = int(size["columns"]), int(size["rows"])
    return (columns, rows) if 0 < columns <= _MOST_COLUMNS and 0 < rows <= _MOST_COLUMNS else None


async def _first(ways: list[Coroutine[None, None, Closed]]) -> Closed:
    """Let all of them go on until one ends, and give what it says; the others are broken off."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task in done).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
