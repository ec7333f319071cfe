"""One kept-alive HTTPS connection, within a budget of time and bytes: a request goes out, its answer comes in.

Answers are read as pveproxy, or a proxy before it, writes HTTP/1.1: whatever leaves a doubt where an answer ends (two
lengths, a length beside chunks, bytes after the end) ends the connection. Nothing follows a redirect, keeps a cookie or
looks at the environment. It is written here rather than taken from ``http.client`` because that takes three quarters
of a read's processor time, most of it to parse headers as those of an e-mail.
"""

from __future__ import annotations

import re
import select
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.answers import Unfit
from orchestrator.proxmox.budget import Budget, TooMuch, connect

if TYPE_CHECKING:
    import ssl

_CHUNK = 64 * 1024
_PIECE = 1024**2
_LONGEST_LINE = 64 * 1024
"""Bytes of the line before a chunk, or of a trailer."""
_MOST_HEADERS = 100
_STATUS = re.compile(rb"HTTP/1\.(?P<minor>[01]) (?P<status>[1-5][0-9]{2})(?: (?P<reason>.*))?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK_SIZE = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?")
_ONCE = frozenset({"content-length", "transfer-encoding", "content-encoding"})
"""Headers of which a second one, with another value, would give the answer another meaning."""


class NoConnection(OSError):
    """No TCP connection came about: nothing was sent."""


class HungUp(ConnectionError):
    """A connection that was kept open is closed, and not a byte of an answer came."""


