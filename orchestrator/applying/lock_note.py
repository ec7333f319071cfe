"""What stands in the comment of a run's lock: who holds it, for what, and when it gave its last sign of life.

Written by this program and by whoever else may edit pools: what cannot be read is a lock whose holder is unknown.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from orchestrator.contract.calendar import paris_time

LOCK_POOL = re.compile(r"orchestrator-lock-[0-9a-f]{16}")
"""Pools of these names are locks of runs. No name is used twice, so whoever removes one removes that one."""

_LONGEST = 512 * 1024
_PROC = Path("/proc")
_ENDED = 0


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of one computer.

    Attributes:
        computer: the boot and the process namespace that its number belongs to; empty where that is not known.
        pid: its number.
        started: when it was started, in the kernel's own unit: a number may be given again.
    """

    computer: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        pid = os.getpid()
        started = _started(pid)
        return cls(computer=_computer() if started else "", pid=pid, started=started or _ENDED)

    @property
    def dead(self) -> bool:
        """Whether it surely is no more. Of another computer's process, or one in another container, nobody knows.

        Other accounts' processes may be hidden in /proc (systemd's ProtectProc): only the kernel's own "no such
        process", or another process in its place, is proof.
        """
        if not self.computer or self.computer != _computer() or self.pid < 1:
            return False
        try:
            os.kill(self.pid, 0)  # sends nothing
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            pass
        started = _started(self.pid)
        return started is not None and started != self.started


def _computer() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    """When a process was started; None if it is not seen, :data:`_ENDED` if only its exit code is left of it."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _ENDED if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True, kw_only=True)
class LockNote:
    """A run's lock at one site.

    Attributes:
        holder: who runs it, where and since when, for people.
        process: the run's process.
        site: what the run calls the site.
        beat: counts the signs of life.
        at: when it gave the last one, by the clock of its computer. A hint, and no more: clocks may be wrong.
        claims: what it keeps others from.
    """

    holder: str
    process: Process
    site: str
    beat: int
    at: dt.datetime
    claims: frozenset[str]

    def write(self) -> str:
        """The text of the comment."""
        data = {
            "holder": self.holder,
            "computer": self.process.computer,
            "pid": self.process.pid,
            "started": self.process.started,
            "site": self.site,
            "beat": self.beat,
            "at": self.at.astimezone(dt.UTC).isoformat(timespec="seconds"),
            "claims": sorted(self.claims),
        }
        # Proxmox decodes %XX in comments, though it writes % as it is.
        return json.dumps(data, separators=(",", ":")).replace("%", "")

    def renewed(self, *, at: dt.datetime, claims: Iterable[str]) -> Self:
        """The note with another sign of life."""
        return replace(self, beat=self.beat + 1, at=at, claims=frozenset(claims))


def read_note(comment: str) -> LockNote | None:
    """Read a lock's comment; None if this program did not write it so."""
    if len(comment) > _LONGEST:
        return None
    try:
        data = json.loads(comment)
        texts = [data[key] for key in ("holder", "computer", "site", "at")]
        numbers = [data[key] for key in ("pid", "started", "beat")]
        claims = data["claims"]
        if not (
            all(isinstance(text, str) for text in [*texts, *claims])
            and all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        ):
            return None
        at = dt.datetime.fromisoformat(texts[3])
        return LockNote(
            holder=_printable(texts[0]),
            process=Process(computer=texts[1], pid=numbers[0], started=numbers[1]),
            site=texts[2],
            beat=numbers[2],
            at=(at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC),
            claims=frozenset(claims),
        )
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _printable(text: str) -> str:
    """A holder's name as it may be shown: whoever may edit pools chose it."""
    return "".join(character for character in text if character.isprintable())[:200]


def holder_text(who: str, since: dt.datetime, what: str = "") -> str:
    """Who holds a lock, where and since when.

    Args:
        who: the person, or the account.
        since: when the run began.
        what: what it does.
    """
    told = f"since {paris_time(since, seconds=True)}"
    return f"{who} on {socket.gethostname()} (pid {os.getpid()}, {told}{', ' + what if what else ''})"
