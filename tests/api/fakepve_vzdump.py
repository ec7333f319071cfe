# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a vzdump job is asked to do, what it writes into its log, and what tests are told of it afterwards.

Licensed as fakepve, with which it is used; it only ever runs in a process of its own.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fakepve.qemu import drives_of
from fakepve.routing import param_error

from tests.api.fakepve_clock import Clock, log_time

if TYPE_CHECKING:
    import asyncio

_VARIABLES = ("cluster", "guestname", "node", "vmid")
_EXTENSIONS = {"zstd": "vma.zst", "gzip": "vma.gz", "lzo": "vma.lzo", "1": "vma.lzo"}
INTERRUPTED = "interrupted by signal"
BROKEN_READ = "job failed with err -5 - Input/output error"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call of vzdump.

    Attributes:
        storage: None if the archive goes to a directory that is no storage.
        keep: the retention that is applied to each machine afterwards; None: nothing is removed.
        seconds: how long each machine takes, whatever was arranged for it.
    """

    node: str
    vmids: tuple[int, ...]
    storage: str | None
    user: str
    mode: str = "snapshot"
    compress: str = "0"
    notes: str = ""
    protected: bool = False
    keep: dict[str, int] | None = None
    everything: bool = False
    lock_minutes: int = 180
    seconds: float | None = None
    command: str = ""

    @property
    def extension(self) -> str:
        """How the names of its archives end."""
        return _EXTENSIONS.get(self.compress, "vma")


@dataclass
class Behaviour:
    """What backups take and how they go: by machine, with defaults."""

    default_seconds: float = 0.0
    default_size: int = 1024**3
    seconds: dict[int, float] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    fail: dict[int, str | int] = field(default_factory=dict)
    """The text of every failure, or how many backups fail from now on."""

    def next_failure(self, vmid: int) -> str | None:
        """Why this backup fails; None if it does not."""
        wanted = self.fail.get(vmid)
        if isinstance(wanted, int):
            self.fail[vmid] = max(0, wanted - 1)
            return BROKEN_READ if wanted > 0 else None
        return wanted


@dataclass
class Run:
    """One machine's backup: what really happened, in simulated seconds."""

    vmid: int
    node: str
    storage: str | None
    user: str
    upid: str
    started: float
    ended: float | None = None
    ok: bool | None = None


class Ledger:
    """Every backup that was begun, and how many were at work at once."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._now: Counter[tuple[str, str]] = Counter()
        self._peaks: dict[tuple[str, str], int] = {}

    def enter(self, run: Run) -> None:
        """A machine's backup begins."""
        self.runs.append(run)
        for place in _places(run):
            self._now[place] += 1
            self._peaks[place] = max(self._peaks.get(place, 0), self._now[place])

    def leave(self, run: Run, ended: float, ok: bool) -> None:
        """It has ended."""
        run.ended, run.ok = ended, ok
        for place in _places(run):
            self._now[place] -= 1

    def peaks(self) -> dict[str, dict[str, int]]:
        """The most at once, by ``nodes``, ``storages`` and in the whole ``cluster``."""
        found: dict[str, dict[str, int]] = {"nodes": {}, "storages": {}, "cluster": {}}
        for (kind, name), most in self._peaks.items():
            found[kind][name] = most
        return found


def _places(run: Run) -> list[tuple[str, str]]:
    places = [("nodes", run.node), ("cluster", "all")]
    return [*places, ("storages", run.storage)] if run.storage else places


class NodeLock:
    """One vzdump at a time on a node; the others wait in the order in which they came."""

    def __init__(self) -> None:
        self.held = False
        self._queue: deque[asyncio.Future[bool]] = deque()

    async def acquire(self, waiter: asyncio.Future[bool], clock: Clock, deadline: float) -> bool:
        """Wait for the lock until a simulated time; False if it was not to be had."""
        self._queue.append(waiter)
        try:
            return await clock.within(waiter, deadline)
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                self.release()
            waiter.cancel()
            raise

    def release(self) -> None:
        """Give it to the next."""
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return
        self.held = False


