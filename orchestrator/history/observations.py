"""What was observed of machines, kept beside the history: intervals, not samples; absence is unknown.

Rounds of several observers at once, and rounds that were killed, are all the same: each is one transaction that looks
at what is there, decides, and writes; what was seen already changes nothing (:mod:`orchestrator.history.intervals`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from orchestrator.history.database import Database
from orchestrator.history.intervals import GAP_SECONDS, Cause, Seen, Span, moment, shown
from orchestrator.history.observation_tables import GAPS, MACHINES, METADATA, SITES, SPANS
from orchestrator.history.observed_site import Known, Outcome, SiteState
from orchestrator.history.renames import read_renames
from orchestrator.shown import shortened, storable

if TYPE_CHECKING:
    from orchestrator.history.store import History

__all__ = ["NOT_LOOKED", "Known", "Observations", "Outcome", "SiteSeen", "SiteState", "filled"]

_MAKING = int.from_bytes(b"observed", "big")
"""The advisory lock of PostgreSQL under which tables are made and rounds are written."""

_CLAIM_SECONDS = 300
_LONGEST = 300
"""Characters of a detail or a reason."""

NOT_LOOKED = "nobody looked"
"""Why nothing is known, where no observer was at work."""


@dataclass(frozen=True, kw_only=True)
class SiteSeen:
    """How a site is observed.

    Attributes:
        until: up to when; None: never.
        trouble: why the last round failed; empty if it did not.
    """

    site: str
    until: dt.datetime | None
    source: str
    trouble: str


class Observations:
    """What was observed, in the database of a history."""

    def __init__(self, where: str | Path | Database, *, create: bool = True) -> None:
        """Open it; its tables are made when something is first written.

        Args:
            where: the history: a file, a database URL, or what is open already.
            create: make the database if there is none.

        Raises:
            HistoryMissing: there is none, and none is to be made.
            HistoryUnavailable: it cannot be opened.
        """
        self._database = where if isinstance(where, Database) else Database(where, create=create)
        self._made = False

    @classmethod
    def beside(cls, history: History) -> Self:
        """What stands beside a history that is open; it is closed with that."""
        return cls(history.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database's connections back."""
        self._database.close()

    # Rounds

    def state(self, site: str) -> SiteState:
        """What is known of a site.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        with self._database.reading() as connection:
            return _state(connection, site) if self._there(connection) else SiteState()

    def record(self, site: str, decide: Callable[[SiteState], Outcome]) -> Outcome:
        """Write a round: all of it or nothing. Others who write wait meanwhile.

        Args:
            site: whose.
            decide: what the round found, given what is known at this moment; what it raises is raised, and nothing is
                written.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        self._make()
        with self._database.writing() as connection:
            self._one_at_a_time(connection)
            before = _state(connection, site)
            outcome = decide(before)
            _write(connection, site, before, outcome)
        return outcome

    def fail(self, site: str, reason: str) -> None:
        """Note why a site could not be observed: what is unknown from now on has a reason.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        self._make()
        with self._database.writing() as connection:
            self._one_at_a_time(connection)
            _put_site(connection, site, trouble=_fitting(reason))

    # Outages of which records are made

    def to_settle(self, site: str) -> list[tuple[Known, Span]]:
        """The intervals of a site of which it is not settled yet whether they are outages, or that go on, by machine.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        query = (
            sa.select(*_COLUMNS)
            .join(SPANS, SPANS.c.id == MACHINES.c.id)
            .where(MACHINES.c.site == site, SPANS.c.state == "down", SPANS.c.confirmed, SPANS.c.settled < 2)
        )
        with self._database.reading() as connection:
            if not self._there(connection):
                return []
            return [(_known(row), _span(row)) for row in connection.execute(query)]

    def claim(self, site: str, known: Known, span: Span, now: int) -> bool:
        """Take it upon oneself to settle an interval, against another observer. Whether it was free.

        Whoever dies meanwhile loses it after five minutes: settling twice must be harmless.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        free = sa.or_(SPANS.c.claimed.is_(None), sa.func.abs(SPANS.c.claimed - now) > _CLAIM_SECONDS)
        query = (
            sa.update(SPANS)
            .where(SPANS.c.id.in_(_ids(site, known)), SPANS.c.start == span.start)
            .where(SPANS.c.settled == span.settled, free)
            .values(claimed=now)
        )
        with self._database.writing() as connection:
            return connection.execute(query).rowcount == 1

    def settle(self, site: str, known: Known, span: Span, settled: int) -> None:
        """Note how far an interval is settled (:attr:`Span.settled`), and give it back.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        query = (
            sa.update(SPANS)
            .where(SPANS.c.id.in_(_ids(site, known)), SPANS.c.start == span.start)
            .values(settled=settled, claimed=None)
        )
        with self._database.writing() as connection:
            connection.execute(query)

    # Questions

    def seen(self, client: str, machine: str, start: dt.datetime, end: dt.datetime) -> list[Seen]:
        """What was observed of a machine in [start, end), without a hole: what nobody observed is ``unknown``.

        Args:
            client, machine: of which.
            start, end: aware.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        found = self.seen_of_client(client, start, end, machine=machine)
        begins, ends = int(start.timestamp()), int(end.timestamp())
        return found.get(machine) or filled((), (), begins, ends)

    def seen_of_client(
        self, client: str, start: dt.datetime, end: dt.datetime, *, machine: str | None = None
    ) -> dict[str, list[Seen]]:
        """As :meth:`seen`, of all machines of a client that were ever seen, by their names: three queries."""
        all_seen = self._read(start, end, client=client, machine=machine)
        return {name: seen for (_, name), seen in all_seen.items()}

    def seen_of_all(self, start: dt.datetime, end: dt.datetime) -> dict[tuple[str, str], list[Seen]]:
        """As :meth:`seen`, of all machines that were ever seen, by client and machine: three queries."""
        return self._read(start, end)

    def gaps(
        self, start: dt.datetime, end: dt.datetime
    ) -> dict[str, list[tuple[dt.datetime, dt.datetime, str]]]:
        """When each site was not observed in [start, end), and why; sites that were never observed are left out.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        begins, ends = int(start.timestamp()), int(end.timestamp())
        with self._database.reading() as connection:
            if not self._there(connection):
                return {}
            sites = connection.execute(sa.select(SITES).where(SITES.c.until.is_not(None))).all()
            within = sa.select(GAPS).where(GAPS.c.start < ends, GAPS.c.end > begins).order_by(GAPS.c.start)
            gaps = connection.execute(within).all()
        found: dict[str, list[tuple[dt.datetime, dt.datetime, str]]] = {}
        for site in sites:
            spans = [(gap.start, gap.end, gap.reason) for gap in gaps if gap.site == site.site]
            if ends - site.until > GAP_SECONDS:
                spans.append((site.until, ends, site.trouble or NOT_LOOKED))
            found[site.site] = [
                (moment(max(since, begins)), moment(min(until, ends)), why) for since, until, why in spans
            ]
        return found

    def sites(self) -> list[SiteSeen]:
        """How each site is observed.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        with self._database.reading() as connection:
            if not self._there(connection):
                return []
            rows = connection.execute(sa.select(SITES).order_by(SITES.c.site)).all()
        return [
            SiteSeen(
                site=row.site,
                until=None if row.until is None else moment(row.until),
                source=row.source,
                trouble=row.trouble,
            )
            for row in rows
        ]

    def _read(
        self, start: dt.datetime, end: dt.datetime, *, client: str | None = None, machine: str | None = None
    ) -> dict[tuple[str, str], list[Seen]]:
        begins, ends = int(start.timestamp()), int(end.timestamp())
        query = (
            sa.select(*_COLUMNS)
            .outerjoin(
                SPANS,
                sa.and_(
                    SPANS.c.id == MACHINES.c.id,
                    SPANS.c.start < ends,
                    sa.or_(SPANS.c.end.is_(None), SPANS.c.end > begins),
                ),
            )
            .order_by(MACHINES.c.client, MACHINES.c.machine, SPANS.c.start)
        )
        with self._database.reading() as connection:
            if not self._there(connection):
                return {}
            renames = read_renames(connection)
            if client is not None:
                query = query.where(MACHINES.c.client.in_(sorted(renames.clients_before([client]))))
            if machine is not None and not renames.found:
                query = query.where(MACHINES.c.machine == machine)
            sites = {row.site: row for row in connection.execute(sa.select(SITES))}
            within = sa.select(GAPS).where(GAPS.c.start < ends, GAPS.c.end > begins).order_by(GAPS.c.start)
            gaps = connection.execute(within).all()
            rows = connection.execute(query).all()
        found: dict[tuple[str, str], list[Seen]] = defaultdict(list)
        places: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            key = renames.of_vm(row.site, row.vmid, (row.client, row.machine))
            if client not in (None, key[0]) or machine not in (None, key[1]):
                continue
            places[key].add(row.site)
            if row.state is not None:
                found[key] += shown([_span(row)], sites[row.site].until, begins, ends)
        return {
            key: filled(found[key], _reasons(gaps, sites, where, ends), begins, ends)
            for key, where in places.items()
        }

    # The tables

    def _there(self, connection: sa.Connection) -> bool:
        self._made = self._made or sa.inspect(connection).has_table(SITES.name)
        return self._made

    def _make(self) -> None:
        if self._made:
            return
        with self._database.reading() as connection:
            if self._there(connection):
                return
        with self._database.writing() as connection:
            self._one_at_a_time(connection)
            METADATA.create_all(connection)
        self._made = True

    @staticmethod
    def _one_at_a_time(connection: sa.Connection) -> None:
        """SQLite's write lock is held already."""
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))


