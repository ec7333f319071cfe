"""From records to what a month's service level is computed from (article 6). Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from orchestrator.contract.service_level import Down, Excuse
from orchestrator.contract.spans import Span, intersection
from orchestrator.history.declared import Declared, ExcusableEvent, Maintenance, Outage, Spanning
from orchestrator.history.records import Recorded, Records, UnreadableRecord

PLANNED = "iii"
"""The cause of planned maintenance."""

Kind = TypeVar("Kind", bound=Declared)


class Declarations:
    """Records by whom they concern: sorted once, so that a thousand machines do not each look at all of them."""

    def __init__(self, records: Records) -> None:
        self._of_machine: dict[tuple[str, str], list[Recorded[Any]]] = {}
        self._of_site: dict[str, list[Recorded[Any]]] = {}
        self._of_client: dict[str, list[Recorded[Any]]] = {}
        self._unreadable = records.unreadable
        for item in records.lines:
            said = item.said
            if said.client is None:
                self._of_site.setdefault(said.site, []).append(item)
                continue
            self._of_client.setdefault(said.client, []).append(item)
            for machine in said.machines or ("",):  # none named: all of the client's
                self._of_machine.setdefault((said.client, machine), []).append(item)

    def concerning(self, kind: type[Kind], client: str, machine: str, site: str) -> list[Recorded[Kind]]:
        """The records of a kind that concern a machine, without withdrawn ones, in the order of their numbers."""
        found = (
            *self._of_machine.get((client, machine), ()),
            *self._of_machine.get((client, ""), ()),
            *self._of_site.get(site, ()),
        )
        chosen = [item for item in found if isinstance(item.said, kind) and not item.withdrawn]
        return sorted(chosen, key=lambda item: item.number)

    def of_client(self, client: str, site: str) -> list[Recorded[Any]]:
        """All records that concern a client, withdrawn ones too."""
        return [*self._of_client.get(client, ()), *self._of_site.get(site, ())]

    def unreadable(self, client: str) -> tuple[UnreadableRecord, ...]:
        """The records that have no effect because they could not be read, and may concern a client."""
        return tuple(item for item in self._unreadable if item.client in (client, ""))

    def everybodys_outages(self, client: str, site: str, span: Span) -> bool:
        """Whether an outage in a time is declared for all of a client's machines, or all of its site."""
        return any(
            isinstance(item.said, Outage)
            and not item.withdrawn
            and item.said.start < span.end
            and (item.said.end is None or item.said.end > span.start)
            for item in (*self._of_machine.get((client, ""), ()), *self._of_site.get(site, ()))
        )

    def machines_down(self, client: str, span: Span) -> Iterator[str]:
        """The machines of a client that outages of a time name, also those that have left its file."""
        for item in self._of_client.get(client, ()):
            said = item.said
            if not isinstance(said, Outage) or item.withdrawn:
                continue
            if said.start < span.end and (said.end is None or said.end > span.start):
                yield from said.machines


def outages_of(
    declarations: Declarations, client: str, machine: str, site: str, left: dt.datetime | None = None
) -> tuple[Down, ...]:
    """The outages that concern a machine. One that nobody notified is listed, and does not count (article 6).

    Args:
        declarations: all that is declared.
        client, machine, site: which one.
        left: when the machine went out of service with its entry in the file; outages that do not name it end there.
    """
    return tuple(
        Down(number=item.number, start=start, end=end, notified=item.said.notified_at is not None)
        for item in declarations.concerning(Outage, client, machine, site)
        for start, end in _while_there(item.said, left)
    )


def _while_there(said: Outage, left: dt.datetime | None) -> list[tuple[dt.datetime, dt.datetime | None]]:
    if said.machines or left is None or (said.end is not None and said.end <= left):
        return [(said.start, said.end)]
    return [(said.start, left)] if said.start < left else []


def excuses_of(declarations: Declarations, client: str, machine: str, site: str) -> tuple[Excuse, ...]:
    """The excusable events and the planned maintenance that concern a machine.

    Maintenance is planned if it was recorded before it began. A correction that comes later can shorten it, and
    cannot make it longer.
    """
    found = []
    for event in declarations.concerning(ExcusableEvent, client, machine, site):
        found += _planned(event) if event.said.cause == PLANNED else [_as_declared(event)]
    for maintenance in declarations.concerning(Maintenance, client, machine, site):
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
