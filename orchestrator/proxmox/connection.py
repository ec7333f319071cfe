"""One thread's kept-alive HTTPS connection to a cluster, on proxmoxer and requests.

Sends one call once and says what became of it, within the time and size that :mod:`orchestrator.proxmox.budget` allows.
Retries, tasks and everything else that takes patience is in :mod:`orchestrator.proxmox.client`. The libraries are
loaded when the first call is made: they cost 0.2 s, which ``--help`` and ``validate`` need not pay.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from orchestrator.proxmox.budget import Budget, Limits, TooMuch, TooSlow, budgeted_socket, connect
from orchestrator.proxmox.trust import without_form_checks

if TYPE_CHECKING:
    import requests
    import requests.adapters

_CHUNK = 64 * 1024
_PIECE = 1024**2
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')


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

    @property
    def limits(self) -> Limits:
        """How long calls may take, and how much may be answered."""
        return replace(Limits.within(self.timeout_seconds), body_bytes=self.body_bytes)


class Refusal(Exception):
    """The server answered, and the answer is no."""

    def __init__(self, status: int, text: str, errors: Mapping[str, str]) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.errors = errors


class NoAnswer(Exception):
    """No answer came.

    Attributes:
        text: what happened.
        sent: whether the request may have reached the server.
        untrusted: whether the server's certificate was refused.
    """

    def __init__(self, text: str, *, sent: bool, untrusted: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.sent = sent
        self.untrusted = untrusted


class Unfit(Exception):
    """An answer came that a Proxmox API does not give: too long, nested too deeply, not JSON."""


class Connection:
    """A session of one thread. Not thread-safe.

    Attributes:
        date: the ``Date`` header of the last answer, as it came; empty before the first.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from http.cookiejar import DefaultCookiePolicy

        from proxmoxer import ProxmoxAPI

        # proxmoxer writes the parameters of every write, passwords included, to its log.
        logging.getLogger("proxmoxer.core").disabled = True
        address = urlsplit(endpoint.url)
        host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
        user, _, token = endpoint.token_id.partition("!")
        self._limits = endpoint.limits
        self._budget = Budget(self._limits)
        self._api = ProxmoxAPI(
            host,
            port=address.port or 8006,
            user=user,
            token_name=token,
            token_value=endpoint.token_secret,
            verify_ssl=_trust(endpoint),
            timeout=(self._limits.connect, self._limits.silence),
        )
        # proxmoxer takes answers in whole, whatever their length: here each is read and parsed within the limits, and
        # proxmoxer is given what came of it.
        self._parsed = self._api._store["serializer"] = _Parsed()
        self._session: requests.Session = self._api._store["session"]
        self._session.stream = True
        self._session.hooks["response"] = [self._take_in]
        self._session.mount("https://", _adapter(self._budget, verify=endpoint.verify_tls))
        # The environment may not choose whom to trust (REQUESTS_CA_BUNDLE), which proxy to use or, by ~/.netrc,
        # who one is.
        self._session.trust_env = False
        # A token needs no cookies, and a server may not fill our memory with them.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["Accept-Encoding"] = "gzip"
        self.date = ""

    def send(self, method: str, path: str, params: Mapping[str, Any], *, seconds: float) -> Any:
        """Send one request and return the ``data`` of the answer.

        Args:
            method, path: what is asked.
            params: in the body of POST and PUT, else in the query; PVE refuses a body with DELETE. None is left out.
            seconds: how long it may take at most, if that is less than one attempt usually may.

        Raises:
            Refusal: the server answered with an error, or is no Proxmox API.
            Unfit: it answered with something that this API does not answer.
            NoAnswer: it did not answer.
        """
        import urllib3

        resource = self._api(path.lstrip("/"))
        ask = {"GET": resource.get, "POST": resource.post, "PUT": resource.put, "DELETE": resource.delete}[
            method
        ]
        self._budget.begin(seconds)
        try:
            return ask(**params)
        except (OSError, urllib3.exceptions.HTTPError) as error:  # OSError: requests' own, too
            raise self._no_answer(error) from None

    def _take_in(self, response: requests.Response, *_args: object, **_options: object) -> None:
        """Read and parse an answer as soon as its headers are there, before requests looks for a redirect."""
        with response:  # given back to the pool if it was read to its end, else closed
            self.date = response.headers.get("Date", "")
            body = _read(response, self._budget)
        self._parsed.data = parse_body(response.status_code, response.reason or "", body, self._limits)
        response._content = b""

    def _no_answer(self, error: Exception) -> NoAnswer:
        import ssl

        from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

        sent = self._budget.sent
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NoAnswer(
                    f"its certificate is not trusted: {cause.verify_message}", sent=False, untrusted=True
                )
            if isinstance(cause, TooMuch):
                raise Unfit(f"{cause} (more than {_size(self._budget.allowed_bytes)})") from None
            if isinstance(cause, TooSlow):
                return NoAnswer(str(cause), sent=sent)
        for cause in causes:
            if isinstance(cause, NameResolutionError):
                return NoAnswer("its name cannot be resolved", sent=False)
            if isinstance(cause, NewConnectionError):
                reason = next(
                    (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no route"
                )
                return NoAnswer(f"no connection: {reason}", sent=False)
            if isinstance(cause, ConnectTimeoutError):
                return NoAnswer("no connection within the time allowed", sent=False)
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return NoAnswer(f"no answer within {self._limits.silence:g} s", sent=sent)
        innermost = next((str(c) for c in reversed(causes) if str(c)), type(error).__name__)
        return NoAnswer(f"the connection broke: {innermost}", sent=sent)

    def close(self) -> None:
        """Close the connection. It may be used again."""
        self._session.close()


class _Parsed:
    """In the place of proxmoxer's serializer: the answer was parsed when it was read."""

    data: Any = None

    def loads(self, _response: object) -> Any:
        """The ``data`` of the answer, for once: it may be large."""
        data, self.data = self.data, None
        return data


def parse_http_date(text: str) -> float | None:
    """Return the seconds since the epoch of ``Mon, 23 Nov 2026 05:48:23 GMT``; None if it is not a date."""
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text[:64])
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _trust(endpoint: Endpoint) -> bool | str:
    """Whom requests shall trust. Left to itself it would trust a list of its own instead of the system's."""
    import ssl

    if not endpoint.verify_tls:
        return False
    if endpoint.ca_file is not None:
        if not endpoint.ca_file.is_file():
            raise NoAnswer(f"nobody is trusted: {endpoint.ca_file}: no such file", sent=False, untrusted=True)
        try:
            # requests would tell what is wrong with it as a connection that broke.
            ssl.create_default_context(cafile=str(endpoint.ca_file))
        except OSError as error:
            text = f"nobody is trusted: {endpoint.ca_file} cannot be used: {error.strerror or error}"
            raise NoAnswer(text, sent=False, untrusted=True) from None
        return str(endpoint.ca_file)
    paths = ssl.get_default_verify_paths()
    for place in (paths.openssl_cafile, paths.openssl_capath):
        if Path(place).exists():
            return place
    return True


