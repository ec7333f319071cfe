"""The alarms for pages: read again only when one was raised, acknowledged, acted on or closed."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass

from orchestrator.alarms.events import severity_rank, state
from orchestrator.alarms.recorded import Known, known_alarms
from orchestrator.history import History
from orchestrator.history.renames import RENAME
from orchestrator.operations.alarms import Listed

_ACTIONS = frozenset({"alarm", "alarm action", RENAME})
_RECENT = dt.timedelta(days=7)
_MOST = 1_000_000
"""Records that are read: those of many years of a large estate."""

NEEDS_SOMEBODY = ("open", "acknowledged", "told")
"""States of alarms that go on."""


@dataclass(frozen=True, kw_only=True)
class AlarmsAsked:
    """Which alarms.

    Attributes:
        client, machine: only of this one.
        severity: only of this one.
        state: only in this state; ``going on``: in one of :data:`NEEDS_SOMEBODY`; ``all``; empty: those that go on, and
            those that ended within seven days.
    """

    client: str = ""
    machine: str = ""
    severity: str = ""
    state: str = ""


class RecentAlarms:
    """All alarms, as they were read last. Safe to use from several threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._guard = threading.Lock()
        self._number = -1
        self._alarms: tuple[Known, ...] = ()

    def all(self) -> tuple[Known, ...]:
        """Every alarm, the oldest first.

        Raises:
            RecordRefused: there are too many.
            HistoryUnavailable: they cannot be read.
        """
        with self._guard:
            last = self._history.last_number()
            if self._number < 0 or (
                last != self._number and _ACTIONS & self._history.actions_since(self._number)
            ):
                self._alarms = known_alarms(self._history, most=_MOST)
            self._number = last
            return self._alarms

    def listed(self, asked: AlarmsAsked, now: dt.datetime) -> list[Listed]:
        """The alarms that are asked for: those that go on first, the most severe of them before the others.

        Raises:
            HistoryUnavailable: they cannot be read.
        """
        found = [Listed(known=known, state=state(known.alarm, now)) for known in self.all()]
        chosen = [item for item in found if _is_asked_for(item, asked, now)]
        return sorted(chosen, key=_order)

    def named(self, number: int, now: dt.datetime) -> Listed | None:
        """One alarm by the number of any of its records; None if there is none."""
        for known in self.all():
            if number in (known.number, known.recorded.number):
                return Listed(known=known, state=state(known.alarm, now))
        return None


def _is_asked_for(item: Listed, asked: AlarmsAsked, now: dt.datetime) -> bool:
    alarm = item.known.alarm
    if asked.client and alarm.client != asked.client:
        return False
    if asked.machine and asked.machine not in alarm.machines:
        return False
    if asked.severity and alarm.severity != asked.severity:
        return False
    if asked.state == "all":
        return True
    goes_on = item.state in NEEDS_SOMEBODY
    if asked.state == "going on":
        return goes_on
    if asked.state:
        return item.state == asked.state
    return goes_on or (item.state == "closed" and alarm.end is not None and now - alarm.end < _RECENT)


def _order(item: Listed) -> tuple[bool, int, int, float]:
    goes_on = item.state in NEEDS_SOMEBODY
    first = ("open", "told", "acknowledged").index(item.state) if goes_on else 0
    rank = severity_rank(item.known.alarm.severity) if goes_on else 0
    return not goes_on, rank, first, -item.known.alarm.start.timestamp()