def check_notes(template: str) -> None:
    """Refuse what vzdump does not know."""
    if "\n" in template:
        raise param_error(**{"notes-template": "contains a line feed\n"})
    wrong = [
        f"escape sequence '\\{found[1]}' at char {found.end() - 2}"
        for found in re.finditer(r"\\(.)", template)
        if found[1] not in "n\\"
    ]
    wrong += [
        f"variable '{found[1]}' at char {found.end() - len(found[1])}"
        for found in re.finditer(r"\{\{([^\s{}]+)\}\}", template)
        if found[1] not in _VARIABLES
    ]
    if wrong:
        raise param_error(**{"notes-template": f"found unknown: {', '.join(wrong)}\n"})


def write_notes(template: str, **values: Any) -> str:
    """The notes of one archive."""
    text = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], template)
    return re.sub(r"\{\{(" + "|".join(_VARIABLES) + r")\}\}", lambda found: str(values[found[1]]), text)


def opening_lines(vm: Any, now: float) -> list[str]:
    """The log until the machine is locked."""
    return [
        f"INFO: Starting Backup of VM {vm.vmid} (qemu)",
        f"INFO: Backup started at {log_time(now)}",
        f"INFO: status = {vm.status}",
    ]


def preparing_lines(vm: Any, mode: str, target: str) -> list[str]:
    """The log until the data flows."""
    lines = [f"INFO: backup mode: {mode}", "INFO: ionice priority: 7"]
    drives = [f"INFO: VM Name: {vm.config['name']}"] if vm.config.get("name") else []
    for key, volume, options in drives_of(vm.config, skip_cdrom=True):
        if options.get("backup") in ("0", "no"):
            drives.append(f"INFO: exclude disk '{key}' '{volume}' (backup=no)")
        else:
            drives.append(f"INFO: include disk '{key}' '{volume}' {options.get('size', '')}".rstrip())
    lines = drives + lines if mode == "snapshot" else lines + drives
    running = vm.status == "running"
    if mode == "stop" and running:
        lines.append("INFO: stopping virtual guest")
    if mode == "suspend":
        lines.append("INFO: suspending guest")
    lines.append(f"INFO: creating vzdump archive '{target}'")
    if mode == "stop":
        lines.append("INFO: starting kvm to execute backup task")
    elif str(vm.config.get("agent", "0")).split(",")[0].removeprefix("enabled=") == "1":
        lines += [f"INFO: issuing guest-agent '{command}' command" for command in ("fs-freeze", "fs-thaw")]
    lines.append(f"INFO: started backup task '{uuid.uuid4()}'")
    return [*lines, "INFO: resuming VM again"] if running else lines


def written_line(size: int, share: float, seconds: int) -> str:
    """How much is written, as the log says it every few seconds."""
    gib = size / 1024**3
    return (
        f"INFO: {share * 100:3.0f}% ({gib * share:.1f} GiB of {gib:.1f} GiB) in {seconds}s, read: 61.6 MiB/s, "
        "write: 61.6 MiB/s"
    )


def closing_lines(size: int, seconds: int) -> list[str]:
    """The log from the last byte to the archive's size."""
    gib = size / 1024**3
    return [
        written_line(size, 1.0, seconds),
        f"INFO: transferred {gib:.2f} GiB in {seconds} seconds",
        f"INFO: archive file size: {format_size(size)}",
    ]


def format_size(size: int) -> str:
    """A size as vzdump logs it."""
    if size < 1024**2:
        return f"{size // 1024}KB"
    if size < 1024**3:
        return f"{size // 1024**2}MB"
    return f"{size / 1024**3:.2f}GB" if size < 1024**4 else f"{size / 1024**4:.2f}TB"


def format_time(seconds: float) -> str:
    """A duration as vzdump logs it."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
