"""Tasks: what a node does after it has answered, each with its UPID, its log and its end.

A task's log is a file named by its UPID; how it ended is its last line, as on a Proxmox VE node. A task
whose server was killed has no such line: it is reported as ended with `unexpected status`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.api.access import Caller
from lab.api.errors import ApiError, WrongParameters, task_text

UPID_PATTERN = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9-]+):(?P<pid>[0-9A-F]{8}):(?P<pstart>[0-9A-F]{8,9}):(?P<starttime>[0-9A-F]{8}):"
    r"(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<identity>[^:\s]+):",
    re.IGNORECASE,
)
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_log = logging.getLogger(__name__)

Log = Callable[[str], None]
TaskWork = Callable[[Log], Awaitable[None]]


@dataclass
class Task:
    """One task of a node, running or ended; times are epoch seconds."""

    upid: str
    path: Path
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    identity: str
    exitstatus: str | None = None
    endtime: int | None = None
    running: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        """Whether it ended with an error; warnings are none."""
        status = self.exitstatus
        return status is not None and status != "OK" and not status.startswith("WARNINGS: ")

    def log(self, line: str) -> None:
        """Append to the task's log; a task may say several lines at once."""
        with self.path.open("a") as file:
            file.write(line.rstrip("\n") + "\n")

    def lines(self) -> list[str]:
        """The log so far."""
        return self.path.read_text().splitlines()

    def shown(self) -> dict[str, Any]:
        """What all views of a task have in common."""
        user, _, token = self.identity.partition("!")
        seen: dict[str, Any] = {"upid": self.upid, "node": self.node, "pid": self.pid, "pstart": self.pstart}
        seen |= {"starttime": self.starttime, "type": self.type, "id": self.id, "user": user}
        return seen | ({"tokenid": token} if token else {})


class Tasks:
    """The tasks of one node."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder
        self._node = node
        self._last_start = 0
        folder.mkdir(parents=True, exist_ok=True)
        found = (_ended_task(path) for path in folder.iterdir())
        self._tasks = {task.upid: task for task in found if task is not None}

    def start(self, kind: str, id_: str, caller: Caller, work: TaskWork) -> str:
        """Start a task and return its UPID.

        Args:
            kind: Proxmox's name of it, e.g. `qmclone`.
            id_: what it works on.
            caller: who asked for it.
            work: is called with a function that writes to the task's log.
        """
        task = self._new(kind, id_, caller)
        self._tasks[task.upid] = task
        task.running = asyncio.create_task(self._run(task, work))
        return task.upid

    def find(self, upid: str) -> Task:
        """The task of a UPID.

        Raises:
            WrongParameters: not a UPID, or of no task.
        """
        if not UPID_PATTERN.fullmatch(upid):
            raise WrongParameters({"upid": "unable to parse worker upid"})
        if upid not in self._tasks:
            raise WrongParameters({"upid": "no such task"})
        return self._tasks[upid]

    def all(self) -> list[Task]:
        """All tasks, the newest first."""
        return sorted(self._tasks.values(), key=lambda task: (task.starttime, task.pstart), reverse=True)

    async def stop(self, task: Task) -> None:
        """Interrupt a task and wait until it has cleaned up; nothing to do for one that has ended."""
        if task.running is not None:
            # Whoever asks a second time must not interrupt the cleaning up.
            if not task.running.cancelling():
                task.running.cancel()
            await asyncio.wait([task.running])

    def _new(self, kind: str, id_: str, caller: Caller) -> Task:
        now = int(time.time())
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        self._last_start = max(self._last_start + 1, int(uptime * _CLOCK_TICKS))
        upid = f"UPID:{self._node}:{os.getpid():08X}:{self._last_start:08X}:{now:08X}:{kind}:{id_}:{caller.identity}:"
        path = self._folder / upid
        path.touch()
        return Task(upid, path, self._node, os.getpid(), self._last_start, now, kind, id_, caller.identity)

    async def _run(self, task: Task, work: TaskWork) -> None:
        try:
            await work(task.log)
        except asyncio.CancelledError:
            self._end(task, "interrupted by signal")
        except Exception as error:
            if not isinstance(error, ApiError):
                _log.exception("task %s failed", task.upid)
            self._end(task, task_text(error))
        else:
            self._end(task, "OK")

    def _end(self, task: Task, status: str) -> None:
        task.log("TASK OK" if status == "OK" else f"TASK ERROR: {status}")
        task.exitstatus, task.endtime, task.running = status, int(time.time()), None


def _ended_task(path: Path) -> Task | None:
    """A task of an earlier server, as its log tells it."""
    found = UPID_PATTERN.fullmatch(path.name)
    if found is None:
        return None
    last = (path.read_text().splitlines() or [""])[-1]
    ended = re.fullmatch(r"TASK (?:(OK)|ERROR: (.*)|(WARNINGS: \d+))", last)
    status = next(filter(None, ended.groups()), "unexpected status") if ended else "unexpected status"
    return Task(
        path.name,
        path,
        found["node"],
        pid=int(found["pid"], 16),
        pstart=int(found["pstart"], 16),
        starttime=int(found["starttime"], 16),
        type=found["type"],
        id=found["id"],
        identity=found["identity"],
        exitstatus=status,
        endtime=int(path.stat().st_mtime),
    )
