"""Every step that changes something goes through here: shown while it runs, recorded when it ends."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.applying.stopping import Stopping
from orchestrator.history import HistoryUnavailable
from orchestrator.progress import Progress
from orchestrator.proxmox import ProxmoxError, TaskFailed, TaskResult, TaskTimeout, Uncertain
from orchestrator.proxmox.task_share import listening

if TYPE_CHECKING:
    from orchestrator.history import History

_LOG = logging.getLogger("orchestrator.steps")
_MESSAGE_LENGTH = 2000


@dataclass
class Step:
    """A step under way: gets the task's UPID when Proxmox has named it."""

    upid: str | None = None
    message: str = ""

    def ended(self, task: TaskResult) -> None:
        """Note the task that did the work."""
        self.upid = task.upid


@dataclass(frozen=True, kw_only=True)
class Journal:
    """Who runs what and why, and where it is written down.

    Attributes:
        history: where entries go.
        who: the person or the scheduler.
        why: subscription change, ticket or schedule (article 3.8.1: complete traceability).
        run: identifies this run in the history.
        progress: told of each step, and of how much of it is done.
        gate: called with the site before a step; raises if nothing may be changed there.
        stopping: whether somebody asked for the run's end: then no step is begun.
        clock: the time of entries, aware; None: this computer's.
    """

    history: History
    who: str
    why: str
    run: str
    progress: Progress = field(default_factory=Progress)
    gate: Callable[[str], None] = lambda _site: None
    stopping: Stopping = field(default_factory=Stopping)
    clock: Callable[[], dt.datetime] | None = None

    @contextmanager
    def step(
        self, client: str, machine: str | None, site: str, action: str, **details: Any
    ) -> Iterator[Step]:
        """Run a step; record it with its result, its UPID and its duration, also if it fails.

        It is announced in the history before it begins, so that one which a kill interrupts shows as begun
        and never ended; the next run sees what it did and goes on from there.
        """
        self.stopping.check()
        self.gate(site)
        try:
            with (
                self.stopping.at_work(f"{client}/{machine or '*'}: {action}"),
                self._recorded(client, machine, site, action, details) as step,
            ):
                yield step
        finally:
            self.progress.step_ended(client, machine or "")

    @contextmanager
    def _recorded(
        self, client: str, machine: str | None, site: str, action: str, details: dict[str, Any]
    ) -> Iterator[Step]:
        self.progress.step(client, machine or "", action)
        started = time.monotonic()
        step = Step()
        begun = self.record(
            client, machine, site, action, result="begun", message="", seconds=0.0, details=details
        )

        def record(result: str, message: str) -> None:
            try:
                self.record(
                    client,
                    machine,
                    site,
                    action,
                    result=result,
                    message=message,
                    upid=step.upid,
                    seconds=time.monotonic() - started,
                    details=details,
                    began=begun,
                )
            except HistoryUnavailable as error:
                raise HistoryUnavailable(_unrecorded(action, result, message, error)) from error

        share = partial(self.progress.share, client, machine or "") if self.progress.wants_shares else None
        try:
            with listening(share):
                yield step
        except Uncertain as error:
            record("unknown", str(error))
            raise
        except ProxmoxError as error:
            if isinstance(error, (TaskFailed, TaskTimeout)):
                step.upid = error.upid
            record("failed", str(error))
            raise
        except Exception as error:
            record("failed", str(error))
            raise
        record("ok", step.message)

    def record(
        self,
        client: str,
        machine: str | None,
        site: str,
        action: str,
        *,
        result: str,
        message: str,
        seconds: float,
        upid: str | None = None,
        details: dict[str, Any] | None = None,
        began: int | None = None,
    ) -> int:
        """Write one entry into the history. Return its number."""
        level = logging.ERROR if result in ("failed", "unknown") else logging.INFO
        fields = {
            "run": self.run,
            "who": self.who,
            "site": site,
            "client": client,
            "machine": machine,
            "step": action,
            "result": result,
            "upid": upid,
            "seconds": round(seconds, 3),
            "message": message[:_MESSAGE_LENGTH],
        }
        _LOG.log(level, "step", extra={"fields": fields})
        entry = self.history.append(
            who=self.who,
            why=self.why,
            client=client,
            machine=machine,
            site=site,
            action=action,
            details=details or {},
            result=result,
            message=message[:_MESSAGE_LENGTH],
            upid=upid,
            seconds=round(seconds, 3),
            run=self.run,
            began=began,
            at=self.clock() if self.clock is not None else None,
        )
        return entry.sequence


def _unrecorded(action: str, result: str, message: str, error: HistoryUnavailable) -> str:
    """What became of a step whose end could not be written down: whoever reads it must know what was done."""
    ended = {"ok": "was done", "failed": "failed"}.get(result, f"ended ({result})")
    return f"{action} {ended}{f' ({message})' if message else ''}, but that is not in the history: {error}"
