"""``/machines``: what the last look found. A token of one client is told nothing of nodes and storages."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from orchestrator.interface import looks
from orchestrator.interface.look_rows import MachineRow
from orchestrator.interface.looked import LookedMachine, LookedRule
from orchestrator.interface.looks import MachineFilter, MachineSort
from orchestrator.web.api.access import Caller, Reader
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.api.paging import Listed, Name, PageNumber, PageSize
from orchestrator.web.api.problems import ERRORS, Problem, missing

ROUTER = APIRouter(tags=["machines"], responses=ERRORS, route_class=RecordedRoute)


class Place(BaseModel):
    """Where a machine is in Proxmox."""

    node: str | None
    vmid: int | None


class MachineItem(BaseModel):
    """A machine in a list."""

    client: str
    machine: str
    site: str
    offer: str
    contract: str
    state: str
    vcpus: int
    memory_mib: int
    disk_gib: float
    address: str | None
    backup_days: int | None = Field(description="null: its backup is off")
    last_backup: dt.datetime | None = Field(description="when the last good one was made")
    backups: int
    backup_bytes: int
    last_restore_test: dt.date | None
    updates_due: int | None = Field(description="packages; null: nobody has looked")
    place: Place | None = Field(description="null for the token of a client")


class Snapshot(BaseModel):
    """A snapshot."""

    name: str
    taken_at: dt.datetime
    expires: dt.datetime | None


class Backup(BaseModel):
    """A backup that is kept."""

    taken_at: dt.datetime
    bytes: int
    ends: dt.datetime
    good: bool
    tested_on: dt.date | None
    test_sound: bool | None


class Rule(BaseModel):
    """What the firewall in the machine lets in or out."""

    kind: str
    what: str
    others: list[str]


class MachineDetails(MachineItem):
    """All of a machine."""

    data_centre: str
    addresses: list[str]
    snapshots: list[Snapshot]
    backups_kept: list[Backup]
    firewall: list[Rule] | None = Field(description="null: none was loaded yet")
    document: LookedMachine | None = Field(
        description="all that the last look found, with nodes, storages and the provider's addresses; null for the "
        "token of a client"
    )


@ROUTER.get("/machines")
def machines(
    caller: Reader,
    client: Name = "",
    site: Name = "",
    state: Name = "",
    q: Annotated[str, Query(max_length=200, description="part of a name; an address; a VM's number")] = "",
    sort: MachineSort = MachineSort.NAME,
    descending: bool = False,
    page: PageNumber = 1,
    size: PageSize = 50,
) -> Listed[MachineItem]:
    """Machines, filtered, sorted and in pages: two queries."""
    only = caller.only(client or None)
    wanted = MachineFilter(
        text=q,
        clients=[only] if only else (),
        sites=[site] if site else (),
        states=[state] if state else (),
    )
    if caller.client is not None and (q or sort is MachineSort.NODE):
        # What a text finds, and an order by node, would tell a client where its machines are.
        raise Problem(
            403, "not-for-clients", "q and sort=node are for tokens of the provider: leave them out"
        )
    found = looks.machine_rows(
        caller.desk.database,
        wanted,
        caller.desk.now(),
        sort=sort,
        descending=descending,
        page=page,
        size=size,
    )
    return Listed(
        items=[_item(row, caller) for row in found.rows],
        total=found.total,
        page=found.page,
        pages=found.pages,
    )


@ROUTER.get("/machines/{client}/{machine}")
def machine(caller: Reader, client: str, machine: str) -> MachineDetails:
    """One machine: one query."""
    caller.may_see(client)
    found = looks.machine(caller.desk.database, client, machine)
    if found is None:
        raise missing()
    return _details(found, caller)


def _item(row: MachineRow, caller: Caller) -> MachineItem:
    return MachineItem(
        client=row.client,
        machine=row.machine,
        site=row.site,
        offer=row.offer,
        contract=row.contract,
        state=row.state,
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        disk_gib=row.disk_gib,
        address=row.address,
        backup_days=row.backup_days,
        last_backup=row.last_backup,
        backups=row.backups,
        backup_bytes=row.backup_bytes,
        last_restore_test=row.tested,
        updates_due=row.updates_due,
        place=Place(node=row.node, vmid=row.vmid) if caller.client is None else None,
    )


def _details(found: LookedMachine, caller: Caller) -> MachineDetails:
    provider = caller.client is None
    return MachineDetails(
        client=found.client,
        machine=found.machine,
        site=found.site,
        offer=found.offer,
        contract=found.contract,
        state=found.state,
        vcpus=found.vcpus,
        memory_mib=found.memory_mib,
        disk_gib=found.disk_gib,
        address=found.address,
        backup_days=found.backups.days,
        last_backup=found.backups.last_good,
        backups=len(found.backups.kept),
        backup_bytes=found.backups.volume,
        last_restore_test=found.backups.last_test,
        updates_due=found.updates_due,
        place=Place(node=found.node, vmid=found.vmid) if provider else None,
        data_centre=found.data_centre,
        addresses=list(found.addresses),
        snapshots=[
            Snapshot(name=one.name, taken_at=one.taken_at, expires=one.expires) for one in found.snapshots
        ],
        backups_kept=[
            Backup(
                taken_at=one.taken_at,
                bytes=one.size,
                ends=one.ends,
                good=one.good,
                tested_on=one.test.on if one.test else None,
                test_sound=one.test.sound if one.test else None,
            )
            for one in found.backups.kept
        ],
        firewall=_rules(found.firewall.loaded, provider),
        document=found if provider else None,
    )


def _rules(loaded: tuple[LookedRule, ...] | None, provider: bool) -> list[Rule] | None:
    if loaded is None:
        return None
    return [
        Rule(kind=one.kind, what=one.what, others=list(one.others))
        for one in loaded
        if provider or not one.of_provider
    ]
