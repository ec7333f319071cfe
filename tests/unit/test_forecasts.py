"""Forecasts (article 3.8.1): what ends within thirty days. Disks at the trend of seven days are in the alert rules."""

from __future__ import annotations

import datetime as dt

from orchestrator.contract.forecasts import Ending, ends_soon


def test_what_ends_today_or_within_thirty_days_is_told_the_next_one_first() -> None:
    today = dt.date(2026, 11, 16)

    def ending(days: int) -> Ending:
        return Ending(
            kind="quote", name=f"D{days}", client="dupont", last_day=today + dt.timedelta(days=days)
        )

    told = ends_soon(map(ending, (31, 30, -1, 0, 7)), today)
    assert [item.name for item in told] == ["D0", "D7", "D30"]
