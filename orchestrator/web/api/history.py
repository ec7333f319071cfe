"""``/history``: who did what, when, why, with what result. For tokens of the provider: entries name its people."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from orchestrator.history import Entry
from orchestrator.operations.history import MOST_ON_A_LEAF, LeafRequest, leaf
from orchestrator.web.api.access import Reader
from orchestrator.web.api.paging import Name
from orchestrator.web.api.problems import ERRORS, missing

ROUTER = APIRouter(tags=["history"], responses=ERRORS)


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
    seconds: float
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
    caller.of_provider()
    found = leaf(
        caller.desk.history,
        LeafRequest(
            client=client or None,
            machine=machine or None,
            action=action or None,
            who=who or None,
            first_day=first_day,
            last_day=last_day,
            below=below,
            limit=size,
        ),
    )
    return Entries(items=[_item(entry) for entry in found.entries], below=found.below)


@ROUTER.get("/history/{number}")
def entry(caller: Reader, number: int) -> EntryItem:
    """One entry."""
    caller.of_provider()
    found = caller.desk.history.entry(number)
    if found is None:
        raise missing()
    return _item(found)


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
