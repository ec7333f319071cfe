"""Outages that our own supervision sees, recorded as notified by it (article 6). Safe to call again after a crash."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import paris_time
from orchestrator.history.declared import SUPERVISION, Outage
from orchestrator.history.records import Recorded, RecordRefused, Records, add, follow, read

if TYPE_CHECKING:
    from orchestrator.history.store import History


def outage_begins(
    history: History, *, client: str, machine: str, start: dt.datetime, seen: dt.datetime, cause: str = ""
) -> Recorded[Outage]:
    """Record that a machine became unavailable, unless that is recorded already.

    Args:
        history: where.
        client, machine: which one.
        start: the first failed observation (aware).
        seen: when supervision was sure of it: the outage counts as notified at that time.
        cause: what it found: ``node paris-2 does not answer``.

    Returns:
        The record. One that was there already if supervision recorded an outage of this machine from the same start, or
        one that still goes on; also if a person has corrected or withdrawn it since, which is not undone.

    Raises:
        HistoryUnavailable: it could not be read or written.
    """
    for known in reversed(_seen(read(history, kinds=(Outage,), client=client), client, machine)):
        same = known.first.said.start == start.astimezone(dt.UTC)
        if same or (known.said.end is None and not known.withdrawn):
            return known
    outage = Outage(
        client=client,
        machines=(machine,),
        start=start,
        notified_by=SUPERVISION,
        notified_at=seen,
        cause=cause,
    )
    return add(history, outage, who=SUPERVISION, why=SUPERVISION)


def outage_ends(history: History, *, client: str, machine: str, end: dt.datetime) -> Recorded[Outage] | None:
    """Record the end of the outage that supervision saw begin; the end is the first good observation (aware).

    Returns:
        The record with its end; None if none of this machine goes on: it was ended already, by us or by a person.

    Raises:
        RecordRefused: it began at that time or later.
        HistoryUnavailable: it could not be read or written.
    """
    ended = None
    for known in _seen(read(history, kinds=(Outage,), client=client), client, machine):
        if known.withdrawn or known.said.end is not None:
            continue
        if end <= known.said.start:
            raise RecordRefused(
                f"outage {known.number} of {client}/{machine} began at {paris_time(known.said.start, seconds=True)}, "
                f"which is not before its end, {paris_time(end, seconds=True)}: see the clocks of this computer"
            )
        said = known.said.model_copy(update={"end": end.astimezone(dt.UTC)})
        ended = follow(history, known, said, who=SUPERVISION, why=SUPERVISION)
    return ended


def _seen(records: Records, client: str, machine: str) -> list[Recorded[Outage]]:
    """The lines of outages of this one machine that supervision began, withdrawn ones too; the oldest first."""
    return [
        item
        for item in records.lines
        if isinstance(item.said, Outage)
        and item.first.who == SUPERVISION
        and (item.said.client, item.said.machines) == (client, (machine,))
    ]
