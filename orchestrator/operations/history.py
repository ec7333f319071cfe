"""What was done, by whom, why, with what result; and whether anybody changed that."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.contract.months import midnight
from orchestrator.errors import RequestRefused
from orchestrator.operations.run import open_history

if TYPE_CHECKING:
    from orchestrator.history import Entry, History, Verification

_LOOKED_THROUGH = 50_000
"""Entries that are looked through for one leaf where no index leads to those that are asked for."""

MOST_ON_A_LEAF = 200


@dataclass(frozen=True, kw_only=True)
class LeafRequest:
    """Which entries, and where to go on.

    Attributes:
        client, machine, action, who, result: only entries of this one.
        first_day, last_day: recorded on these days or between them, in Paris.
        below: only entries with smaller numbers: where an earlier leaf ended.
        limit: how many, 1 to :data:`MOST_ON_A_LEAF`.
        as_recorded: with the names that were recorded then, instead of those of today.
    """

    client: str | None = None
    machine: str | None = None
    action: str | None = None
    who: str | None = None
    result: str | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    below: int | None = None
    limit: int = 50
    as_recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """Some entries, the latest first.

    Attributes:
        below: where the next, older leaf begins; None: there is nothing older.
        looked_down_to: the number of the oldest entry that was looked at.
    """

    entries: tuple[Entry, ...]
    below: int | None
    looked_down_to: int


def leaf(history: History, request: LeafRequest) -> Leaf:
    """Some entries of a history that is open: a limited number of queries, whatever is asked for.

    Raises:
        RequestRefused: the limit is out of its range, or the last day is before the first.
        HistoryUnavailable: it cannot be read.
    """
    from orchestrator.history.within import Within

    if not 1 <= request.limit <= MOST_ON_A_LEAF:
        raise RequestRefused(f"{request.limit} entries at once: ask for 1 to {MOST_ON_A_LEAF}")
    if request.first_day and request.last_day and request.last_day < request.first_day:
        raise RequestRefused(f"{request.last_day} is before {request.first_day}: give the earlier day first")
    first, last = _numbers(history, request)
    lowest = first
    if not (request.client or request.machine or request.action):
        lowest = max(first, last - _LOOKED_THROUGH + 1)
    found, _ = history.entries_and_renames(
        client=request.client,
        machine=request.machine,
        action=request.action,
        limit=request.limit,
        as_recorded=request.as_recorded,
        within=Within(first=lowest, last=last, who=request.who, result=request.result),
    )
    reached = found[-1].sequence if len(found) == request.limit else lowest
    return Leaf(entries=tuple(found), below=reached if reached > first else None, looked_down_to=reached)


def _numbers(history: History, request: LeafRequest) -> tuple[int, int]:
    """The first and the last number that can be among what is asked for."""
    first, last = 1, history.last_number()
    if request.first_day is not None and request.first_day > dt.date.min:
        first = history.first_number_since(midnight(request.first_day))
    if request.last_day is not None and request.last_day < dt.date.max:
        last = history.first_number_since(midnight(request.last_day + dt.timedelta(days=1))) - 1
    if request.below is not None:
        last = min(last, request.below - 1)
    return first, last


def entries(target: str | None, *, limit: int, history: str | None) -> list[Entry]:
    """The last entries, the latest first.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        limit: how many at most.
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    client, _, machine = (target or "").partition("/")
    with open_history(history, create=False) as opened:
        return opened.entries(client=client or None, machine=machine or None, limit=limit, as_recorded=True)


def verify(noted: str | None, *, history: str | None) -> Verification:
    """Check the whole chain.

    Args:
        noted: ``NUMBER:HASH``, what an earlier check gave, kept elsewhere.
        history: a file or URL; None: the usual one.

    Raises:
        RequestRefused: ``noted`` is not written as it must be.
        HistoryUnavailable: it cannot be read.
    """
    with open_history(history, create=False) as opened:
        return opened.verify(head_of(noted) if noted is not None else None)


def head_of(noted: str) -> tuple[int, str]:
    """Read ``NUMBER:HASH``, what a check gave.

    Raises:
        RequestRefused: it is not written so.
    """
    match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", noted.strip())
    if not match:
        raise RequestRefused(
            f"--noted {noted}: a number, a colon and 64 hexadecimal digits, as `verify` prints them"
        )
    return int(match[1]), match[2]
