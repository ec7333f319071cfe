"""Maintenance windows: when a machine may be restarted. Times are the provider's: Europe/Paris."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import PARIS, day_in_paris
from orchestrator.resources.change import Restart

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import MaintenanceWindow

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _opening(window: MaintenanceWindow, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    starts, ends = dt.time.fromisoformat(window.starts), dt.time.fromisoformat(window.ends)
    last_day = day if ends > starts else day + dt.timedelta(days=1)
    opens, closes = dt.datetime.combine(day, starts, PARIS), dt.datetime.combine(last_day, ends, PARIS)
    # In UTC: Python compares two times of one zone by what clocks show, which is wrong when they are set back.
    return opens.astimezone(dt.UTC), closes.astimezone(dt.UTC)


def current_or_next(window: MaintenanceWindow, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return start and end (UTC) of the window that is open at ``now`` (aware), or else of the next one.

    An opening that falls wholly into the hour which a spring night leaves out does not take place.
    """
    today = day_in_paris(now)
    for offset in range(-1, 16):
        day = today + dt.timedelta(days=offset)
        if _DAYS[day.weekday()] in window.days:
            start, end = _opening(window, day)
            if now < end and start < end:
                return start, end
    raise AssertionError("a window has at least one day a week, and clocks are not set two weeks in a row")


def is_open(window: MaintenanceWindow | None, now: dt.datetime) -> bool:
    """Whether a machine with this window may be restarted at ``now`` (aware). Never without a window."""
    return window is not None and current_or_next(window, now)[0] <= now


def restart_of(window: MaintenanceWindow | None, now: dt.datetime, *, told: bool = False) -> Restart:
    """When a machine with this window restarts, seen from ``now`` (aware).

    Args:
        told: at once, in any case.
    """
    if told:
        return Restart(when="now")
    if window is None:
        return Restart(when="not-planned")
    start, end = current_or_next(window, now)
    if start <= now:
        return Restart(when="now", closes=end)
    return Restart(when="window", opens=start.astimezone(PARIS))
