"""Alarms as the history's records have them: read, acknowledged, closed, and what was done about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.alarms.events import closed
from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused
from orchestrator.history.declared import Alarm, AlarmAction
from orchestrator.history.records import MOST, Recorded, Records, add, correct, read

if TYPE_CHECKING:
    from orchestrator.history.store import History


@dataclass(frozen=True, kw_only=True)
class Known:
    """An alarm with what was done about it.

    Attributes:
        actions: the oldest first.
    """

    recorded: Recorded[Alarm]
    actions: tuple[Recorded[AlarmAction], ...] = ()

    @property
    def number(self) -> int:
        """What people call it by: the number of its first record, which never changes."""
        return self.recorded.first.number

    @property
    def alarm(self) -> Alarm:
        """What is recorded of it."""
        return self.recorded.said


def alarms_of(records: Records) -> tuple[Recorded[Alarm], ...]:
    """The alarms, the oldest first; of two that were recorded of one event at the same time, the first one."""
    events: dict[tuple[str, str, dt.datetime], Recorded[Alarm]] = {}
    for item in sorted(records.of(Alarm), key=lambda item: item.first.number):
        events.setdefault((item.said.client or "", item.said.fingerprint, item.said.start), item)
    return tuple(events.values())


def known_alarms(history: History, client: str | None = None, *, most: int = MOST) -> tuple[Known, ...]:
    """All alarms of a client, or everybody's, the oldest first: one query.

    Args:
        history: where.
        client: whose; None: everybody's.
        most: records that are read at most.

    Raises:
        RecordRefused: there are too many.
        HistoryUnavailable: they cannot be read.
    """
    records = read(history, kinds=(Alarm, AlarmAction), client=client, most=most)
    actions: dict[int, list[Recorded[AlarmAction]]] = {}
    for item in records.of(AlarmAction):
        actions.setdefault(item.said.alarm, []).append(item)
    return tuple(
        Known(recorded=item, actions=tuple(actions.get(item.first.number, ()))) for item in alarms_of(records)
    )


def find(history: History, number: int) -> Known:
    """An alarm by its number.

    Raises:
        RequestRefused: there is none.
        HistoryUnavailable: they cannot be read.
    """
    found = _named(known_alarms(history), number)
    if found is None:
        raise RequestRefused(f"there is no alarm {number}: orchestrator alarms list --all shows them")
    return found


def acknowledge(
    history: History, number: int, *, by: str, who: str, at: dt.datetime, word: str = ""
) -> Recorded[Alarm]:
    """Record who looks after an alarm.

    Args:
        history: where.
        number: of the alarm.
        by: the person.
        who: runs this.
        at: now, aware.
        word: what the person says about it, in one line; may be empty.

    Raises:
        RequestRefused: there is none, it is over, or somebody else looks after it already.
        HistoryUnavailable: it could not be written.
    """
    known = find(history, number)
    alarm = known.alarm
    if alarm.end is not None:
        raise RequestRefused(f"alarm {number} is over since {paris_time(alarm.end, seconds=True)}")
    if alarm.acknowledged_by is not None and alarm.acknowledged_by != by:
        raise RequestRefused(f"alarm {number} was acknowledged by {alarm.acknowledged_by} already")
    if alarm.acknowledged_by == by:
        return known.recorded
    said = _changed(alarm, acknowledged_by=by, acknowledged_at=at)
    why = f"acknowledged by {by}" + (f": {word}" if word else "")
    return correct(history, known.recorded.number, said, who=who, why=why)


def close(history: History, number: int, *, by: str, why: str, who: str, at: dt.datetime) -> Recorded[Alarm]:
    """Record that an alarm is over although no recovery was reported.

    Raises:
        RequestRefused: there is none, or it is over already.
        HistoryUnavailable: it could not be written.
    """
    known = find(history, number)
    if known.alarm.end is not None:
        raise RequestRefused(f"alarm {number} is over since {paris_time(known.alarm.end, seconds=True)}")
    return correct(history, known.recorded.number, closed(known.alarm, at, by), who=who, why=why)


def record_action(
    history: History, number: int, action: AlarmAction, *, who: str, why: str
) -> Recorded[AlarmAction]:
    """Record what was done about an alarm, by a person or automatically.

    Raises:
        RequestRefused: there is no such alarm, or its client has no managed services (article 3.7).
        HistoryUnavailable: it could not be written.
    """
    known = find(history, number)
    if not known.alarm.acted_on:
        raise RequestRefused(
            f"alarm {number} is told and not acted on: its client has no managed services (article 3.7)"
        )
    said = AlarmAction.model_validate(
        {
            **action.model_dump(),
            "alarm": known.number,
            "client": known.alarm.client,
            "machines": known.alarm.machines,
            "site": known.alarm.site,
            "procedure": action.procedure or known.alarm.procedure,
        }
    )
    return add(history, said, who=who, why=why)


def _changed(alarm: Alarm, **changes: object) -> Alarm:
    return Alarm.model_validate({**alarm.model_dump(by_alias=True), **changes})


def _named(known: Iterable[Known], number: int) -> Known | None:
    return next((item for item in known if item.recorded.number == number or item.number == number), None)
