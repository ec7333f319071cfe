"""One thread's kept-alive HTTPS connection to an API, for proxmoxer.

Sends one call once and says what became of it, within the time and size that :mod:`orchestrator.proxmox.budget` allows.
Retries, tasks and everything else that takes patience is in :mod:`orchestrator.proxmox.client`. The libraries are
loaded when the first call is made: ``--help`` and ``validate`` need not pay for them.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from orchestrator.errors import Reason
from orchestrator.proxmox.answers import NoAnswer, Refusal, Unfit, parse_body, parse_http_date
from orchestrator.proxmox.budget import Budget, Limits, TooMuch, TooSlow
from orchestrator.proxmox.tls import trusting
from orchestrator.proxmox.wire import HttpAnswer, HungUp, NoConnection, Wire

if TYPE_CHECKING:
    import ssl

__all__ = [
    "Connection",
    "Endpoint",
    "NoAnswer",
    "Refusal",
    "Unfit",
    "download",
    "parse_body",
    "parse_http_date",
]

_PORT = 8006
_BASE = "/api2/json"
_DATA = b'{"data":'
"""How every answer of pveproxy that is no refusal begins."""
_FILE = "application/octet-stream"
_SHORT = 64 * 1024
"""Bytes of an answer that may wait to be parsed."""
_PLAIN = "/:@!$&'()*+,;=~%"
"""What stands for itself in a path; ``%`` as well: whoever makes a path quotes what he puts into it."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a cluster's API is and how to prove who one is.

    Attributes:
        url: ``https://HOST:PORT``.
        token_id: ``USER@REALM!TOKEN``.
        token_secret: never shown.
        ca_file: whom to trust (PEM); the system's certificates if None.
        verify_tls: False trusts anybody.
        timeout_seconds: how long the server may be silent. A whole attempt may take twice, a whole call with all its
            attempts five times as long (:class:`orchestrator.proxmox.budget.Limits`).
        body_bytes: the longest answer that is taken in, decompressed.
    """

    url: str
    token_id: str
    token_secret: str = field(repr=False)
    ca_file: Path | None
    verify_tls: bool
    timeout_seconds: float
    body_bytes: int = Limits.body_bytes

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.port == 0:  # port: ValueError above 65535
            raise ValueError(f"the address of the API is https://HOST:PORT, not {self.url!r}")
        user, _, token = self.token_id.partition("!")
        if "@" not in user or not token:
            raise ValueError(f"a token's name is USER@REALM!TOKEN, not {self.token_id!r}")
        credentials = self.token_id + self.token_secret
        if not credentials.isascii() or not credentials.isprintable():
            raise ValueError("the token's name and secret are printable ASCII characters")

    @cached_property
    def limits(self) -> Limits:
        """How long calls may take, and how much may be answered."""
        return replace(Limits.within(self.timeout_seconds), body_bytes=self.body_bytes)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Whom its connections trust, read once.

        Raises:
            NoAnswer: the file that says it cannot be used.
        """
        return trusting(self.ca_file, verify=self.verify_tls)


class Connection:
    """A session of one thread. Not thread-safe.

    Attributes:
        date: the ``Date`` header of the last answer, as it came; empty before the first.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Describe it; nothing is sent.

        Raises:
            NoAnswer: whom to trust cannot be read.
        """
        from proxmoxer.core import ProxmoxResource

        # proxmoxer writes the parameters of every write, passwords included, to its log.
        logging.getLogger("proxmoxer.core").disabled = True
        self._session = _Session(endpoint)
        self._api = ProxmoxResource(base_url=_BASE, session=self._session, serializer=self._session)
        self._limits = endpoint.limits

    @property
    def date(self) -> str:
        """The ``Date`` header of the last answer."""
        return self._session.date

    def send(self, method: str, path: str, params: Mapping[str, Any], *, seconds: float) -> Any:
        """As :meth:`ask`, and return the ``data`` of the answer."""
        return self.ask(method, path, params, seconds=seconds)()

    def ask(self, method: str, path: str, params: Mapping[str, Any], *, seconds: float) -> Callable[[], Any]:
        """Send one request, and return what gives the ``data`` of its answer.

        That of a short answer that looks right is parsed only when it is called, by any thread; it raises as this does.

        Args:
            method, path: what is asked.
            params: in the body of POST and PUT, else in the query; PVE refuses a body with DELETE. None is left out.
            seconds: how long it may take at most, if that is less than one attempt usually may.

        Raises:
            Refusal: the server answered with an error, or is no Proxmox API.
            Unfit: it answered with something that this API does not answer.
            NoAnswer: it did not answer.
        """
        # Quoted first: proxmoxer takes a path apart as an address, and leaves out what has no place in one.
        resource = self._api(quote(path.lstrip("/"), safe=_PLAIN))
        ask = {"GET": resource.get, "POST": resource.post, "PUT": resource.put, "DELETE": resource.delete}[
            method
        ]
        budget = self._session.budget
        budget.begin(seconds)
        try:
            answer: HttpAnswer = ask(**params)
        except OSError as error:
            raise _no_answer(error, budget) from None

        def data() -> Any:
            return parse_body(answer.status, answer.reason, answer.body, self._limits)

        if answer.status == 200 and len(answer.body) <= _SHORT and answer.body.startswith(_DATA):
            return data
        parsed = data()
        return lambda: parsed

    def close(self) -> None:
        """Close the connection. It may be used again."""
        self._session.close()


