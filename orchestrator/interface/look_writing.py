"""Writing down a look: what has changed alone, a site in one transaction, so that readers see all of it or none."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orchestrator.interface.look_rows import client_values, machine_values
from orchestrator.interface.look_tables import CLIENTS, ENDINGS, MACHINE_DOCUMENTS, MACHINES, SITES, TURN

if TYPE_CHECKING:
    from orchestrator.contract.forecasts import Ending
    from orchestrator.history.database import Database
    from orchestrator.interface.looked import LookedClient, LookedMachine, LookedSite

_FORM = b"1"
"""Of documents: another one, and the next look writes all of them anew."""

_SKEW = 60
"""Seconds by which the clocks of two computers may differ; what is further ahead comes from a wrong clock."""

_AT_ONCE = 500
"""Keys in one statement: databases limit its parameters."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a look at a site changed: machines written, and machines that are no longer there."""

    written: int
    removed: int


def keep_site(
    database: Database, site: LookedSite, machines: Iterable[LookedMachine], at: dt.datetime
) -> Kept:
    """Write down a site that was read.

    Args:
        database: where.
        site: what there is beside its machines.
        machines: all of the site.
        at: when it was read (aware). A look that is not newer than what is there changes nothing, unless what is there
            was read by a clock that was ahead.

    Raises:
        HistoryUnavailable: it could not be written.
    """
    rows = {(values := _with_document(looked))["key"]: values for looked in machines}
    with database.writing() as connection:
        before = connection.execute(sa.select(SITES.c.at).where(SITES.c.site == site.site)).scalar()
        if before is not None and at.timestamp() < before <= dt.datetime.now(dt.UTC).timestamp() + _SKEW:
            return Kept(written=0, removed=0)
        kept = _keep_machines(connection, site.site, rows)
        _put_site(
            connection,
            site=site.site,
            at=int(at.timestamp()),
            tried=int(at.timestamp()),
            problem="",
            frozen=site.frozen,
            version=site.version,
            document=site.model_dump_json(),
        )
    return kept


def keep_away(
    database: Database, site: LookedSite, why: str, asked: Iterable[LookedMachine], at: dt.datetime
) -> None:
    """Write down that a site could not be read. What was last read of it stays as it is.

    Args:
        database: where.
        site: what is written where it was never read.
        why: for people.
        asked: the machines that files ask for there: all that is known of a site that was never read.
        at: when it was tried (aware).

    Raises:
        HistoryUnavailable: it could not be written.
    """
    tried = int(at.timestamp())
    with database.writing() as connection:
        of_site = SITES.c.site == site.site
        before = connection.execute(sa.select(SITES.c.at).where(of_site)).first()
        if before is None or before.at is None:
            rows = {(values := _with_document(looked))["key"]: values for looked in asked}
            _keep_machines(connection, site.site, rows)
        if before is None:
            _put_site(
                connection,
                site=site.site,
                at=None,
                tried=tried,
                problem=why,
                frozen="",
                version="",
                document=site.model_dump_json(),
            )
        else:
            connection.execute(sa.update(SITES).where(of_site).values(tried=tried, problem=why))


def keep_clients(
    database: Database,
    clients: Iterable[LookedClient],
    endings: Iterable[Ending],
    sites: Sequence[str],
) -> None:
    """Write down the clients, and count their machines: those of sites that are away as they were last read.

    Args:
        database: where.
        clients: all of them.
        endings: what ends: quotes and contracts.
        sites: all sites of the site file; of others nothing is kept.

    Raises:
        HistoryUnavailable: it could not be written.
    """
    documents = {looked.client: looked for looked in clients}
    with database.writing() as connection:
        gone = MACHINES.c.site.not_in(sites)
        connection.execute(
            sa.delete(MACHINE_DOCUMENTS).where(
                MACHINE_DOCUMENTS.c.key.in_(sa.select(MACHINES.c.key).where(gone))
            )
        )
        connection.execute(sa.delete(MACHINES).where(gone))
        connection.execute(sa.delete(SITES).where(SITES.c.site.not_in(sites)))
        counted = {row["client"]: dict(row) for row in connection.execute(_COUNTS).mappings()}
        connection.execute(sa.delete(CLIENTS))
        rows = [
            {
                **_NOTHING,
                **counted.get(name, {}),
                **client_values(looked),
                "document": looked.model_dump_json(),
            }
            for name, looked in documents.items()
        ]
        if rows:
            connection.execute(sa.insert(CLIENTS), rows)
        connection.execute(sa.delete(ENDINGS))
        ends = {(item.client, item.kind, item.name): item.last_day.isoformat() for item in endings}
        if ends:
            connection.execute(
                sa.insert(ENDINGS),
                [
                    {"client": client, "kind": kind, "reference": name, "last_day": day}
                    for (client, kind, name), day in ends.items()
                ],
            )


