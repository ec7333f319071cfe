"""Maintenance windows: when a machine may be restarted. Times are the provider's: Europe/Paris."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import PARIS

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import MaintenanceWindow

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _opening(window: MaintenanceWindow, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    starts, ends = dt.time.fromisoformat(window.starts), dt.time.fromisoformat(window.ends)
    last_day = day if ends > starts else day + dt.timedelta(days=1)
    return dt.datetime.combine(day, starts, PARIS), dt.datetime.combine(last_day, ends, PARIS)


def current_or_next(window: MaintenanceWindow, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return start and end of the window that is open at ``now`` (aware), or else of the next one."""
    today = now.astimezone(PARIS).date()
    for offset in range(-1, 9):
        day = today + dt.timedelta(days=offset)
        if _DAYS[day.weekday()] in window.days:
            start, end = _opening(window, day)
            if now < end:
                return start, end
    raise AssertionError("a window has at least one day a week")


def is_open(window: MaintenanceWindow | None, now: dt.datetime) -> bool:
    """Whether a machine with this window may be restarted at ``now`` (aware). Never without a window."""
    return window is not None and current_or_next(window, now)[0] <= now


def describe_restart(window: MaintenanceWindow | None, now: dt.datetime) -> str:
    """Say when a machine will be restarted: ``in the window, Tue 24 Nov 22:00``."""
    if window is None:
        return "not planned (no maintenance window agreed)"
    start, end = current_or_next(window, now)
    if start <= now:
        return f"now (window open until {end:%H:%M})"
    return f"in the window, {start:%a %d %b %H:%M}"
