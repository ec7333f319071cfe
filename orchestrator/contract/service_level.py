"""The service level of one machine in one month (article 6): from outages and events to minutes and percentage. Pure.

    counted = ((notified outages) ∩ month ∩ covered hours) − excusable events − maintenance − probation − suspension
    availability = (length of the month − counted) / length of the month

Everything is exact: microseconds, fractions. Results hold data, and no words: reports say them in their language.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from orchestrator.contract.months import Month, covered_hours, midnight, uncovered_hours
from orchestrator.contract.probation import probation_ends
from orchestrator.contract.spans import Span, difference, intersection, length, union

OBJECTIVE = Fraction("0.9985")
"""Article 6: 99.85 %. Exactly that is met."""

RATES = ((OBJECTIVE, 0), (Fraction("0.995"), 5), (Fraction("0.97"), 10), (Fraction(0), 20))
"""The credit in per cent of the month's fee from an availability on (article 6)."""

_ZERO = dt.timedelta(0)


class Why(StrEnum):
    """What becomes of a part of an outage."""

    COUNTS = "counts"
    COUNTED_ALREADY = "counted-already"
    """Another outage that overlaps it counts for that time."""
    NOT_NOTIFIED = "not-notified"
    """Nobody notified it, neither the client nor supervision."""
    NOT_IN_SERVICE = "not-in-service"
    """The contract had not begun, or was over; or the machine was not created yet."""
    NOT_COVERED = "not-covered"
    """Nights, weekends and public holidays."""
    PROBATION = "probation"
    """Three calendar months after an existing estate was taken over (article 4.2)."""
    SUSPENDED = "suspended"
    """The suspension of article 9."""
    MAINTENANCE = "maintenance"
    """Announced before it began, cause (iii)."""
    EXCUSED = "excused"
    """An excusable event, causes (i), (ii), (iv) to (vi), or force majeure."""


@dataclass(frozen=True, kw_only=True)
class Down:
    """An outage of the machine.

    Attributes:
        number: of its record.
        start, end: aware; end None if it still goes on.
        notified: whether the client or supervision notified it.
    """

    number: int
    start: dt.datetime
    end: dt.datetime | None
    notified: bool


