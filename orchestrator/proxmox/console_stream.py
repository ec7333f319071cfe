"""A machine's console as a stream of bytes for somebody who sits before it: as long as it lasts, in both directions.

The node gives a ticket (``vncproxy``, ``termproxy``) for the token that asks, at the node that answered, and 10 seconds
to come with it. Who sits before the console never gets it: the VNC password is answered here, and so is the terminal's
ticket. What Proxmox itself prints before a terminal begins may name its nodes, so it is not handed on.

The certificate is verified by the same context as every call of the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from orchestrator.proxmox.budget import connect
from orchestrator.proxmox.console import vnc_response
from orchestrator.proxmox.errors import tidy
from orchestrator.proxmox.serial_console import OWN_LINE
from orchestrator.proxmox.web_socket import NoConsole

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster
    from orchestrator.proxmox.connection import Endpoint

LARGEST_MESSAGE = 1024 * 1024
"""Bytes that a node may send in one message; a screen comes in many."""

_PORT = 8006
_MOST_WAITING = 2
"""Messages that are taken in before they are handed on; then the node has to wait."""
_LONGEST_OPENING = 4096
_CLOSE_SECONDS = 1.0
_NO_SECURITY, _VNC_SECURITY = 1, 2


class NoTerminal(NoConsole):
    """Proxmox gives no terminal to API tokens: qemu-server before 9.1.7."""


@dataclass(frozen=True, kw_only=True)
class OpenedConsole:
    """A console that a node opened, for the next ten seconds.

    Attributes:
        endpoint: the node that answered, the token, and whom to trust.
        path: of its WebSocket, below ``/api2/json``.
        hello: what a terminal begins with.
        password: for VNC.
    """

    endpoint: Endpoint
    path: str = field(repr=False)
    hello: bytes = field(default=b"", repr=False)
    password: str = field(default="", repr=False)


def open_terminal(cluster: Cluster, node: str, vmid: int) -> OpenedConsole:
    """Open the serial port of a machine that runs.

    Raises:
        PermissionDenied: the token lacks VM.Console.
        ProxmoxError: it could not be opened.
    """
    base = f"/nodes/{node}/qemu/{vmid}"
    given = cluster.post(f"{base}/termproxy")
    hello = f"{given['user']}:{given['ticket']}\n".encode()
    return OpenedConsole(endpoint=cluster.answered_by(), path=_path(base, given), hello=hello)


def open_screen(cluster: Cluster, node: str, vmid: int) -> OpenedConsole:
    """Open the screen of a machine that runs. Where its display is a serial port, Proxmox draws a text terminal.

    Raises:
        PermissionDenied: the token lacks VM.Console.
        ProxmoxError: it could not be opened.
    """
    base = f"/nodes/{node}/qemu/{vmid}"
    given = cluster.post(f"{base}/vncproxy", params={"websocket": 1, "generate-password": 1})
    # Before there was a password of its own, the ticket was it.
    password = str(given.get("password") or given["ticket"])
    return OpenedConsole(endpoint=cluster.answered_by(), path=_path(base, given), password=password)


def _path(base: str, given: dict[str, Any]) -> str:
    query = urlencode({"port": str(given["port"]), "vncticket": str(given["ticket"])})
    return f"{base}/vncwebsocket?{query}"


class ConsoleStream:
    """One open console. Closing it is closing its connection."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._early = b""

    async def read(self) -> bytes:
        """What comes next; empty when it has ended."""
        if self._early:
            early, self._early = self._early, b""
            return early
        from websockets.exceptions import ConnectionClosed

        data = b""
        while not data:  # an empty message is no end
            try:
                data = await self._socket.recv()
            except ConnectionClosed:
                return b""
        return data.encode() if isinstance(data, str) else bytes(data)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are; waits while the node does not take them.

        Raises:
            NoConsole: it has ended.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(data)
        except ConnectionClosed:
            raise NoConsole("its console was closed") from None

    async def type(self, data: bytes) -> None:
        """Type into a terminal."""
        await self.send(f"0:{len(data)}:".encode() + data)

    async def resize(self, columns: int, rows: int) -> None:
        """Tell a terminal its size."""
        await self.send(f"1:{columns}:{rows}:".encode())

    async def sign_of_life(self) -> None:
        """Keep a terminal that nobody types into: Proxmox ends one that is silent for long."""
        await self.send(b"2")

    async def begin_terminal(self, hello: bytes) -> None:
        """Go through a terminal's opening: what comes then is the machine's.

        Raises:
            NoTerminal: Proxmox does not give it to a token.
            NoConsole: the machine has none.
        """
        await self.send(hello)
        said = b""
        while b"\n" not in said[_place(said) :]:
            if len(said) > _LONGEST_OPENING:
                raise NoConsole("its console does not begin as one does")
            data = await self.read()
            if not data and not said:
                raise NoTerminal(
                    "Proxmox gives no terminal to API tokens (it does from qemu-server 9.1.7 on)"
                )
            if not data:
                told = tidy(said.removeprefix(b"OK").decode(errors="replace"), 200)
                raise NoConsole(f"its console ended at once: {told}")
            said += data
        self._early = said[_place(said) :].partition(b"\n")[2]

    async def begin_screen(self, password: str) -> None:
        """Go through the opening of RFB 3.8, up to where its client would say how it wants to share the screen.

        Raises:
            NoConsole: it is no such console, or refuses its own password.
        """
        if await self._exactly(12) != b"RFB 003.008\n":
            raise NoConsole("its console speaks another version of RFB than 3.8")
        await self.send(b"RFB 003.008\n")
        offered = await self._exactly((await self._exactly(1))[0])
        if _VNC_SECURITY in offered:
            await self.send(bytes([_VNC_SECURITY]))
            await self.send(vnc_response(password, await self._exactly(16)))
        elif _NO_SECURITY in offered:
            await self.send(bytes([_NO_SECURITY]))
        else:
            raise NoConsole("its console wants an authentication that is not known here")
        if await self._exactly(4) != bytes(4):
            raise NoConsole("its console refuses its own password")

    async def _exactly(self, count: int) -> bytes:
        while len(self._early) < count:
            early, self._early = self._early, b""
            data = await self.read()
            if not data:
                raise NoConsole("its console was closed")
            self._early = early + data
        taken, self._early = self._early[:count], self._early[count:]
        return taken


