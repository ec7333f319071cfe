"""A client's service level as JSON for other programs: a documented, versioned format.

``format_version`` changes when a field is removed or changes its meaning; new fields may appear at any time.
The schema is printed by ``orchestrator schema --service-level``.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Literal

from pydantic import Field

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.service_level import Accounted, Why, percentage_shown
from orchestrator.history.declared import Outage
from orchestrator.planning.items import Document
from orchestrator.reports.client_month import ClientMonth, CreditState, ServiceMonth

FORMAT_VERSION: Literal[1] = 1


class PartDocument(Document):
    """A part of an outage within the month, and what becomes of it."""

    start: dt.datetime = Field(serialization_alias="from")
    end: dt.datetime = Field(serialization_alias="to")
    seconds: float
    accounted: Why = Field(description="counts, or why it does not count")
    by: int | None = Field(description="the number of the record that explains it")
    cause: str | None = Field(description="the cause of article 6: i to vi, or force-majeure")


class OutageDocument(Document):
    """An outage that touches the month."""

    number: int = Field(description="of its record in the history")
    start: dt.datetime = Field(serialization_alias="from")
    end: dt.datetime | None = Field(serialization_alias="to", description="null: it still goes on")
    notified_by: str | None
    notified_at: dt.datetime | None
    reference: str | None
    text: str
    cause: str = Field(description="what supervision found; may name nodes, not for clients")
    counted_seconds: float
    parts: list[PartDocument]


class CreditDocument(Document):
    """The credit of the month (article 6)."""

    state: CreditState
    percent: int = Field(description="of the month's fee: 0, 5, 10 or 20")
    fee: Decimal | None = Field(description="EUR; null if the file says none")
    amount: Decimal | None = Field(
        description="EUR: issued, or as it would be if issued at the time of the reckoning"
    )
    uncapped: Decimal | None = Field(description="EUR: without the cap of 20 % over thirty days")
    request: int | None = Field(description="the number of the request's record")
    credit: int | None = Field(description="the number of the credit's record")


class ServiceDocument(Document):
    """One machine's month."""

    machine: str
    offer: str | None = Field(description="null: the machine has left the file")
    applies: bool = Field(description="some of the month is in service and not in probation")
    wholly_in_probation: bool
    observed: bool = Field(description="somebody looked at least once in the covered hours")
    availability_percent: str | None = Field(description="four decimals, rounded down; null if not known")
    availability_exact: str | None = Field(description="the exact fraction of the month, such as 479/480")
    over_covered_hours_percent: str | None = Field(description="informative, never used for credits")
    met: bool | None
    counted_seconds: float
    excused_seconds: dict[str, float] = Field(description="by cause of article 6")
    covered_seconds: float
    observed_seconds: float = Field(description="of the covered hours")
    unobserved: list[tuple[dt.datetime, dt.datetime]]
    outages: list[OutageDocument]
    credit: CreditDocument


class ServiceLevelDocument(Document):
    """A client's month."""

    format_version: Literal[1] = FORMAT_VERSION
    client: str
    contract: str
    month: str
    month_seconds: int = Field(description="the month's real length, changes of clocks included")
    at: dt.datetime = Field(description="the time of the reckoning")
    final: bool
    services: list[ServiceDocument]
    unreadable_records: list[int] = Field(description="numbers of records that have no effect")


def document_of(month: ClientMonth) -> ServiceLevelDocument:
    """A client's month in the published format."""
    return ServiceLevelDocument(
        client=month.client,
        contract=month.contract,
        month=str(month.month),
        month_seconds=round(month.month.length.total_seconds()),
        at=month.at,
        final=month.final,
        services=[_service(item, month) for item in month.services],
        unreadable_records=[item.number for item in month.unreadable],
    )


def _service(service: ServiceMonth, month: ClientMonth) -> ServiceDocument:
    level = service.level
    availability, covered = level.availability, level.over_covered_hours
    return ServiceDocument(
        machine=service.machine,
        offer=service.offer or None,
        applies=level.applies,
        wholly_in_probation=level.wholly_in_probation,
        observed=not level.never_observed,
        availability_percent=None if availability is None else percentage_shown(availability),
        availability_exact=None if availability is None else str(availability),
        over_covered_hours_percent=None if covered is None else percentage_shown(covered),
        met=level.met,
        counted_seconds=level.counted.total_seconds(),
        excused_seconds={cause: time.total_seconds() for cause, time in level.excused},
        covered_seconds=level.covered.total_seconds(),
        observed_seconds=level.observed.total_seconds(),
        unobserved=[(span.start, span.end) for span in level.unobserved],
        outages=[_outage(item, month) for item in level.outages],
        credit=_credit(service, day_in_paris(month.at)),
    )


def _outage(accounted: Accounted, month: ClientMonth) -> OutageDocument:
    said = month.records[accounted.outage.number].said
    assert isinstance(said, Outage)  # noqa: S101  (outages are made of these records)
    return OutageDocument(
        number=accounted.outage.number,
        start=said.start,
        end=said.end,
        notified_by=said.notified_by,
        notified_at=said.notified_at,
        reference=said.reference,
        text=said.text,
        cause=said.cause,
        counted_seconds=accounted.counted.total_seconds(),
        parts=[
            PartDocument(
                start=part.span.start,
                end=part.span.end,
                seconds=(part.span.end - part.span.start).total_seconds(),
                accounted=part.why,
                by=part.by,
                cause=part.cause or None,
            )
            for part in accounted.parts
        ],
    )


def _credit(service: ServiceMonth, day: dt.date) -> CreditDocument:
    issued, request, due = service.credit, service.request, service.amount(day)
    return CreditDocument(
        state=service.credit_state,
        percent=issued.said.percent if issued else service.level.percent,
        fee=issued.said.fee if issued else service.fee,
        amount=issued.said.amount if issued else due.amount if due else None,
        uncapped=due.uncapped if due else None,
        request=request.first.number if request else None,
        credit=issued.number if issued else None,
    )
