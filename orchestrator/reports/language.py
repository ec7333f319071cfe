"""How a report says dates, times, sizes and durations in its language. Dates are in the provider's time, Paris."""

from __future__ import annotations

import datetime as dt

from orchestrator.contract.calendar import PARIS, day_in_paris
from orchestrator.reports.words import Language, Words, grouped

_NO_BREAK = "\u00a0"
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

    def number(self, number: int) -> str:
        """A whole number."""
        return grouped(number, self._language)

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
        text = self.number(round(amount)) if whole else f"{amount:.1f}".replace(".", self.words.decimal_point)
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
        return f"{part * 100 // whole}{_NO_BREAK if self._language == 'fr' else ''}%"

    def day(self, day: dt.date) -> str:
        """A day in full: ``lundi 23 novembre 2026``."""
        weekday = self.words.weekdays.split()[day.weekday()]
        return f"{weekday} {self._number_of(day)} {self.words.months.split()[day.month - 1]} {day.year}"

    def short_day(self, day: dt.date) -> str:
        """A day in a table: ``23 nov. 2026``."""
        parts = (self._number_of(day), self.words.short_months.split()[day.month - 1], str(day.year))
        return _NO_BREAK.join(parts)

    def moment(self, moment: dt.datetime) -> str:
        """An aware moment in Paris: ``23 nov. 2026, 22 h 15 CET``."""
        return f"{self.short_day(day_in_paris(moment))}, {self._clock(moment)}"

    def window(self, opens: dt.datetime, closes: dt.datetime) -> str:
        """A maintenance window, shorter than a day, in Paris: ``23 nov. 2026, 22 h 00 CET – 2 h 00 CET``."""
        return f"{self.moment(opens)} – {self._clock(closes)}"

    def working_hours(self, hours: float) -> str:
        """Working hours, as the delay of updates is counted in: ``31,5 h ouvrées``."""
        whole, tenths = f"{hours:.1f}".split(".")
        figure = self.number(int(whole)) + (f"{self.words.decimal_point}{tenths}" if tenths != "0" else "")
        return self.words.working_hours.format(hours=figure)

    def _clock(self, moment: dt.datetime) -> str:
        local = moment.astimezone(PARIS)
        if self._language == "fr":
            return f"{local.hour}{_NO_BREAK}h{_NO_BREAK}{local:%M}{_NO_BREAK}{local:%Z}"
        return f"{local:%H:%M}{_NO_BREAK}{local:%Z}"

    def _number_of(self, day: dt.date) -> str:
        return self.words.first_of_month if day.day == 1 else str(day.day)
