"""The search: clients by name, contract, quote or order; machines by name, address or number; plans by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.interface import plans
from orchestrator.interface.look_rows import ClientRow, MachineRow
from orchestrator.interface.looks import Found, MachineFilter, clients, machine_rows
from orchestrator.interface.roles import Right
from orchestrator.web.listing import Asked
from orchestrator.web.look_age import look_age
from orchestrator.web.page import Page
from orchestrator.web.pages.clients import COLUMNS as CLIENT_COLUMNS
from orchestrator.web.pages.clients import STANDING_TONES
from orchestrator.web.pages.machines import COLUMNS as MACHINE_COLUMNS
from orchestrator.web.pages.machines import OFFERS, late_before

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.interface.plans import FiledPlan
    from orchestrator.web.visit import Visit

_FOUND = 20
"""Of each sort; the lists have all."""

_LONGEST_NUMBER = 9
"""Digits of a plan's number."""

_NOBODY: Found[ClientRow] = Found(rows=(), total=0, page=1, pages=1)
_NOTHING: Found[MachineRow] = Found(rows=(), total=0, page=1, pages=1)


def search(visit: Visit) -> Response:
    """What fits every word that was typed."""
    asked = Asked.of(visit, sorts=("name",), filters=("q",))
    text, now = asked.filters.get("q", ""), visit.desk.now()
    database = visit.desk.database
    return visit.page(
        "search.html",
        asked=asked,
        text=text,
        clients=clients(database, text=text, size=_FOUND) if text else _NOBODY,
        machines=machine_rows(database, MachineFilter(text=text), now, size=_FOUND) if text else _NOTHING,
        plan=_plan(visit, text),
        client_columns=tuple(
            column
            for column in CLIENT_COLUMNS
            if column.key in ("name", "contract", "offers", "standing", "machines")
        ),
        machine_columns=MACHINE_COLUMNS,
        tones=STANDING_TONES,
        offer_names=OFFERS,
        look=look_age(visit),
        late=late_before(now),
    )


def _plan(visit: Visit, text: str) -> FiledPlan | None:
    number = text.removeprefix("plan").strip()
    if not (number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER):
        return None
    with visit.desk.database.reading() as connection:
        return plans.find(connection, int(number))


PAGES = [Page(path="/search", answer=search, need=Right.LOOK)]
