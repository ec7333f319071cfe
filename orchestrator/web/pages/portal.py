"""A client's pages about what it has: overview, machines, history, service level. French, or English if it chose so."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, working_hours_after
from orchestrator.contract.months import Month
from orchestrator.contract.portal_rights import Act
from orchestrator.errors import OrchestratorError
from orchestrator.history.changes import free_changes
from orchestrator.history.declared import CreditRequest, Request
from orchestrator.history.requests import asked
from orchestrator.operations.history import LeafRequest, leaf
from orchestrator.operations.own_account import change_language
from orchestrator.operations.recent_figures import Measured
from orchestrator.operations.service_level import month_of
from orchestrator.web import portal_texts as texts
from orchestrator.web.graphs import TIMEFRAMES, WORDS, picture, shown, timeframe_of
from orchestrator.web.listing import Asked
from orchestrator.web.local_address import local_address
from orchestrator.web.page import Need, Page
from orchestrator.web.pages.service_level import month_asked, months_before
from orchestrator.web.portal_desk import PortalDesk, portal

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.operations.portal import PortalMachine
    from orchestrator.reports.client_month import ClientMonth
    from orchestrator.web.visit import Visit

_LOG = logging.getLogger("orchestrator.web")
_MOST_NOTES = 20
_LATEST = 5
_A_DAY = dt.timedelta(days=1)


def overview(desk: PortalDesk) -> Response:
    """All that a client has, and what needs its attention."""
    query = Asked.of(desk.visit, sorts=("name",), filters=("q",))
    part = query.filters.get("q", "").casefold()
    rows = [one for one in desk.machines if part in one.name]
    month = Month.of(desk.client.now)
    before = Month.of(month.span.start - _A_DAY)
    level, level_before, unread = None, None, False
    try:
        level, level_before = month_level(desk, month), month_level(desk, before)
    except OrchestratorError as error:  # the page has more than that
        _LOG.error("the service level of %s: %s", desk.client.client, error)
        unread = True
    requests = requests_told(desk)
    notes = [
        *texts.contract_notes(desk),
        *(note for one in desk.machines for note in texts.machine_notes(one, desk)),
        *texts.credit_notes(level_before, desk),
        *texts.answered_notes(requests, desk),
    ]
    return desk.page(
        "portal.html",
        asked=query,
        rows=rows[query.offset : query.offset + query.size],
        total=len(rows),
        notes=notes[:_MOST_NOTES],
        more_notes=max(len(notes) - _MOST_NOTES, 0),
        month=month,
        level=level,
        level_unread=unread,
        requests=[one for one in requests if one.closed is None][:_LATEST],
        free_used=free_used(desk),
        texts=texts,
    )


def free_used(desk: PortalDesk) -> int:
    """How many of the month's free changes were used."""
    found = free_changes(desk.visit.desk.history, desk.client.now, client=desk.client.client)
    return len(found.get(desk.client.client, ()))


def month_level(desk: PortalDesk, month: Month) -> ClientMonth | None:
    """The service level of a month; None if there is none.

    Raises:
        HistoryUnavailable: it cannot be computed.
    """
    found, place = desk.client.subscription, desk.visit.desk.settings.history
    if found is None or month.following.first_day <= found.contract.starts:
        return None
    return month_of(found, month, desk.visit.desk.history, desk.client.now, place)


def requests_told(desk: PortalDesk) -> list[texts.RequestTold]:
    """The client's requests in words, the latest first."""
    found = asked(desk.visit.desk.history, client=desk.client.client)
    discretion = desk.discretion(one.who for one in found)
    return [
        texts.request_told(
            one,
            desk.words,
            desk.people[0],
            discretion,
            working_hours_after(one.said.came, UPDATE_DELAY_HOURS)
            if isinstance(one.said, Request) and one.said.kind == "update" and one.said.closed is None
            else None,
            desk.speech.month(Month.parse(one.said.month)) if isinstance(one.said, CreditRequest) else "",
        )
        for one in reversed(found)
    ]


