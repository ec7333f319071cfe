"""A cluster's API: calls, retries that are safe, and tasks that are waited for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from orchestrator.proxmox.calls import Calls, Method, Patience
from orchestrator.proxmox.connection import Endpoint, NoAnswer, download, parse_http_date
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
    Unreachable,
    Unusable,
    cause_of_exit,
    tidy,
)
from orchestrator.proxmox.shapes import VMID, Record, wrong
from orchestrator.proxmox.task_share import ShareOfTask
from orchestrator.proxmox.tasks import TaskResult, Upid, look_again_in, parse_upid, warnings_in

if TYPE_CHECKING:
    from orchestrator.proxmox.bulk_reader import BulkReader

__all__ = ["Cluster", "Patience", "UnusableCluster"]

_NOBODY = "nobody@pve!none"
_LOG_LINES = 5000
_LOG_TAIL = 20
_SILENT_SECONDS = 120.0
"""How long a download may be silent: files of a backup come from a machine that the node starts to read them."""
_LISTEN_SECONDS = 1.0
"""How often a wait for a task looks whether it is still wanted."""


class Cluster(Calls):
    """The API of one site's cluster: its calls, and tasks that are waited for.

    Attributes:
        bulk_reader: reads the configurations of many machines at once, beside the API; None: nothing does.
    """

    bulk_reader: BulkReader | None = None

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
                remedy="widen `vmids` of the site in the site file",
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
            theirs = parse_http_date(self._local.date)
            if theirs is None:
                raise BadAnswer(
                    "the answer does not say the time (no Date header that can be read)",
                    site=self.site,
                    call="GET /version",
                )
            # The header has whole seconds: half a second more is as likely as none.
            return theirs + 0.5 - (before + after) / 2

        return self._retried("GET", ask)

    def download(
        self,
        path: str,
        params: Mapping[str, Any],
        sink: Callable[[bytearray], None],
        *,
        seconds: float,
        size: int,
    ) -> None:
        """Fetch a file that the API streams. Asked once: it is not begun again in the middle.

        Args:
            path, params: what is asked.
            sink: given the file piece by piece; see :func:`orchestrator.proxmox.connection.download`.
            seconds: how long it may take.
            size: how many bytes it may have.

        Raises:
            ProxmoxError: it was refused, took too long, was too large, or broke.
        """
        limits = replace(
            self._endpoint.limits, silence=_SILENT_SECONDS, attempt=seconds, call=seconds, body_bytes=size
        )
        self._local.ends = time.monotonic() + seconds
        failed: tuple[Endpoint, NoAnswer] | None = None
        for endpoint in self._addresses.order(path):
            try:
                self._recognition.check(endpoint)
                with self._classified(endpoint, "GET", path, params):
                    return download(endpoint, path, params, sink, limits)
            except NoAnswer as failure:
                failed = failed or (endpoint, failure)
                if failure.sent:
                    break
                self._addresses.unreached(endpoint)
        assert failed is not None  # noqa: S101  (there is always an address)
        raise self._unanswered(Unreachable, *failed, "GET", path, params)

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
        share = ShareOfTask(lambda first, most: self._log_lines(task, first, most))
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
            if share.is_wanted and not trouble:
                with suppress(ProxmoxError):  # how far it is can wait for the next look
                    share.look()
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

    def _log_lines(self, task: Upid, first: int, most: int) -> Sequence[Any]:
        self._local.ends = math.inf
        lines = self._once(
            "GET", f"/nodes/{task.node}/tasks/{task.text}/log", {"start": first, "limit": most}
        )
        return [line | {"t": tidy(self._scrub(line.get("t") or "", {}))} for line in lines[:most]]

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


class UnusableCluster(Cluster):
    """A site that cannot even be asked: its token, CA file or address cannot be used on this computer.

    It stands where the site's API would stand: every call raises :class:`Unusable`, so the site is one that could not
    be read, and the others go on.
    """

    def __init__(self, *, site: str, url: str, token_id: str, reason: str) -> None:
        """Describe it.

        Args:
            site: the site's name.
            url, token_id: as the site file has them, right or wrong.
            reason: why it cannot be used, and what to do.
        """
        super().__init__(site=site, url="https://unusable.invalid", token_id=_NOBODY, token_secret="")
        self.reason = reason
        self._url = url
        self._token_id = token_id

    @property
    def token_id(self) -> str:
        """As the site file has it."""
        return self._token_id

    def __repr__(self) -> str:
        return f"<UnusableCluster {self.site} {self._url}>"

    def _sent(self, method: Method, path: str, params: Mapping[str, Any]) -> NoReturn:
        raise Unusable(self.reason, site=self.site, call=f"{method} {path}")
