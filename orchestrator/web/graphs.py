"""Graphs of a machine on pages: a picture of our own, tables beside it, and what is said while a hypervisor is away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from starlette.responses import Response

from orchestrator.proxmox.measurements import Timeframe
from orchestrator.reports.graph_svg import notice_svg, svg
from orchestrator.reports.graph_tables import gaps_table, periods_table, statistics_table
from orchestrator.reports.graph_words import GraphWords

if TYPE_CHECKING:
    import datetime as dt

    from orchestrator.operations.recent_figures import Measured
    from orchestrator.reports.page import Table
    from orchestrator.web.visit import Visit

TIMEFRAMES: tuple[Timeframe, ...] = get_args(Timeframe)

WORDS: dict[Timeframe, tuple[str, str]] = {
    "hour": ("Hour", "Heure"),
    "day": ("Day", "Jour"),
    "week": ("Week", "Semaine"),
    "month": ("Month", "Mois"),
    "year": ("Year", "Année"),
}
"""What a timeframe is called, in English and French."""

_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
"""Of a picture: opened by itself it has its own style, and nothing in it runs."""


@dataclass(frozen=True, kw_only=True)
class GraphsShown:
    """What a page has of graphs.

    Attributes:
        read_at: when the figures were read; None: they never were.
        problem: why they could not be read just now; empty if they are fresh. For the provider's people alone.
        away: whether they could not be read just now.
        tables: with the figures; none if there are no graphs.
    """

    timeframe: Timeframe
    read_at: dt.datetime | None
    problem: str
    away: bool
    tables: tuple[Table, ...]


def timeframe_of(visit: Visit) -> Timeframe:
    """The timeframe that an address names.

    Raises:
        Missing: there is no such.
    """
    named = visit.path["timeframe"]
    return next((one for one in TIMEFRAMES if one == named), None) or visit.missing()


def shown(visit: Visit, measured: Measured, timeframe: Timeframe) -> GraphsShown:
    """Read the figures, or take those that were read last."""
    found = visit.desk.figures.of(measured, timeframe, visit.desk.now())
    tables: tuple[Table, ...] = ()
    if found.graphs is not None and found.graphs.slots:
        tables = (
            statistics_table(found.graphs, visit.language),
            *gaps_table(found.graphs, visit.language),
            periods_table(found.graphs, visit.language),
        )
    return GraphsShown(
        timeframe=timeframe,
        read_at=found.read_at,
        problem=found.problem,
        away=bool(found.problem),
        tables=tables,
    )


def picture(visit: Visit, measured: Measured, timeframe: Timeframe) -> Response:
    """The graphs as a picture; one that says so, if there are none."""
    found = visit.desk.figures.of(measured, timeframe, visit.desk.now())
    if found.graphs is None:
        words = GraphWords(visit.language)
        title = words.graphs_title.format(machine=f"{measured.client}/{measured.machine}")
        drawn = notice_svg(title, words.figures_away, language=visit.language)
    else:
        drawn = svg(found.graphs, language=visit.language, prefix=timeframe)
    return Response(drawn, media_type="image/svg+xml", headers=_HEADERS)
