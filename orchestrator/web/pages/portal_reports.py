"""What a client downloads: monthly reports, the reckoning of its service level, its reversibility plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.reports.pdf import PdfUnavailable
from orchestrator.web.client_documents import Busy, ClientDocuments, Form, form_named
from orchestrator.web.page import Need, Page
from orchestrator.web.portal_desk import PortalDesk, portal

if TYPE_CHECKING:
    from starlette.responses import Response


def _documents(desk: PortalDesk) -> ClientDocuments:
    return ClientDocuments(desk.visit.desk, desk.files, desk.client, desk.visit.language)


def reports(desk: PortalDesk) -> Response:
    """What there is to download."""
    documents = _documents(desk)
    return desk.page(
        "portal_reports.html",
        months=[(str(one), desk.speech.month(one)) for one in documents.months],
        reversibility=documents.has_reversibility,
    )


def document(desk: PortalDesk) -> Response:
    """The monthly report of a month, or the reversibility plan."""
    return _made(desk, lambda form: _documents(desk).document(desk.visit.path["document"], form))


def level(desk: PortalDesk) -> Response:
    """The reckoning of a month's service level (article 6)."""
    return _made(desk, lambda form: _documents(desk).level(desk.visit.path["month"], form))


def _made(desk: PortalDesk, make: Callable[[Form], Response | None]) -> Response:
    form = form_named(desk.visit.path["form"]) or desk.visit.missing()
    try:
        return make(form) or desk.visit.missing()
    except Busy:
        return desk.refused(desk.words.reports_busy)
    except PdfUnavailable:
        return desk.refused(desk.words.reports_no_pdf)


PAGES = [
    Page(path="/portal/reports", answer=portal(reports), need=Need.CLIENT),
    Page(path="/portal/reports/{document}/{form}", answer=portal(document), need=Need.CLIENT),
    Page(path="/portal/service-level/{month}/{form}", answer=portal(level), need=Need.CLIENT),
]
