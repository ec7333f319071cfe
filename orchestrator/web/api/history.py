"""``/history``: who did what, when, why, with what result. A client reads what its portal shows."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from orchestrator.history import Entry
from orchestrator.operations.history import MOST_ON_A_LEAF, LeafRequest, leaf
from orchestrator.operations.portal_discretion import people_of
from orchestrator.reports.client_history import ClientEntry, client_entry
from orchestrator.web.api.access import Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Name
from orchestrator.web.api.problems import ERRORS, Problem, missing

ROUTER = APIRouter(tags=["history"], responses=ERRORS, route_class=RecordedRoute)


class EntryItem(BaseModel):
    """An entry."""

    number: int
    at: dt.datetime
    who: str
    why: str
    client: str
    machine: str | None
    site: str
    action: str
    result: str
    message: str
    seconds: float | None = Field(description="null for the token of a client, as are site and task")
    task: str | None = Field(description="Proxmox's identifier of the task")


class Entries(BaseModel):
    """Some entries, the latest first."""

    items: list[EntryItem]
    below: int | None = Field(description="where the next, older ones begin; null: there is nothing older")


@ROUTER.get("/history")
def history(
    caller: Reader,
    client: Name = "",
    machine: Name = "",
    action: Name = "",
    who: Name = "",
    first_day: dt.date | None = None,
    last_day: dt.date | None = None,
    below: Annotated[
        int | None, Query(ge=1, lt=2**31, description="only entries with smaller numbers")
    ] = None,
    size: Annotated[int, Query(ge=1, le=MOST_ON_A_LEAF)] = 50,
) -> Entries:
    """Entries, the latest first."""
    only = caller.only(client or None)
    if caller.client is not None and (action or who):
        raise Problem(403, "not-for-clients", "action and who are for tokens of the provider: leave them out")
    found = leaf(
        caller.desk.history,
        LeafRequest(
            as_recorded=caller.client is None,
            client=only,
            machine=machine or None,
            action=action or None,
            who=who or None,
            first_day=first_day,
            last_day=last_day,
            below=below,
            limit=size,
        ),
    )
    if caller.client is None:
        return Entries(items=[_item(entry) for entry in found.entries], below=found.below)
    discretion = caller.discretion(entry.who for entry in found.entries)
    own, _ = people_of(caller.desk.database, caller.client)
    told = [client_entry(entry, people=own, discretion=discretion) for entry in found.entries]
    return Entries(items=[_told(one, caller.client) for one in told], below=found.below)


@ROUTER.get("/history/{number}")
def entry(caller: Reader, number: int) -> EntryItem:
    """One entry. For tokens of the provider."""
    caller.of_provider()
    found = caller.desk.history.entry(number)
    if found is None:
        raise missing()
    return _item(found)


def _told(one: ClientEntry, client: str) -> EntryItem:
    """An entry as its client reads it."""
    return EntryItem(
        number=one.number,
        at=one.at,
        who=one.who or one.side,
        why=one.text or one.why.removeprefix("why_"),
        client=client,
        machine=one.machine or None,
        site="",
        action=one.act.removeprefix("act_"),
        result=one.result,
        message=one.reason,
        seconds=None,
        task=None,
    )


def _item(entry: Entry) -> EntryItem:
    return EntryItem(
        number=entry.sequence,
        at=entry.at,
        who=entry.who,
        why=entry.why,
        client=entry.client,
        machine=entry.machine,
        site=entry.site,
        action=entry.action,
        result=entry.result,
        message=entry.message,
        seconds=entry.seconds,
        task=entry.upid,
    )
