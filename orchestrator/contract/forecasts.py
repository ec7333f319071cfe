"""What is coming, told before a threshold is reached (article 3.8.1): disks that fill up, papers that end. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

FULL_WITHIN_DAYS = 7
TREND_DAYS = 7
"""A disk is told that will be full within so many days at the trend of so many."""

ENDS_WITHIN_DAYS = 30
"""A certificate, licence, quote or contract is told so many calendar days before its last day."""

_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Something that has a last day.

    Attributes:
        kind: what it is.
        name: its reference; of a certificate: the site.
        client: whose; empty for the provider's own.
        last_day: the last calendar day in Paris on which it is good.
    """

    kind: Literal["certificate", "licence", "quote", "contract"]
    name: str
    client: str
    last_day: dt.date


def ends_soon(endings: Iterable[Ending], today: dt.date) -> tuple[Ending, ...]:
    """Those whose last day is today or within thirty days, the next one first. What has ended is past telling."""
    latest = today + dt.timedelta(days=ENDS_WITHIN_DAYS)
    found = (item for item in endings if today <= item.last_day <= latest)
    return tuple(sorted(found, key=lambda item: (item.last_day, item.client, item.kind, item.name)))


def days_until_full(readings: Sequence[tuple[dt.datetime, float]], size: float) -> float | None:
    """How many days after the last reading a disk is full, at the trend of the last seven (least squares).

    Args:
        readings: (time, used), the oldest first; times aware, used in the unit of ``size``.
        size: of the disk, more than 0.

    Returns:
        0 if it is full; None if it does not grow, or there are not two readings within the seven days.
    """
    if not readings:
        return None
    now, used = readings[-1]
    if used >= size:
        return 0.0
    since = now - dt.timedelta(days=TREND_DAYS)
    points = [((at - now).total_seconds() / _DAY, value) for at, value in readings if at >= since]
    mean_day = sum(day for day, _ in points) / len(points)
    mean_used = sum(value for _, value in points) / len(points)
    spread = sum((day - mean_day) ** 2 for day, _ in points)
    if not spread:
        return None
    slope = sum((day - mean_day) * (value - mean_used) for day, value in points) / spread
    return (size - used) / slope if slope > 0 else None


def full_soon(readings: Sequence[tuple[dt.datetime, float]], size: float) -> bool:
    """Whether a disk will be full within seven days at the trend of the last seven."""
    left = days_until_full(readings, size)
    return left is not None and left <= FULL_WITHIN_DAYS
