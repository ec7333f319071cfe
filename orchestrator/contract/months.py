"""Calendar months in Paris, and the covered hours in them (article 6)."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cache, cached_property

from orchestrator.contract.calendar import PARIS, WORK_ENDS, WORK_STARTS, day_in_paris, is_working_day
from orchestrator.contract.spans import Span, difference

FIRST_YEAR, LAST_YEAR = 2000, 2998
_DECEMBER = 12


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month in Paris: from its first midnight to the next month's."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``2026-11``.

        Raises:
            ValueError: the text is not a month, or the year is not between 2000 and 2998.
        """
        match = re.fullmatch(r"([0-9]{4})-(0[1-9]|1[0-2])", text)
        if not match or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
            raise ValueError(f"a month is YEAR-MONTH, from {FIRST_YEAR} to {LAST_YEAR}, such as 2026-11")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, moment: dt.datetime) -> Month:
        """The month of a moment (aware)."""
        day = day_in_paris(moment)
        return cls(day.year, day.month)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"

    @property
    def first_day(self) -> dt.date:
        """Its first day."""
        return dt.date(self.year, self.number, 1)

    @property
    def following(self) -> Month:
        """The month after it."""
        return Month(self.year + self.number // _DECEMBER, self.number % _DECEMBER + 1)

    @cached_property
    def span(self) -> Span:
        """All of it: 43,200 minutes of a November, 44,700 of an October, whose clocks are set back."""
        return Span(midnight(self.first_day), midnight(self.following.first_day))

    @property
    def length(self) -> dt.timedelta:
        """Its real length, changes of clocks included: what availability divides by (article 6)."""
        return self.span.end - self.span.start


def midnight(day: dt.date) -> dt.datetime:
    """When a day begins in Paris, in UTC."""
    return dt.datetime.combine(day, dt.time(), PARIS).astimezone(dt.UTC)


@cache
def covered_hours(month: Month) -> tuple[Span, ...]:
    """The covered period of a month: Monday to Friday, 08:00 to 18:00 in Paris, without public holidays (article 6)."""
    days = (month.first_day + dt.timedelta(days=number) for number in range(31))
    return tuple(
        Span(_at(day, WORK_STARTS), _at(day, WORK_ENDS))
        for day in days
        if day.month == month.number and is_working_day(day)
    )


@cache
def uncovered_hours(month: Month) -> tuple[Span, ...]:
    """The rest of a month: nights, weekends and public holidays."""
    return tuple(difference([month.span], covered_hours(month)))


def _at(day: dt.date, time: dt.time) -> dt.datetime:
    return dt.datetime.combine(day, time, PARIS).astimezone(dt.UTC)
