"""How old what a page shows is: said on every page that shows the last look."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.interface.looks import LookUnderWay, SiteRow, site_looks, under_way

if TYPE_CHECKING:
    from orchestrator.web.visit import Visit

_LATE = 3
"""So many looks that did not come are told."""


@dataclass(frozen=True, kw_only=True)
class LookAge:
    """How old the last look is.

    Attributes:
        at: when the site was read that was read longest ago, of those that answer; None: no site ever was.
        late: why it is older than it should be; empty: it is not.
        away: the sites whose last try failed.
        under_way: the look that somebody is at; None: nobody is.
        sites: every site.
    """

    at: dt.datetime | None
    late: str
    away: tuple[SiteRow, ...]
    under_way: LookUnderWay | None
    sites: tuple[SiteRow, ...]


def look_age(visit: Visit) -> LookAge:
    """How old what is shown is: two queries.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    now = visit.desk.now()
    sites = site_looks(visit.desk.database)
    away = tuple(row for row in sites if row.problem)
    read = [row.at for row in sites if row.at is not None and not row.problem]
    at = min(read, default=None)
    every = visit.desk.settings.look_every
    late = at is not None and bool(every) and now - at > _LATE * every
    return LookAge(
        at=at,
        late="older than it should be" if late else "",
        away=away,
        under_way=under_way(visit.desk.database, now),
        sites=sites,
    )
