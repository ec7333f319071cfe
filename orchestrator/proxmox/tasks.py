"""Tasks of Proxmox: their names (UPIDs) and how they ended."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UPID = re.compile(
    r"UPID:(?P<node>[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?):(?P<pid>[0-9A-Fa-f]{1,16}):"
    r"(?P<pstart>[0-9A-Fa-f]{1,16}):(?P<starttime>[0-9A-Fa-f]{1,16}):"
    r"(?P<kind>[A-Za-z0-9_-]{1,64}):(?P<subject>[!$&-.0-9;->@-~]{0,256}):(?P<user>[^:\s/?#%]{1,256}):"
)
"""It becomes part of paths: nothing in it may lead elsewhere."""


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
    found = _UPID.fullmatch(text) if isinstance(text, str) and text.isprintable() else None
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
    found = re.fullmatch(r"WARNINGS: ([0-9]{1,9})", exitstatus)
    return int(found[1]) if found else None


def look_again_in(elapsed: float, *, first: float, longest: float, expected: float | None = None) -> float:
    """After how many seconds a task that still runs is looked at again.

    Looks become rarer while it runs: its end is noticed within a fifth of its length. With a hint of how long such
    tasks take there are fewer looks until then, one at that moment, and close ones afterwards.

    Args:
        elapsed: seconds since it was begun.
        first: the shortest wait, seconds.
        longest: the longest wait of a task that takes minutes; one that takes hours is looked at even less often.
        expected: how long such tasks take at least; None: nobody knows.
    """
    if expected is None:
        wait = elapsed / 4
    elif elapsed < expected:
        wait = min(max(elapsed, first), expected - elapsed)
    else:
        wait = expected / 20 + (elapsed - expected) / 2
    return min(max(wait, first), max(longest, elapsed / 20))
