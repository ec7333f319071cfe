"""``/requests``: the register of clients' requests (article 3.8.3): listed, registered, closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orchestrator.contract.portal_rights import Act, refusal
from orchestrator.history.declared import CreditRequest, Request
from orchestrator.history.records import Recorded
from orchestrator.history.requests import Outcome, asked
from orchestrator.operations.portal import PortalClient
from orchestrator.operations.requests import (
    ClosingRequest,
    NewRequest,
    RequestKind,
    came_at,
    close_of,
    register,
)
from orchestrator.web.api.access import Caller, Reader, Requester
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize, portion
from orchestrator.web.api.problems import ERRORS, Problem, missing
from orchestrator.web.pages.portal_requests import MOST_A_DAY

ROUTER = APIRouter(tags=["requests"], responses=ERRORS, route_class=RecordedRoute)

Number = Annotated[int, Path(ge=1, lt=2**31)]
_Line = Annotated[str, Field(min_length=1, max_length=300)]


class RequestItem(BaseModel):
    """A request of a client."""

    number: int
    client: str
    machines: list[str]
    kind: str
    month: str | None = Field(description="that a credit is for")
    came: dt.datetime
    asked_by: str
    words: str
    reference: str | None
    state: Literal["open", "closed"]
    closed: dt.datetime | None
    outcome: str | None
    result: str | None


class NewRequestBody(BaseModel):
    """A request that came."""

    model_config = ConfigDict(extra="forbid")

    client: _Line
    machine: _Line | None = None
    kind: RequestKind
    words: str = Field(min_length=1, max_length=2000, description="the client's own")
    came: AwareDatetime | None = Field(default=None, description="null: now")
    asked_by: str = Field(default="client", min_length=1, max_length=100)
    reference: _Line | None = Field(default=None, description="of a ticket, a letter or an order")
    month: str | None = Field(default=None, pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$")


class Registered(BaseModel):
    """What became of a request."""

    registered: list[RequestItem]
    open_before: list[RequestItem] = Field(description="that ask for the same and are open")


class ClosingBody(BaseModel):
    """How a request ended."""

    model_config = ConfigDict(extra="forbid")

    result: str = Field(min_length=1, max_length=2000, description="what was done or said")
    outcome: Outcome | None = Field(default=None, description="null: done")
    answer: Literal["yes", "no"] | None = Field(default=None, description="the provider's, to new hardware")


@ROUTER.get("/requests")
def requests(
    caller: Reader,
    client: Name = "",
    state: Literal["open", "closed", "all"] = "open",
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Listed[RequestItem]:
    """Requests, the oldest first."""
    found = [
        one
        for one in asked(caller.desk.history, client=caller.only(client or None))
        if state == "all" or (one.said.closed is None) is (state == "open")
    ]
    shown = _shown_to(caller)
    return portion(found, shown, page=page, size=size)


@ROUTER.get("/requests/{number}")
def request(caller: Reader, number: Number) -> RequestItem:
    """One request."""
    return _shown_to(caller)(_found(caller, number))


@ROUTER.post("/requests", status_code=201)
def new_request(caller: Requester, body: NewRequestBody) -> Registered:
    """Register a request: its delay counts from when it came."""
    desk = caller.desk
    caller.may_see(body.client)
    now = desk.now()
    subscription = desk.files.read(now).by_client.get(body.client)
    if subscription is None:
        raise missing()
    if caller.contract is not None:
        _refuse_beyond_contract(caller, caller.contract, body)
    target = f"{body.client}/{body.machine}" if body.machine else body.client
    done = register(
        NewRequest(
            target=target,
            kind=body.kind,
            words=body.words,
            asked_by=body.asked_by,
            reference=body.reference,
            month=body.month,
        ),
        subscription,
        desk.history,
        came=came_at(body.came, now),
        who=caller.who,
    )
    shown = _shown_to(caller)
    return Registered(
        registered=[shown(one) for one in done.requests], open_before=[shown(one) for one in done.open_before]
    )


@ROUTER.post("/requests/{number}/close")
def close(caller: Requester, number: Number, body: ClosingBody) -> RequestItem:
    """Close a request with its result: for tokens of the provider."""
    caller.of_provider()
    _found(caller, number)
    closing = ClosingRequest(number=number, result=body.result, outcome=body.outcome, answer=body.answer)
    return _item(close_of(caller.desk.history, closing, now=caller.desk.now(), who=caller.who))


def _refuse_beyond_contract(caller: Caller, contract: PortalClient, body: NewRequestBody) -> None:
    """What a client asks for by its own token has the limits of its portal.

    Raises:
        Problem: its contract or offer does not have it, it came before now, or there were too many today.
    """
    act = Act(body.kind)
    machines = contract.subscription.machines() if contract.subscription else []
    offer = {machine.name: offer for offer, machine in machines}.get(body.machine or "")
    refused = refusal(act, contract.position(offer)) if offer else contract.asks_for(act)
    if refused is not None:
        raise Problem(
            403, f"contract-{refused.value}", "the contract, or the machine's offer, does not have this"
        )
    if body.came is not None:
        raise Problem(403, "came-now", "a client's request comes when it is sent: leave came out")
    since = contract.now - dt.timedelta(days=1)
    if sum(one.said.came > since for one in asked(caller.desk.history, client=caller.client)) >= MOST_A_DAY:
        raise Problem(403, "too-many-today", f"a client registers {MOST_A_DAY} requests a day at most")


def _found(caller: Caller, number: int) -> Recorded[Any]:
    for one in asked(caller.desk.history, client=caller.client):
        if number in (one.number, *(earlier.number for earlier in one.before)):
            return one
    raise missing()


def _shown_to(caller: Caller) -> Callable[[Recorded[Any]], RequestItem]:
    """How requests are shown: what the provider typed is shown to a client whole or not at all."""
    if caller.client is None:
        return _item
    discretion = caller.discretion()

    def shown(one: Recorded[Any]) -> RequestItem:
        item = _item(one)
        return item.model_copy(update={"result": discretion.shown(item.result) if item.result else None})

    return shown


def _item(one: Recorded[Any]) -> RequestItem:
    said: Request | CreditRequest = one.said
    return RequestItem(
        number=one.first.number,
        client=said.client or "",
        machines=list(said.machines),
        kind="credit" if isinstance(said, CreditRequest) else said.kind,
        month=said.month if isinstance(said, CreditRequest) else None,
        came=said.came,
        asked_by=said.asked_by,
        words=said.text,
        reference=said.reference,
        state="open" if said.closed is None else "closed",
        closed=said.closed,
        outcome=said.outcome,
        result=said.result,
    )