class Garbled(OSError):
    """What came is no answer of HTTP/1.1."""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer, read to its end and decompressed.

    Attributes:
        headers: by their names in lower case.
    """

    status: int
    reason: str
    headers: dict[str, str]
    body: bytearray


@dataclass(frozen=True)
class _Head:
    """What comes before the body."""

    minor: int
    status: int
    reason: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def keeps(self) -> bool:
        """Whether the server means to keep the connection open."""
        says = self.headers.get("connection", "").lower()
        return "close" not in says if self.minor else "keep-alive" in says


class Wire:
    """A connection to one address. Not thread-safe."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, budget: Budget) -> None:
        """Describe it; it opens with the first request.

        Args:
            host: a name, or an address without brackets; the certificate must name it.
            port: where.
            context: whom to trust.
            budget: what each answer may cost.
        """
        self._host = host
        self._port = port
        self._context = context
        self._budget = budget
        self._tls: ssl.SSLSocket | None = None
        self._buffer = bytearray()

    def ask(self, request: bytes, sink: Callable[[bytearray], None] | None = None) -> HttpAnswer:
        """Send a request, and read its answer.

        Args:
            request: whole, its ``Host`` and ``Content-Length`` included.
            sink: given the body of a success piece by piece, which is then not in the answer.

        Raises:
            NoConnection: there is no way to the server; it has a ``__cause__``.
            HungUp: the connection, used before, was closed meanwhile.
            TooMuch: the answer is too long.
            Unfit: it is compressed in a way that was not asked for.
            TimeoutError: it took too long.
            OSError: the certificate is not trusted, the connection broke, the answer is garbled.
        """
        kept = self._still_open()
        try:
            tls = self._tls or self._open()
            self._send(tls, request)
            head = self._head(kept=kept)
            body = self._read(head, sink)
        except (BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if kept and not self._budget.heard:
                raise HungUp("the server closed the connection that was kept open") from error
            raise
        except BaseException:
            self.close()
            raise
        # Bytes after the end, which nobody asked for, would be taken as the next answer.
        if not head.keeps or self._buffer or not _has_end(head):
            self.close()
        return HttpAnswer(head.status, head.reason, head.headers, body)

    def close(self) -> None:
        """Close it. The next request opens it again."""
        tls, self._tls = self._tls, None
        self._buffer.clear()
        if tls is not None:
            tls.close()

    # Opening, sending

    def _still_open(self) -> bool:
        """Whether a connection is open and silent: one that has something to say between two answers is closed."""
        if (
            self._buffer
        ):  # whoever was interrupted left it: it would be taken for the beginning of the next answer
            self.close()
        tls = self._tls
        if tls is None:
            return False
        poll = select.poll()
        poll.register(tls, select.POLLIN)
        if poll.poll(0) or tls.pending():
            self.close()
            return False
        return True

    def _open(self) -> ssl.SSLSocket:
        budget = self._budget
        try:
            plain = connect(self._host, self._port, lambda: budget.seconds(budget.limits.connect))
        except OSError as error:
            raise NoConnection(str(error)) from error
        try:
            tls = self._context.wrap_socket(plain, server_hostname=self._host, do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        self._tls = tls
        with budget.waiting(tls, budget.limits.connect):
            tls.do_handshake()
        return tls

    def _send(self, tls: ssl.SSLSocket, request: bytes) -> None:
        budget = self._budget
        left = memoryview(request)
        budget.sent = True
        while left:
            with budget.waiting(tls, budget.limits.silence):
                try:
                    count = tls.send(left)
                except (BrokenPipeError, ConnectionResetError):
                    # The system did not take the first record whole, and half of one cannot be decrypted.
                    budget.sent = len(left) < len(request)
                    raise
            left = left[count:]

    # Reading

    def _more(self) -> bool:
        """Take in what came; False: the other side closed the connection."""
        assert self._tls is not None  # noqa: S101  (for the type checker)
        budget = self._budget
        # A timeout of Python's TLS holds for the call as a whole, however many packets it takes.
        with budget.waiting(self._tls, budget.limits.silence):
            data = self._tls.recv(_CHUNK)
        budget.took(len(data))
        self._buffer += data
        return bool(data)

    def _head(self, *, kept: bool) -> _Head:
        """Status and headers of the answer; interim answers are skipped."""
        while True:
            searched = 0
            while (end := self._buffer.find(b"\r\n\r\n", searched)) < 0:
                searched = max(0, len(self._buffer) - 3)
                if not self._more():
                    if kept and not self._budget.heard:
                        raise HungUp("the server closed the connection that was kept open")
                    raise Garbled("the server closed it before an answer was complete")
            head = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if head.status >= 200:
                return head
            if head.status == 101:
                raise Garbled("the server changes to another protocol")

    def _read(self, head: _Head, sink: Callable[[bytearray], None] | None) -> bytearray:
        """The body, decompressed; empty if a sink took it."""
        limits = self._budget.limits
        longest = limits.body_bytes if head.status < 400 else limits.error_bytes
        # What comes over the wire may be a little longer: lengths of chunks, trailers.
        self._budget.allow(longest, spare=limits.header_bytes)
        compression = head.headers.get("content-encoding", "identity").lower()
        if compression not in ("identity", "", "gzip"):
            raise Unfit(f"the answer is compressed in another way than was asked for: {compression[:40]}")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if compression == "gzip" else None
        body = bytearray()
        if sink is not None and head.status == 200 and unpack is None:
            for piece in self._parts(head):
                sink(piece)
            return body
        for packed in self._parts(head):
            for part in _unpacked(unpack, packed) if unpack else (packed,):
                body += part
                if len(body) > longest:
                    raise TooMuch("the answer is too long")
        if unpack and not unpack.eof and body:
            raise Garbled("the compressed answer is truncated")
        return body

    def _parts(self, head: _Head) -> Iterator[bytearray]:
        """The body as it comes over the wire."""
        if head.status in (204, 304):
            return
        length = head.headers.get("content-length")
        if coding := head.headers.get("transfer-encoding"):
            if coding.lower() != "chunked" or length is not None:
                raise Garbled("it is not clear where the answer ends")
            yield from self._chunks()
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise Garbled("the length of the answer is not a number")
            yield from self._exactly(int(length))
        else:
            while self._buffer or self._more():
                yield self._taken(len(self._buffer))

    def _taken(self, count: int) -> bytearray:
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken

    def _exactly(self, count: int) -> Iterator[bytearray]:
        while count:
            if not self._buffer and not self._more():
                raise Garbled(f"the answer is truncated: {count} bytes are missing")
            part = self._taken(count)
            count -= len(part)
            yield part

    def _chunks(self) -> Iterator[bytearray]:
        while True:
            found = _CHUNK_SIZE.fullmatch(self._line())
            if found is None:
                raise Garbled("a part of the answer has no length")
            size = int(found["size"], 16)
            if not size:
                break
            yield from self._exactly(size)
            if self._line():
                raise Garbled("a part of the answer is longer than was said")
        for _ in range(_MOST_HEADERS):
            if not self._line():
                return
        raise Garbled(f"the answer has more than {_MOST_HEADERS} trailers")

    def _line(self) -> bytearray:
        """The next line, without its end."""
        searched = 0
        while (end := self._buffer.find(b"\r\n", searched)) < 0:
            searched = max(0, len(self._buffer) - 1)
            if searched > _LONGEST_LINE:
                raise Garbled(f"a line of the answer has more than {_LONGEST_LINE} bytes")
            if not self._more():
                raise Garbled("the answer is truncated")
        line = self._taken(end)
        del self._buffer[:2]
        return line


def _has_end(head: _Head) -> bool:
    """Whether the body had an end of its own: else the end of the connection was it."""
    return bool(head.status in (204, 304) or head.headers.keys() & {"content-length", "transfer-encoding"})


def _parse_head(text: bytes) -> _Head:
    first, *lines = text.split(b"\r\n")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise Garbled("the answer is not HTTP/1.1")
    if len(lines) > _MOST_HEADERS:
        raise Garbled(f"the answer has more than {_MOST_HEADERS} headers")
    if text.count(b"\r") != len(lines) or text.count(b"\n") != len(lines) or b"\0" in text:
        raise Garbled(
            "a line of the answer's head has no proper end"
        )  # others would read another header there
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not name or " " in name or not (name.isascii() and name.isprintable()):
            raise Garbled("a header of the answer cannot be read")
        if name in _ONCE and headers.get(name, value) != value:
            raise Garbled(f"the answer has two headers {name}, which differ")
        if name == "connection" and name in headers:
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return _Head(
        int(found["minor"]), int(found["status"]), (found["reason"] or b"").decode("latin-1"), headers
    )


def _unpacked(unpack: Any, packed: bytes | bytearray) -> Iterator[bytes]:
    """Decompress, piece by piece: a thousandth of what comes out may have come in."""
    while packed:
        try:
            part = unpack.decompress(packed, _PIECE)
        except zlib.error:
            raise Unfit("the answer is compressed, and cannot be decompressed") from None
        yield part
        packed = unpack.unconsumed_tail
