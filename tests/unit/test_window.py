"""Maintenance windows, in the provider's time zone."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS
from orchestrator.planning.window import current_or_next, describe_restart, is_open
from orchestrator.subscriptions.model import MaintenanceWindow

TUESDAY_NIGHT = MaintenanceWindow.model_validate({"days": ["tuesday"], "from": "22:00", "to": "02:00"})
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def paris(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS)


def test_window_across_midnight_is_open_on_both_sides_of_it() -> None:
    assert is_open(TUESDAY_NIGHT, paris("2026-11-24T22:00"))
    assert is_open(TUESDAY_NIGHT, paris("2026-11-25T01:59"))
    assert not is_open(TUESDAY_NIGHT, paris("2026-11-25T02:00"))
    assert not is_open(TUESDAY_NIGHT, paris("2026-11-24T21:59"))


def test_window_is_judged_in_paris_not_in_utc() -> None:
    assert is_open(TUESDAY_NIGHT, dt.datetime(2026, 11, 24, 21, 30, tzinfo=dt.UTC))
    assert is_open(TUESDAY_NIGHT, dt.datetime(2026, 7, 14, 20, 30, tzinfo=dt.UTC))
    assert not is_open(TUESDAY_NIGHT, dt.datetime(2026, 11, 24, 20, 30, tzinfo=dt.UTC))


def test_no_window_is_never_open() -> None:
    assert not is_open(None, paris("2026-11-24T22:30"))


def test_next_window_is_named_with_its_day() -> None:
    assert describe_restart(TUESDAY_NIGHT, paris("2026-11-23T09:00")) == "in the window, Tue 24 Nov 22:00"
    assert describe_restart(TUESDAY_NIGHT, paris("2026-11-24T23:00")) == "now (window open until 02:00)"


@given(
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    starts=st.times(),
    ends=st.times(),
    now=st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
)
def test_the_window_found_is_open_or_lies_ahead_within_eight_days(
    days: set[str], starts: dt.time, ends: dt.time, now: dt.datetime
) -> None:
    window = MaintenanceWindow.model_validate(
        {"days": sorted(days), "from": f"{starts:%H:%M}", "to": f"{ends:%H:%M}"}
    )
    start, end = current_or_next(window, now)
    assert now < end
    assert start - now <= dt.timedelta(days=8)
    assert DAYS[start.weekday()] in days
    assert is_open(window, now) == (start <= now)
