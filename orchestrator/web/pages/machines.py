"""The list of machines: filtered, sorted and paged by the database; and the button that renews the last look."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.interface.looks import LATE, MachineFilter, MachineSort, choices, machine_rows
from orchestrator.interface.roles import Right
from orchestrator.web.listing import Asked, Column
from orchestrator.web.local_address import local_address
from orchestrator.web.look_age import look_age
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="name", heading="Machine", sort=True),
    Column(key="site", heading="Site", sort=True),
    Column(key="address", heading="Address"),
    Column(key="state", heading="State", sort=True),
    Column(key="vcpus", heading="vCPU", sort=True, figures=True),
    Column(key="memory", heading="RAM", sort=True, figures=True),
    Column(key="disk", heading="Disks", sort=True, figures=True),
    Column(key="backup", heading="Last good backup", sort=True),
    Column(key="tested", heading="Restored", sort=True, quiet=True),
    Column(key="notes", heading="Needs"),
)

NEEDS = (
    ("backup", "without a good backup of the last two days"),
    ("restart", "restart due"),
    ("updates", "updates due"),
    ("held", "held back"),
    ("file", "in no file"),
    ("unread", "not readable"),
)
OFFERS = {
    "cloud-vm-essential": "Cloud VM Essentiel",
    "cloud-vm-advanced": "Cloud VM Avancé",
    "cloud-datacenter": "Cloud Datacenter",
}
"""As the contract calls them."""

FILTERS = ("q", "client", "site", "node", "state", "offer", "needs")


def machines(visit: Visit) -> Response:
    """One page of the machines."""
    asked = Asked.of(visit, sorts=[sort.value for sort in MachineSort], filters=FILTERS)
    now = visit.desk.now()
    found = machine_rows(
        visit.desk.database,
        filter_of(asked),
        now,
        sort=MachineSort(asked.sort),
        descending=asked.descending,
        page=asked.page,
        size=asked.size,
    )
    there = choices(visit.desk.database)
    return visit.page(
        "machines.html",
        asked=asked,
        rows=found.rows,
        total=found.total,
        columns=COLUMNS,
        choices=there,
        offers=[(name, OFFERS.get(name, name)) for name in there["offers"]],
        needs=NEEDS,
        look=look_age(visit),
        late=late_before(now),
    )


def filter_of(asked: Asked) -> MachineFilter:
    """What the address of a list asks for."""
    wanted = asked.filters
    needs = wanted.get("needs", "")

    def named(name: str) -> tuple[str, ...]:
        return (wanted[name],) if name in wanted else ()

    return MachineFilter(
        text=wanted.get("q", ""),
        clients=named("client"),
        sites=named("site"),
        nodes=named("node"),
        states=named("state"),
        offers=named("offer"),
        late=needs == "backup",
        restart_due=needs == "restart",
        updates_due=needs == "updates",
        held=needs == "held",
        without_file=needs == "file",
        unread=needs == "unread",
    )


def late_before(now: dt.datetime) -> dt.datetime:
    """The moment before which a last good backup is told as late."""
    return now - LATE


def renew(visit: Visit) -> Response:
    """Begin a look, unless one is under way."""
    visit.desk.renewal.ask()
    return visit.see(local_address(visit.form.get("back", "")))


PAGES = [
    Page(path="/machines", answer=machines, need=Right.LOOK),
    Page(path="/look", answer=renew, need=Right.LOOK, method="POST"),
]
