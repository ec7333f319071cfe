"""From records to what a month's service level is computed from (article 6). Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from orchestrator.contract.intervals import Span, intersection
from orchestrator.contract.service_level import Down, Excuse
from orchestrator.history.declared import ExcusableEvent, Maintenance, Outage, Spanning
from orchestrator.history.records import Recorded, Records

PLANNED = "iii"
"""The cause of planned maintenance."""


def outages_of(records: Records, client: str, machine: str, site: str) -> tuple[Down, ...]:
    """The outages that concern a machine. One that nobody notified is listed, and does not count (article 6)."""
    return tuple(
        Down(
            number=item.number,
            start=item.said.start,
            end=item.said.end,
            notified=item.said.notified_at is not None,
        )
        for item in records.of(Outage)
        if item.said.concerns(client, machine, site)
    )


def excuses_of(records: Records, client: str, machine: str, site: str) -> tuple[Excuse, ...]:
    """The excusable events and the planned maintenance that concern a machine.

    Maintenance is planned if it was recorded before it began. A correction that comes later can shorten it, and
    cannot make it longer.
    """
    found = []
    for event in records.of(ExcusableEvent):
        if event.said.concerns(client, machine, site):
            found += _planned(event) if event.said.cause == PLANNED else [_as_declared(event)]
    for maintenance in records.of(Maintenance):
        if maintenance.said.concerns(client, machine, site):
            found += _planned(maintenance)
    return tuple(found)


def _as_declared(event: Recorded[ExcusableEvent]) -> Excuse:
    said = event.said
    return Excuse(number=event.number, cause=said.cause, start=said.start, end=said.end)


def _planned(record: Recorded[Any]) -> list[Excuse]:
    """What of a maintenance was planned: in the record as it is, and in the last one from before it began."""
    before = [item.said for item in (*record.before, record) if item.at < item.said.start]
    if not before:
        return []
    both = intersection(_span(record.said), _span(before[-1]))
    return [Excuse(number=record.number, cause=PLANNED, start=start, end=end) for start, end in both]


def _span(said: Spanning) -> Sequence[Span]:
    return [Span(said.start, said.end or dt.datetime.max.replace(tzinfo=dt.UTC))]


def machines_named(records: Records, client: str, span: Span) -> Iterable[str]:
    """The machines of a client that records of a time name, also those that have left its file."""
    for item in records.of(Outage):
        begun_and_not_over = item.said.start < span.end and (
            item.said.end is None or item.said.end > span.start
        )
        if item.said.client == client and begun_and_not_over:
            yield from item.said.machines
