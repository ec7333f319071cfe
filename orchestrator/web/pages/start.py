"""The overview, until it has a page of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.interface.roles import Right
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit


def overview(visit: Visit) -> Response:
    """What needs a person now."""
    return visit.page("overview.html")


PAGES = [
    Page(path="/", answer=overview, need=Right.LOOK),
]
