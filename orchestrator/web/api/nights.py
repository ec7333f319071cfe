"""``/nights``: what each night came to, and its report. For tokens of the provider."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from orchestrator.nightly.summary import NightSummary
from orchestrator.operations.nights import NightKept
from orchestrator.web.api.access import Caller, Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, PageNumber, PageSize
from orchestrator.web.api.problems import ERRORS, missing

ROUTER = APIRouter(tags=["nights"], responses=ERRORS, route_class=RecordedRoute)


class Night(BaseModel):
    """A night that left a report."""

    name: str = Field(description="of its files")
    night: dt.date = Field(description="the day it began on")
    sites: list[str] = Field(description="as far as it is known")
    well: bool | None = Field(description="whether nothing went wrong; null: not known")
    summary: NightSummary | None = Field(description="null: it left none that can be read")


@ROUTER.get("/nights")
def nights(caller: Reader, page: PageNumber = 1, size: PageSize = 50) -> Listed[Night]:
    """The nights that left a report, the latest first."""
    caller.of_provider()
    kept, total = caller.desk.nights.listed((page - 1) * size, size), caller.desk.nights.total()
    return Listed(
        items=[_night(one) for one in kept], total=total, page=page, pages=max(-(-total // size), 1)
    )


@ROUTER.get("/nights/{name}")
def night(caller: Reader, name: str) -> Night:
    """One night."""
    return _night(_named(caller, name))


@ROUTER.get(
    "/nights/{name}/report",
    response_class=Response,
    responses={200: {"description": "The page, to be saved", "content": {"application/octet-stream": {}}}},
)
def report(caller: Reader, name: str) -> Response:
    """A night's whole report, as it was written: HTML, to be saved."""
    kept = _named(caller, name)
    headers = {"content-disposition": f'attachment; filename="{kept.name}.html"'}
    return Response(caller.desk.nights.report(kept), media_type="application/octet-stream", headers=headers)


def _named(caller: Caller, name: str) -> NightKept:
    caller.of_provider()
    found = caller.desk.nights.named(name)
    if found is None:
        raise missing()
    return found


def _night(kept: NightKept) -> Night:
    return Night(
        name=kept.name, night=kept.night, sites=list(kept.sites), well=kept.well, summary=kept.summary
    )
