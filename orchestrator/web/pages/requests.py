"""What clients asked for (article 3.8.3): the provider lists, answers and closes it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, working_hours_after
from orchestrator.errors import RequestRefused
from orchestrator.history.declared import CreditRequest, Request
from orchestrator.history.requests import Outcome, asked_and_unreadable
from orchestrator.interface.roles import Right
from orchestrator.operations.portal_discretion import discretion_of, people_of
from orchestrator.operations.requests import KINDS, ClosingRequest, close_of
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.history.declared import Asked as AskedFor
    from orchestrator.history.records import Recorded
    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="number", heading="No.", figures=True),
    Column(key="came", heading="Came", sort=True),
    Column(key="client", heading="Client", sort=True),
    Column(key="kind", heading="Kind", sort=True),
    Column(key="text", heading="Request"),
    Column(key="due", heading="72 working hours are over", sort=True),
    Column(key="state", heading="State"),
)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_COMMANDS = {
    "restart": "orchestrator restart {target}",
    "snapshot": "orchestrator snapshot create {target} NAME",
    "update": "orchestrator update {target}",
}
"""What carries out a request that needs no change of a file."""

_SOONEST = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class RequestRow:
    """A request as the list has it.

    Attributes:
        number: of the record that registered it.
        kind: what is asked for; of a credit with its month.
        due: when the 72 working hours of updates are over; None for others.
        late: whether they are over and the request is open.
    """

    number: int
    said: AskedFor
    kind: str
    month: str
    due: dt.datetime | None
    late: bool

    @property
    def client(self) -> str:
        """Whose it is."""
        return self.said.client

    @property
    def machine(self) -> str:
        """The machine that it names; empty: it names none."""
        return self.said.machines[0] if len(self.said.machines) == 1 else ""

    @property
    def state(self) -> str:
        """Open, or how it ended."""
        return self.said.outcome or "open"


def row_of(one: Recorded[Any], now: dt.datetime) -> RequestRow:
    """A request as the list has it, at a time (aware)."""
    said = one.said
    kind = said.kind if isinstance(said, Request) else "credit"
    due = working_hours_after(said.came, UPDATE_DELAY_HOURS) if kind == "update" else None
    return RequestRow(
        number=one.first.number,
        said=said,
        kind=kind,
        month=said.month if isinstance(said, CreditRequest) else "",
        due=due,
        late=due is not None and said.closed is None and due < now,
    )


def requests(visit: Visit) -> Response:
    """What was asked for, the oldest first: what is open, or all of it."""
    asked = Asked.of(visit, sorts=("came", "client", "kind", "due"), filters=("client", "kind", "state"))
    found, unreadable = asked_and_unreadable(visit.desk.history, client=asked.filters.get("client"))
    now = visit.desk.now()
    rows = [row for row in (row_of(one, now) for one in found) if _is_asked_for(row, asked)]
    rows.sort(key=_ORDERS[asked.sort], reverse=asked.descending)
    return visit.page(
        "requests.html",
        asked=asked,
        rows=rows[asked.offset : asked.offset + asked.size],
        total=len(rows),
        late=sum(row.late for row in rows),
        unreadable=unreadable,
        columns=COLUMNS,
        kinds=KINDS,
        states=("open", "closed", "all"),
    )


def _is_asked_for(row: RequestRow, asked: Asked) -> bool:
    state = asked.filters.get("state", "open")
    if state != "all" and (row.said.closed is None) != (state == "open"):
        return False
    return asked.filters.get("kind") in (None, row.kind)


_ORDERS: dict[str, Any] = {
    "came": lambda row: row.said.came,
    "client": lambda row: (row.client, row.said.came),
    "kind": lambda row: (row.kind, row.said.came),
    "due": lambda row: (row.due if row.said.closed is None and row.due else _SOONEST, row.said.came),
}


def one_request(visit: Visit) -> Response:
    """One request, with the form that answers and closes it."""
    return _page(visit, _found(visit))


def _found(visit: Visit) -> RequestRow:
    named = visit.path["number"]
    number = int(named) if named.isascii() and named.isdigit() and len(named) < 10 else 0
    for one in asked_and_unreadable(visit.desk.history)[0]:
        if one.first.number == number:
            return row_of(one, visit.desk.now())
    return visit.missing()


def _page(visit: Visit, row: RequestRow, *, problem: str = "", status: int = 200) -> Response:
    target = f"{row.client}/{row.machine}" if row.machine else row.client
    return visit.page(
        "request.html",
        status=status,
        row=row,
        problem=problem,
        sent=visit.form,
        may_act=visit.may(Right.ACT),
        outcomes=[one for one in OUTCOMES if one != "nothing-due" or row.kind == "update"],
        target=target,
        command=_COMMANDS[row.kind].format(target=target) if row.kind in _COMMANDS else "",
    )


def close(visit: Visit) -> Response:
    """Answer a request and close it."""
    row, form = _found(visit), visit.form
    outcome = next((one for one in OUTCOMES if one == form.get("outcome")), None)
    answer = form.get("answer")
    result = " ".join(form.get("result", "").split())
    if withheld := _withheld(visit, row, result):
        problem = f"the client is not shown {withheld}, which this answer names: say it without; nothing was recorded"
        return _page(visit, row, problem=problem, status=409)
    closing = ClosingRequest(
        number=row.number,
        result=result,
        outcome=None if row.kind == "hardware" and outcome != "withdrawn" else outcome,
        answer="yes" if answer == "yes" else "no" if answer == "no" else None,
    )
    try:
        close_of(visit.desk.history, closing, now=visit.desk.now(), who=visit.who)
    except RequestRefused as error:
        return _page(visit, row, problem=str(error), status=409)
    return visit.see("/requests")


def _withheld(visit: Visit, row: RequestRow, text: str) -> str:
    """What of an answer its client would not be shown."""
    files = visit.desk.files.read(visit.desk.now())
    database, client = visit.desk.database, row.client
    discretion = discretion_of(
        client,
        files.by_client.get(client),
        files.provider,
        database,
        people=people_of(database, client),
        clients=files.by_client,
    )
    return discretion.withholds(text)


PAGES = [
    Page(path="/requests", answer=requests, need=Right.LOOK),
    Page(path="/requests/{number}", answer=one_request, need=Right.LOOK),
    Page(path="/requests/{number}", answer=close, need=Right.ACT, method="POST"),
]