def _adapter(budget: Budget, *, verify: bool) -> requests.adapters.HTTPAdapter:
    """Send and receive within a budget.

    Certificates are verified as :func:`orchestrator.proxmox.trust.without_form_checks` says.
    """
    import socket

    import requests
    import urllib3
    import urllib3.connection
    import urllib3.util.ssl_
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    class HttpsConnection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            try:
                return connect(
                    self._dns_host.strip("[]"), self.port, lambda: budget.seconds(budget.limits.connect)
                )
            except socket.gaierror as error:
                raise NameResolutionError(self.host, self, error) from error
            except TimeoutError as error:
                raise ConnectTimeoutError(self, "no connection in time") from error
            except OSError as error:
                raise NewConnectionError(self, str(error)) from error

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = HttpsConnection

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            context = urllib3.util.ssl_.create_urllib3_context()
            if verify:
                without_form_checks(context)
            else:
                # Chosen in the sites file, and told by `orchestrator doctor`: not at every call.
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
                context.check_hostname = False
            context.sslsocket_class = budgeted_socket(budget)
            super().init_poolmanager(*arguments, ssl_context=context, **options)
            self.poolmanager.pool_classes_by_scheme = {"https": Pool}

    return Adapter()


def _read(response: requests.Response, budget: Budget) -> bytearray:
    """Read the body, and decompress it.

    Raises:
        TooMuch: it is longer than may be.
        OSError: the connection broke, or the time is up.
        Unfit: it is compressed in a way that was not asked for.
    """
    limits = budget.limits
    longest = limits.body_bytes if response.status_code < 400 else limits.error_bytes
    # What comes over the wire may be a little longer: lengths of chunks, trailers.
    budget.allow(longest, spare=limits.header_bytes)
    compression = response.headers.get("Content-Encoding", "identity").strip().lower()
    if compression not in ("identity", "", "gzip"):
        raise Unfit(f"the answer is compressed in another way than was asked for: {compression[:40]}")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if compression == "gzip" else None
    body = bytearray()
    while packed := response.raw.read(_CHUNK, decode_content=False):
        for part in _unpacked(unpack, packed) if unpack else (packed,):
            body += part
            if len(body) > longest:
                raise TooMuch("the answer is too long")
    if unpack and not unpack.eof and body:
        raise OSError("the compressed answer breaks off")
    return body


