"""Entries and the chain that binds them: each carries the hash of the one before it.

Changing, removing or moving an entry breaks the chain at that place. The number and hash of the last entry
(the head) are kept apart, so that missing entries at the end are noticed too.

The hashes have no key: whoever may write to the database can write a whole new chain with a matching head,
or cut off the end and set the head back. No check of the database alone can show that. It shows against a
head that was noted earlier where that person cannot write: ``verify`` prints it and takes it back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BEGUN = "begun"
"""The result of an entry written before its action."""

RESULTS = ("ok", "failed", "refused", "unknown", BEGUN)
"""What ``Entry.result`` may be."""

FIRST = "0" * 64
"""What the first entry carries as the hash of the one before it."""

Head = tuple[int, str]
"""Number and hash of the last entry."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FAR = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One action: recorded when it began (``begun``), and again when it ended.

    Attributes:
        sequence: 1, 2, 3, … without gaps.
        at: when it was recorded (UTC, microseconds).
        who: the person, or the scheduler.
        why: subscription change, ticket or schedule (article 3.8.1).
        machine: None for an action on something that belongs to the whole client.
        details: what was asked, as JSON; never a secret.
        result: ``ok``, ``failed``, ``refused`` (nothing was done, the message says why), ``unknown`` (the
            connection broke before the answer came) or ``begun``.
        upid: Proxmox's own identifier of the task, if it was one.
        seconds: how long it took.
        run: what was done in one go has one run.
        began: the number of the entry that announced this action; None if none did.
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
    began: int | None
    previous: str
    hash: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """Read a row, also one that somebody altered: what cannot be shown must not hide the rest.

        A time that is none becomes 1970, a duration that is none becomes NaN; ``verify`` says what is wrong.
        """
        seconds = row["seconds"] if isinstance(row["seconds"], float) else math.nan
        texts = {key: value for key, value in row.items() if key not in ("sequence", "began")}
        plain = {key: _text(value) for key, value in texts.items()}
        began = row["began"] if isinstance(row["began"], int) else None
        return cls(
            **{
                **plain,
                "sequence": row["sequence"],
                "began": began,
                "at": _moment(row["at"]),
                "seconds": seconds,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a check of the chain found.

    Attributes:
        ok: nothing was altered, removed or reordered.
        count: how many entries were read.
        head: number and hash of the last good entry; of the last one, to be noted elsewhere, if all are.
        bad: the number of the first entry that is wrong or missing; None if all are as they were written.
        reason: what is wrong, in words; empty if nothing is.
    """

    ok: bool
    count: int
    head: Head
    bad: int | None = None
    reason: str = ""


def stamp(at: dt.datetime) -> str:
    """A time as it is stored and hashed: UTC, microseconds, always of one length, so that text sorts by time."""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of a row: over every column but ``hash`` itself, exactly as stored, in one canonical form.

    What is stored in another form is another entry, even where it reads the same: an hour with another
    offset, a number as text.
    """
    plain = {key: value for key, value in row.items() if key != "hash"}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def verify(rows: Iterable[Mapping[str, Any]], head: Head | None, noted: Head | None = None) -> Verification:
    """Check a whole chain.

    Args:
        rows: all of them, by their number.
        head: the last entry as kept apart; (0, FIRST) for an empty history, None if it is missing.
        noted: the head of an earlier check, kept elsewhere: that entry must still be there.
    """
    last: Head = (0, FIRST)
    count = 0
    for row in rows:
        count += 1
        if found := _problem(row, last):
            bad, reason = found
            return Verification(ok=False, count=count, head=last, bad=bad, reason=reason)
        last = (row["sequence"], row["hash"])
        if noted and noted[0] == last[0] and noted != last:
            reason = f"entry {last[0]} is not the one that was noted: the history was rewritten up to there or further"
            return Verification(ok=False, count=count, head=last, bad=last[0], reason=reason)
    reason = _problem_at_the_end(last, head, noted)
    return Verification(
        ok=not reason, count=count, head=last, bad=last[0] + 1 if reason else None, reason=reason
    )


def _problem(row: Mapping[str, Any], last: Head) -> tuple[int, str] | None:
    expected, number = last[0] + 1, row["sequence"]
    if number < expected:
        return number, f"an entry was put in with the number {number}"
    if number > expected:
        return expected, f"entry {expected} is missing: it was removed, or given another number"
    if hash_of(row) != row["hash"]:
        return number, f"entry {number} was altered after it was written, or another was put in its place"
    if row["previous"] != last[1]:
        return number, f"entry {number} does not follow the one before it: one of the two was replaced"
    return None


def _problem_at_the_end(last: Head, head: Head | None, noted: Head | None) -> str:
    if noted and noted[0] > last[0]:
        return f"entry {noted[0]} was noted, but the history ends with entry {last[0]}: its end was removed"
    if head is None:
        return f"the record of the last entry is missing: whether entries after {last[0]} were removed is unknown"
    if head[0] > last[0]:
        return (
            f"the history ends with entry {last[0]}, its head says {head[0]}: entries at the end were removed"
        )
    if head != last:
        return (
            f"the history ends with entry {last[0]}, but its head names another: "
            "the head was altered, or entries were added past it"
        )
    return ""


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else repr(value)


def _moment(value: object) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(str(value))
        at = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return _EPOCH
    return at if _EPOCH <= at < _FAR else _EPOCH