def take_turn(
    database: Database,
    holder: str,
    now: dt.datetime,
    limit: dt.timedelta,
    gone: Callable[[str], bool] = lambda _: False,
) -> bool:
    """Begin a look, if nobody else is at it. Whoever was killed at it holds it up until its time is over, at most.

    Args:
        database: where.
        holder: who, unlike anybody else.
        now: the time, aware.
        limit: how long the look may take.
        gone: whether a holder is known to be at it no more.

    Raises:
        HistoryUnavailable: it could not be written.
    """
    seconds = int(now.timestamp())
    with database.writing() as connection:
        there = connection.execute(sa.select(TURN).with_for_update()).first()
        until = seconds + int(limit.total_seconds())
        if there is not None and seconds < there.until <= until + _SKEW and not gone(there.holder):
            return False
        connection.execute(sa.delete(TURN))
        connection.execute(sa.insert(TURN).values(id=1, holder=holder, since=seconds, until=until))
    return True


def end_turn(database: Database, holder: str) -> None:
    """End a look that was begun.

    Raises:
        HistoryUnavailable: it could not be written.
    """
    with database.writing() as connection:
        connection.execute(sa.delete(TURN).where(TURN.c.holder == holder))


def _keep_machines(connection: sa.Connection, site: str, rows: dict[str, dict[str, Any]]) -> Kept:
    there = sa.select(MACHINES.c.key, MACHINES.c.digest).where(MACHINES.c.site == site)
    before = {key: digest for key, digest in connection.execute(there)}  # noqa: C416  (rows are no pairs)
    changed = [values for key, values in rows.items() if before.get(key) != values["digest"]]
    gone = [key for key in before if key not in rows]
    leaving = [*gone, *(values["key"] for values in changed if values["key"] in before)]
    for start in range(0, len(leaving), _AT_ONCE):
        keys = leaving[start : start + _AT_ONCE]
        for table in (MACHINES, MACHINE_DOCUMENTS):
            connection.execute(sa.delete(table).where(table.c.key.in_(keys)))
    if changed:
        documents = [{"key": values["key"], "document": values.pop("document")} for values in changed]
        connection.execute(sa.insert(MACHINES), changed)
        connection.execute(sa.insert(MACHINE_DOCUMENTS), documents)
    return Kept(written=len(changed), removed=len(gone))


def _with_document(looked: LookedMachine) -> dict[str, Any]:
    document = looked.model_dump_json()
    digest = hashlib.sha256(_FORM + document.encode()).hexdigest()
    return {**machine_values(looked), "digest": digest, "document": document}


def _put_site(connection: sa.Connection, **values: Any) -> None:
    connection.execute(sa.delete(SITES).where(SITES.c.site == values["site"]))
    connection.execute(sa.insert(SITES).values(**values))


def _how_many(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


_COUNTS = sa.select(
    MACHINES.c.client,
    sa.func.count().label("machines"),
    _how_many(MACHINES.c.running.is_(True)).label("running"),
    sa.func.sum(MACHINES.c.vcpus).label("vcpus"),
    sa.func.sum(MACHINES.c.memory_mib).label("memory_mib"),
    sa.func.sum(MACHINES.c.disk_gib).label("disk_gib"),
    sa.func.sum(MACHINES.c.backup_bytes).label("backup_bytes"),
    _how_many(MACHINES.c.state == "missing").label("missing"),
    _how_many(MACHINES.c.state.in_(("unreadable", "unknown"))).label("unreadable"),
    _how_many(MACHINES.c.restart != "").label("restarts_due"),
    _how_many(MACHINES.c.updates_due > 0).label("updates_due"),
    _how_many(MACHINES.c.held.is_not(None)).label("held"),
).group_by(MACHINES.c.client)
_NOTHING: dict[str, float] = {
    column.name: 0 for column in _COUNTS.selected_columns if column.name != "client"
}
