"""Clients: the list, and one client's contract, machines, changes, requests and what ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import OrchestratorError
from orchestrator.history.changes import free_changes
from orchestrator.history.declared import Credit, CreditRequest
from orchestrator.history.records import read
from orchestrator.interface.looks import ClientSort, MachineFilter, client, clients, machine_rows
from orchestrator.interface.roles import Right
from orchestrator.reports.pdf import PdfUnavailable
from orchestrator.web.client_documents import Busy, ClientDocuments, form_named
from orchestrator.web.listing import Asked, Column
from orchestrator.web.look_age import look_age
from orchestrator.web.page import Page
from orchestrator.web.pages.machines import COLUMNS as MACHINE_COLUMNS
from orchestrator.web.pages.machines import OFFERS, late_before

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.responses import Response

    from orchestrator.history.records import Recorded
    from orchestrator.interface.looked import LookedContract
    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="name", heading="Client", sort=True),
    Column(key="contract", heading="Contract", sort=True),
    Column(key="offers", heading="Offer"),
    Column(key="standing", heading="State"),
    Column(key="machines", heading="Machines", sort=True, figures=True),
    Column(key="vcpus", heading="vCPU", sort=True, figures=True),
    Column(key="memory", heading="RAM", sort=True, figures=True),
    Column(key="disk", heading="Disks", sort=True, figures=True),
    Column(key="volume", heading="Backups", sort=True, figures=True),
    Column(key="changes", heading="Free changes used", figures=True, quiet=True),
    Column(key="needs", heading="Needs"),
)
TERMS = (
    Column(key="kind", heading="What"),
    Column(key="reference", heading="Reference"),
    Column(key="machines", heading="Machines"),
    Column(key="since", heading="From"),
    Column(key="until", heading="Until"),
)
REQUESTS = (
    Column(key="number", heading="No."),
    Column(key="kind", heading="What"),
    Column(key="machines", heading="Machines"),
    Column(key="came", heading="Came"),
    Column(key="text", heading="Words"),
)
CREDITS = (
    Column(key="month", heading="Month"),
    Column(key="machine", heading="Machine"),
    Column(key="percent", heading="Rate", figures=True),
    Column(key="amount", heading="Amount", figures=True),
    Column(key="issued", heading="Issued"),
)
FILES = (("yes", "without errors"), ("errors", "with errors"), ("none", "none"))
STANDING_TONES = {"active": "good", "suspended": "warn", "ending": "warn", "ended": "off"}

_NAMED = 50
"""Machines of a client that its page lists; the list of machines has all."""

_MOST_CREDITS = 24


def listed(visit: Visit) -> Response:
    """One page of the clients."""
    asked = Asked.of(visit, sorts=[sort.value for sort in ClientSort], filters=("q", "file"))
    found = clients(
        visit.desk.database,
        text=asked.filters.get("q", ""),
        file=asked.filters.get("file", ""),
        sort=ClientSort(asked.sort),
        descending=asked.descending,
        page=asked.page,
        size=asked.size,
    )
    return visit.page(
        "clients.html",
        asked=asked,
        rows=found.rows,
        total=found.total,
        columns=COLUMNS,
        files=FILES,
        tones=STANDING_TONES,
        offer_names=OFFERS,
        look=look_age(visit),
    )


def one(visit: Visit) -> Response:
    """One client."""
    name = visit.path["client"]
    found = client(visit.desk.database, name)
    if found is None:
        visit.missing()
    row, looked = found
    now = visit.desk.now()
    machines = machine_rows(visit.desk.database, MachineFilter(clients=(name,)), now, size=_NAMED)
    used = free_changes(visit.desk.history, now).get(name, set())
    records = read(visit.desk.history, kinds=(Credit, CreditRequest), client=name)
    credits_issued = sorted(records.of(Credit), key=lambda item: item.number, reverse=True)
    return visit.page(
        "client.html",
        row=row,
        client=looked,
        machines=machines,
        machine_columns=tuple(column for column in MACHINE_COLUMNS if column.key != "site"),
        free_used=len(used),
        terms=_terms(looked.contract),
        term_columns=TERMS,
        requests=_about(visit.desk.requests.open(), name),
        request_columns=REQUESTS,
        credits=credits_issued[:_MOST_CREDITS],
        credit_columns=CREDITS,
        documents=_documents(visit, name),
        today=day_in_paris(now),
        tones=STANDING_TONES,
        offer_names=OFFERS,
        look=look_age(visit),
        late=late_before(now),
    )


def _documents(visit: Visit, name: str) -> ClientDocuments | None:
    """What the client can download; None: the files cannot be read, and the page shows the rest."""
    try:
        return ClientDocuments.of(visit.desk, name)
    except OrchestratorError:
        return None


def document(visit: Visit) -> Response:
    """The monthly report of a month or the reversibility plan, as the client gets it: in French, or in English."""
    form = form_named(visit.path["form"]) or visit.missing()
    language: Literal["fr", "en"] = "en" if visit.query.get("language") == "en" else "fr"
    documents = ClientDocuments.of(visit.desk, visit.path["client"], language)
    try:
        return documents.document(visit.path["document"], form) or visit.missing()
    except (Busy, PdfUnavailable) as error:
        return visit.refused(str(error), status=503)


def _about(requests: Iterable[Recorded[Any]], name: str) -> tuple[Recorded[Any], ...]:
    return tuple(request for request in requests if request.said.client == name)


def _terms(contract: LookedContract | None) -> list[tuple[str, Any]]:
    """Quotes, orders and lines of the catalogue, each with what it is."""
    if contract is None:
        return []
    return [
        *(("quote", term) for term in contract.quotes),
        *(("order", term) for term in contract.orders),
        *(("catalogue", term) for term in contract.catalogue),
    ]


PAGES = [
    Page(path="/clients", answer=listed, need=Right.LOOK),
    Page(path="/clients/{client}", answer=one, need=Right.LOOK),
    Page(path="/clients/{client}/reports/{document}/{form}", answer=document, need=Right.LOOK),
]
