"""The calls of a cluster's API: one at a time, with retries that are safe, at whichever address answers."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from orchestrator.proxmox.api_addresses import RESTS_SECONDS, Addresses
from orchestrator.proxmox.budget import Limits
from orchestrator.proxmox.connection import (
    Connection,
    Endpoint,
    NoAnswer,
    Refusal,
    Unfit,
    parse_http_date,
)
from orchestrator.proxmox.errors import (
    NODE_SILENT,
    Answer,
    BadAnswer,
    LockTimeout,
    ProxmoxError,
    ServerError,
    TlsRefused,
    Uncertain,
    Unreachable,
    classify,
    tidy,
)
from orchestrator.proxmox.recognition import Foreign, Recognition
from orchestrator.proxmox.shapes import wrong_answer

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "DELETE"]

_VM_PATH = re.compile(r"/nodes/(?P<node>[^/]+)(?:/(?:qemu|lxc)/(?P<vmid>\d+))?")
_SECRET_PARAMETERS = frozenset({"password", "cipassword", "token_secret", "ticket"})
_HIDDEN = "***"
_LOG = logging.getLogger("orchestrator.calls")
_SILENT = logging.NullHandler()
_AGAIN_AFTER_500 = 2
"""How often a read is sent again that a node answered with a failure of its own."""
_MOST_IN_VAIN = 10
"""So many such reads in a row that failed for good: then this is no passing trouble, and none is sent again."""
_SHORTEST = 0.01
"""Seconds of an attempt for which its call has no time left."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often and how fast things are asked again. Seconds, all of them.

    Attributes:
        attempts: how often one call is sent at most.
        first_wait, longest_wait: between two attempts; the wait doubles, plus a random part of up to ``jitter``.
        first_poll, longest_poll: between two looks at a task: see :func:`orchestrator.proxmox.tasks.look_again_in`.
        longest_task: no task is waited for longer, whatever its caller allows.
    """

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 3.0
    jitter: float = 0.3
    first_poll: float = 0.1
    longest_poll: float = 2.0
    longest_task: float = math.inf


class Calls:
    """The calls of one site's API. Thread-safe: every thread keeps a connection of its own.

    Nothing is sent before the first call. Parameters: booleans become 0 and 1, None is left out, a list is
    sent as PVE's array (the name repeated).

    Attributes:
        vmids: the first and the last number for new VMs; None: what Proxmox proposes.
        leaves_task: asked while a task is waited for: True leaves it to itself (:class:`TaskLeft`), and sends no
            call again that failed.
        before_write: called with method and path before everything that is sent but GET, every attempt included; what
            it raises is raised, and nothing is sent.
    """

    def __init__(
        self,
        *,
        site: str,
        url: str,
        token_id: str,
        token_secret: str,
        ca_file: Path | None = None,
        verify_tls: bool = True,
        timeout_seconds: float = 30.0,
        body_bytes: int = Limits.body_bytes,
        patience: Patience | None = None,
        vmids: tuple[int, int] | None = None,
        nodes: Mapping[str, str] | None = None,
        on_call: Callable[[str, str], None] | None = None,
    ) -> None:
        """Describe the cluster.

        Args:
            site: the site's name, for errors.
            url: ``https://HOST:PORT``.
            token_id: ``USER@REALM!TOKEN``.
            token_secret: its secret.
            ca_file: trusted certificates (PEM); the system's if None. The environment has no say.
            verify_tls: False trusts anybody.
            timeout_seconds: how long the server may be silent; a call with all its attempts may take five times
                as long.
            body_bytes: the longest answer that is taken in, decompressed.
            patience: how to ask again.
            vmids: the first and the last number for new VMs; None: what Proxmox proposes.
            nodes: the own addresses of nodes, by their names, each as ``url``: what is asked of a node is asked there,
                and each of them stands in for any other that cannot be reached.
            on_call: called with method and path right before every request is sent, retries and polls included.

        Raises:
            ValueError: ``url``, ``nodes`` or ``token_id`` is not of its form.
        """
        self.site = site
        self._endpoint = Endpoint(
            url=url,
            token_id=token_id,
            token_secret=token_secret,
            ca_file=ca_file,
            verify_tls=verify_tls,
            timeout_seconds=timeout_seconds,
            body_bytes=body_bytes,
        )
        self._addresses = Addresses(self._endpoint, nodes or {})
        self._recognition = Recognition(
            self._addresses, nodes or (), lambda endpoint: self._ask(endpoint, "GET", "/nodes", {})
        )
        self._patience = patience or Patience()
        self.vmids = vmids
        self._on_call = on_call
        self.leaves_task: Callable[[], bool] = lambda: False
        self.before_write: Callable[[str, str], None] = lambda _method, _path: None
        self._local = threading.local()
        self._guard = threading.Lock()
        self._connections: list[Connection] = []
        self._calls: Counter[str] = Counter()
        self._idle: dict[str, list[Connection]] = {}
        self._silent: dict[str, float] = {}
        self._in_vain = 0

    @property
    def token_id(self) -> str:
        """Who asks: ``USER@REALM!TOKEN``."""
        return self._endpoint.token_id

    def __repr__(self) -> str:
        return f"<Cluster {self.site} {self._endpoint.url}>"

    @property
    def calls(self) -> dict[str, int]:
        """How many requests were sent so far, by method (retries and polls included)."""
        with self._guard:
            return dict(self._calls)

    def address_of(self, node: str) -> str:
        """The URL at which a node is asked now."""
        return self._addresses.of_node(node).url

    def foreign(self, urls: Collection[str]) -> dict[str, str]:
        """Which of the addresses of nodes are not used because another cluster answers there, and what tells it.

        Up to three calls for each. What does not answer at all is not among them.
        """
        found = {}
        for endpoint in self._addresses.others:
            self._local.ends = time.monotonic() + self._endpoint.limits.connect
            try:
                if endpoint.url in urls:
                    self._recognition.check(endpoint)
            except Foreign as foreign:
                found[endpoint.url] = tidy(self._scrub(foreign.text, {}))
            except NoAnswer:
                continue
        return found

    def close(self) -> None:
        """Close every thread's connection. No call may be under way."""
        with self._guard:
            connections, self._connections = self._connections, []
            self._local = threading.local()
            self._idle.clear()
        for connection in connections:
            connection.close()

    # Calls

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Read. Asked again if the connection fails or the server is busy; twice if it failed for a reason of its own.

        Raises:
            ProxmoxError: one of :mod:`orchestrator.proxmox.errors`.
        """
        return self._call("GET", path, {**(params or {}), **more})

    def get_later(self, path: str) -> Callable[[], Any]:
        """As :meth:`get`, but what was answered is parsed and checked only when what this returns is called.

        So a thread that reads much sends its next call sooner. That may be done by any thread, and raises as this does;
        what turns out to be no answer of a Proxmox API is asked for once more, as :meth:`get` does.

        Raises:
            ProxmoxError: as :meth:`get`.
        """
        answer = self._retried("GET", lambda: self._sent("GET", path, {}))

        def data() -> Any:
            try:
                return answer()
            except Unreachable:
                return self.get(path)

        return data

    def post(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Write. Asked again only if it surely changed nothing.

        Raises:
            Uncertain: it may have taken effect: look again.
            ProxmoxError: one of the others.
        """
        return self._call("POST", path, {**(params or {}), **more})

    def put(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Write, as :meth:`post`."""
        return self._call("PUT", path, {**(params or {}), **more})

    def delete(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Remove, as :meth:`post`. Parameters go into the query: PVE refuses a body here (501)."""
        return self._call("DELETE", path, {**(params or {}), **more})

    def answered_at(self) -> float | None:
        """The time of this thread's last answer by its ``Date`` header (seconds since the epoch); None without one."""
        return parse_http_date(getattr(self._local, "date", ""))

    def answered_by(self) -> Endpoint:
        """The address that answered this thread's last call; the site's own before the first."""
        answered: Endpoint = getattr(self._local, "answered_by", self._endpoint)
        return answered

    def _call(self, method: Method, path: str, params: Mapping[str, Any]) -> Any:
        sent = {key: int(value) if isinstance(value, bool) else value for key, value in params.items()}
        return self._retried(method, lambda: self._once(method, path, sent))

    def _retried(self, method: Method, ask: Callable[[], T]) -> T:
        self._local.ends = time.monotonic() + self._endpoint.limits.call
        try:
            return ask()
        except ProxmoxError as error:
            if not self._may_retry(method, error, failed=1):
                raise
            first = error
        return self._patiently(method, ask, first)

    def _patiently(self, method: Method, ask: Callable[[], T], first: ProxmoxError) -> T:
        """Ask again, as long and as often as :class:`Patience` says; ``first`` is how the first attempt ended."""
        import stamina

        # A retry that helps is no news; without a handler Python would print it on standard error.
        logging.getLogger("stamina").addHandler(_SILENT)
        patience = self._patience
        failed = 0

        def again(error: Exception) -> bool:
            return isinstance(error, ProxmoxError) and self._may_retry(method, error, failed=failed)

        try:
            for attempt in stamina.retry_context(
                on=again,
                attempts=patience.attempts,
                timeout=self._left(),
                wait_initial=patience.first_wait,
                wait_max=patience.longest_wait,
                wait_jitter=patience.jitter,
            ):
                with attempt:
                    failed += 1
                    if failed == 1:
                        raise first
                    answered = ask()
                    self._in_vain = 0
                    return answered
        except ProxmoxError as error:
            self._remember(error)
            raise
        raise AssertionError("stamina ends with a result or an error")

    def _may_retry(self, method: Method, error: ProxmoxError, *, failed: int) -> bool:
        """Whether a call that surely changed nothing may be sent once more.

        Never answered and a read or never sent, or refused before it began: as often as patience allows, unless its
        node was silent for that long a moment ago. A read that failed for a reason of the server's own, as on a busy
        node: twice, unless that was in vain too often of late.

        Args:
            method: of the call.
            error: how it failed.
            failed: how often it did.
        """
        if self.leaves_task():
            return False
        if isinstance(error, Unreachable | LockTimeout):
            return not self._known_silent(error)
        return (
            method == "GET"
            and isinstance(error, ServerError)
            and error.status == 500
            and failed <= _AGAIN_AFTER_500
            and self._in_vain < _MOST_IN_VAIN
        )

    def _known_silent(self, error: ProxmoxError) -> bool:
        node = _node_in(error)
        with self._guard:
            return node is not None and self._silent.get(node, 0.0) > time.monotonic()

    def _remember(self, error: ProxmoxError) -> None:
        """All attempts of a call failed: the next calls of its kind need not try as long."""
        node = _node_in(error)
        with self._guard:
            if node is not None:
                self._silent[node] = time.monotonic() + RESTS_SECONDS
            elif isinstance(error, ServerError) and error.status == 500:
                self._in_vain += 1

    def _left(self) -> float:
        """How long the next attempt may take at most: what is left of its call."""
        ends: float = getattr(self._local, "ends", 0.0)
        return max(_SHORTEST, ends - time.monotonic())

    def _once(self, method: Method, path: str, params: Mapping[str, Any]) -> Any:
        """One attempt: what was answered, parsed and checked."""
        return self._sent(method, path, params)()

    def _sent(self, method: Method, path: str, params: Mapping[str, Any]) -> Callable[[], Any]:
        """One attempt: at the address where the call belongs or, where that cannot be reached, at another one."""
        first: tuple[Endpoint, NoAnswer] | None = None
        for endpoint in self._addresses.order(path):
            try:
                self._recognition.check(endpoint)
                return self._asked(endpoint, method, path, params)
            except NoAnswer as failure:
                first = first or (endpoint, failure)
                if failure.sent and method != "GET":
                    raise self._unanswered(Uncertain, endpoint, failure, method, path, params) from None
                if failure.untrusted and endpoint is self._addresses.main:
                    raise self._unanswered(TlsRefused, endpoint, failure, method, path, params) from None
                if not failure.sent:
                    self._addresses.unreached(endpoint)
            if self._left() <= _SHORTEST:
                break
        assert first is not None  # noqa: S101  (there is always an address)
        raise self._unanswered(Unreachable, *first, method, path, params)

    def _ask(self, endpoint: Endpoint, method: Method, path: str, params: Mapping[str, Any]) -> Any:
        """As :meth:`_asked`, parsed and checked at once."""
        return self._asked(endpoint, method, path, params)()

    def _asked(
        self, endpoint: Endpoint, method: Method, path: str, params: Mapping[str, Any]
    ) -> Callable[[], Any]:
        """Send a call to one address. What is returned parses and checks what was answered; it raises as this does.

        Raises:
            NoAnswer: it did not answer.
            ProxmoxError: it refused, or what it answered cannot be.
        """
        with self._classified(endpoint, method, path, params):
            try:
                data = self._send(endpoint, method, path, params)
            except NoAnswer as failure:
                # The server closed an idle connection just now: that says nothing of whether it answers.
                if not failure.hung_up or (failure.sent and method != "GET"):
                    raise
                data = self._send(endpoint, method, path, params)

        def checked() -> Any:
            with self._classified(endpoint, method, path, params):
                answered = data()
                if told := wrong_answer(method, path, answered):
                    raise Unfit(f"the answer is not what it should be: {told}")
            return answered

        return checked

    @contextmanager
    def _classified(
        self, endpoint: Endpoint, method: Method, path: str, params: Mapping[str, Any]
    ) -> Iterator[None]:
        """Raise what a call ends by as what it means.

        Raises:
            ProxmoxError: the server refused, or what it answered cannot be.
        """
        call = f"{method} {path}"
        try:
            yield
        except Unfit as unfit:
            fault: type[ProxmoxError] = BadAnswer if method == "GET" else Uncertain
            text = tidy(self._scrub(f"{endpoint.url}: {unfit}", params))
            raise fault(text, site=self.site, call=call) from None
        except Refusal as refusal:
            place = _VM_PATH.match(path)
            answer = Answer(
                site=self.site,
                call=call,
                status=refusal.status,
                text=self._scrub(refusal.text, params),
                errors={key: self._scrub(text, params) for key, text in refusal.errors.items()},
                node=(place and place["node"]) or "NODE",
                vmid=(place and place["vmid"]) or "ID",
                write=method != "GET",
            )
            raise classify(answer) from None

    def _send(
        self, endpoint: Endpoint, method: Method, path: str, params: Mapping[str, Any]
    ) -> Callable[[], Any]:
        """Send one request, counted and logged; what gives the data of its answer."""
        if method != "GET":
            self.before_write(method, path)
        with self._guard:
            self._calls[method] += 1
        if self._on_call:
            self._on_call(method, path)
        began = time.monotonic()
        status = "200"
        try:
            connection = self._connection(endpoint)
            data = connection.ask(method, path, params, seconds=self._left())
            self._local.date = connection.date
            self._local.answered_by = endpoint
            return data
        except Unfit:
            status = "unfit answer"
            raise
        except Refusal as refusal:
            status = str(refusal.status)
            raise
        except NoAnswer:
            status = "no answer"
            raise
        finally:
            self._note(method, path, began, status)

    def _unanswered(
        self,
        kind: type[ProxmoxError],
        endpoint: Endpoint,
        failure: NoAnswer,
        method: Method,
        path: str,
        params: Mapping[str, Any],
    ) -> ProxmoxError:
        text = tidy(self._scrub(f"{endpoint.url}: {failure.text}", params))
        return kind(text, site=self.site, call=f"{method} {path}")

    def _note(self, method: str, path: str, began: float, status: str) -> None:
        """Log a call: what was asked for, never with which parameters."""
        if _LOG.isEnabledFor(logging.DEBUG):
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            fields = {"site": self.site, "method": method, "path": path, "status": status, "ms": milliseconds}
            _LOG.debug("call", extra={"fields": fields})

    def _connection(self, endpoint: Endpoint) -> Connection:
        """This thread's connection to an address."""
        mine: dict[str, Connection] | None = getattr(self._local, "connections", None)
        if mine is None:
            mine = self._local.connections = {}
        if endpoint.url not in mine:
            with self._guard:
                left = self._idle.get(endpoint.url)
                found = left.pop() if left else None
            if found is None:
                found = Connection(endpoint)
                with self._guard:
                    self._connections.append(found)
            mine[endpoint.url] = found
        return mine[endpoint.url]

    def hand_over(self) -> None:
        """Leave this thread's connections, open as they are, to threads that make calls after it."""
        mine: dict[str, Connection] = getattr(self._local, "connections", {})
        with self._guard:
            for url, connection in mine.items():
                self._idle.setdefault(url, []).append(connection)
        self._local.connections = {}

    def _scrub(self, text: str, params: Mapping[str, Any]) -> str:
        """Take out secrets that a server may echo ("got 'hunter2'")."""
        secrets = [
            self._endpoint.token_secret,
            *(str(params[key]) for key in _SECRET_PARAMETERS & params.keys()),
        ]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text


def _node_in(error: ProxmoxError) -> str | None:
    """The node that another one says does not answer; None if the error is another one."""
    if not isinstance(error, Unreachable) or error.status not in NODE_SILENT:
        return None
    found = _VM_PATH.match(error.call.partition(" ")[2])
    return found["node"] if found else None
