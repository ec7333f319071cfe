"""What a webhook changes in the alarms that are known. Pure: it returns what is to be recorded, and records nothing.

An alarm is one event: a fingerprint and a start. What is sent again changes nothing. Alertmanager gathers for a minute:
if an event ended and began again meanwhile, only the new one is sent, so the earlier one ended at the latest when that
began.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.history.declared import Alarm, Maintenance

if TYPE_CHECKING:
    from orchestrator.alarms.webhook import Alert
    from orchestrator.history.records import Recorded

RECOVERY = "recovery"
"""Who closed an alarm whose event was over."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A machine of the files, as alarms see it.

    Attributes:
        site: the data centre.
        managed: whether its client has managed services; else alarms are told and not acted on (article 3.7).
        window_until: when its own maintenance window closes, asked for a time; None if it is closed then.
    """

    site: str
    managed: bool
    window_until: Callable[[dt.datetime], dt.datetime | None]


@dataclass(frozen=True, kw_only=True)
class Raise:
    """An alarm to be recorded."""

    alarm: Alarm


@dataclass(frozen=True, kw_only=True)
class Close:
    """An alarm whose event is over: ``old`` is replaced by ``alarm``."""

    old: Recorded[Alarm]
    alarm: Alarm


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """An alert that says nothing new."""

    alert: Alert


Outcome = Raise | Close | Unchanged


def closed(old: Alarm, end: dt.datetime, by: str) -> Alarm:
    """An alarm that ended."""
    return Alarm.model_validate({**old.model_dump(by_alias=True), "to": end, "closed_by": by})


def outcomes(
    alert: Alert,
    known: Iterable[Recorded[Alarm]],
    watched: Watched | None,
    maintenance: Iterable[Maintenance],
) -> list[Outcome]:
    """What an alert changes.

    Args:
        alert: of a webhook.
        known: all alarms of its client, the oldest first.
        watched: the machine that its labels name; None if they name none.
        maintenance: planned maintenance that is recorded.
    """
    same = [item for item in known if item.said.fingerprint == alert.fingerprint]
    found: list[Outcome] = []
    for item in same:
        going_on = item.said.end is None
        if item.said.start == alert.start or (going_on and alert.start < item.said.start):
            if going_on and alert.end is not None and alert.end > item.said.start:
                return [*found, Close(old=item, alarm=closed(item.said, alert.end, RECOVERY))]
            return [*found, Unchanged(alert=alert)]
        if going_on:
            found.append(Close(old=item, alarm=closed(item.said, alert.start, RECOVERY)))
    return [*found, Raise(alarm=_alarm(alert, watched, maintenance))]


def _alarm(alert: Alert, watched: Watched | None, maintenance: Iterable[Maintenance]) -> Alarm:
    until, why = _silence(alert, watched, maintenance)
    client = alert.client or None
    return Alarm(
        client=client,
        machines=(alert.machine,) if client and alert.machine else (),
        site=(alert.site or None) if client is None else None,
        text=alert.text,
        start=alert.start,
        end=alert.end,
        closed_by=RECOVERY if alert.end is not None else None,
        fingerprint=alert.fingerprint,
        rule=alert.rule,
        severity=alert.severity,
        procedure=alert.procedure,
        acted_on=watched is None or watched.managed,
        silent_until=until,
        silenced_by=why,
    )


def _silence(
    alert: Alert, watched: Watched | None, maintenance: Iterable[Maintenance]
) -> tuple[dt.datetime | None, str]:
    """Until when an event is explained by maintenance, and by which; it is raised then if it still goes on."""
    if watched is None:
        return None, ""
    ends = [
        (item.end, item.reference or "planned maintenance")
        for item in maintenance
        if item.start <= alert.start < item.end and item.concerns(alert.client, alert.machine, watched.site)
    ]
    window = watched.window_until(alert.start)
    if window is not None and watched.managed:
        ends.append((window, "its maintenance window"))
    return max(ends) if ends else (None, "")


def is_silent(alarm: Alarm, now: dt.datetime) -> bool:
    """Whether maintenance explains an alarm: it went on no longer than that."""
    if alarm.silent_until is None:
        return False
    return (alarm.end or now) <= alarm.silent_until


def state(alarm: Alarm, now: dt.datetime) -> str:
    """Where an alarm stands: ``silent``, ``closed``, ``acknowledged``, ``told`` or ``open``."""
    if is_silent(alarm, now):
        return "silent"
    if alarm.end is not None:
        return "closed"
    if alarm.acknowledged_by is not None:
        return "acknowledged"
    return "open" if alarm.acted_on else "told"


_SEVERITIES = ("critical", "error", "warning", "info", "none")


def severity_rank(severity: str) -> int:
    """How severe an alarm is, for sorting: 0 is the worst. A word that nobody knows stands before a warning."""
    known = severity.lower()
    return _SEVERITIES.index(known) if known in _SEVERITIES else _SEVERITIES.index("error")
