"""What needs a person now, one concern a function: a count, the worst few, and the way to all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.contract.forecasts import ENDS_WITHIN_DAYS
from orchestrator.counting import counted
from orchestrator.errors import OrchestratorError
from orchestrator.history.declared import CreditRequest
from orchestrator.history.observations import Observations
from orchestrator.interface import plans
from orchestrator.interface.look_rows import MachineRow
from orchestrator.interface.looks import (
    Found,
    MachineFilter,
    MachineSort,
    SiteRow,
    clients,
    endings,
    machine_rows,
)
from orchestrator.interface.plans import PlanState
from orchestrator.operations.recent_alarms import AlarmsAsked

if TYPE_CHECKING:
    from orchestrator.history.records import Recorded
    from orchestrator.web.visit import Visit

_FEW = 5
"""So many are named."""

_GAPS_OF = dt.timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One of those that a concern is about.

    Attributes:
        words: what it is.
        address: of its page; empty: it has none.
        note: what else is to be known at once.
    """

    words: str
    address: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Concern:
    """Something that needs a person.

    Attributes:
        what: with its count: ``3 machines without a good backup``.
        count: of them all.
        lines: the worst few.
        address: of the list of all; empty: the lines are all there is.
        tone: how urgent it is.
    """

    what: str
    count: int
    lines: tuple[Line, ...]
    address: str = ""
    tone: Literal["bad", "warn", "wait"] = "warn"

    @property
    def more(self) -> int:
        """How many are not named."""
        return max(self.count - len(self.lines), 0)


Finder = Callable[["Visit", "tuple[SiteRow, ...]"], "Concern | None"]


def concerns(visit: Visit, sites: tuple[SiteRow, ...], finders: Iterable[Finder]) -> list[Concern]:
    """All that need a person, the most urgent first. What cannot be read is a concern of its own.

    Args:
        visit: the request.
        sites: as they were last read.
        finders: of each concern.
    """
    found = [concern for finder in finders if (concern := _of(finder, visit, sites)) is not None]
    return sorted(found, key=lambda concern: ("bad", "warn", "wait").index(concern.tone))


