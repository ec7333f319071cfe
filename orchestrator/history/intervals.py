"""Intervals of what was observed of one machine: up, down, or unknown. Pure: looks in, intervals out.

A look is what one sample of the hypervisor, or one round, says of a machine at one moment. Looks become intervals: one
goes on while state and cause stay, and the next begins where they change. Looks may come late, twice, or from two
observers: those up to the beginning of the interval that is open change nothing, and those after it say the same again.

Times are whole seconds since the epoch: the hypervisor's own are no finer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

State = Literal["up", "down", "unknown"]

APART_SECONDS = 8
"""Two looks that fail count as two if they are so far apart: Proxmox measures every ten seconds."""

GAP_SECONDS = 300
"""Where nothing was observed for longer than this, the time between is unknown."""

RESTART_SLACK = 5
"""Seconds by which the beginning of a process may vary, as it is reckoned from one sample or from another."""


class Cause(StrEnum):
    """Why a machine is in its state, as far as it is known. Nothing is guessed: what cannot be told is ``unknown``."""

    NONE = ""
    OWN = "own"
    """The orchestrator stopped or restarted it: a change, an update, a request."""
    PLANNED = "planned"
    """Its file wants it stopped, its contract is suspended or over, or it is retired."""
    PERSON = "person"
    """Another user of Proxmox stopped it; the detail says who."""
    INSIDE = "inside"
    """It was shut down from inside the guest: its node saw the guest power off."""
    PROCESS = "process"
    """Its process on the node ended without a shutdown: killed, crashed, out of memory."""
    NODE = "node"
    """The cluster says that its node is off."""
    STORAGE = "storage"
    """A storage that it needs is not available on its node."""
    NETWORK = "network"
    """The hypervisor says that it runs, and no machine of its site answers the provider's probes."""
    UNANSWERED = "unanswered"
    """The hypervisor says that it runs, and it alone does not answer the provider's probe: the guest's own affair."""
    UNKNOWN = "unknown"
    """It is down, and nothing says why."""
    RESTART = "restart"
    """Its process began anew between two looks: how long it was away is not known."""
    ONCE = "once"
    """One look failed, and the next was good: no outage (two failed looks begin one)."""
    SILENT = "silent"
    """Its node says nothing of it."""
    AWAY = "not observed"
    """Nobody looked, or the site did not answer; the detail says which."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was observed of a machine in [start, end).

    Attributes:
        start, end: aware (UTC).
        state: ``up``, ``down`` or ``unknown``.
        cause: one of :class:`Cause`, empty for a machine that is up.
        source: ``export`` (Proxmox's samples), ``resources`` (the cluster's list), ``probe``; empty if nobody looked.
        detail: a node, a user and task, an error: for people.
    """

    start: dt.datetime
    end: dt.datetime
    state: State
    cause: str
    source: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of a machine at one moment.

    Attributes:
        at: when.
        state: what it was.
        uptime: for how many seconds its process had run; None if that is not known.
        cause: why, where the look itself says so.
        source, detail: as in :class:`Seen`.
    """

    at: int
    state: State
    uptime: int | None = None
    cause: Cause = Cause.NONE
    source: str = "export"
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Span:
    """An interval as it is kept.

    Attributes:
        start: its first look.
        end: where it ended; None while it goes on.
        state, cause, source, detail: as in :class:`Seen`.
        confirmed: of ``down``: a second look failed, so it is an outage. True for all others.
        settled: how far an outage was recorded of it: 0: not at all; 1: its beginning; 2: its end, too, or it is none.
    """

    start: int
    end: int | None
    state: State
    cause: Cause
    source: str
    detail: str = ""
    confirmed: bool = True
    settled: int = 0

    @property
    def unexplained(self) -> bool:
        """Whether it is to be asked why."""
        return (self.cause is Cause.UNKNOWN and self.state == "down") or self.cause is Cause.RESTART

    @property
    def outage(self) -> bool:
        """Whether the machine was down, and two looks said so."""
        return self.state == "down" and self.confirmed


def follow(current: Span | None, looks: Iterable[Look], known_until: int | None) -> list[Span]:
    """The intervals of a machine after some more looks.

    Args:
        current: the interval that is open; None if none is.
        looks: what was seen, in any order.
        known_until: up to when ``current`` is known to have gone on.

    Returns:
        ``current`` as it is now, and those after it. The last one is open, if there is any.
    """
    spans = [current] if current else []
    good: int | None = None
    for look in sorted(looks, key=lambda item: item.at):
        last = spans[-1] if spans else None
        if last is not None and look.at <= last.start:
            continue
        if last is None:
            spans.append(_begun(look))
        elif last.state != look.state or (look.state == "unknown" and last.cause is not look.cause):
            spans[-1:] = [replace(last, end=look.at), _begun(look)]
        elif look.state == "down":
            spans[-1] = _again(last, look)
        elif look.state == "up":
            spans[-1:] = _perhaps_restarted(last, look, good if good is not None else known_until)
        if look.state == "up":
            good = look.at
    return spans


def _begun(look: Look) -> Span:
    down = look.state == "down"
    cause = look.cause or (Cause.UNKNOWN if down else look.cause)
    return Span(
        start=look.at,
        end=None,
        state=look.state,
        cause=cause,
        source=look.source,
        detail=look.detail,
        confirmed=not down,
    )


def _again(last: Span, look: Look) -> Span:
    """Down again, or still. What a later look knows of the cause is better than nothing."""
    if not last.confirmed and look.at - last.start >= APART_SECONDS:
        last = replace(last, confirmed=True)
    if look.cause and last.cause is Cause.UNKNOWN:
        last = replace(last, cause=look.cause, detail=look.detail)
    return last


def _perhaps_restarted(last: Span, look: Look, good: int | None) -> list[Span]:
    """One interval, if it is the same process; else what lies between the two is not known."""
    if look.uptime is None or (begun := look.at - look.uptime) <= last.start + RESTART_SLACK:
        return [last]
    known = min(max(last.start, good or last.start), begun)
    again = replace(_begun(look), start=begun)
    if begun - known < 1:
        return [replace(last, end=begun), again]
    hole = Span(start=known, end=begun, state="unknown", cause=Cause.RESTART, source=look.source)
    kept = [replace(last, end=known)] if known > last.start else []
    return [*kept, hole, again]


def without_hole(spans: Sequence[Span], hole: Span) -> list[Span]:
    """The intervals of a machine whose process began anew without being away: a live migration."""
    index = spans.index(hole)
    before = [replace(span, end=hole.end) if span.end == hole.start else span for span in spans[:index]]
    return [*before, *spans[index + 1 :]]


def shown(spans: Iterable[Span], until: int | None, start: int, end: int) -> list[Seen]:
    """Intervals, cut to [start, end); what lies between them is left out.

    Args:
        spans: of one machine, in the order of time.
        until: up to when the open one is known to have gone on.
        start, end: the time that is asked for.
    """
    found = []
    for span in spans:
        begins, ends = max(span.start, start), min(until or span.start if span.end is None else span.end, end)
        if ends <= begins:
            continue
        state, cause = span.state, span.cause
        if state == "down" and not span.confirmed:
            state = "unknown"
            cause = Cause.ONCE if cause is Cause.UNKNOWN else cause
        found.append(
            Seen(
                start=moment(begins),
                end=moment(ends),
                state=state,
                cause=str(cause),
                source=span.source,
                detail=span.detail,
            )
        )
    return found


def moment(seconds: int) -> dt.datetime:
    """A time since the epoch, aware (UTC)."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
