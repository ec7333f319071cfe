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
from orchestrator.history.observation_rows import (
    COLUMNS,
    NOT_LOOKED,
    fitting,
    ids_of,
    known_of,
    put_site,
    span_of,
    state_of,
    write_round,
)
from orchestrator.history.observation_tables import GAPS, MACHINES, METADATA, SITES, SPANS
from orchestrator.history.observed_site import Known, Outcome, SiteState
from orchestrator.history.renames import read_renames

if TYPE_CHECKING:
    from orchestrator.history.store import History

__all__ = ["NOT_LOOKED", "Known", "Observations", "Outcome", "SiteSeen", "SiteState", "filled"]

_MAKING = int.from_bytes(b"observed", "big")
"""The advisory lock of PostgreSQL under which tables are made and rounds are written."""

_CLAIM_SECONDS = 300


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
            return state_of(connection, site) if self._there(connection) else SiteState()

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
            before = state_of(connection, site)
            outcome = decide(before)
            write_round(connection, site, before, outcome)
        return outcome

    def fail(self, site: str, reason: str) -> None:
        """Note why a site could not be observed: what is unknown from now on has a reason.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        self._make()
        with self._database.writing() as connection:
            self._one_at_a_time(connection)
            put_site(connection, site, trouble=fitting(reason))

    # Outages of which records are made

    def to_settle(self, site: str) -> list[tuple[Known, Span]]:
        """The intervals of a site of which it is not settled yet whether they are outages, or that go on, by machine.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        query = (
            sa.select(*COLUMNS)
            .join(SPANS, SPANS.c.id == MACHINES.c.id)
            .where(MACHINES.c.site == site, SPANS.c.state == "down", SPANS.c.confirmed, SPANS.c.settled < 2)
        )
        with self._database.reading() as connection:
            if not self._there(connection):
                return []
            return [(known_of(row), span_of(row)) for row in connection.execute(query)]

    def claim(self, site: str, known: Known, span: Span, now: int) -> bool:
        """Take it upon oneself to settle an interval, against another observer. Whether it was free.

        Whoever dies meanwhile loses it after five minutes: settling twice must be harmless.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        free = sa.or_(SPANS.c.claimed.is_(None), sa.func.abs(SPANS.c.claimed - now) > _CLAIM_SECONDS)
        query = (
            sa.update(SPANS)
            .where(SPANS.c.id.in_(ids_of(site, known)), SPANS.c.start == span.start)
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
            .where(SPANS.c.id.in_(ids_of(site, known)), SPANS.c.start == span.start)
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
            sa.select(*COLUMNS)
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
                found[key] += shown([span_of(row)], sites[row.site].until, begins, ends)
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