def machine(desk: PortalDesk) -> Response:
    """All that a client sees of a machine."""
    found = desk.machine(desk.visit.path["machine"])
    read = leaf(
        desk.visit.desk.history,
        LeafRequest(client=desk.client.client, machine=found.name, limit=10, as_recorded=False),
    )
    backups = [one.seen.backups for one in desk.machines if one.seen and one.may(Act.BACKUPS)]
    measured = measured_of(found)
    return desk.page(
        "portal_machine.html",
        machine=found,
        entries=[texts.entry_told(one, desk.words) for one in desk.entries(read.entries)],
        total_volume=sum(one.volume for one in backups),
        graphs=shown(desk.visit, measured, "day") if measured else None,
        texts=texts,
        timeframe="day",
        views=[],
    )


def graphs(desk: PortalDesk) -> Response:
    """The graphs of a machine: where its offer or the managed services have them, and never else."""
    found = desk.machine(desk.visit.path["machine"])
    timeframe = timeframe_of(desk.visit)
    measured = measured_of(found) or desk.visit.missing()
    place = 1 if desk.visit.language == "fr" else 0
    return desk.page(
        "portal_graphs.html",
        machine=found,
        graphs=shown(desk.visit, measured, timeframe),
        timeframe=timeframe,
        views=[
            (WORDS[one][place], f"/portal/machines/{found.name}/graphs/{one}", one == timeframe)
            for one in TIMEFRAMES
        ],
    )


def drawing(desk: PortalDesk) -> Response:
    """The graphs as a picture."""
    measured = measured_of(desk.machine(desk.visit.path["machine"])) or desk.visit.missing()
    return picture(desk.visit, measured, timeframe_of(desk.visit))


def measured_of(found: PortalMachine) -> Measured | None:
    """A machine as its figures are asked for; None if its client sees none, or it is not known where it is."""
    seen = found.seen
    if not found.may(Act.GRAPHS) or seen is None or seen.vmid is None or seen.node is None:
        return None
    return Measured(client=seen.client, machine=seen.machine, site=seen.site, vmid=seen.vmid, node=seen.node)


def history(desk: PortalDesk) -> Response:
    """What was done for the client, the latest first, leaf by leaf; or for one machine."""
    named = desk.visit.query.get("machine", "")
    chosen = desk.machine(named).name if named else None
    below = desk.visit.query.get("below", "")
    read = leaf(
        desk.visit.desk.history,
        LeafRequest(
            client=desk.client.client,
            machine=chosen,
            below=int(below) if below.isascii() and below.isdigit() and len(below) < 10 else None,
            as_recorded=False,
        ),
    )
    own = f"machine={chosen}&" if chosen else ""
    return desk.page(
        "portal_history.html",
        chosen=chosen,
        entries=[texts.entry_told(one, desk.words) for one in desk.entries(read.entries)],
        older=f"/portal/history?{own}below={read.below}" if read.below else "",
        newest=f"/portal/history?{own.rstrip('&')}".rstrip("?") if below else "",
        texts=texts,
    )


def service_level(desk: PortalDesk) -> Response:
    """The service level of a month, delivered and owed."""
    month = month_asked(desk.visit)
    return desk.page(
        "portal_level.html",
        month=month,
        level=month_level(desk, month),
        months=[(one, desk.speech.month(Month.parse(one))) for one in months_before(desk.visit)],
        texts=texts,
    )


def language(visit: Visit) -> Response:
    """Choose the language of the account's pages."""
    chosen = visit.form.get("language")
    if visit.account is not None and chosen in ("fr", "en"):
        change_language(visit.desk, visit.account, "en" if chosen == "en" else "fr")
    return visit.see(local_address(visit.form.get("back", "/portal")))


PAGES = [
    Page(path="/portal", answer=portal(overview, home=True), need=Need.CLIENT),
    Page(path="/portal/machines/{machine}", answer=portal(machine), need=Need.CLIENT),
    Page(path="/portal/machines/{machine}/graphs/{timeframe}", answer=portal(graphs), need=Need.CLIENT),
    Page(
        path="/portal/machines/{machine}/graphs/{timeframe}/picture.svg",
        answer=portal(drawing),
        need=Need.CLIENT,
    ),
    Page(path="/portal/history", answer=portal(history), need=Need.CLIENT),
    Page(path="/portal/service-level", answer=portal(service_level), need=Need.CLIENT),
    Page(path="/portal/language", answer=language, need=Need.CLIENT, method="POST"),
]
