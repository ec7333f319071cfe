"""A WebSocket to a node's console, as a stream of bytes within a budget of time and bytes (RFC 6455).

Only what a console needs: binary frames in, masked binary frames out. The other side may be broken or hostile: every
wait is within one deadline, every byte is counted, and whatever is not understood ends it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from orchestrator.errors import OrchestratorError
from orchestrator.proxmox.budget import connect

if TYPE_CHECKING:
    import ssl

    from orchestrator.proxmox.connection import Endpoint

_PORT = 8006
_BASE = "/api2/json"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES = 16 * 1024
_CHUNK = 64 * 1024
_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_LONGEST_CONTROL = 125


class NoConsole(OrchestratorError):
    """A console did not answer as one does; the text says what came."""


class WebSocket:
    """One connection. Not thread-safe; to be closed."""

    def __init__(self, tls: ssl.SSLSocket, *, ends: float, most_bytes: int) -> None:
        self._tls = tls
        self._ends = ends
        self._left = most_bytes
        self._wire = bytearray()
        self._stream = bytearray()

    @classmethod
    def open(
        cls, endpoint: Endpoint, path: str, query: Mapping[str, str], *, seconds: float, most_bytes: int
    ) -> WebSocket:
        """Connect, and change to the protocol.

        Args:
            endpoint: the node's address, the token, and whom to trust.
            path: below ``/api2/json``.
            query: its parameters.
            seconds: how long all of it may take, reading included.
            most_bytes: how much may be read in all.

        Raises:
            NoConsole: it answers with something else, or not in time.
        """
        address = urlsplit(endpoint.url)
        host, port = address.hostname or "", address.port or _PORT
        ends = time.monotonic() + seconds
        try:
            plain = connect(host, port, lambda: _left(ends))
            try:
                plain.settimeout(_left(ends))
                tls = endpoint.context.wrap_socket(plain, server_hostname=host)
            except BaseException:
                plain.close()
                raise
            made = cls(tls, ends=ends, most_bytes=most_bytes)
        except OSError as error:
            raise NoConsole(f"no connection to its console: {error}") from None
        try:
            named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            made._upgrade(endpoint, f"{_BASE}{path}?{urlencode(query)}", named)
        except BaseException:
            made.close()
            raise
        return made

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it without a word: the console ends by that."""
        self._tls.close()

    def read(self, count: int) -> bytes:
        """So many bytes of the stream, whatever frames they come in.

        Raises:
            NoConsole: it ended before, or took too long, or too much came.
        """
        while len(self._stream) < count:
            self._frame()
        taken = bytes(self._stream[:count])
        del self._stream[:count]
        return taken

    def send(self, data: bytes) -> None:
        """Send bytes, in one frame.

        Raises:
            NoConsole: they could not be sent.
        """
        self._send(_BINARY, data)

    def _send(self, opcode: int, data: bytes) -> None:
        length = len(data)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack(">H", length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        self._out(bytes([0x80 | opcode]) + size + mask + masked)

    def _upgrade(self, endpoint: Endpoint, target: str, host: str) -> None:
        key = base64.b64encode(os.urandom(16))
        self._out(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: {key.decode()}\r\n"
            f"Authorization: PVEAPIToken={endpoint.token_id}={endpoint.token_secret}\r\n\r\n".encode("ascii")
        )
        while (end := self._wire.find(b"\r\n\r\n")) < 0:
            if len(self._wire) > _HEAD_BYTES:
                raise NoConsole("its console answers with a head that is too long")
            self._more()
        status, *lines = bytes(self._wire[:end]).split(b"\r\n")
        del self._wire[: end + 4]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)
        }
        wanted = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324  (as the protocol has it)
        if not status.startswith(b"HTTP/1.1 101"):
            raise NoConsole(f"its console was refused: {status[9:100].decode('latin-1')}")
        if headers.get(b"sec-websocket-accept") != wanted or headers.get(b"sec-websocket-extensions"):
            raise NoConsole("its console does not answer as a WebSocket does")

    def _frame(self) -> None:
        """Take in the next frame."""
        first, second = self._exactly(2)
        opcode, length = first & 0x0F, second & 0x7F
        if first & 0x70 or second & 0x80:
            raise NoConsole("its console sends frames that nobody asked for")
        if opcode >= _CLOSE and length > _LONGEST_CONTROL:
            raise NoConsole("its console sends a control frame that is too long")
        if length == 126:
            length = struct.unpack(">H", self._exactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._exactly(8))[0]
        if length > self._left + len(self._wire):
            raise NoConsole("its console sends more than a picture is")
        data = self._exactly(length)
        if opcode in (_CONTINUED, _TEXT, _BINARY):
            self._stream += data
        elif opcode == _PING:
            self._send(_PONG, bytes(data))
        elif opcode == _CLOSE:
            raise NoConsole("its console was closed")

    def _exactly(self, count: int) -> bytearray:
        while len(self._wire) < count:
            self._more()
        taken = self._wire[:count]
        del self._wire[:count]
        return taken

    def _more(self) -> None:
        try:
            self._tls.settimeout(_left(self._ends))
            data = self._tls.recv(_CHUNK)
        except TimeoutError:
            raise NoConsole("its console took too long") from None
        except OSError as error:
            raise NoConsole(f"its console broke off: {error}") from None
        if not data:
            raise NoConsole("its console broke off")
        self._left -= len(data)
        if self._left < 0:
            raise NoConsole("its console sends more than a picture is")
        self._wire += data

    def _out(self, data: bytes) -> None:
        try:
            self._tls.settimeout(_left(self._ends))
            self._tls.sendall(data)
        except TimeoutError:
            raise NoConsole("its console took too long") from None
        except OSError as error:
            raise NoConsole(f"its console broke off: {error}") from None


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left
