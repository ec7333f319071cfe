"""Working hours and nights, by the French calendar (articles 3.5 and 6). Times of day are Europe/Paris.

Backups are made every day outside working hours. Every moment belongs to one night: the night of Monday is what
lies between Monday noon and Tuesday noon, so that a run which crosses midnight, or is started again after it,
is still the same night's, and a weekend has three of them.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")

WORK_STARTS = dt.time(8)
WORK_ENDS = dt.time(18)
"""Article 6: the covered period is Monday to Friday from 08:00 to 18:00, public holidays excepted."""

UPDATE_DELAY_HOURS = 72
"""Article 3.8.3: the average delay of installing updates, in working hours."""

_NOON = dt.time(12)
_SATURDAY = 5


def day_in_paris(moment: dt.datetime) -> dt.date:
    """The calendar day of a moment (aware) as the contract counts days: in Paris, wherever this computer is.

    Half past midnight in Paris is still the day before in UTC: no day of a contract is taken from a time in UTC.
    """
    return moment.astimezone(PARIS).date()


def paris_time(moment: dt.datetime, *, seconds: bool = False, weekday: bool = False) -> str:
    """A moment as people are shown it everywhere: ``2026-11-30 22:00 CET``, the provider's clock with its zone.

    The zone is part of it: 02:30 comes twice in the night when clocks are set back, and readers sit anywhere.

    Args:
        moment: aware.
        seconds: with its seconds.
        weekday: with the day of the week before it.

    Raises:
        ValueError: the moment has no zone, so nobody knows when it is.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no time zone")
    form = ("%a " if weekday else "") + "%Y-%m-%d %H:%M" + (":%S" if seconds else "") + " %Z"
    return moment.astimezone(PARIS).strftime(form)


@cache
def _public_holidays(year: int) -> frozenset[dt.date]:
    import holidays  # slow to import, and only the night asks

    return frozenset(holidays.country_holidays("FR", years=year))


def is_working_day(day: dt.date) -> bool:
    """Whether a day is Monday to Friday and no French public holiday (article 6)."""
    return day.weekday() < _SATURDAY and day not in _public_holidays(day.year)


def in_working_hours(moment: dt.datetime) -> bool:
    """Whether a moment (aware) lies in working hours: 08:00 counts, 18:00 does not."""
    local = moment.astimezone(PARIS)
    return WORK_STARTS <= local.time() < WORK_ENDS and is_working_day(local.date())


def night_of(moment: dt.datetime) -> dt.date:
    """The night that a moment (aware) belongs to, named by the day it begins on."""
    local = moment.astimezone(PARIS)
    return local.date() if local.time() >= _NOON else local.date() - dt.timedelta(days=1)


def night_begins(night: dt.date) -> dt.datetime:
    """When a night begins: noon in Paris."""
    return dt.datetime.combine(night, _NOON, PARIS)


def window_closes(moment: dt.datetime) -> dt.datetime:
    """When the time for tonight's work ends: the next start of working hours, or the end of the night.

    Args:
        moment: aware; outside working hours, else the answer is the end of the night alone.
    """
    local = moment.astimezone(PARIS)
    ends = night_begins(night_of(moment) + dt.timedelta(days=1))
    for day in (local.date(), local.date() + dt.timedelta(days=1)):
        opens = dt.datetime.combine(day, WORK_STARTS, PARIS)
        if is_working_day(day) and opens > local:
            return min(opens, ends)
    return ends


def work_begins_after(moment: dt.datetime) -> dt.datetime:
    """When working hours begin next, after a moment (aware) outside them: over a weekend, days later."""
    day = day_in_paris(moment)
    while True:
        opens = dt.datetime.combine(day, WORK_STARTS, PARIS)
        if is_working_day(day) and opens > moment:
            return opens
        day += dt.timedelta(days=1)


def working_hours_between(start: dt.datetime, end: dt.datetime) -> float:
    """How many working hours lie between two moments (aware): 0 if the second is not later.

    The delay of updates is counted in them (article 3.8.3); they are Monday to Friday, 08:00 to 18:00 (article 6).
    """
    seconds = 0.0
    day = day_in_paris(start)
    last = day_in_paris(end)
    while day <= last:
        if is_working_day(day):
            opens = max(start, dt.datetime.combine(day, WORK_STARTS, PARIS).astimezone(dt.UTC))
            closes = min(end, dt.datetime.combine(day, WORK_ENDS, PARIS).astimezone(dt.UTC))
            seconds += max((closes - opens).total_seconds(), 0.0)
        day += dt.timedelta(days=1)
    return seconds / 3600


def working_hours_after(start: dt.datetime, hours: float) -> dt.datetime:
    """The first moment (in Paris) at which so many working hours have passed since another.

    Args:
        start: aware.
        hours: more than 0.
    """
    left = dt.timedelta(hours=hours)
    day = day_in_paris(start)
    while True:
        if is_working_day(day):
            opens = max(start.astimezone(PARIS), dt.datetime.combine(day, WORK_STARTS, PARIS))
            room = dt.datetime.combine(day, WORK_ENDS, PARIS) - opens  # one day in Paris: no change of clocks
            if room >= left:
                return opens + left
            left -= max(room, dt.timedelta())
        day += dt.timedelta(days=1)


def add_calendar_days(moment: dt.datetime, days: int) -> dt.datetime:
    """The same time of day in Paris, that many calendar days later: clock changes do not shift it."""
    local = moment.astimezone(PARIS)
    return dt.datetime.combine(local.date() + dt.timedelta(days=days), local.time(), PARIS)


def add_working_days(day: dt.date, days: int) -> dt.date:
    """The day that is so many working days after another; the first of them is the next working day.

    Args:
        day: itself not counted, whatever day it is.
        days: 0 or more; 0 gives the day itself.
    """
    while days > 0:
        day += dt.timedelta(days=1)
        days -= is_working_day(day)
    return day


def working_days_after(day: dt.date, last: dt.date) -> int:
    """How many working days lie after a day, up to and with another; 0 if that is not later."""
    return sum(is_working_day(day + dt.timedelta(days=number)) for number in range(1, (last - day).days + 1))
