"""The probation after an existing estate was taken over (article 4.2): three calendar months without service level."""

from __future__ import annotations

import calendar
import datetime as dt

PROBATION_MONTHS = 3


def probation_ends(taken_over: dt.date) -> dt.date:
    """The first day after the probation: the same day three calendar months later, or that month's last day.

    The managed services are charged meanwhile, and the service level of article 6 does not apply.
    """
    month = taken_over.month - 1 + PROBATION_MONTHS
    year, month = taken_over.year + month // 12, month % 12 + 1
    return dt.date(year, month, min(taken_over.day, calendar.monthrange(year, month)[1]))


def probation_words(ends: dt.date) -> str:
    """The probation, for people. ``ends`` is the first day after it (:func:`probation_ends`)."""
    return f"probation until {ends - dt.timedelta(days=1)}, service level from {ends} (art. 4.2)"
