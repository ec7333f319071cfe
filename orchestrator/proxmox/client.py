"""A cluster's API: calls, retries that are safe, and tasks that are waited for."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from orchestrator.proxmox.budget import Limits
from orchestrator.proxmox.connection import Connection, Endpoint, NoAnswer, Refusal, Unfit, parse_http_date
from orchestrator.proxmox.errors import (
    Answer,
    BadAnswer,
    LockTimeout,
    NoFreeId,
    ProxmoxError,
    ServerError,
    TaskFailed,
    TaskLeft,
    TaskTimeout,
    TlsRefused,
    Uncertain,
    Unreachable,
    Unusable,
    cause_of_exit,
    classify,
    tidy,
)
from orchestrator.proxmox.shapes import VMID, Record, wrong, wrong_answer
from orchestrator.proxmox.tasks import TaskResult, Upid, look_again_in, parse_upid, warnings_in

if TYPE_CHECKING:
    from orchestrator.proxmox.bulk_reader import BulkReader

T = TypeVar("T")
Method = Literal["GET", "POST", "PUT", "DELETE"]

_VM_PATH = re.compile(r"/nodes/(?P<node>[^/]+)(?:/(?:qemu|lxc)/(?P<vmid>\d+))?")
_SECRET_PARAMETERS = frozenset({"password", "cipassword", "token_secret", "ticket"})
_HIDDEN = "***"
_NOBODY = "nobody@pve!none"
_LOG = logging.getLogger("orchestrator.calls")
_SILENT = logging.NullHandler()
_SHORTEST = 0.01
"""Seconds of an attempt for which its call has no time left."""
_LOG_LINES = 5000
_LOG_TAIL = 20
_LISTEN_SECONDS = 1.0
"""How often a wait for a task looks whether it is still wanted."""


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


class Cluster:
    """The API of one site's cluster. Thread-safe: every thread keeps a connection of its own.

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
        on_call: Callable[[str, str], None] | None = None,
        bulk_reader: BulkReader | None = None,
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
            on_call: called with method and path right before every request is sent, retries and polls included.
            bulk_reader: reads the configurations of many machines at once, beside the API; None: nobody does.

        Raises:
            ValueError: ``url`` or ``token_id`` is not of its form.
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
        self._patience = patience or Patience()
        self.vmids = vmids
        self._on_call = on_call
        self.bulk_reader = bulk_reader
        self.leaves_task: Callable[[], bool] = lambda: False
        self.before_write: Callable[[str, str], None] = lambda _method, _path: None
        self._local = threading.local()
        self._guard = threading.Lock()
        self._connections: list[Connection] = []
        self._calls: Counter[str] = Counter()

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

    def close(self) -> None:
        """Close every thread's connection. No call may be under way."""
        with self._guard:
            connections, self._connections = self._connections, []
            self._local = threading.local()
        for connection in connections:
            connection.close()

    def free_vmid(self) -> int:
        """A number that no VM and no container has. Nothing reserves it: whoever uses it first has it. One call.

        Raises:
            NoFreeId: the range that was given is used up.
            ProxmoxError: it could not be asked for.
        """
        if self.vmids is None:
            return int(self.get("/cluster/nextid"))
        first, last = self.vmids
        taken = self.taken_vmids()
        free = next((number for number in range(first, last + 1) if number not in taken), None)
        if free is None:
            raise NoFreeId(
                f"no VM id is free in {first}-{last}",
                site=self.site,
                call="GET /cluster/resources",
                remedy="widen `vmids` of the site in the sites file",
            )
        return free

    def taken_vmids(self) -> frozenset[int]:
        """The numbers of all VMs and containers that the token may see. One call.

        Raises:
            ProxmoxError: they could not be listed.
        """
        listed = self.get("/cluster/resources", type="vm")
        for entry in listed:
            if told := wrong(entry, Record(needs={"vmid": VMID})):
                text = f"a VM of the cluster's list has no id that can be read, so none is known to be free: {told}"
                raise BadAnswer(text, site=self.site, call="GET /cluster/resources")
        return frozenset(int(entry["vmid"]) for entry in listed)

    def clock_offset(self, now: Callable[[], float] = time.time) -> float:
        """How many seconds the site's clock is ahead of ``now`` (negative: behind): one call.

        The time is that of the answer's ``Date`` header: of the node that is asked, to about a second.

        Args:
            now: the clock to compare with: seconds since the epoch.

        Raises:
            BadAnswer: the answer has no date, or one that is none.
            ProxmoxError: it could not be asked for.
        """

        def ask() -> float:
            before = now()
            self._once("GET", "/version", {})
            after = now()
            theirs = parse_http_date(self._connection().date)
            if theirs is None:
                raise BadAnswer(
                    "the answer does not say the time (no Date header that can be read)",
                    site=self.site,
                    call="GET /version",
                )
            # The header has whole seconds: half a second more is as likely as none.
            return theirs + 0.5 - (before + after) / 2

        return self._retried(ask)

    # Calls

    def get(self, path: str, *, params: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """Read. Asked again if the connection fails or the server is busy.

        Raises:
            ProxmoxError: one of :mod:`orchestrator.proxmox.errors`.
        """
        return self._call("GET", path, {**(params or {}), **more})

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

    def _call(self, method: Method, path: str, params: Mapping[str, Any]) -> Any:
        sent = {key: int(value) if isinstance(value, bool) else value for key, value in params.items()}
        return self._retried(lambda: self._once(method, path, sent))

    def _retried(self, ask: Callable[[], T]) -> T:
        import stamina

        # A retry that helps is no news; without a handler Python would print it on standard error.
        logging.getLogger("stamina").addHandler(_SILENT)
        patience = self._patience
        longest = self._endpoint.limits.call
        self._local.ends = time.monotonic() + longest
        for attempt in stamina.retry_context(
            on=lambda error: _may_retry(error) and not self.leaves_task(),
            attempts=patience.attempts,
            timeout=longest,
            wait_initial=patience.first_wait,
            wait_max=patience.longest_wait,
            wait_jitter=patience.jitter,
        ):
            with attempt:
                return ask()
        raise AssertionError("stamina ends with a result or an error")

    def _left(self) -> float:
        """How long the next attempt may take at most: what is left of its call."""
        ends: float = getattr(self._local, "ends", 0.0)
        return max(_SHORTEST, ends - time.monotonic())

    def _once(self, method: Method, path: str, params: Mapping[str, Any]) -> Any:
        if method != "GET":
            self.before_write(method, path)
        with self._guard:
            self._calls[method] += 1
        if self._on_call:
            self._on_call(method, path)
        call = f"{method} {path}"
        began = time.monotonic()
        try:
            answered = self._connection().send(method, path, params, seconds=self._left())
            if told := wrong_answer(method, path, answered):
                raise Unfit(f"the answer is not what it should be: {told}")
            self._note(method, path, began, "200")
            return answered
        except Unfit as unfit:
            self._note(method, path, began, "unfit answer")
            fault: type[ProxmoxError] = BadAnswer if method == "GET" else Uncertain
            text = tidy(self._scrub(f"{self._endpoint.url}: {unfit}", params))
            raise fault(text, site=self.site, call=call) from None
        except Refusal as refusal:
            self._note(method, path, began, str(refusal.status))
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
        except NoAnswer as failure:
            self._note(method, path, began, "no answer")
            kind: type[ProxmoxError] = Unreachable
            if failure.untrusted:
                kind = TlsRefused
            elif failure.sent and method != "GET":
                kind = Uncertain
            text = tidy(self._scrub(f"{self._endpoint.url}: {failure.text}", params))
            raise kind(text, site=self.site, call=call) from None

    def _note(self, method: str, path: str, began: float, status: str) -> None:
        """Log a call: what was asked for, never with which parameters."""
        if _LOG.isEnabledFor(logging.DEBUG):
            milliseconds = round((time.monotonic() - began) * 1000, 1)
            fields = {"site": self.site, "method": method, "path": path, "status": status, "ms": milliseconds}
            _LOG.debug("call", extra={"fields": fields})

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = Connection(self._endpoint)
            with self._guard:
                self._connections.append(connection)
        return connection

    def _scrub(self, text: str, params: Mapping[str, Any]) -> str:
        """Take out secrets that a server may echo ("got 'hunter2'")."""
        secrets = [
            self._endpoint.token_secret,
            *(str(params[key]) for key in _SECRET_PARAMETERS & params.keys()),
        ]
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
        return text

    # Tasks

    def run_task(
        self,
        method: Literal["POST", "PUT", "DELETE"],
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_seconds: float = 600.0,
        silence_seconds: float | None = None,
        expected_seconds: float | None = None,
    ) -> TaskResult:
        """Make a call that starts a task, and wait until it ends; see :meth:`wait_for_task`.

        Raises:
            TaskFailed: it ended badly.
            TaskTimeout: it did not end in ``timeout_seconds``.
            Uncertain: nobody knows whether it was started.
            ProxmoxError: it was refused.
        """
        upid = self._call(method, path, params or {})
        if parse_upid(upid) is None:
            raise ServerError(
                f"answered {tidy(str(upid), 100)!r} instead of a task",
                site=self.site,
                call=f"{method} {path}",
            )
        return self.wait_for_task(
            upid,
            timeout_seconds=timeout_seconds,
            silence_seconds=silence_seconds,
            expected_seconds=expected_seconds,
        )

    def wait_for_task(
        self,
        upid: str,
        *,
        timeout_seconds: float = 600.0,
        silence_seconds: float | None = None,
        expected_seconds: float | None = None,
    ) -> TaskResult:
        """Wait until a task ends. A node whose API is away meanwhile (an upgrade restarts it) is waited for.

        Args:
            upid: the task.
            timeout_seconds: how long it may take.
            silence_seconds: how long its node may be away meanwhile; None: as long as the task may take.
            expected_seconds: how long such tasks take at least, as a hint for when to look; None: nobody knows.

        Raises:
            TaskFailed: it ended badly.
            TaskTimeout: it did not end in ``timeout_seconds``, or its node was away for too long.
            TaskLeft: it still runs, and is not to be waited for any longer.
            BadAnswer: ``upid`` is none.
        """
        task = parse_upid(upid)
        if task is None:
            text = f"the answer is not the name of a task: {tidy(str(upid), 100)!r}"
            raise BadAnswer(text, site=self.site, call="the start of a task")
        started = time.monotonic()
        timeout_seconds = min(timeout_seconds, self._patience.longest_task)
        patience = self._patience
        heard = started
        while True:
            trouble = ""
            try:
                self._local.ends = math.inf  # one attempt, as long as one may take
                status = self._once("GET", f"/nodes/{task.node}/tasks/{upid}/status", {})
            except (Unreachable, LockTimeout, ServerError, BadAnswer) as error:
                trouble = f" (the last look failed: {error.text})"
                if silence_seconds is not None and time.monotonic() - heard > silence_seconds:
                    text = f"its node has been away for {silence_seconds:g} s{trouble}"
                    raise TaskTimeout(text, site=self.site, call=str(task), upid=upid) from None
            else:
                heard = time.monotonic()
                if status["status"] == "stopped":
                    return self._ended(task, tidy(status.get("exitstatus") or ""), heard - started)
            elapsed = time.monotonic() - started
            left = timeout_seconds - elapsed
            if left <= 0:
                text = f"did not end within {timeout_seconds:g} s{trouble}"
                raise TaskTimeout(text, site=self.site, call=str(task), upid=upid)
            wait = look_again_in(
                elapsed, first=patience.first_poll, longest=patience.longest_poll, expected=expected_seconds
            )
            self._rest(min(wait, left), task)

    def _rest(self, seconds: float, task: Upid) -> None:
        """Wait before the next look at a task.

        Raises:
            TaskLeft: it is not to be waited for any longer.
        """
        until = time.monotonic() + seconds
        while True:
            if self.leaves_task():
                raise TaskLeft(site=self.site, call=str(task), upid=task.text)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _LISTEN_SECONDS))

    def _ended(self, task: Upid, exitstatus: str, seconds: float) -> TaskResult:
        warnings = warnings_in(exitstatus)
        if warnings is not None:
            return TaskResult(
                upid=task.text,
                node=task.node,
                kind=task.kind,
                exitstatus=exitstatus,
                seconds=seconds,
                warnings=warnings,
            )
        log = self._log(task)
        raise TaskFailed(
            site=self.site,
            call=str(task),
            upid=task.text,
            exitstatus=exitstatus,
            log_tail=tuple(log[-_LOG_TAIL:]),
            cause=self._cause(task, exitstatus, log),
            said=next((line.removeprefix("ERROR: ") for line in log if line.startswith("ERROR: ")), ""),
        )

    def _log(self, task: Upid) -> list[str]:
        """The task's log; empty if it cannot be had: how the task ended is known without it."""
        try:
            lines = self.get(f"/nodes/{task.node}/tasks/{task.text}/log", limit=_LOG_LINES)
        except ProxmoxError:
            return []
        return [tidy(self._scrub(line.get("t") or "", {})) for line in lines[:_LOG_LINES]]

    def _cause(self, task: Upid, exitstatus: str, log: list[str]) -> ProxmoxError | None:
        """Why it ended so. vzdump only says "job errors"; its reason stands in the log."""
        reasons = [exitstatus, *(line for line in log if line.startswith("ERROR: "))]
        vmid = task.subject if task.subject.isdigit() else "ID"
        for text in reasons:
            answer = Answer(
                site=self.site, call=str(task), status=None, text=text, errors={}, node=task.node, vmid=vmid
            )
            cause = cause_of_exit(answer)
            if cause:
                return cause
        return None


def _may_retry(error: Exception) -> bool:
    """Whether a call surely changed nothing: never answered and a read or never sent, or refused before it began."""
    return isinstance(error, Unreachable | LockTimeout)


class UnusableCluster(Cluster):
    """A site that cannot even be asked: its token, CA file or address cannot be used on this computer.

    It stands where the site's API would stand: every call raises :class:`Unusable`, so the site is one that could not
    be read, and the others go on.
    """

    def __init__(self, *, site: str, url: str, token_id: str, reason: str) -> None:
        """Describe it.

        Args:
            site: the site's name.
            url, token_id: as the sites file has them, right or wrong.
            reason: why it cannot be used, and what to do.
        """
        super().__init__(site=site, url="https://unusable.invalid", token_id=_NOBODY, token_secret="")
        self.reason = reason
        self._url = url
        self._token_id = token_id

    @property
    def token_id(self) -> str:
        """As the sites file has it."""
        return self._token_id

    def __repr__(self) -> str:
        return f"<UnusableCluster {self.site} {self._url}>"

    def _once(self, method: Method, path: str, params: Mapping[str, Any]) -> NoReturn:
        raise Unusable(self.reason, site=self.site, call=f"{method} {path}")
