"""How a report says dates, times, sizes and durations in its language. Dates are in the provider's time, Paris."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.months import Month
from orchestrator.reports import spelling
from orchestrator.reports.spelling import Language
from orchestrator.reports.words import Words

_NO_BREAK = spelling.NO_BREAK
_GIB_LEFT, _KEPT = 3, 10 * 1024
"""GiB, TiB and PiB are left of the units when GiB are at hand; they are kept up to that many."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def seconds_between(start: dt.datetime, end: dt.datetime) -> float:
    """Seconds from one aware moment to another.

    Subtraction of two moments of one time zone would compare clock faces, an hour wrong when the clock changes.
    """
    return end.timestamp() - start.timestamp()


class Speech:
    """One language: its words, and how it writes figures."""

    def __init__(self, language: Language) -> None:
        self.words = Words(language)
        self._language = language

    def month(self, month: Month) -> str:
        """A month: ``novembre 2026``."""
        return spelling.month(month.year, month.number, self._language)

    def decimal(self, number: float) -> str:
        """A number with one decimal place: ``31,5``."""
        return spelling.decimal(number, self._language)

    def number(self, number: int) -> str:
        """A whole number."""
        return spelling.whole(number, self._language)

    def size(self, count: int) -> str:
        """Bytes in binary units: ``12,4 Gio`` or ``12.4 GiB``, three figures or more.

        GiB are kept up to ten TiB: columns of them compare, and 1.0 TiB would hide what a night adds.
        """
        units = self.words.size_units.split()
        amount = float(count)
        # 1023.96 MiB would be written 1,024 MiB: what rounds up to the next unit is said in it
        while round(amount, 1) >= (_KEPT if len(units) == _GIB_LEFT else 1024) and len(units) > 1:
            amount /= 1024
            del units[0]
        whole = amount >= 100 or units[0] == self.words.size_units.split()[0]
        text = self.number(round(amount)) if whole else spelling.decimal(amount, self._language)
        return f"{text}{_NO_BREAK}{units[0]}"

    def duration(self, seconds: float) -> str:
        """A duration by its two largest units: ``1 j 2 h``, ``4 h 41 min``, ``12 min 5 s``, ``45 s``."""
        names = self.words.duration_units.split()
        whole = max(round(seconds), 0)
        parts = (whole // _DAY, whole % _DAY // _HOUR, whole % _HOUR // _MINUTE, whole % _MINUTE)
        first = next((place for place, amount in enumerate(parts) if amount), len(parts) - 1)
        said = [
            f"{amount}{_NO_BREAK}{name}"
            for amount, name in list(zip(parts, names, strict=True))[first : first + 2]
            if amount or len(parts) == first + 1
        ]
        return _NO_BREAK.join(said)

    def share(self, part: int, whole: int) -> str:
        """A part of a whole in per cent, rounded down: only what is full is said to be full."""
        if whole <= 0:
            return self.words.nothing
        return spelling.percent(part * 100 // whole, self._language)

    def day(self, day: dt.date) -> str:
        """A day in full: ``lundi 23 novembre 2026``."""
        return spelling.day(day, self._language)

    def short_day(self, day: dt.date) -> str:
        """A day in a table: ``23 nov. 2026``."""
        return spelling.short_day(day, self._language)

    def moment(self, moment: dt.datetime) -> str:
        """An aware moment in Paris: ``23 nov. 2026, 22 h 15 CET``."""
        return f"{self.short_day(day_in_paris(moment))}, {spelling.clock(moment, self._language)}"

    def window(self, opens: dt.datetime, closes: dt.datetime) -> str:
        """A maintenance window, shorter than a day, in Paris: ``23 nov. 2026, 22 h 00 CET – 2 h 00 CET``."""
        return f"{self.moment(opens)} – {spelling.clock(closes, self._language)}"

    def working_hours(self, hours: float) -> str:
        """Working hours, as the delay of updates is counted in: ``31,5 h ouvrées``."""
        tenths = Decimal(hours).quantize(Decimal("0.1"))
        return self.words.working_hours.format(hours=spelling.exact(tenths, self._language))