def _unpacked(unpack: Any, packed: bytes) -> Iterator[bytes]:
    """Decompress, piece by piece: a thousandth of what comes out may have come in."""
    while packed:
        try:
            part = unpack.decompress(packed, _PIECE)
        except zlib.error:
            raise Unfit("the answer is compressed, and cannot be decompressed") from None
        yield part
        packed = unpack.unconsumed_tail


def parse_body(status: int, reason: str, content: bytearray, limits: Limits) -> Any:
    """The ``data`` of an answer.

    Args:
        status, reason: of the answer.
        content: its body.
        limits: how much may be in it.

    Raises:
        Refusal: it is no success, or not from a Proxmox API.
        Unfit: it is what this API does not answer.
        NoAnswer: it leads elsewhere.
    """
    body = _parse(content, limits)
    if 300 <= status < 400:
        raise NoAnswer("it redirects elsewhere, so it is no Proxmox API", sent=False)
    if status < 400:
        if not isinstance(body, dict) or "data" not in body:
            raise Refusal(502, "the answer is not from a Proxmox API (is a proxy in between?)", {})
        return body["data"]
    if not isinstance(body, dict):
        raise Refusal(status, reason or "no text", {})
    errors = body.get("errors")
    raise Refusal(
        status,
        str(body.get("message") or reason),
        {str(key): str(value) for key, value in errors.items()} if isinstance(errors, dict) else {},
    )


def _parse(body: bytearray, limits: Limits) -> object:
    """The JSON of an answer; None if it is none.

    Raises:
        Unfit: it is what only somebody sends who means harm, or a program that is broken.
    """
    # In texts there may be more: a guest's file may be full of commas.
    if _values(body) > limits.values and _values(_TEXT.sub(b"", body)) > limits.values:
        raise Unfit(f"the answer has more than {limits.values:,} values")
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise Unfit("the answer is nested too deeply") from None
    except ValueError:
        return None


def _values(body: bytes | bytearray) -> int:
    """At least as many as there are in it."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _no_constant(name: str) -> NoReturn:
    raise Unfit(f"the answer has a number that is none: {name}")


def _size(count: int) -> str:
    return f"{count / 1024**2:g} MiB" if count >= 1024**2 else f"{count / 1024:g} KiB"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that lies behind it, outermost first: requests and urllib3 wrap it in several ways."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        behind = (getattr(current, "reason", None), current.__cause__, current.__context__, *current.args)
        waiting.extend(cause for cause in behind if isinstance(cause, BaseException))