def _of(finder: Finder, visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    try:
        return finder(visit, sites)
    except OrchestratorError as error:
        return Concern(
            what="Part of this page could not be read", count=1, lines=(Line(words=str(error)),), tone="bad"
        )


def sites_away(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Sites that could not be read when they were last tried."""
    away = [row for row in sites if row.problem]
    if not away:
        return None
    lines = tuple(
        Line(
            words=row.site,
            address=_machines(site=row.site),
            note=f"last read {paris_time(row.at) if row.at else 'never'}: {row.problem}",
        )
        for row in away
    )
    return Concern(what=f"{counted(len(away), 'site')} away", count=len(away), lines=lines, tone="bad")


def sites_frozen(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Sites where every change is stopped."""
    frozen = [row for row in sites if row.frozen]
    if not frozen:
        return None
    lines = tuple(Line(words=row.site, note=row.frozen) for row in frozen)
    return Concern(what=f"{counted(len(frozen), 'site')} frozen", count=len(frozen), lines=lines)


def nights_failed(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Last nights that did not go well, and sites whose last night left no report."""
    if not sites:
        return None
    last, late = visit.desk.nights.latest([row.site for row in sites], visit.desk.now())
    failed = [night for night in last if night.well is False]
    lines = [
        Line(words=f"no report of the last night at {site}", address="/nights", note="did it run?")
        for site in late
    ]
    for night in failed:
        summary = night.summary
        assert summary is not None  # noqa: S101  (else nobody knows that it failed)
        what = f"night of {night.night}{f' at {night.site}' if night.site else ''}"
        first = f": {summary.culprits[0]}" if summary.culprits else ""
        note = f"{counted(summary.failures, 'failure')}{first}"
        lines.append(Line(words=what, address=f"/nights/{quote(night.name)}", note=note))
    if not lines:
        return None
    what = "1 night failed or missing" if len(lines) == 1 else f"{len(lines)} nights failed or missing"
    return Concern(what=what, count=len(lines), lines=tuple(lines[:_FEW]), address="/nights", tone="bad")


def without_backup(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Machines whose backup is on and that have no good one of the last two days."""

    def note(row: MachineRow) -> str:
        if row.last_backup is not None:
            return f"last good one {paris_time(row.last_backup)}"
        return "none" if row.backups_known else "a backup storage of its site could not be read"

    found = _few(visit, MachineFilter(late=True), MachineSort.BACKUP)
    return _of_machines(found, "without a good backup", note, _machines(needs="backup", sort="backup"), "bad")


def unreadable(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Machines that could not be read."""
    found = _few(visit, MachineFilter(unread=True))
    return _of_machines(found, "not readable", lambda row: row.problem, _machines(needs="unread"), "bad")


def held(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Machines held back from updates or restarts until somebody has looked."""

    def note(row: MachineRow) -> str:
        since = f" since {paris_time(row.held_since)}" if row.held_since else ""
        return f"from {'updates' if row.held_from == 'updates' else 'restarting'}{since}: {row.held}"

    return _of_machines(
        _few(visit, MachineFilter(held=True)), "held back", note, _machines(needs="held"), "warn"
    )


def not_made(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Machines that files ask for and that are not there."""
    found = _few(visit, MachineFilter(states=("missing", "unfinished")))
    return _of_machines(found, "not made yet", lambda row: row.state, _machines(state="missing"), "wait")


def faulty_files(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Clients whose files have errors."""
    found = clients(visit.desk.database, file="errors", size=_FEW)
    if not found.total:
        return None
    lines = tuple(Line(words=row.client, address=f"/clients/{quote(row.client)}") for row in found.rows)
    words = "client's file has errors" if found.total == 1 else "clients' files have errors"
    return Concern(
        what=f"{found.total} {words}",
        count=found.total,
        lines=lines,
        address="/clients?file=errors",
        tone="bad",
    )


def alarms_open(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Alarms that nobody has acknowledged."""
    found = visit.desk.alarms.listed(AlarmsAsked(state="open"), visit.desk.now())
    if not found:
        return None
    lines = tuple(
        Line(
            words=f"{item.known.alarm.rule}, {_about(item.known.alarm)}",
            address=f"/alarms/{item.known.number}",
            note=f"{item.known.alarm.severity}, since {paris_time(item.known.alarm.start)}",
        )
        for item in found[:_FEW]
    )
    what = f"{counted(len(found), 'alarm')} not acknowledged"
    return Concern(what=what, count=len(found), lines=lines, address="/alarms?state=open", tone="bad")


def _about(said: Any) -> str:
    if said.client is None:
        return f"site {said.site}"
    return "/".join((said.client, *said.machines[:1]))


def requests_open(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Requests of clients that are open, but for those for credits."""
    found = [one for one in visit.desk.requests.open() if not isinstance(one.said, CreditRequest)]
    return _of_requests(found, "request", lambda one: f"{one.said.kind}: {one.said.text}")


def credits_asked(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Credits that clients asked for and that are not issued."""
    found = [one for one in visit.desk.requests.open() if isinstance(one.said, CreditRequest)]
    return _of_requests(found, "credit", lambda one: f"of {one.said.month}")


def _of_requests(
    found: list[Recorded[Any]], noun: str, note: Callable[[Recorded[Any]], str]
) -> Concern | None:
    if not found:
        return None
    lines = tuple(
        Line(
            words=f"{_about(one.said)}, {paris_time(one.said.came)}",
            address=f"/requests/{one.first.number}",
            note=note(one),
        )
        for one in found[:_FEW]
    )
    what = (
        f"{counted(len(found), noun)} asked for" if noun == "credit" else f"{counted(len(found), noun)} open"
    )
    return Concern(what=what, count=len(found), lines=lines, address="/requests")


def plans_waiting(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Plans that wait for somebody to approve or to refuse them."""
    waiting = (PlanState.WAITING,)
    with visit.desk.database.reading() as connection:
        total = plans.how_many(connection, states=waiting)
        found = plans.listed(connection, states=waiting, limit=_FEW)
    if not total:
        return None
    lines = tuple(
        Line(
            words=f"plan {plan.number} of {plan.filed_by}",
            address=f"/plans/{plan.number}",
            note=f"{plan.words}, since {paris_time(plan.filed_at)}",
        )
        for plan in found
    )
    what = f"{counted(total, 'plan')} {'waits' if total == 1 else 'wait'} for approval"
    return Concern(what=what, count=total, lines=lines, address="/plans?state=waiting", tone="wait")


def ending(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Quotes, licences and contracts that end within thirty days (article 3.8.1)."""
    today = day_in_paris(visit.desk.now())
    found = endings(visit.desk.database, today, today + dt.timedelta(days=ENDS_WITHIN_DAYS))
    if not found:
        return None
    lines = tuple(
        Line(
            words=f"{row.kind} {row.reference} of {row.client}",
            address=f"/clients/{quote(row.client)}",
            note=f"last day {row.last_day}",
        )
        for row in found[:_FEW]
    )
    what = f"{len(found)} {'ends' if len(found) == 1 else 'end'} within {ENDS_WITHIN_DAYS} days"
    return Concern(what=what, count=len(found), lines=lines, tone="wait")


def gaps(visit: Visit, sites: tuple[SiteRow, ...]) -> Concern | None:
    """Times of the last day in which a site was not observed: they are unknown, never up and never down."""
    now = visit.desk.now()
    found = Observations.beside(visit.desk.history).gaps(now - _GAPS_OF, now)
    spans = [(site, *span) for site, of_site in found.items() for span in of_site]
    if not spans:
        return None
    spans.sort(key=lambda span: span[2], reverse=True)
    lines = tuple(
        Line(words=f"{site}, {paris_time(start)} to {paris_time(end)}", note=why)
        for site, start, end, why in spans[:_FEW]
    )
    what = f"{counted(len(spans), 'gap')} in the observation of the last day"
    return Concern(what=what, count=len(spans), lines=lines)


def _few(visit: Visit, wanted: MachineFilter, sort: MachineSort = MachineSort.NAME) -> Found[MachineRow]:
    return machine_rows(visit.desk.database, wanted, visit.desk.now(), sort=sort, size=_FEW)


def _of_machines(
    found: Found[MachineRow],
    words: str,
    note: Callable[[MachineRow], str],
    address: str,
    tone: Literal["bad", "warn", "wait"],
) -> Concern | None:
    if not found.total:
        return None
    lines = tuple(
        Line(
            words=f"{row.client}/{row.machine}",
            address=f"/machines/{quote(row.client)}/{quote(row.machine)}",
            note=note(row),
        )
        for row in found.rows
    )
    what = f"{counted(found.total, 'machine')} {words}"
    return Concern(what=what, count=found.total, lines=lines, address=address, tone=tone)


def _machines(**query: str) -> str:
    return f"/machines?{urlencode(query)}"
