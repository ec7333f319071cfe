"""Forecasts before thresholds (article 3.8.1): disks at the trend of seven days, what ends within thirty."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.forecasts import Ending, days_until_full, ends_soon, full_soon

MIDNIGHT = dt.datetime(2026, 11, 16, tzinfo=dt.UTC)


def daily(*used: float) -> list[tuple[dt.datetime, float]]:
    return [(MIDNIGHT + dt.timedelta(days=day), value) for day, value in enumerate(used)]


def test_a_disk_of_100_gib_at_70_72_to_82_has_nine_days_left_and_is_not_warned_of() -> None:
    readings = daily(70, 72, 74, 76, 78, 80, 82)
    assert days_until_full(readings, 100) == pytest.approx(9.0)
    assert not full_soon(readings, 100)


def test_a_disk_that_is_at_78_and_grows_by_4_a_day_has_5_and_a_half_days_left_and_is_warned_of() -> None:
    readings = daily(54, 58, 62, 66, 70, 74, 78)
    assert days_until_full(readings, 100) == pytest.approx(5.5)
    assert full_soon(readings, 100)


def test_what_was_before_the_last_seven_days_does_not_count() -> None:
    assert days_until_full(daily(0, 0, 0, *[50 + 2 * day for day in range(8)]), 100) == pytest.approx(18.0)


@pytest.mark.parametrize(
    ("used", "left"),
    [((), None), ((50,), None), ((50, 50, 50), None), ((60, 50), None), ((90, 100), 0.0), ((120,), 0.0)],
)
def test_without_a_trend_there_is_no_day_and_what_is_full_is_full(
    used: tuple[float, ...], left: float | None
) -> None:
    assert days_until_full(daily(*used), 100) == left


@given(start=st.integers(0, 500), growth=st.integers(1, 20), days=st.integers(2, 7))
def test_steady_growth_is_forecast_exactly(start: int, growth: int, days: int) -> None:
    readings = daily(*[start + growth * day for day in range(days)])
    assert days_until_full(readings, 1000) == pytest.approx((1000 - readings[-1][1]) / growth)


def test_what_ends_today_or_within_thirty_days_is_told_the_next_one_first() -> None:
    today = dt.date(2026, 11, 16)

    def ending(days: int) -> Ending:
        return Ending(
            kind="quote", name=f"D{days}", client="dupont", last_day=today + dt.timedelta(days=days)
        )

    told = ends_soon(map(ending, (31, 30, -1, 0, 7)), today)
    assert [item.name for item in told] == ["D0", "D7", "D30"]
