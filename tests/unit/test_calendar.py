"""Working hours, nights and calendar days (articles 3.5 and 6), across clock changes and public holidays."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import (
    PARIS,
    add_calendar_days,
    day_in_paris,
    in_working_hours,
    is_working_day,
    night_begins,
    night_of,
    window_closes,
    working_hours_between,
)

moments = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2032, 1, 1), timezones=st.just(dt.UTC))


def _paris(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS)


@pytest.mark.parametrize(
    ("moment", "working"),
    [
        ("2026-11-23T07:59", False),
        ("2026-11-23T08:00", True),
        ("2026-11-23T17:59:59", True),
        ("2026-11-23T18:00", False),
        ("2026-11-21T10:00", False),  # a Saturday
        ("2026-11-11T10:00", False),  # Armistice
        ("2026-04-06T10:00", False),  # Easter Monday
        ("2026-05-14T10:00", False),  # Ascension
        ("2026-12-24T10:00", True),
    ],
)
def test_working_hours_are_monday_to_friday_8_to_18_but_for_french_public_holidays(
    moment: str, working: bool
) -> None:
    assert in_working_hours(_paris(moment)) is working


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-30T22:59:59+00:00", "2026-11-30"),
        ("2026-11-30T23:00:00+00:00", "2026-12-01"),
        ("2026-06-30T22:30:00+00:00", "2026-07-01"),
        ("2026-06-30T19:00:00-11:00", "2026-07-01"),
        ("2026-06-30T23:30:00+14:00", "2026-06-30"),
    ],
)
def test_a_day_is_that_of_paris_wherever_the_clock_stands(moment: str, day: str) -> None:
    assert day_in_paris(dt.datetime.fromisoformat(moment)) == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("moment", "closes"),
    [
        ("2026-11-23T22:00", "2026-11-24T08:00"),
        ("2026-11-24T02:00", "2026-11-24T08:00"),
        (
            "2026-11-20T22:00",
            "2026-11-21T12:00",
        ),  # Friday night ends on Saturday noon, where the next night begins
        ("2026-11-22T22:00", "2026-11-23T08:00"),
        ("2026-11-10T22:00", "2026-11-11T12:00"),  # the 11th is a holiday
        ("2026-03-28T22:00", "2026-03-29T12:00"),  # the clock goes forward
    ],
)
def test_the_window_closes_when_work_begins_or_the_next_night_does(moment: str, closes: str) -> None:
    assert window_closes(_paris(moment)) == _paris(closes)


@given(moments)
def test_every_moment_belongs_to_one_night_that_has_begun_and_not_ended(moment: dt.datetime) -> None:
    night = night_of(moment)
    assert night_begins(night) <= moment < night_begins(night + dt.timedelta(days=1))


@given(moments)
def test_a_window_outside_working_hours_lies_outside_working_hours_to_its_end(moment: dt.datetime) -> None:
    if in_working_hours(moment):
        return
    closes = window_closes(moment)
    assert moment < closes <= moment + dt.timedelta(hours=25)
    step = moment
    while step < closes:
        assert not in_working_hours(step)
        step += dt.timedelta(minutes=20)
    local = closes.astimezone(PARIS)
    assert (local.hour, local.minute) in ((8, 0), (12, 0))
    assert local.hour == 12 or is_working_day(local.date())


@given(moments, st.integers(0, 60))
def test_calendar_days_keep_the_time_of_day(moment: dt.datetime, days: int) -> None:
    before, after = moment.astimezone(PARIS), add_calendar_days(moment, days)
    assert (after.date() - before.date()).days == days and after.time() == before.time()


def test_working_hours_leave_out_nights_weekends_and_french_holidays() -> None:
    def hours(start: str, end: str) -> float:
        one, other = (dt.datetime.fromisoformat(text).replace(tzinfo=PARIS) for text in (start, end))
        return working_hours_between(one, other)

    assert hours("2026-11-23T09:00", "2026-11-23T11:30") == 2.5
    assert hours("2026-11-23T17:00", "2026-11-24T09:00") == 2.0, "a night between"
    assert hours("2026-11-20T17:00", "2026-11-23T09:00") == 2.0, "a weekend between"
    assert hours("2026-11-10T17:00", "2026-11-12T09:00") == 2.0, "Armistice Day between"
    assert hours("2026-11-21T10:00", "2026-11-22T20:00") == 0.0
    assert hours("2026-11-24T09:00", "2026-11-23T09:00") == 0.0
    assert hours("2026-10-23T12:00", "2026-11-03T12:00") == 70.0, "clocks set back, All Saints on a Sunday"


@given(
    st.lists(
        st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 1, 1), timezones=st.just(dt.UTC)),
        min_size=3,
        max_size=3,
    )
)
def test_working_hours_add_up(moments: list[dt.datetime]) -> None:
    first, second, third = sorted(moments)
    together = working_hours_between(first, second) + working_hours_between(second, third)
    assert abs(working_hours_between(first, third) - together) < 1e-6
