"""The service level of a month (article 6): of everybody in a list, of one client with its reckoning and credits."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from orchestrator.contract.months import Month
from orchestrator.contract.service_level import percentage_shown
from orchestrator.interface.roles import Right
from orchestrator.operations.month_levels import LevelRow
from orchestrator.operations.service_level import month_of
from orchestrator.reports.service_level import service_level_facts, service_level_parts
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

_MONTHS_BACK = 13
_RELOAD_SECONDS = 3

STATES = ("missed", "met", "open credits", "requested credits", "issued credits", "not known")

COLUMNS = (
    Column(key="client", heading="Client", sort=True),
    Column(key="machine", heading="Machine", sort=True),
    Column(key="availability", heading="Availability", sort=True, figures=True),
    Column(key="objective", heading="Objective 99.85%"),
    Column(key="counted", heading="Counted", sort=True, figures=True),
    Column(key="excused", heading="Excused", figures=True, quiet=True),
    Column(key="outages", heading="Outages", figures=True, quiet=True),
    Column(key="credit", heading="Credit"),
    Column(key="amount", heading="Amount", sort=True, figures=True),
)


def everybody(visit: Visit) -> Response:
    """The month's service level of every machine."""
    asked = Asked.of(
        visit,
        sorts=("availability", "client", "machine", "counted", "amount"),
        filters=("month", "client", "state"),
    )
    month = month_asked(visit)
    shown = visit.desk.levels.of(month, visit.desk.now())
    found = shown.month
    rows = [row for row in found.rows if _is_asked_for(row, asked)] if found else []
    rows.sort(key=lambda row: (row.client, row.machine))
    rows.sort(key=_ORDERS[asked.sort], reverse=asked.descending)
    answer = visit.page(
        "service_level.html",
        asked=asked,
        month=month,
        months=months_before(visit),
        shown=shown,
        rows=rows[asked.offset : asked.offset + asked.size],
        total=len(rows),
        sums=Sums.of(rows),
        columns=COLUMNS,
        states=STATES,
        availability=availability,
    )
    if found is None and not shown.problem:
        answer.headers["refresh"] = str(_RELOAD_SECONDS)
    return answer


def one_client(visit: Visit) -> Response:
    """A client's month: outages with the part that counts, excusable events, the reckoning, credits."""
    now, month = visit.desk.now(), month_asked(visit)
    files = visit.desk.files.read(now)
    subscription = files.by_client.get(visit.path["client"])
    if subscription is None:
        visit.missing()
    found = month_of(subscription, month, visit.desk.history, now, visit.desk.settings.history)
    return visit.page(
        "service_level_client.html",
        client=subscription.client,
        month=month,
        months=months_before(visit),
        facts=service_level_facts(found, visit.language),
        parts_of_month=service_level_parts(found, visit.language),
    )


def month_asked(visit: Visit) -> Month:
    """The month that an address names; the current one if it names none, or one that has not begun."""
    now = visit.desk.now()
    try:
        month = Month.parse(visit.query.get("month", ""))
        begun = month.span.start <= now
    except (ValueError, OverflowError):
        return Month.of(now)
    return month if begun else Month.of(now)


def months_before(visit: Visit) -> list[str]:
    """The current month and those before it."""
    last = Month.of(visit.desk.now())
    ordinals = (last.year * 12 + last.number - 1 - back for back in range(_MONTHS_BACK))
    return [str(Month(ordinal // 12, ordinal % 12 + 1)) for ordinal in ordinals]


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What the rows of a month come to.

    Attributes:
        owed: what open and requested credits come to today, as far as fees are known.
        issued: what was issued.
    """

    services: int
    missed: int
    unknown: int
    open: int
    requested: int
    owed: Decimal
    issued: Decimal

    @classmethod
    def of(cls, rows: list[LevelRow]) -> Sums:
        """Add rows up."""
        due = [row for row in rows if row.credit_state in ("open", "requested")]
        return cls(
            services=len(rows),
            missed=sum(row.met is False for row in rows),
            unknown=sum(row.applies and row.met is None for row in rows),
            open=sum(row.credit_state == "open" for row in rows),
            requested=sum(row.credit_state == "requested" for row in rows),
            owed=sum((row.amount for row in due if row.amount is not None), Decimal(0)),
            issued=sum(
                (row.amount for row in rows if row.credit_state == "issued" and row.amount is not None),
                Decimal(0),
            ),
        )


def availability(row: LevelRow) -> str:
    """A month's availability with four decimals, rounded down; or why there is none."""
    if row.in_probation:
        return "no service level (4.2)"
    if not row.applies:
        return "not in service"
    if row.availability is None:
        return "not observed"
    return f"{percentage_shown(row.availability)}%"


def _is_asked_for(row: LevelRow, asked: Asked) -> bool:
    if asked.filters.get("client") not in (None, row.client):
        return False
    wanted = asked.filters.get("state", "")
    if wanted in ("missed", "met"):
        return row.met is not None and row.met == (wanted == "met")
    if wanted.endswith(" credits"):
        return row.credit_state == wanted.removesuffix(" credits")
    return wanted != "not known" or (row.applies and row.met is None)


_ORDERS = {
    "client": lambda row: row.client,
    "machine": lambda row: row.machine,
    "availability": lambda row: (row.availability is None, row.availability or 0),
    "counted": lambda row: row.counted,
    "amount": lambda row: row.amount or Decimal(0),
}

PAGES = [
    Page(path="/service-level", answer=everybody, need=Right.LOOK),
    Page(path="/service-level/{client}", answer=one_client, need=Right.LOOK),
]
