"""``/clients``: what the last look found of each."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from orchestrator.interface import looks
from orchestrator.interface.look_rows import ClientRow
from orchestrator.interface.looked import LookedContract
from orchestrator.interface.looks import ClientSort
from orchestrator.web.api.access import Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, PageNumber, PageSize
from orchestrator.web.api.problems import ERRORS, missing

ROUTER = APIRouter(tags=["clients"], responses=ERRORS, route_class=RecordedRoute)


class ClientItem(BaseModel):
    """A client in a list."""

    client: str
    contract: str
    offers: list[str]
    sites: list[str]
    standing: str | None
    managed_services: str | None
    free_changes: int | None
    free_changes_used: int | None
    machines: int
    running: int
    vcpus: int
    memory_mib: int
    disk_gib: float
    backup_bytes: int


class ClientDetails(ClientItem):
    """All of a client, beside its machines."""

    terms: LookedContract | None


@ROUTER.get("/clients")
def clients(
    caller: Reader,
    q: Annotated[str, Query(max_length=200, description="part of a name or a reference")] = "",
    sort: ClientSort = ClientSort.NAME,
    descending: bool = False,
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Listed[ClientItem]:
    """Clients, filtered, sorted and in pages: two queries. The token of a client has one."""
    database = caller.desk.database
    if caller.client is not None:
        own = looks.client(database, caller.client)
        items = [] if own is None else [ClientItem(**_values(own[0]))]
        return Listed(items=items if page == 1 else [], total=len(items), page=page, pages=1)
    found = looks.clients(database, text=q, sort=sort, descending=descending, page=page, size=size)
    return Listed(
        items=[ClientItem(**_values(row)) for row in found.rows],
        total=found.total,
        page=found.page,
        pages=found.pages,
    )


@ROUTER.get("/clients/{client}")
def client(caller: Reader, client: str) -> ClientDetails:
    """One client: one query."""
    caller.may_see(client)
    found = looks.client(caller.desk.database, client)
    if found is None:
        raise missing()
    row, document = found
    return ClientDetails(**_values(row), terms=document.contract)


def _values(row: ClientRow) -> dict[str, Any]:
    return {
        "client": row.client,
        "contract": row.contract,
        "offers": list(row.offers),
        "sites": list(row.sites),
        "standing": row.standing,
        "managed_services": row.level,
        "free_changes": row.free_changes,
        "free_changes_used": row.free_used,
        "machines": row.machines,
        "running": row.running,
        "vcpus": row.vcpus,
        "memory_mib": row.memory_mib,
        "disk_gib": row.disk_gib,
        "backup_bytes": row.backup_bytes,
    }