@dataclass(frozen=True, kw_only=True)
class Excuse:
    """An excusable event or planned maintenance that concerns the machine.

    Attributes:
        number: of its record; None for maintenance that no record says: a restart by an automatic update.
        cause: ``i`` … ``vi`` or ``force-majeure``; planned maintenance is ``iii``.
        start, end: aware; end None if it still goes on.
    """

    number: int | None
    cause: str
    start: dt.datetime
    end: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the service level of one machine is computed from.

    Attributes:
        starts, last_day: of the contract; None: no end is known.
        made: when the machine was created (aware); None: before the contract began, or that is not known.
        taken_over: the day the estate was taken over; None, or no managed services: there is no probation.
        suspensions: may overlap.
        observed: when somebody looked, whatever was seen; may overlap.
    """

    starts: dt.date
    last_day: dt.date | None = None
    made: dt.datetime | None = None
    taken_over: dt.date | None = None
    outages: tuple[Down, ...] = ()
    excuses: tuple[Excuse, ...] = ()
    suspensions: tuple[Span, ...] = ()
    observed: tuple[Span, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of an outage, and what becomes of it.

    Attributes:
        by: the record that explains it: of the event, the maintenance, or the outage that counts instead.
        cause: of the excusable event; ``iii`` of maintenance.
    """

    span: Span
    why: Why
    by: int | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Accounted:
    """An outage as the month accounts for it.

    Attributes:
        parts: all of the outage that lies in the month, without gaps, the earliest first.
        begins_before, goes_beyond: it was split at the first or the last midnight of the month.
        going_on: it has no end yet; the parts reach to the time of the reckoning.
    """

    outage: Down
    parts: tuple[Part, ...]
    begins_before: bool
    goes_beyond: bool
    going_on: bool

    @property
    def counted(self) -> dt.timedelta:
        """How much of it counts."""
        return length(part.span for part in self.parts if part.why is Why.COUNTS)


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """The service level of a machine in a month.

    Attributes:
        applies: some of the month is in service and not in probation.
        wholly_in_probation: the estate was taken over, and the probation covers all of the month in service (4.2).
        final: the month is over; no part of it can still change but by new records.
        covered: the covered hours, without maintenance, probation, suspension, and time out of service.
        observed: how much of the covered hours was observed, up to the reckoning.
        unobserved: where nobody looked in covered hours, up to the reckoning.
        counted: what counts as downtime.
        excused: downtime in covered hours that does not count, by cause.
    """

    month: Month
    applies: bool
    wholly_in_probation: bool
    final: bool
    covered: dt.timedelta
    observed: dt.timedelta
    unobserved: tuple[Span, ...]
    counted: dt.timedelta
    excused: tuple[tuple[str, dt.timedelta], ...]
    outages: tuple[Accounted, ...]

    @property
    def never_observed(self) -> bool:
        """Nobody looked in the whole month, so that no outage is no proof of availability."""
        return self.observed == _ZERO

    @property
    def availability(self) -> Fraction | None:
        """Between 0 and 1, exact; None without a service level, or if nothing is known: no look and no outage."""
        if not self.applies or (self.never_observed and self.counted == _ZERO):
            return None
        return share_left(self.counted, self.month.length)

    @property
    def over_covered_hours(self) -> Fraction | None:
        """The same over the covered hours alone: informative, never used for credits."""
        if self.availability is None or not self.covered:
            return None
        return share_left(self.counted, self.covered)

    @property
    def met(self) -> bool | None:
        """Whether the objective was met; None if that is not known, or no service level applies."""
        return None if self.availability is None else self.availability >= OBJECTIVE

    @property
    def percent(self) -> int:
        """The credit that may be asked for, in per cent of the month's fee: 0, 5, 10 or 20."""
        return 0 if self.availability is None else rate(self.availability)