def _place(said: bytes) -> int:
    """Where Proxmox says that a terminal begins; behind the end if it has not said so yet."""
    found = said.find(OWN_LINE)
    return found if found >= 0 and said.startswith(b"OK") else len(said)


@asynccontextmanager
async def connected(
    opened: OpenedConsole, threads: Executor, *, seconds: float
) -> AsyncIterator[ConsoleStream]:
    """Connect to a console and go through its opening.

    Args:
        opened: by :func:`open_terminal` or :func:`open_screen`, a moment ago.
        threads: where the connection is made.
        seconds: how long that may take.

    Raises:
        NoConsole: it answers with something else, or not in time.
    """
    from websockets.asyncio.client import connect as upgrade
    from websockets.exceptions import InvalidHandshake, InvalidURI
    from websockets.typing import Subprotocol

    endpoint = opened.endpoint
    address = urlsplit(endpoint.url)
    host, port = address.hostname or "", address.port or _PORT

    try:
        async with asyncio.timeout(seconds):
            # A connection that is there already is not sent elsewhere, whatever the answer says.
            loop = asyncio.get_running_loop()
            wire = await loop.run_in_executor(threads, connect, host, port, lambda: seconds)
            wire.setblocking(False)
            socket = await upgrade(
                f"wss://{address.netloc}/api2/json{opened.path}",
                sock=wire,
                ssl=endpoint.context,
                server_hostname=host,
                additional_headers={
                    "Authorization": f"PVEAPIToken={endpoint.token_id}={endpoint.token_secret}"
                },
                subprotocols=[Subprotocol("binary")],
                compression=None,
                user_agent_header=None,
                proxy=None,
                ping_interval=None,
                open_timeout=None,
                close_timeout=_CLOSE_SECONDS,
                max_size=LARGEST_MESSAGE,
                max_queue=_MOST_WAITING,
            )
            stream = ConsoleStream(socket)
            try:
                if opened.hello:
                    await stream.begin_terminal(opened.hello)
                else:
                    await stream.begin_screen(opened.password)
            except BaseException:
                await socket.close()
                raise
    except TimeoutError:
        raise NoConsole("its console took too long") from None
    except (InvalidHandshake, InvalidURI, ValueError) as error:
        raise NoConsole(f"its console was refused: {tidy(str(error), 200)}") from None
    except OSError as error:
        raise NoConsole(f"no connection to its console: {error}") from None
    try:
        yield stream
    finally:
        await socket.close()