_COLUMNS: tuple[sa.Column[Any], ...] = (
    *(MACHINES.c[name] for name in ("site", "vmid", "client", "machine", "node")),
    *(column for column in SPANS.c if column.name not in ("id", "claimed")),
)

_TAKEN_OVER: dict[str, Any] = {
    name: sa.bindparam(name) for name in ("end", "state", "cause", "source", "detail", "confirmed")
}
"""What a later round may change of an interval."""

_Reason = tuple[int, int, str]
"""From, until, why: of a time in which a site was not observed."""


def filled(seen: Iterable[Seen], reasons: Iterable[_Reason], start: int, end: int) -> list[Seen]:
    """Intervals of one machine without holes: what lies between them is unknown.

    Args:
        seen: in any order; where two overlap, the one that began first counts.
        reasons: why sites were not observed.
        start, end: the time that is asked for.
    """
    known = list(reasons)
    found: list[Seen] = []
    at = start
    for item in sorted(seen, key=lambda one: one.start):
        begins, ends = int(item.start.timestamp()), int(item.end.timestamp())
        if ends <= at:
            continue
        if begins > at:
            found.append(_unseen(at, begins, known))
        found.append(item if begins >= at else replace(item, start=moment(at)))
        at = ends
    if at < end:
        found.append(_unseen(at, end, known))
    return found


