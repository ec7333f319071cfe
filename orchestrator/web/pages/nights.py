"""Nights: what each came to, and its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from orchestrator.interface.looks import site_looks
from orchestrator.interface.roles import Right
from orchestrator.operations.nights import NightKept
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="night", heading="Night of"),
    Column(key="sites", heading="Sites"),
    Column(key="result", heading="Result"),
    Column(key="backups", heading="Backups", figures=True),
    Column(key="began", heading="Began"),
    Column(key="lasted", heading="Lasted", figures=True),
    Column(key="first", heading="First failure", quiet=True),
)

_REPORT_CSP = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A report is a file that stood in a folder: it gets no script, no form, no other address, and an origin of its own."""


def nights(visit: Visit) -> Response:
    """The nights that left a report, the latest first."""
    asked = Asked.of(visit, sorts=("night",))
    kept = visit.desk.nights.listed(asked.offset, asked.size)
    sites = tuple(row.site for row in site_looks(visit.desk.database))
    late = visit.desk.nights.latest(sites, visit.desk.now())[1] if sites else ()
    return visit.page(
        "nights.html",
        asked=asked,
        rows=kept,
        total=visit.desk.nights.total(),
        columns=COLUMNS,
        late=late,
    )


def night(visit: Visit) -> Response:
    """One night in short, with the way to its report and its entries."""
    return visit.page("night.html", night=_named(visit))


def report(visit: Visit) -> Response:
    """A night's whole report, as it was written."""
    body = visit.desk.nights.report(_named(visit))
    headers = {"content-security-policy": _REPORT_CSP, "content-disposition": "inline"}
    return Response(body, media_type="text/html; charset=utf-8", headers=headers)


def _named(visit: Visit) -> NightKept:
    return visit.desk.nights.named(visit.path["name"]) or visit.missing()


PAGES = [
    Page(path="/nights", answer=nights, need=Right.LOOK),
    Page(path="/nights/{name}", answer=night, need=Right.LOOK),
    Page(path="/nights/{name}/report", answer=report, need=Right.LOOK),
]
