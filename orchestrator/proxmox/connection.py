"""One thread's kept-alive HTTPS connection to a cluster, on proxmoxer and requests.

Sends one call once and says what became of it. Retries, tasks and everything else that takes patience is in
:mod:`orchestrator.proxmox.client`. The libraries are loaded when the first call is made: they cost 0.2 s, which
``--help`` and ``validate`` need not pay.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.proxmox.trust import without_form_checks

if TYPE_CHECKING:
    import requests
    import requests.adapters

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a cluster's API is and how to prove who one is.

    Attributes:
        url: ``https://HOST:PORT``.
        token_id: ``USER@REALM!TOKEN``.
        token_secret: never shown.
        ca_file: whom to trust (PEM); the system's certificates if None.
        verify_tls: False trusts anybody.
        timeout_seconds: how long the server may be silent.
    """

    url: str
    token_id: str
    token_secret: str = field(repr=False)
    ca_file: Path | None
    verify_tls: bool
    timeout_seconds: float

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"the address of the API is https://HOST:PORT, not {self.url!r}")
        user, _, token = self.token_id.partition("!")
        if "@" not in user or not token:
            raise ValueError(f"a token's name is USER@REALM!TOKEN, not {self.token_id!r}")


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


class Connection:
    """A session of one thread. Not thread-safe.

    Attributes:
        date: the ``Date`` header of the last answer, as it came; empty before the first.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        from proxmoxer import ProxmoxAPI

        # proxmoxer writes the parameters of every write, passwords included, to its log.
        logging.getLogger("proxmoxer.core").disabled = True
        address = urlsplit(endpoint.url)
        host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname
        user, _, token = endpoint.token_id.partition("!")
        self._seconds = endpoint.timeout_seconds
        self._api = ProxmoxAPI(
            host,
            port=address.port or 8006,
            user=user,
            token_name=token,
            token_value=endpoint.token_secret,
            verify_ssl=_trust(endpoint),
            timeout=(min(_CONNECT_SECONDS, endpoint.timeout_seconds), endpoint.timeout_seconds),
        )
        self._session: requests.Session = self._api._store["session"]
        if endpoint.verify_tls:
            self._session.mount("https://", _usual_verification())
        # The environment may not choose whom to trust (REQUESTS_CA_BUNDLE), which proxy to use or, by ~/.netrc,
        # who one is.
        self._session.trust_env = False
        # The API never redirects; a server that does is another one, and must not get the token.
        self._session.max_redirects = 0
        self._session.hooks["response"] = [self._note_date, _refuse]
        self.date = ""

    def send(self, method: str, path: str, params: Mapping[str, Any]) -> Any:
        """Send one request and return the ``data`` of the answer.

        Raises:
            Refusal: the server answered with an error, or is no Proxmox API.
            NoAnswer: it did not answer.
        """
        import requests

        resource = self._api(path.lstrip("/"))
        ask = {"GET": resource.get, "POST": resource.post, "PUT": resource.put, "DELETE": resource.delete}[
            method
        ]
        try:
            return ask(**params)
        except requests.RequestException as error:
            raise self._no_answer(error) from None

    def _note_date(self, response: requests.Response, *_args: object, **_options: object) -> None:
        self.date = response.headers.get("Date", "")

    def _no_answer(self, error: requests.RequestException) -> NoAnswer:
        import ssl

        import requests
        from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NoAnswer(
                    f"its certificate is not trusted: {cause.verify_message}", sent=False, untrusted=True
                )
        for cause in causes:
            if isinstance(cause, NameResolutionError):
                return NoAnswer("its name cannot be resolved", sent=False)
            if isinstance(cause, NewConnectionError):
                reason = next(
                    (c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "no route"
                )
                return NoAnswer(f"no connection: {reason}", sent=False)
            if isinstance(cause, ConnectTimeoutError | requests.ConnectTimeout):
                return NoAnswer("no connection within the time allowed", sent=False)
        if isinstance(error, requests.TooManyRedirects):
            return NoAnswer("it redirects elsewhere, so it is no Proxmox API", sent=False)
        if isinstance(error, requests.Timeout):
            return NoAnswer(f"no answer within {self._seconds:g} s", sent=True)
        innermost = next((str(c) for c in reversed(causes) if str(c)), type(error).__name__)
        return NoAnswer(f"the connection broke: {innermost}", sent=True)

    def close(self) -> None:
        """Close the connection. It may be used again."""
        self._session.close()


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


def _usual_verification() -> requests.adapters.HTTPAdapter:
    """Verify certificates as :func:`orchestrator.proxmox.trust.without_form_checks` says."""
    import requests
    import urllib3.util.ssl_

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            context = without_form_checks(urllib3.util.ssl_.create_urllib3_context())
            super().init_poolmanager(*arguments, ssl_context=context, **options)

    return Adapter()


def _refuse(response: requests.Response, *_args: object, **_options: object) -> None:
    """Turn an answer that is no success into :class:`Refusal` while the whole body is at hand."""
    if 300 <= response.status_code < 400:
        return
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or (response.status_code < 400 and "data" not in body):
        text = response.reason or "no text"
        if response.status_code < 400:
            raise Refusal(502, "the answer is not from a Proxmox API (is a proxy in between?)", {})
        raise Refusal(response.status_code, text, {})
    if response.status_code >= 400:
        errors = body.get("errors")
        raise Refusal(
            response.status_code,
            str(body.get("message") or response.reason or ""),
            {str(key): str(value) for key, value in errors.items()} if isinstance(errors, dict) else {},
        )
    # proxmoxer decodes the body again; of a list of 60,000 archives once is enough.
    response.json = lambda **_: body  # type: ignore[method-assign]


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
