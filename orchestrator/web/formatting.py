"""How pages write moments, sizes and figures, in the language of whoever reads them. Times are in Paris."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from orchestrator.contract.calendar import PARIS, day_in_paris, paris_time
from orchestrator.reports.language import Speech
from orchestrator.reports.spelling import NO_BREAK, Language, euros, percent_exact
from orchestrator.shown import visible

NOTHING = "–"
"""What stands where there is no value."""

_SOON = 90
"""Seconds below which a moment is now."""


def shown(value: object) -> object:
    """What a template prints of a value: characters that cannot be seen become visible, no value is a dash."""
    if value is None:
        return NOTHING
    return visible(value, lines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def when(moment: dt.datetime | None, language: Language) -> Markup | str:
    """A moment: ``2026-11-30 22:00 CET``, ``30 nov. 2026, 22 h 00 CET``."""
    if moment is None:
        return NOTHING
    said = paris_time(moment) if language == "en" else Speech(language).moment(moment)
    return _time(moment, said.replace(" ", NO_BREAK))


def day(value: dt.datetime | dt.date | None, language: Language) -> Markup | str:
    """A day, of a moment in Paris: ``2026-11-30``, ``30 nov. 2026``."""
    if value is None:
        return NOTHING
    found = day_in_paris(value) if isinstance(value, dt.datetime) else value
    said = found.isoformat() if language == "en" else Speech(language).short_day(found)
    return Markup('<time datetime="{}">{}</time>').format(found.isoformat(), said)


def ago(moment: dt.datetime, now: dt.datetime, language: Language) -> Markup:
    """How long ago something was, or how soon it will be: ``3 min ago``, ``il y a 3 min``, ``in 2 d``."""
    seconds = now.timestamp() - moment.timestamp()
    if abs(seconds) < _SOON:
        return _time(moment, {"en": "now", "fr": "à l’instant"}[language])
    first = Speech(language).duration(abs(seconds)).split(NO_BREAK)[:2]
    forms = {"en": ("{} ago", "in {}"), "fr": ("il y a {}", "dans {}")}[language]
    return _time(moment, forms[seconds < 0].format(NO_BREAK.join(first)))


def size(count: float | None, language: Language) -> str:
    """Bytes: ``12.4 GiB``, ``12,4 Gio``."""
    return NOTHING if count is None else Speech(language).size(round(count))


def duration(seconds: float | dt.timedelta | None, language: Language) -> str:
    """A duration: ``4 h 41 min``."""
    if seconds is None:
        return NOTHING
    return Speech(language).duration(
        seconds.total_seconds() if isinstance(seconds, dt.timedelta) else seconds
    )


def number(value: int | None, language: Language) -> str:
    """A whole number with its thousands grouped: ``10,000``, ``10 000``."""
    return NOTHING if value is None else Speech(language).number(value)


def percent(value: float | Decimal | None, language: Language, places: int = 1) -> str:
    """Per cent: ``12.5%``, ``12,5 %``.

    Args:
        value: 0 to 100.
        language: to write it in.
        places: after the decimal point; what comes behind is cut off, so that nothing is full before it is.
    """
    if value is None:
        return NOTHING
    step = Decimal(1).scaleb(-places)
    return percent_exact((Decimal(str(value)) // step) * step, language)


def amount(value: Decimal | None, language: Language) -> str:
    """An amount in EUR: ``€1,234.50``, ``1 234,50 €``."""
    return NOTHING if value is None else euros(value, language)


def _time(moment: dt.datetime, said: str) -> Markup:
    written = moment.astimezone(PARIS)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        written.isoformat(timespec="seconds"), paris_time(moment, seconds=True), said
    )


def _of_visit(write: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that takes its language from the visit."""

    @pass_context
    def filtered(context: Context, value: Any, *arguments: Any) -> Any:
        return write(value, context["visit"].language, *arguments)

    return filtered


@pass_context
def _ago(context: Context, moment: dt.datetime | None) -> Markup | str:
    visit = context["visit"]
    return NOTHING if moment is None else ago(moment, visit.desk.now(), visit.language)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "when": _of_visit(when),
    "day": _of_visit(day),
    "ago": _ago,
    "size": _of_visit(size),
    "duration": _of_visit(duration),
    "number": _of_visit(number),
    "percent": _of_visit(percent),
    "amount": _of_visit(amount),
}
"""Filters of templates."""
