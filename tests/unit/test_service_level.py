"""The service level of article 6: the worked examples, and a law against a reckoning minute by minute."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.contract.credits import Amount, Issued, credit
from orchestrator.contract.months import Month, covered_hours
from orchestrator.contract.service_level import (
    Down,
    Excuse,
    Facts,
    ServiceLevel,
    Why,
    percentage_shown,
    service_level,
)
from orchestrator.contract.spans import Span, difference, intersection, length, union

PARIS = ZoneInfo("Europe/Paris")
LATER = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
ALWAYS = Span(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), LATER)


def paris(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(dt.UTC)


def down(start: str, end: str | None, number: int = 1, *, notified: bool = True) -> Down:
    return Down(number=number, start=paris(start), end=paris(end) if end else None, notified=notified)


def excuse(cause: str, start: str, end: str | None, number: int = 50) -> Excuse:
    return Excuse(number=number, cause=cause, start=paris(start), end=paris(end) if end else None)


def level(month: str, *outages: Down, now: dt.datetime = LATER, **facts: Any) -> ServiceLevel:
    facts = {"starts": dt.date(2026, 3, 1), "observed": (ALWAYS,), **facts}
    return service_level(Month.parse(month), Facts(outages=outages, **facts), now)


def figures(found: ServiceLevel) -> tuple[Fraction | int, int, str, int]:
    """Counted minutes, minutes of the month, percentage rounded to six decimals as the examples are, credit."""
    assert found.availability is not None
    minutes = Fraction(found.counted // dt.timedelta(microseconds=1), 60_000_000)
    exact = found.availability * 100
    return minutes, found.month.length // dt.timedelta(minutes=1), f"{float(exact):.6f}", found.percent


def euros(percent: int, fee: str) -> Decimal:
    return credit(percent, Decimal(fee), on=dt.date(2027, 6, 1), issued=()).amount


def test_a1_an_outage_over_a_public_holiday() -> None:
    found = level("2026-11", down("2026-11-10 17:30", "2026-11-12 09:00"))
    assert figures(found) == (90, 43_200, "99.791667", 5)
    assert euros(5, "400") == Decimal("20.00")


def test_a2_seconds_decide_in_the_month_of_the_clock_change() -> None:
    found = level("2026-10", down("2026-10-08 09:00:00", "2026-10-08 12:43:24"))
    assert figures(found) == (Fraction("223.4"), 44_700, "99.500224", 5)
    assert euros(5, "250") == Decimal("12.50")


def test_a3_the_probation_ends_within_the_month() -> None:
    found = level(
        "2026-12",
        down("2026-12-10 09:00", "2026-12-10 17:00"),
        down("2026-12-16 09:00", "2026-12-16 11:30", 2),
        taken_over=dt.date(2026, 9, 15),
    )
    assert figures(found) == (150, 44_640, "99.663978", 5)
    assert [part.why for part in found.outages[0].parts] == [Why.PROBATION]


def test_a4_another_operator_is_excused_for_the_minutes_it_overlaps() -> None:
    found = level(
        "2027-01",
        down("2027-01-07 16:00", "2027-01-08 10:00"),
        excuses=(excuse("v", "2027-01-07 17:00", "2027-01-08 09:00"),),
    )
    assert figures(found) == (120, 44_640, "99.731183", 5)
    assert found.excused == (("v", dt.timedelta(hours=2)),)


def test_a5_clocks_easter_monday_and_a_tuesday_morning() -> None:
    found = level(
        "2027-03",
        down("2027-03-28 00:00", "2027-03-29 18:00"),
        down("2027-03-30 08:00:00", "2027-03-30 09:06:54", 2),
    )
    assert figures(found) == (Fraction("66.9"), 44_580, "99.849933", 5)
    assert found.availability is not None and percentage_shown(found.availability) == "99.8499"


def test_a6_exactly_the_objective_is_met_and_one_second_more_is_not() -> None:
    met = level("2026-11", down("2026-11-04 10:00:00", "2026-11-04 11:04:48"))
    assert figures(met) == (Fraction("64.8"), 43_200, "99.850000", 0) and met.met
    missed = level("2026-11", down("2026-11-04 10:00:00", "2026-11-04 11:04:49"))
    assert figures(missed) == (Fraction(3889, 60), 43_200, "99.849961", 5) and missed.met is False


def test_a7_below_97_per_cent() -> None:
    found = level("2026-11", down("2026-11-02 08:00", "2026-11-04 10:00"))
    assert figures(found) == (1320, 43_200, "96.944444", 20)
    assert euros(20, "400") == Decimal("80.00")


def test_a8_exactly_97_per_cent_is_the_better_row() -> None:
    found = level("2026-11", down("2026-11-02 08:00", "2026-11-04 09:36"))
    assert figures(found) == (1296, 43_200, "97.000000", 10)
    assert euros(10, "400") == Decimal("40.00")


def test_a9_exactly_99_5_per_cent_is_the_better_row() -> None:
    assert figures(level("2026-11", down("2026-11-05 08:00", "2026-11-05 11:36"))) == (
        216,
        43_200,
        "99.500000",
        5,
    )


def test_a10_an_outage_over_a_month_s_end_is_split_at_midnight_in_paris() -> None:
    outage = down("2026-11-30 17:00", "2026-12-01 10:00")
    november, december = level("2026-11", outage), level("2026-12", outage)
    assert figures(november) == (60, 43_200, "99.861111", 0) and november.met
    assert figures(december) == (120, 44_640, "99.731183", 5)
    assert november.outages[0].goes_beyond and december.outages[0].begins_before
    assert november.outages[0].parts[-1].span.end == paris("2026-12-01 00:00")


def test_a11_overlaps_of_outages_maintenance_and_events_count_once() -> None:
    found = level(
        "2027-01",
        down("2027-01-20 09:00", "2027-01-20 12:00", 1),
        down("2027-01-20 11:00", "2027-01-20 13:00", 2),
        excuses=(
            excuse("iii", "2027-01-20 10:00", "2027-01-20 11:30", 10),
            excuse("ii", "2027-01-20 11:00", "2027-01-20 12:30", 11),
        ),
    )
    assert figures(found) == (90, 44_640, "99.798387", 5)
    assert found.excused == (("ii", dt.timedelta(hours=1)), ("iii", dt.timedelta(minutes=90)))


def test_a12_a_weekend_counts_nothing() -> None:
    found = level("2026-11", down("2026-11-06 18:00", "2026-11-09 08:00"))
    assert figures(found) == (0, 43_200, "100.000000", 0)
    assert [part.why for part in found.outages[0].parts] == [Why.NOT_COVERED]


@pytest.mark.parametrize(
    ("issued", "percent", "on", "amount"),
    [
        ((("2027-02-05", "80.00"),), 10, "2027-03-02", "0.00"),
        ((("2027-02-05", "80.00"),), 10, "2027-03-06", "0.00"),
        ((("2027-02-05", "80.00"),), 10, "2027-03-07", "40.00"),
        ((("2027-02-05", "40.00"),), 20, "2027-03-02", "40.00"),
        ((), 20, "2027-03-02", "80.00"),
    ],
)
def test_the_cap_over_two_months(
    issued: tuple[tuple[str, str], ...], percent: int, on: str, amount: str
) -> None:
    before = [Issued(on=dt.date.fromisoformat(day), amount=Decimal(sum_)) for day, sum_ in issued]
    found = credit(percent, Decimal(400), on=dt.date.fromisoformat(on), issued=before)
    assert found.amount == Decimal(amount)
    assert found.lapsed == 4 * percent - found.amount


def test_cents_are_rounded_half_up() -> None:
    assert [euros(5, fee) for fee in ("0.10", "0.30", "0.29", "249.90", "99.99")] == [
        Decimal(text) for text in ("0.01", "0.02", "0.01", "12.50", "5.00")
    ]
    assert credit(5, Decimal("0.10"), on=dt.date(2027, 1, 1), issued=()) == Amount(
        amount=Decimal("0.01"), uncapped=Decimal("0.01")
    )


def test_an_outage_that_nobody_notified_is_listed_and_does_not_count() -> None:
    found = level("2026-11", down("2026-11-04 10:00", "2026-11-04 12:00", notified=False))
    assert found.counted == dt.timedelta(0) and found.met
    assert [part.why for part in found.outages[0].parts] == [Why.NOT_NOTIFIED]


def test_an_outage_that_goes_on_counts_up_to_now_and_the_month_is_provisional() -> None:
    outage = down("2026-11-04 10:00", None)
    found = level("2026-11", outage, now=paris("2026-11-04 11:00"))
    assert found.counted == dt.timedelta(hours=1) and not found.final and found.outages[0].going_on
    over = level("2026-11", outage, now=paris("2026-12-01 00:00"))
    assert over.final and over.counted == dt.timedelta(hours=178)  # 8 h of the 4th, and 17 working days


def test_a_month_without_observation_says_so_and_never_100_per_cent() -> None:
    nothing = level("2026-11", observed=())
    assert nothing.availability is None and nothing.met is None and nothing.percent == 0
    assert nothing.never_observed and length(nothing.unobserved) == dt.timedelta(hours=200)
    declared = level("2026-11", down("2026-11-04 10:00", "2026-11-04 12:00"), observed=())
    assert declared.never_observed and declared.percent == 5


def test_days_without_observation_are_gaps() -> None:
    away = (
        Span(ALWAYS.start, paris("2026-11-04 00:00")),
        Span(paris("2026-11-05 00:00"), ALWAYS.end),
    )
    found = level("2026-11", observed=away)
    assert found.unobserved == (Span(paris("2026-11-04 08:00"), paris("2026-11-04 18:00")),)
    assert found.met and found.observed == dt.timedelta(hours=190)


def test_a_month_wholly_in_probation_has_no_service_level() -> None:
    outage = down("2026-12-10 09:00", "2026-12-10 17:00")
    found = level("2026-12", outage, taken_over=dt.date(2026, 11, 30))
    assert found.wholly_in_probation and not found.applies and found.availability is None
    # 30 November and three months: February has no 30th, so the 28th is the first day of the service level
    february = level(
        "2027-02", down("2027-02-26 08:00", "2027-03-01 09:00"), taken_over=dt.date(2026, 11, 30)
    )
    assert february.applies and february.counted == dt.timedelta(0)
    march = level("2027-03", down("2027-02-26 08:00", "2027-03-01 09:00"), taken_over=dt.date(2026, 11, 30))
    assert march.counted == dt.timedelta(hours=1)


def test_a_month_outside_the_contract_has_no_service_level() -> None:
    outage = down("2026-11-02 08:00", "2026-11-30 18:00")
    assert not level("2026-11", outage, starts=dt.date(2026, 12, 1)).applies
    assert not level("2026-11", outage, last_day=dt.date(2026, 10, 31)).applies
    first = level("2026-11", outage, starts=dt.date(2026, 11, 30))
    assert first.applies and first.counted == dt.timedelta(hours=10)
    last = level("2026-11", outage, last_day=dt.date(2026, 11, 2))
    assert last.counted == dt.timedelta(hours=10)
    assert Why.NOT_IN_SERVICE in {part.why for part in last.outages[0].parts}


def test_a_suspension_is_the_clients_act() -> None:
    found = level(
        "2026-11",
        down("2026-11-04 10:00", "2026-11-04 12:00"),
        suspensions=(Span(paris("2026-11-04 11:00"), paris("2026-11-20 00:00")),),
    )
    assert found.counted == dt.timedelta(hours=1)
    assert [part.why for part in found.outages[0].parts] == [Why.COUNTS, Why.SUSPENDED]


def test_the_percentage_over_the_covered_hours_is_informative() -> None:
    found = level("2026-11", down("2026-11-04 10:00", "2026-11-04 12:00"))
    assert found.covered == dt.timedelta(hours=200)  # 20 working days
    assert found.over_covered_hours == Fraction(198, 200)
    assert found.availability == 1 - Fraction(120, 43_200)


def test_a_percentage_is_rounded_down() -> None:
    assert percentage_shown(Fraction("0.99849923")) == "99.8499"
    assert percentage_shown(Fraction(9985, 10_000)) == "99.8500"
    assert percentage_shown(Fraction(1)) == "100.0000"
    assert percentage_shown(Fraction(999_999_999, 1_000_000_000)) == "99.9999"


@pytest.mark.parametrize(
    ("month", "minutes", "covered"),
    [
        ("2026-11", 43_200, 200),
        ("2026-10", 44_700, 220),
        ("2027-03", 44_580, 220),
        ("2027-05", 44_640, 190),  # Ascension Day and Pentecost Monday; the 1st and the 8th are Saturdays
        ("2027-07", 44_640, 210),  # the 14th is a Wednesday
    ],
)
def test_months_have_their_real_minutes_and_covered_hours(month: str, minutes: int, covered: int) -> None:
    found = Month.parse(month)
    assert found.length == dt.timedelta(minutes=minutes)
    assert length(covered_hours(found)) == dt.timedelta(hours=covered)


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-11", "1999-12", "2999-01", "2026-11-01", ""])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="YEAR-MONTH"):
        Month.parse(text)


# A second reckoning: minute by minute, with sets, and without anything of the first one.

_MINUTE = dt.timedelta(minutes=1)
_HOLIDAYS = {(2026, 11, 11), (2027, 3, 29), (2027, 5, 1), (2027, 5, 6), (2027, 5, 8), (2027, 5, 17)}
_MONTHS = {(2026, 10), (2026, 11), (2027, 3), (2027, 5)}


def _minutes_of(year: int, number: int) -> list[dt.datetime]:
    minute = dt.datetime(year, number, 1, tzinfo=dt.UTC) - dt.timedelta(days=1)
    found = []
    while minute < dt.datetime(year, number, 28, tzinfo=dt.UTC) + dt.timedelta(days=5):
        local = minute.astimezone(PARIS)
        if (local.year, local.month) == (year, number):
            found.append(minute)
        minute += _MINUTE
    return found


def _is_covered(minute: dt.datetime) -> bool:
    local = minute.astimezone(PARIS)
    day = (local.year, local.month, local.day)
    return local.isoweekday() <= 5 and 8 <= local.hour < 18 and day not in _HOLIDAYS


_ALL = {month: _minutes_of(*month) for month in _MONTHS}
_COVERED = {month: {minute for minute in minutes if _is_covered(minute)} for month, minutes in _ALL.items()}


@st.composite
def _cases(draw: st.DrawFn) -> tuple[tuple[int, int], Facts, dt.datetime]:
    month = draw(st.sampled_from(sorted(_MONTHS)))
    first = _ALL[month][0]

    def moment() -> dt.datetime:
        hours = draw(st.integers(-48, 800))  # most in the month; hours make borders meet
        return first + dt.timedelta(hours=hours, minutes=draw(st.sampled_from([0, 0, 30, 1, 59])))

    def lasting(start: dt.datetime) -> dt.datetime:
        return start + dt.timedelta(minutes=draw(st.sampled_from([1, 30, 60, 600, 1440, 9000])))

    outages, excuses, suspensions = [], [], []
    for number in range(draw(st.integers(0, 4))):
        start = moment()
        end = None if draw(st.integers(0, 9)) == 0 else lasting(start)
        outages.append(
            Down(number=number, start=start, end=end, notified=draw(st.sampled_from([True, True, False])))
        )
    for number in range(draw(st.integers(0, 4))):
        start = moment()
        excuses.append(
            Excuse(
                number=number,
                cause=draw(st.sampled_from(["iii", "v", "ii"])),
                start=start,
                end=lasting(start),
            )
        )
    if draw(st.booleans()):
        start = moment()
        suspensions.append(Span(start, lasting(start)))
    day = dt.date(*month, 1)
    facts = Facts(
        starts=day + dt.timedelta(days=draw(st.sampled_from([-90, -90, 10, 40]))),
        last_day=draw(st.sampled_from([None, None, day + dt.timedelta(days=20)])),
        taken_over=draw(st.sampled_from([None, None, day - dt.timedelta(days=80)])),
        outages=tuple(outages),
        excuses=tuple(excuses),
        suspensions=tuple(suspensions),
        observed=(ALWAYS,),
    )
    return month, facts, moment()


def _probation_over(taken_over: dt.date) -> dt.date:
    month, last = taken_over.month + 3, 31
    year, month = (taken_over.year + 1, month - 12) if month > 12 else (taken_over.year, month)
    while True:
        try:
            return dt.date(year, month, min(taken_over.day, last))
        except ValueError:
            last -= 1


def _counted_by_the_minute(month: tuple[int, int], facts: Facts, now: dt.datetime) -> set[dt.datetime]:
    counted = set()
    for minute in _COVERED[month]:
        day = minute.astimezone(PARIS).date()
        down = any(
            item.notified and item.start <= minute < (item.end or now)
            for item in facts.outages
            if item.end is not None or minute < now
        )
        if not down or day < facts.starts or (facts.last_day is not None and day > facts.last_day):
            continue
        if facts.taken_over is not None and facts.taken_over <= day < _probation_over(facts.taken_over):
            continue
        if any(item.end is not None and item.start <= minute < item.end for item in facts.excuses):
            continue
        if any(start <= minute < end for start, end in facts.suspensions):
            continue
        counted.add(minute)
    return counted


@settings(max_examples=60, deadline=None)
@given(_cases())
def test_any_month_is_as_a_reckoning_minute_by_minute_says(
    case: tuple[tuple[int, int], Facts, dt.datetime],
) -> None:
    month, facts, now = case
    found = service_level(Month(*month), facts, now)
    expected = _counted_by_the_minute(month, facts, now)
    assert found.counted == len(expected) * _MINUTE
    if found.availability is not None:
        total = len(_ALL[month])
        assert found.availability == Fraction(total - len(expected), total)
    for outage in found.outages:  # the parts are the outage within the month: nothing lost, nothing twice
        spans = [part.span for part in outage.parts]
        assert length(spans) == length(union(spans))
        assert len(union(spans)) == 1
    counting = [part.span for outage in found.outages for part in outage.parts if part.why is Why.COUNTS]
    assert length(counting) == length(union(counting)) == found.counted


_SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 9)).map(
        lambda pair: Span(ALWAYS.start + pair[0] * _MINUTE, ALWAYS.start + (pair[0] + pair[1]) * _MINUTE)
    ),
    max_size=6,
)


def _as_set(spans: list[Span]) -> set[int]:
    return {
        number
        for start, end in spans
        for number in range((start - ALWAYS.start) // _MINUTE, (end - ALWAYS.start) // _MINUTE)
    }


@given(_SPANS, _SPANS)
def test_spans_are_sets_of_minutes(one: list[Span], other: list[Span]) -> None:
    a, b = union(one), union(other)
    assert _as_set(a) == _as_set(one)
    assert _as_set(intersection(a, b)) == _as_set(one) & _as_set(other)
    assert _as_set(difference(a, b)) == _as_set(one) - _as_set(other)
    for spans in (a, intersection(a, b), difference(a, b)):
        assert length(spans) == len(_as_set(spans)) * _MINUTE


def test_a_span_without_a_zone_or_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        Span.of(dt.datetime(2026, 11, 1), LATER)
    with pytest.raises(ValueError, match="not after"):
        Span.of(LATER, LATER)
    spring = dt.datetime(2027, 3, 28, 1, 30, tzinfo=PARIS)
    assert length([Span.of(spring, spring.replace(hour=3))]) == dt.timedelta(hours=1)