def _unseen(start: int, end: int, reasons: Iterable[_Reason]) -> Seen:
    why = next((text for begins, ends, text in reasons if begins < end and ends > start), NOT_LOOKED)
    return Seen(
        start=moment(start), end=moment(end), state="unknown", cause=str(Cause.AWAY), source="", detail=why
    )


def _reasons(gaps: Iterable[Any], sites: Mapping[str, Any], where: Iterable[str], end: int) -> list[_Reason]:
    places = set(where)
    found = [(gap.start, gap.end, gap.reason) for gap in gaps if gap.site in places]
    lost = [sites[name] for name in places if name in sites and sites[name].trouble]
    return found + [(site.until or 0, end, site.trouble) for site in lost]


def _state(connection: sa.Connection, site: str) -> SiteState:
    row = connection.execute(sa.select(SITES).where(SITES.c.site == site)).first()
    if row is None:
        return SiteState()
    query = (
        sa.select(*_COLUMNS)
        .outerjoin(SPANS, sa.and_(SPANS.c.id == MACHINES.c.id, SPANS.c.end.is_(None)))
        .where(MACHINES.c.site == site, ~MACHINES.c.gone)
    )
    machines: dict[int, Known] = {}
    spans: dict[int, Span] = {}
    for found in connection.execute(query):
        machines[found.vmid] = _known(found)
        if found.state is not None:
            spans[found.vmid] = _span(found)
    return SiteState(
        until=row.until,
        listed=row.listed,
        guests=row.guests,
        source=row.source,
        machines=machines,
        spans=spans,
    )


def _known(row: Any) -> Known:
    return Known(vmid=row.vmid, client=row.client, machine=row.machine, node=row.node)


def _span(row: Any) -> Span:
    return Span(
        start=row.start,
        end=row.end,
        state=row.state,
        cause=Cause(row.cause),
        source=row.source,
        detail=row.detail,
        confirmed=bool(row.confirmed),
        settled=row.settled,
    )