class _Answered:
    """What proxmoxer is told of every answer: refusals are raised before it sees them."""

    status_code = 200
    content = b""


class _Session:
    """In the place of proxmoxer's session and of its serializer: over a wire that keeps to a budget.

    Attributes:
        budget: what is left of the attempt under way.
        date: the ``Date`` header of the last answer.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        address = urlsplit(endpoint.url)
        host, port = address.hostname or "", address.port or _PORT
        self.budget = Budget(endpoint.limits)
        self.date = ""
        self._answer: HttpAnswer | None = None
        self._wire = Wire(host, port, endpoint.context, self.budget)
        self._headers = (
            f"{_headers(endpoint, host, port)}Accept: application/json\r\nAccept-Encoding: gzip\r\n"
        )

    def request(
        self,
        method: str,
        url: str,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> type[_Answered]:
        """Ask; what is answered is at :meth:`loads`."""
        if params:
            url = f"{url}?{urlencode(_pairs(params))}"
        head = f"{method} {url} HTTP/1.1\r\n{self._headers}"
        if method in ("POST", "PUT"):
            body = urlencode(_pairs(data or {})).encode()
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        else:
            body = b""
        answer = self._wire.ask(f"{head}\r\n".encode("ascii") + body)
        self.date = answer.headers.get("date", "")
        self._answer = answer
        return _Answered

    def loads(self, _answer: object) -> HttpAnswer | None:
        """The answer, for once: it may be large."""
        answer, self._answer = self._answer, None
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()


def _headers(endpoint: Endpoint, host: str, port: int) -> str:
    """Where a request goes, and who asks."""
    named = f"[{host}]" if ":" in host else host
    token = f"{endpoint.token_id}={endpoint.token_secret}"
    return f"Host: {named}:{port}\r\nAuthorization: PVEAPIToken={token}\r\n"


def download(
    endpoint: Endpoint,
    path: str,
    params: Mapping[str, Any],
    sink: Callable[[bytearray], None],
    limits: Limits,
) -> None:
    """Fetch what the API streams as a file, over a connection of its own.

    Args:
        endpoint: whom to ask.
        path, params: what is asked.
        sink: given the file piece by piece. That all pieces came does not say that the file is whole: Proxmox ends a
            stream in the same way where its source broke.
        limits: how long it may take, and how large the file may be.

    Raises:
        Refusal: the server answered with an error.
        Unfit: it answered with something else, or with too much.
        NoAnswer: it did not answer, or stopped in between.
    """
    budget = Budget(limits)
    address = urlsplit(endpoint.url)
    host, port = address.hostname or "", address.port or _PORT
    wire = Wire(host, port, endpoint.context, budget)
    target = f"{_BASE}{quote(path, safe=_PLAIN)}?{urlencode(_pairs(params))}"
    head = (
        f"GET {target} HTTP/1.1\r\n{_headers(endpoint, host, port)}Accept: */*\r\nConnection: close\r\n\r\n"
    )
    budget.begin(limits.attempt)
    try:
        answer = wire.ask(head.encode("ascii"), sink)
    except OSError as error:
        raise _no_answer(error, budget) from None
    finally:
        wire.close()
    if answer.status != 200:
        parse_body(answer.status, answer.reason, answer.body, limits)
    if answer.status != 200 or not answer.headers.get("content-type", "").startswith(_FILE):
        raise Unfit("the answer is no file")


def _pairs(params: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The parameters one by one: of a list, each of its values with the name again."""
    return [
        (name, value)
        for name, values in params.items()
        for value in (values if isinstance(values, list | tuple) else (values,))
        if value is not None
    ]


def _no_answer(error: OSError, budget: Budget) -> NoAnswer:
    """Say why no answer came.

    Raises:
        Unfit: one came, and was too long.
    """
    import ssl

    sent = budget.sent
    if isinstance(error, ssl.SSLCertVerificationError):
        return NoAnswer(f"its certificate is not trusted: {error.verify_message}", sent=False, untrusted=True)
    if isinstance(error, TooMuch):
        raise Unfit(f"{error} (more than {_size(budget.allowed_bytes)})") from None
    if isinstance(error, NoConnection):
        return NoAnswer(_no_connection(error.__cause__), sent=False)
    if isinstance(error, TooSlow):
        return NoAnswer(str(error), sent=sent)
    if isinstance(error, TimeoutError):
        return NoAnswer(f"no answer within {budget.limits.silence:g} s", sent=sent)
    text = str(error) or type(error).__name__
    return NoAnswer(f"the connection broke: {text}", sent=sent, hung_up=isinstance(error, HungUp))


def _no_connection(cause: BaseException | None) -> Reason:
    """Why there is no connection."""
    if isinstance(cause, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(cause, TooSlow):
        return str(cause)
    if isinstance(cause, TimeoutError):
        return "no connection within the time allowed"
    return f"no connection: {getattr(cause, 'strerror', None) or 'no route'}"


def _size(count: int) -> str:
    return f"{count / 1024**2:g} MiB" if count >= 1024**2 else f"{count / 1024:g} KiB"
