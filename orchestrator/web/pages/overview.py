"""The overview: what needs a person now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.interface.looks import totals
from orchestrator.interface.roles import Right
from orchestrator.web import concerns
from orchestrator.web.listing import Column
from orchestrator.web.look_age import look_age
from orchestrator.web.page import Page

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.visit import Visit

COLUMNS = (Column(key="what", heading="What"), Column(key="which", heading="Which"))

FINDERS: tuple[concerns.Finder, ...] = (
    concerns.sites_away,
    concerns.nights_failed,
    concerns.without_backup,
    concerns.alarms_open,
    concerns.unreadable,
    concerns.faulty_files,
    concerns.sites_frozen,
    concerns.held,
    concerns.plans_waiting,
    concerns.credits_asked,
    concerns.requests_open,
    concerns.gaps,
    concerns.ending,
    concerns.not_made,
)
"""In the order in which equally urgent ones are shown."""


def overview(visit: Visit) -> Response:
    """What needs a person now, the most urgent first."""
    look = look_age(visit)
    return visit.page(
        "overview.html",
        look=look,
        concerns=concerns.concerns(visit, look.sites, FINDERS),
        columns=COLUMNS,
        totals=totals(visit.desk.database),
    )


PAGES = [Page(path="/", answer=overview, need=Right.LOOK)]
