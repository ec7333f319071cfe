"""How a language writes numbers, amounts and dates: by Babel, that is by Unicode's CLDR, corrected here where needed.

What is corrected: the French say ``1er``, ``22 h 15`` and name the time zone as everybody does (CLDR: ``1``, ``22:15``,
``+0100``). Nothing else in the reports knows how a language groups digits, names months or forms plurals.
"""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache, lru_cache
from typing import Literal

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, format_percent

from orchestrator.contract.calendar import PARIS

Language = Literal["fr", "en"]
NO_BREAK = "\u00a0"

_LOCALES = {"fr": ("fr", "FR"), "en": ("en", "GB")}
_FIRST_OF_MONTH = {"fr": "'1er'", "en": "d"}


@cache
def _locale(language: Language) -> Locale:
    return Locale(*_LOCALES[language])


def is_one(number: int, language: Language) -> bool:
    """Whether a number takes the singular: 0 does in French, and does not in English."""
    return _locale(language).plural_form(number) == "one"


def whole(number: int, language: Language) -> str:
    """A whole number with its thousands grouped: ``1 023``, ``1,023``."""
    return format_decimal(number, format="#,##0", locale=_locale(language))


def decimal(number: float | Decimal, language: Language, *, places: int = 1) -> str:
    """A number with so many decimal places: ``12,4``, ``12.4``."""
    exact = Decimal(number).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return format_decimal(exact, format=f"#,##0.{'0' * places}", locale=_locale(language))


def exact(number: Decimal, language: Language) -> str:
    """A number with no more decimal places than it needs: ``72`` of ``Decimal("72.0")``."""
    return padded(number.normalize(), language)


def padded(number: Decimal, language: Language) -> str:
    """A number with the decimal places that it was written with: ``3,0`` of ``Decimal("3.0")``."""
    places = max(-int(number.as_tuple().exponent), 0)
    return decimal(number, language, places=places) if places else whole(int(number), language)


def percent(number: int, language: Language) -> str:
    """A whole number of per cent: ``12 %``, ``12%``."""
    return format_percent(Decimal(number) / 100, locale=_locale(language))


def percent_exact(number: Decimal, language: Language) -> str:
    """Per cent with the decimal places that they were computed to: ``99,8499 %``."""
    places = max(-int(number.as_tuple().exponent), 0)
    pattern = _locale(language).percent_formats[None].pattern
    if places:
        pattern = pattern.replace("#,##0", f"#,##0.{'0' * places}")
    return format_percent(number / 100, format=pattern, locale=_locale(language))


def euros(amount: Decimal, language: Language) -> str:
    """An amount in EUR with its cents: ``1 234,50 €``, ``€1,234.50``."""
    return format_currency(amount, "EUR", locale=_locale(language))


def month(year: int, number: int, language: Language) -> str:
    """A month: ``novembre 2026``. ``number`` is 1 to 12."""
    return format_date(dt.date(year, number, 1), "MMMM y", locale=_locale(language))


def day(day: dt.date, language: Language) -> str:
    """A day in full: ``lundi 23 novembre 2026``, ``dimanche 1er novembre 2026``."""
    return format_date(day, f"EEEE {_number_of(day, language)} MMMM y", locale=_locale(language))


@lru_cache(maxsize=4096)
def short_day(day: dt.date, language: Language) -> str:
    """A day in a table: ``23 nov. 2026``."""
    pattern = f"{_number_of(day, language)} MMM y".replace(" ", NO_BREAK)
    return format_date(day, pattern, locale=_locale(language))


def short_month(day: dt.date, language: Language) -> str:
    """The month of a day, short: ``nov.``."""
    return format_date(day, "MMM", locale=_locale(language))


def short_day_of_month(day: dt.date, language: Language) -> str:
    """A day without its year: ``23 nov.``."""
    pattern = f"{_number_of(day, language)} MMM".replace(" ", NO_BREAK)
    return format_date(day, pattern, locale=_locale(language))


def clock(moment: dt.datetime, language: Language) -> str:
    """The time of an aware moment in Paris, with its zone: ``22 h 15 CET``, ``22:15 CET``."""
    local = moment.astimezone(PARIS)
    if language == "fr":
        return f"{local.hour}{NO_BREAK}h{NO_BREAK}{local:%M}{NO_BREAK}{local:%Z}"
    return f"{local:%H:%M}{NO_BREAK}{local:%Z}"


def _number_of(day: dt.date, language: Language) -> str:
    return _FIRST_OF_MONTH[language] if day.day == 1 else "d"
