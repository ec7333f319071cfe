"""Tasks of Proxmox: their names (UPIDs) and how they ended."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UPID = re.compile(
    r"UPID:(?P<node>[^:]+):(?P<pid>[0-9A-Fa-f]+):(?P<pstart>[0-9A-Fa-f]+):(?P<starttime>[0-9A-Fa-f]+):"
    r"(?P<kind>[^:]+):(?P<subject>[^:]*):(?P<user>[^:]+):"
)


@dataclass(frozen=True, kw_only=True)
class Upid:
    """The parts of a UPID.

    Attributes:
        node: where the task runs.
        kind: ``qmclone``, ``qmstart``, ``vzdump``, …
        subject: what it works on: the VM id for most (the source's for a clone).
        user: who asked for it: ``USER@REALM``, or ``USER@REALM!TOKEN``.
        started: when, by the clock of its node: seconds since the epoch.
    """

    text: str
    node: str
    kind: str
    subject: str
    user: str
    started: int

    def __str__(self) -> str:
        return (
            f"task {self.kind} {self.subject} on {self.node}"
            if self.subject
            else f"task {self.kind} on {self.node}"
        )


def parse_upid(text: object) -> Upid | None:
    """Take a UPID apart; None if ``text`` is not one."""
    found = _UPID.fullmatch(text) if isinstance(text, str) else None
    if not found:
        return None
    return Upid(
        text=found.group(),
        node=found["node"],
        kind=found["kind"],
        subject=found["subject"],
        user=found["user"],
        started=int(found["starttime"][:8], 16),
    )


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """How a task ended well.

    Attributes:
        upid: its name.
        node: where it ran.
        kind: ``qmclone``, ``qmstart``, …
        exitstatus: ``OK`` or ``WARNINGS: n``.
        seconds: how long it was waited for.
        warnings: the number of warnings in its log.
    """

    upid: str
    node: str
    kind: str
    exitstatus: str
    seconds: float
    warnings: int = 0


def warnings_in(exitstatus: str) -> int | None:
    """Return the number of warnings of a task that ended well; None if it did not."""
    if exitstatus == "OK":
        return 0
    found = re.fullmatch(r"WARNINGS: (\d+)", exitstatus)
    return int(found[1]) if found else None
