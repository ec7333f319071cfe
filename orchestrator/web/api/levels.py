"""``/service-level``: the level of a month (article 6), service by service."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orchestrator.contract.months import Month
from orchestrator.operations.month_levels import LevelRow
from orchestrator.web.api.access import Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize, portion
from orchestrator.web.api.problems import ERRORS, Problem

ROUTER = APIRouter(tags=["service level"], responses=ERRORS, route_class=RecordedRoute)


class Level(BaseModel):
    """A service's month."""

    client: str
    machine: str
    offer: str
    applies: bool
    in_probation: bool
    availability_percent: float | None = Field(description="null: it does not apply, or nobody looked")
    met: bool | None
    counted_seconds: float = Field(description="of outages that count")
    excused_seconds: float
    outages: int
    credit_percent: int
    credit_state: str
    credit_amount: Decimal | None = Field(description="euros")


class MonthLevels(Listed[Level]):
    """A month, in pages."""

    at: dt.datetime = Field(description="the time of the reckoning")
    final: bool = Field(description="the month was over then")
    files_with_errors: list[str] = Field(description="their services are not in the list")


@ROUTER.get("/service-level/{month}")
def service_level(
    caller: Reader,
    month: Annotated[str, Path(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$", examples=["2026-11"])],
    client: Name = "",
    page: PageNumber = 1,
    size: PageSize = 50,
) -> MonthLevels:
    """The service level of a month."""
    only = caller.only(client or None)
    try:
        asked = Month.parse(month)
    except ValueError as error:
        raise Problem(422, "invalid-request", str(error)) from None
    now = caller.desk.now()
    if asked.span.start > now:
        raise Problem(409, "month-to-come", f"{month} has not begun: ask for a month that has")
    shown = caller.desk.levels.of(asked, now)
    if shown.month is None:
        detail = shown.problem or "the month is being computed: ask again in some seconds"
        raise Problem(503, "not-computed", detail, {"retry-after": "5"})
    rows = [row for row in shown.month.rows if only is None or row.client == only]
    listed = portion(rows, _level, page=page, size=size)
    return MonthLevels(
        **listed.model_dump(),
        at=shown.month.at,
        final=shown.month.final,
        files_with_errors=list(shown.month.unreadable_files) if caller.client is None else [],
    )


def _level(row: LevelRow) -> Level:
    return Level(
        client=row.client,
        machine=row.machine,
        offer=row.offer,
        applies=row.applies,
        in_probation=row.in_probation,
        availability_percent=None if row.availability is None else float(row.availability * 100),
        met=row.met,
        counted_seconds=row.counted.total_seconds(),
        excused_seconds=row.excused.total_seconds(),
        outages=row.outages,
        credit_percent=row.percent,
        credit_state=str(row.credit_state),
        credit_amount=row.amount,
    )
