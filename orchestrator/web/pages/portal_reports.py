"""What a client downloads: monthly reports, the reckoning of its service level, its reversibility plan.

They are made when they are asked for, of the history, the file and the last look: no hypervisor is asked. A few at the
same time; who comes then is told to come again.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from starlette.responses import Response

from orchestrator.contract.months import Month
from orchestrator.history.approvals import approval_of_plan, approvals
from orchestrator.operations.monthly_report import gathered
from orchestrator.operations.monthly_report import rendered as rendered_report
from orchestrator.operations.service_level import rendered as rendered_level
from orchestrator.reports.discreet import discreet_month, discreet_monthly
from orchestrator.reports.pdf import PdfUnavailable, pdf_of
from orchestrator.reports.reversibility import (
    HostedMachine,
    NoReversibility,
    Reversibility,
    check_reversibility,
    render_reversibility,
)
from orchestrator.web.page import Need, Page
from orchestrator.web.pages.portal import month_level
from orchestrator.web.pages.service_level import months_before
from orchestrator.web.portal_desk import PortalDesk, portal

if TYPE_CHECKING:
    from orchestrator.contract.life import ContractLife
    from orchestrator.operations.portal import PortalMachine
    from orchestrator.subscriptions.model import Subscription

Form = Literal["html", "pdf"]

_AT_ONCE = threading.BoundedSemaphore(2)
_A_DAY = dt.timedelta(days=1)
_TYPES: dict[Form, str] = {"html": "application/octet-stream", "pdf": "application/pdf"}
"""A page with a style of its own is saved, and never shown as one of ours."""


def reports(desk: PortalDesk) -> Response:
    """What there is to download."""
    months = [one for one in map(Month.parse, months_before(desk.visit)[1:]) if _is_whole(one, desk)]
    return desk.page(
        "portal_reports.html",
        months=[(str(one), desk.speech.month(one)) for one in months],
        reversibility=_has_reversibility(desk),
    )


def _is_whole(month: Month, desk: PortalDesk) -> bool:
    found = desk.client.subscription
    return (
        found is not None
        and found.contract.starts < month.following.first_day
        and month.span.end <= desk.client.now
    )


def _has_reversibility(desk: PortalDesk) -> bool:
    if desk.client.life is None:
        return False
    try:
        check_reversibility(desk.client.life, desk.client.now)
    except NoReversibility:
        return False
    return True


def document(desk: PortalDesk) -> Response:
    """The monthly report of a month, or the reversibility plan."""
    named = desk.visit.path["document"]
    return _reversibility(desk) if named == "reversibility" else _monthly(desk, named)


def _monthly(desk: PortalDesk, named: str) -> Response:
    """The monthly report of a month that is over, without graphs: these are on the machines' pages."""
    month, form = _month_of(named, desk), _form_of(desk)
    found = desk.client.subscription
    if found is None or not _is_whole(month, desk):
        desk.visit.missing()

    def make() -> str | bytes:
        made = gathered(found, month, desk.files.provider, desk.visit.desk.settings.history, desk.client.now)
        shown = discreet_monthly(
            made, desk.discretion(), people=desk.people[0], provider=desk.words.who_provider
        )
        return rendered_report(shown, form, language=desk.visit.language)

    return _document(desk, form, f"rapport-{month}", make)


def level(desk: PortalDesk) -> Response:
    """The reckoning of a month's service level (article 6)."""
    month, form = _month_of(desk.visit.path["month"], desk), _form_of(desk)
    found = month_level(desk, month) if month.span.start <= desk.client.now else None
    if found is None:
        desk.visit.missing()

    def make() -> str | bytes:
        shown = discreet_month(
            found, desk.discretion(), people=desk.people[0], provider=desk.words.who_provider
        )
        return rendered_level(shown, form, language=desk.visit.language)

    return _document(desk, form, f"niveau-de-service-{month}", make)


def _reversibility(desk: PortalDesk) -> Response:
    """The reversibility plan (article 10), of the last look."""
    form, found, life = _form_of(desk), desk.client.subscription, desk.client.life
    if found is None or life is None or not _has_reversibility(desk):
        desk.visit.missing()

    def make() -> str | bytes:
        page = render_reversibility(_plan(desk, found, life), form="html", language=desk.visit.language)
        return pdf_of(page) if form == "pdf" else page

    return _document(desk, form, "plan-de-reversibilite", make)


def _plan(desk: PortalDesk, found: Subscription, life: ContractLife) -> Reversibility:
    administration = found.administration
    approval = approval_of_plan(approvals(desk.visit.desk.history), desk.client.client, life)
    discretion = desk.discretion()
    if approval is not None:
        changes = {
            "by": discretion.shown(approval.by) or desk.words.who_provider,
            "reference": discretion.shown(approval.reference or "") or None,
        }
        approval = approval.model_copy(update=changes)
    return Reversibility(
        client=desk.client.client,
        life=life,
        starts=found.contract.starts,
        direct_access=desk.client.level != "full",
        user=desk.files.provider.management.user,
        sources=tuple(map(str, administration.allowed_from)) if administration.ssh_keys else (),
        machines=tuple(_hosted(one) for one in desk.machines if one.seen and one.state != "missing"),
        approval=approval,
        moment=desk.client.now,
    )


def _hosted(machine: PortalMachine) -> HostedMachine:
    """A machine as the plan has it: with every disk that holds data, also one that was attached by hand."""
    seen = machine.seen
    assert seen is not None  # noqa: S101  (those alone are in the plan)
    return HostedMachine(
        name=machine.name,
        site=", ".join(filter(None, (seen.site, seen.data_centre))),
        vcpus=machine.vcpus,
        memory=machine.memory // 1024**2,
        address=seen.address or "",
        running=bool(seen.running),
        retired=seen.retired,
        disks=tuple((disk.name, disk.size) for disk in seen.disks if disk.size),
    )


def _month_of(named: str, desk: PortalDesk) -> Month:
    try:
        return Month.parse(named)
    except (ValueError, OverflowError):
        desk.visit.missing()


def _form_of(desk: PortalDesk) -> Form:
    named = desk.visit.path["form"]
    return "html" if named == "html" else "pdf" if named == "pdf" else desk.visit.missing()


def _document(desk: PortalDesk, form: Form, name: str, make: Callable[[], str | bytes]) -> Response:
    if not _AT_ONCE.acquire(blocking=False):
        return desk.refused(desk.words.reports_busy)
    try:
        made = make()
    except PdfUnavailable:
        return desk.refused(desk.words.reports_no_pdf)
    finally:
        _AT_ONCE.release()
    headers = {"content-disposition": f'attachment; filename="{name}-{desk.client.client}.{form}"'}
    return Response(made, media_type=_TYPES[form], headers=headers)


PAGES = [
    Page(path="/portal/reports", answer=portal(reports), need=Need.CLIENT),
    Page(path="/portal/reports/{document}/{form}", answer=portal(document), need=Need.CLIENT),
    Page(path="/portal/service-level/{month}/{form}", answer=portal(level), need=Need.CLIENT),
]
