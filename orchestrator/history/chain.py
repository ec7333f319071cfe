"""Entries and the chain that binds them: each carries the hash of the one before it.

Changing, removing or moving an entry breaks the chain at that place. What a chain alone cannot show is the
removal of the *last* entries: the head (number and hash of the last entry) is kept apart, and ``verify``
prints it, so that it can be noted where whoever can rewrite the database cannot write.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Result = Literal["ok", "failed", "refused", "unknown"]

FIRST = "0" * 64
"""What the first entry carries as the hash of the one before it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One action, recorded when it ended.

    Attributes:
        sequence: 1, 2, 3, … without gaps.
        at: when it ended (UTC).
        who: the person, or the scheduler.
        why: subscription change, ticket or schedule (article 3.8.1).
        machine: None for an action on something that belongs to the whole client.
        details: what was asked, as JSON; never a secret.
        result: ``unknown`` where the connection broke before the answer came.
        upid: Proxmox's own identifier of the task, if it was one.
        seconds: how long it took.
        run: what was done in one go has one run.
        previous, hash: the chain.
    """

    sequence: int
    at: dt.datetime
    who: str
    why: str
    client: str
    machine: str | None
    site: str
    action: str
    details: str
    result: str
    message: str
    upid: str | None
    seconds: float
    run: str
    previous: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a check of the chain found.

    Attributes:
        ok: nothing was altered, removed or reordered.
        count: entries read.
        head: hash of the last entry, to be noted elsewhere.
        bad: the number of the first entry that does not fit; None if all do.
        reason: what is wrong, in words; empty if nothing is.
    """

    ok: bool
    count: int
    head: str
    bad: int | None = None
    reason: str = ""


def hash_of(fields: Mapping[str, Any]) -> str:
    """The hash of an entry: over every field but ``hash`` itself, in one canonical form."""
    plain = {key: value for key, value in fields.items() if key != "hash"}
    plain["at"] = fields["at"].astimezone(dt.UTC).isoformat(timespec="microseconds")
    plain["seconds"] = repr(float(fields["seconds"]))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(entries: Iterable[Entry], head: tuple[int, str]) -> Verification:
    """Check a whole chain against its head.

    Args:
        entries: all of them, by their number.
        head: number and hash of the last entry as kept apart; (0, FIRST) for an empty history.
    """
    previous, count = FIRST, 0
    for entry in entries:
        count += 1
        problem = _problem(entry, count, previous)
        if problem:
            return Verification(ok=False, count=count, head=previous, bad=entry.sequence, reason=problem)
        previous = entry.hash
    if (count, previous) != head:
        reason = (
            f"the history ends with entry {count}, its head says {head[0]}: entries at the end were removed"
        )
        return Verification(ok=False, count=count, head=previous, bad=count + 1, reason=reason)
    return Verification(ok=True, count=count, head=previous)


def _problem(entry: Entry, expected: int, previous: str) -> str:
    if entry.sequence != expected:
        return f"entry {expected} is missing: it was removed, or entries were reordered"
    if entry.previous != previous:
        return (
            f"entry {entry.sequence} does not follow the one before it: one of the two was replaced or moved"
        )
    if hash_of(asdict(entry)) != entry.hash:
        return f"entry {entry.sequence} was altered after it was written"
    return ""
