"""``/requests``: the register of clients' requests (article 3.8.3): listed, registered, closed."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orchestrator.history.declared import CreditRequest, Request
from orchestrator.history.records import Recorded
from orchestrator.history.requests import Outcome, asked
from orchestrator.operations.requests import (
    ClosingRequest,
    NewRequest,
    RequestKind,
    came_at,
    close_of,
    register,
)
from orchestrator.web.api.access import Caller, Reader, Requester
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize, portion
from orchestrator.web.api.problems import ERRORS, missing

ROUTER = APIRouter(tags=["requests"], responses=ERRORS)

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
    return portion(found, _item, page=page, size=size)


@ROUTER.get("/requests/{number}")
def request(caller: Reader, number: Number) -> RequestItem:
    """One request."""
    return _item(_found(caller, number))


@ROUTER.post("/requests", status_code=201)
def new_request(caller: Requester, body: NewRequestBody) -> Registered:
    """Register a request: its delay counts from when it came."""
    desk = caller.desk
    caller.may_see(body.client)
    now = desk.now()
    subscription = desk.files.read(now).by_client.get(body.client)
    if subscription is None:
        raise missing()
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
    return Registered(
        registered=[_item(one) for one in done.requests], open_before=[_item(one) for one in done.open_before]
    )


@ROUTER.post("/requests/{number}/close")
def close(caller: Requester, number: Number, body: ClosingBody) -> RequestItem:
    """Close a request with its result: for tokens of the provider."""
    caller.of_provider()
    _found(caller, number)
    closing = ClosingRequest(number=number, result=body.result, outcome=body.outcome, answer=body.answer)
    return _item(close_of(caller.desk.history, closing, now=caller.desk.now(), who=caller.who))


def _found(caller: Caller, number: int) -> Recorded[Any]:
    for one in asked(caller.desk.history, client=caller.client):
        if number in (one.number, *(earlier.number for earlier in one.before)):
            return one
    raise missing()


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