def share_left(gone: dt.timedelta, whole: dt.timedelta) -> Fraction:
    """The share of a time that is left after some of it is gone, exact."""
    microsecond = dt.timedelta(microseconds=1)
    return 1 - Fraction(gone // microsecond, whole // microsecond)


def rate(availability: Fraction) -> int:
    """The credit in per cent of the month's fee (article 6); exactly 99.85 %, 99.5 % or 97 % is the better row."""
    return next(percent for least, percent in RATES if availability >= least)


def percentage_shown(availability: Fraction) -> str:
    """A percentage with four decimals, rounded down: 99.849923 % is never shown as the 99.85 % that it misses."""
    whole = int(availability * 100 * 10_000)
    return f"{whole // 10_000}.{whole % 10_000:04d}"


def service_level(month: Month, facts: Facts, now: dt.datetime) -> ServiceLevel:
    """Compute the service level of one machine.

    Args:
        month: which.
        facts: outages, events and dates.
        now: the time of the reckoning (aware): what goes on counts up to it.
    """
    now = now.astimezone(dt.UTC)
    hours = covered_hours(month)
    whole = [month.span]
    service = intersection(whole, _in_service(facts))
    probation = intersection(service, _probation(facts))
    suspended = intersection(whole, union(facts.suspensions))
    planned = union(_until(item, now) for item in facts.excuses if item.cause == "iii" and _begun(item, now))
    covered = intersection(hours, service)
    for less in (probation, suspended, planned):
        covered = difference(covered, less)
    past = intersection(covered, [Span(dt.datetime.min.replace(tzinfo=dt.UTC), now)])
    observed = intersection(past, union(facts.observed))
    sieve = _Sieve(
        (Why.NOT_IN_SERVICE, difference(whole, service), None, ""),
        (Why.NOT_COVERED, uncovered_hours(month), None, ""),
        (Why.PROBATION, probation, None, ""),
        (Why.SUSPENDED, suspended, None, ""),
        *_excuses(facts.excuses, month, now),
    )
    outages = _account(facts.outages, month, now, sieve)
    return ServiceLevel(
        month=month,
        applies=bool(difference(service, probation)),
        wholly_in_probation=bool(service) and not difference(service, probation),
        final=now >= month.span.end,
        covered=length(covered),
        observed=length(observed),
        unobserved=tuple(difference(past, observed)),
        counted=sum((outage.counted for outage in outages), _ZERO),
        excused=_excused(outages),
        outages=outages,
    )


_Row = tuple[Why, Sequence[Span], int | None, str]


class _Sieve:
    """What does not count, in the order in which it is taken out of an outage."""

    def __init__(self, *rows: _Row) -> None:
        self.rows = rows

    def parts(self, span: Span, down: Down, counted: list[tuple[Span, int]]) -> list[Part]:
        """The parts of an outage.

        Args:
            span: what of it lies in the month.
            down: the outage.
            counted: what earlier outages count for, with their numbers.
        """
        left = [span]
        parts: list[Part] = []
        if not down.notified:
            return [Part(span=span, why=Why.NOT_NOTIFIED)]
        already: list[_Row] = [(Why.COUNTED_ALREADY, [taken], number, "") for taken, number in counted]
        for why, spans, by, cause in (*self.rows, *already):
            out = intersection(left, spans)
            if out:
                parts += [Part(span=item, why=why, by=by, cause=cause) for item in out]
                left = difference(left, spans)
        parts += [Part(span=item, why=Why.COUNTS) for item in left]
        return sorted(parts, key=lambda part: part.span)


def _account(outages: Iterable[Down], month: Month, now: dt.datetime, sieve: _Sieve) -> tuple[Accounted, ...]:
    accounted: list[Accounted] = []
    counted: list[tuple[Span, int]] = []
    for down in sorted(outages, key=lambda item: (item.start, item.number)):
        end = now if down.end is None else down.end
        span = Span(max(down.start, month.span.start), min(end, month.span.end))
        if span.start >= span.end:
            continue
        counted = [item for item in counted if item[0].end > span.start]  # later outages begin later still
        parts = sieve.parts(span, down, counted)
        counted += [(part.span, down.number) for part in parts if part.why is Why.COUNTS]
        accounted.append(
            Accounted(
                outage=down,
                parts=tuple(parts),
                begins_before=down.start < month.span.start,
                goes_beyond=end > month.span.end,
                going_on=down.end is None,
            )
        )
    return tuple(accounted)


def _excuses(excuses: Iterable[Excuse], month: Month, now: dt.datetime) -> list[_Row]:
    """Planned maintenance first, then events; overlaps count once, for the first of them."""
    rows: list[_Row] = []
    for item in sorted(excuses, key=lambda item: (item.cause != "iii", item.start, item.number or 0)):
        if not _begun(item, now):
            continue
        spans = intersection([month.span], [_until(item, now)])
        if spans:
            rows.append(
                (Why.MAINTENANCE if item.cause == "iii" else Why.EXCUSED, spans, item.number, item.cause)
            )
    return rows


def _begun(item: Excuse, now: dt.datetime) -> bool:
    return item.end is not None or item.start < now


def _until(item: Excuse, now: dt.datetime) -> Span:
    return Span(item.start, now if item.end is None else item.end)


def _in_service(facts: Facts) -> list[Span]:
    ends = dt.datetime.max.replace(tzinfo=dt.UTC)
    if facts.last_day is not None:
        ends = midnight(facts.last_day + dt.timedelta(days=1))
    begins = midnight(facts.starts)
    if facts.made is not None:
        begins = max(begins, facts.made)
    return [Span(begins, ends)] if begins < ends else []


def _probation(facts: Facts) -> list[Span]:
    if facts.taken_over is None:
        return []
    return [Span(midnight(facts.taken_over), midnight(probation_ends(facts.taken_over)))]


def _excused(outages: Iterable[Accounted]) -> tuple[tuple[str, dt.timedelta], ...]:
    by_cause: dict[str, list[Span]] = {}
    for outage in outages:
        for part in outage.parts:
            if part.cause:
                by_cause.setdefault(part.cause, []).append(part.span)
    return tuple(sorted((cause, length(union(spans))) for cause, spans in by_cause.items()))
