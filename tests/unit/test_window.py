"""Maintenance windows, in the provider's time zone."""

import datetime as dt

from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS
from orchestrator.planning.window import current_or_next, is_open, restart_of
from orchestrator.planning.words import when_words
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
    assert (
        when_words(restart_of(TUESDAY_NIGHT, paris("2026-11-23T09:00")))
        == "in the window, Tue 2026-11-24 22:00 CET"
    )
    assert (
        when_words(restart_of(TUESDAY_NIGHT, paris("2026-11-24T23:00")))
        == "now (window open until 2026-11-25 02:00 CET)"
    )


@given(
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    starts=st.times().map(lambda time: time.replace(second=0, microsecond=0)),
    ends=st.times().map(lambda time: time.replace(second=0, microsecond=0)),
    now=st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2030, 1, 1), timezones=st.just(dt.UTC)),
)
def test_the_window_found_is_open_or_lies_ahead_within_eight_days(
    days: set[str], starts: dt.time, ends: dt.time, now: dt.datetime
) -> None:
    assume(starts != ends)  # validate refuses it: it could mean nothing, or a whole day
    window = MaintenanceWindow.model_validate(
        {"days": sorted(days), "from": f"{starts:%H:%M}", "to": f"{ends:%H:%M}"}
    )
    start, end = current_or_next(window, now)
    assert now < end
    # Two weeks where an opening falls into the hour that a spring night leaves out.
    assert start - now <= dt.timedelta(days=8 if dt.time(2) > starts or starts >= dt.time(3) else 15)
    assert DAYS[start.astimezone(PARIS).weekday()] in days
    assert is_open(window, now) == (start <= now)


def sunday(starts: str, ends: str) -> MaintenanceWindow:
    return MaintenanceWindow.model_validate({"days": ["saturday", "sunday"], "from": starts, "to": ends})


def test_a_window_across_the_night_when_clocks_go_forward_is_an_hour_shorter() -> None:
    start, end = current_or_next(sunday("23:00", "04:00"), paris("2027-03-27T23:30"))
    assert end - start == dt.timedelta(hours=4)
    assert is_open(sunday("23:00", "04:00"), dt.datetime(2027, 3, 28, 1, 59, tzinfo=dt.UTC)), "03:59 in Paris"
    assert not is_open(sunday("23:00", "04:00"), dt.datetime(2027, 3, 28, 2, 0, tzinfo=dt.UTC))


def test_a_window_across_the_night_when_clocks_are_set_back_is_an_hour_longer() -> None:
    window = sunday("23:00", "04:00")
    start, end = current_or_next(window, paris("2026-10-24T23:30"))
    assert end - start == dt.timedelta(hours=6)
    second = paris("2026-10-25T02:30").replace(fold=1)
    assert is_open(window, second), "02:30 comes twice, and both lie in it"
    assert not is_open(sunday("23:00", "02:00"), second), "over since 02:00, which came once"
    # One zone on both sides: what clocks show is the same at both times, what time it is differs.
    assert is_open(sunday("23:00", "02:45"), paris("2026-10-25T02:30"))
    assert not is_open(sunday("23:00", "02:45"), second)


def test_a_window_in_the_hour_that_is_left_out_does_not_open_that_night() -> None:
    window = MaintenanceWindow.model_validate({"days": ["sunday"], "from": "02:30", "to": "03:00"})
    start, _ = current_or_next(window, paris("2027-03-27T12:00"))
    assert start == paris("2027-04-04T02:30"), "a week later"
    assert not any(is_open(window, paris(f"2027-03-28T{hour:02}:45")) for hour in (0, 1, 3, 4))
