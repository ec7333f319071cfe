"""What one call to a hypervisor may cost: time and bytes, whatever the other side does.

A timeout of a socket is between two bytes only, and nothing limits how many come. So every wait and every byte is taken
from a budget, where it passes (:mod:`orchestrator.proxmox.wire`): the connection, the TLS handshake, the request, the
headers and the body alike. No thread is needed.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_MIB = 1024**2
_MOST_ADDRESSES = 8
"""Of a name; each may cost a whole connection timeout."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long one call may take, seconds, and how much may be answered, bytes.

    The largest honest answers still fit: 60,000 archives are some 45 MiB, 10,000 VMs in ``/cluster/resources`` 4 MiB,
    a file of a guest at most 16 MiB (more in JSON).

    Attributes:
        silence: without a single byte.
        connect: for name resolution, for each address, and for the TLS handshake.
        attempt: for one attempt, from the connection to the last byte.
        call: for all attempts of one call together.
        header_bytes: status line and headers.
        body_bytes: the body, once it is decompressed.
        error_bytes: the body of a refusal.
        values: in the body: a few bytes of JSON take twenty times as much memory.
    """

    silence: float = 30.0
    connect: float = 10.0
    attempt: float = 60.0
    call: float = 150.0
    header_bytes: int = 256 * 1024
    body_bytes: int = 128 * _MIB
    error_bytes: int = 1 * _MIB
    values: int = 4_000_000

    @classmethod
    def within(cls, silence: float) -> Limits:
        """The usual limits where the server may be silent for so long (``timeout_seconds`` of a site)."""
        return cls(silence=silence, connect=min(10.0, silence), attempt=2 * silence, call=5 * silence)


class TooSlow(TimeoutError):
    """The time of a call is used up. It is an ``OSError``, so what stands between the socket and us lets it pass."""


class TooMuch(OSError):
    """More came than a call may answer."""


class Budget:
    """What is left of one attempt. Of one thread.

    Attributes:
        limits: what an attempt may cost.
        sent: whether any of the request may have reached the server.
        heard: whether a byte of an answer came.
        allowed_bytes: what was allowed last, for messages.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sent = self.heard = False
        self.allowed_bytes = 0
        self._ends = self._allowed = 0.0
        self._bytes = 0

    def begin(self, seconds: float) -> None:
        """An attempt begins: nothing is sent yet.

        Args:
            seconds: what it may take at most, if that is less than usual.
        """
        self.sent = self.heard = False
        self._allowed = min(self.limits.attempt, seconds)
        self._ends = time.monotonic() + self._allowed
        self.allow(self.limits.header_bytes)

    def allow(self, count: int, *, spare: int = 0) -> None:
        """So many bytes may come from now on, and ``spare`` more that are not counted as the answer's."""
        self.allowed_bytes = count
        self._bytes = count + spare

    def seconds(self, most: float) -> float:
        """How long to wait for the next thing, at most ``most``.

        Raises:
            TooSlow: no time is left.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TooSlow(f"it took more than {self._allowed:.3g} s in all")
        return min(most, left)

    @contextmanager
    def waiting(self, wire: socket.socket, most: float) -> Iterator[None]:
        """Let a socket wait, at most ``most`` seconds.

        Raises:
            TooSlow: the time of the attempt is used up.
        """
        wire.settimeout(self.seconds(most))
        try:
            yield
        except TimeoutError:
            self.seconds(most)
            raise

    def took(self, count: int) -> None:
        """So many bytes came.

        Raises:
            TooMuch: they were too many.
        """
        self.heard = self.heard or count > 0
        self._bytes -= count
        if self._bytes < 0:
            raise TooMuch("the answer is too long")


def connect(host: str, port: int, seconds: Callable[[], float]) -> socket.socket:
    """Open a TCP connection: to the first of a name's addresses that answers.

    Args:
        host: a name or an address.
        port: where.
        seconds: how long the next step may take; raises when there is no time left.

    Raises:
        socket.gaierror: the name has no address, or nobody said in time.
        OSError: no address answered.
    """
    trouble: OSError | None = None
    for family, kind, protocol, _, address in _resolve(host, port, seconds())[:_MOST_ADDRESSES]:
        wire = socket.socket(family, kind, protocol)
        try:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire.settimeout(seconds())
            wire.connect(address)
        except OSError as error:
            trouble = error
            wire.close()
        else:
            return wire
    raise trouble or OSError("the name has no address")


def _resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Resolve a name. The resolver cannot be given a time limit, so it is left behind when it takes too long."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)
        except UnicodeError:
            found.append(socket.gaierror(socket.EAI_NONAME, "it is not a name"))

    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
        ask()
    except OSError:
        asking = threading.Thread(target=ask, name=f"resolve-{host}", daemon=True)
        asking.start()
        asking.join(seconds)
    result = found[0] if found else socket.gaierror(socket.EAI_AGAIN, "no answer in time")
    if isinstance(result, OSError):
        raise result
    return list(result)