def _ids(site: str, known: Known) -> sa.Select[Any]:
    return sa.select(MACHINES.c.id).where(
        MACHINES.c.site == site,
        MACHINES.c.vmid == known.vmid,
        MACHINES.c.client == known.client,
        MACHINES.c.machine == known.machine,
    )


def _write(connection: sa.Connection, site: str, before: SiteState, outcome: Outcome) -> None:
    changed = {
        vmid: (spans, before.spans.get(vmid) if _same(before, outcome, vmid) else None)
        for vmid, spans in outcome.spans.items()
    }
    changed = {vmid: (spans, was) for vmid, (spans, was) in changed.items() if list(spans) != [was]}
    if changed or outcome.machines != before.machines:
        ids = _write_machines(connection, site, before, outcome)
        # The first of them is the one that was there: who settles it may be at work.
        old = [
            {"was_id": ids[vmid], "was_start": was.start, **_as_row(spans[0])}
            for vmid, (spans, was) in changed.items()
            if was
        ]
        own = (SPANS.c.id == sa.bindparam("was_id")) & (SPANS.c.start == sa.bindparam("was_start"))
        if old:
            connection.execute(sa.update(SPANS).where(own).values(_TAKEN_OVER), old)
        rows = [
            {"id": ids[vmid], "settled": 0, **_as_row(span)}
            for vmid, (spans, was) in changed.items()
            for span in (spans[1:] if was else spans)
        ]
        if rows:
            connection.execute(sa.insert(SPANS), rows)
    if outcome.gap is not None:
        start, end = outcome.gap
        trouble = connection.execute(sa.select(SITES.c.trouble).where(SITES.c.site == site)).scalar()
        connection.execute(
            sa.insert(GAPS).values(site=site, start=start, end=end, reason=trouble or NOT_LOOKED)
        )
    _put_site(
        connection,
        site,
        until=outcome.until,
        listed=outcome.listed,
        guests=outcome.guests,
        source=outcome.source,
        trouble="",
    )


def _same(before: SiteState, outcome: Outcome, vmid: int) -> bool:
    """Whether a number is still that of the same machine."""
    was, now = before.machines.get(vmid), outcome.machines.get(vmid)
    return bool(was and now and (was.client, was.machine) == (now.client, now.machine))


def _write_machines(
    connection: sa.Connection, site: str, before: SiteState, outcome: Outcome
) -> dict[int, int]:
    """Write which machines there are. Return their rows' ids by number."""
    query = sa.select(MACHINES).where(MACHINES.c.site == site)
    rows = {(row.vmid, row.client, row.machine): row for row in connection.execute(query)}
    ids: dict[int, int] = {}
    for vmid, known in outcome.machines.items():
        row = rows.get((vmid, known.client, known.machine))
        if row is None:
            values = {"site": site, "vmid": vmid, "client": known.client, "machine": known.machine}
            made = connection.execute(
                sa.insert(MACHINES).values(**values, node=known.node, gone=False).returning(MACHINES.c.id)
            )
            ids[vmid] = made.scalar_one()
            continue
        ids[vmid] = row.id
        if row.gone or row.node != known.node:
            connection.execute(
                sa.update(MACHINES).where(MACHINES.c.id == row.id).values(gone=False, node=known.node)
            )
    for vmid, known in before.machines.items():
        if _same(before, outcome, vmid):
            continue
        gone = rows[vmid, known.client, known.machine].id
        connection.execute(sa.update(MACHINES).where(MACHINES.c.id == gone).values(gone=True))
        connection.execute(
            sa.update(SPANS).where(SPANS.c.id == gone, SPANS.c.end.is_(None)).values(end=outcome.until)
        )
    return ids


def _as_row(span: Span) -> dict[str, Any]:
    return {
        "start": span.start,
        "end": span.end,
        "state": span.state,
        "cause": str(span.cause),
        "source": span.source,
        "detail": _fitting(span.detail),
        "confirmed": span.confirmed,
    }


def _put_site(connection: sa.Connection, site: str, **values: Any) -> None:
    changed = connection.execute(sa.update(SITES).where(SITES.c.site == site).values(**values)).rowcount
    if not changed:
        usual = {"until": None, "listed": None, "guests": 0, "source": "", "trouble": ""}
        connection.execute(sa.insert(SITES).values(site=site, **{**usual, **values}))


def _fitting(text: str) -> str:
    return shortened(storable(text), _LONGEST)
