"""The last look: what the pages show of sites, clients and machines, as it was when they were last read.

Pages ask here and never a hypervisor, so they answer while one is away, and say since when. Every function is a
constant number of queries, whatever there is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface.look_rows import (
    CLIENT_COLUMNS,
    MACHINE_COLUMNS,
    ClientRow,
    MachineRow,
    client_row,
    machine_row,
    moment,
)
from orchestrator.interface.look_tables import (
    CLIENTS,
    ENDINGS,
    MACHINE_DOCUMENTS,
    MACHINES,
    SITES,
    TURN,
)
from orchestrator.interface.looked import Looked, LookedClient, LookedMachine, LookedSite

if TYPE_CHECKING:
    from orchestrator.history.database import Database

Row = TypeVar("Row")
Document = TypeVar("Document", bound=Looked)

LATE = dt.timedelta(days=2)
"""The age from which a last good backup is told as late: two nights did not make one."""

LARGEST_PAGE = 200
"""Rows of one page of a list."""

_OUT_OF_SERVICE = ("suspended", "retired", "unfinished", "missing", "unknown")
"""States in which no backup is expected. By these, so that the index of the last backups is used."""

_LONGEST_TEXT = 200


@dataclass(frozen=True, kw_only=True)
class SiteRow:
    """When a site was read.

    Attributes:
        at: when it was last read; None: it never was.
        tried: when that was last tried.
        problem: why the last try failed; empty: it did not.
        frozen: who stopped every change, and why; empty: nobody did.
        document: what else was found.
    """

    site: str
    at: dt.datetime | None
    tried: dt.datetime
    problem: str
    frozen: str
    version: str
    document: LookedSite


@dataclass(frozen=True, kw_only=True)
class EndingRow:
    """Something that has a last day: a ``quote``, a ``licence`` or a ``contract``."""

    client: str
    kind: str
    reference: str
    last_day: dt.date


@dataclass(frozen=True, kw_only=True)
class LookUnderWay:
    """A look that somebody is at."""

    since: dt.datetime
    until: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Totals:
    """How much there is, of all sites."""

    clients: int
    machines: int
    running: int
    backup_bytes: int


@dataclass(frozen=True, kw_only=True)
class Found(Generic[Row]):
    """One page of a list.

    Attributes:
        total: rows of all pages.
        page: from 1; the last one, if one behind it was asked for.
        pages: 1 at least.
    """

    rows: tuple[Row, ...]
    total: int
    page: int
    pages: int


class MachineSort(StrEnum):
    """What machines are sorted by."""

    NAME = "name"
    SITE = "site"
    NODE = "node"
    STATE = "state"
    OFFER = "offer"
    VCPUS = "vcpus"
    MEMORY = "memory"
    DISK = "disk"
    BACKUP = "backup"
    VOLUME = "volume"
    TESTED = "tested"
    UPDATES = "updates"


class ClientSort(StrEnum):
    """What clients are sorted by."""

    NAME = "name"
    CONTRACT = "contract"
    MACHINES = "machines"
    VCPUS = "vcpus"
    MEMORY = "memory"
    DISK = "disk"
    VOLUME = "volume"


@dataclass(frozen=True, kw_only=True)
class MachineFilter:
    """Which machines are asked for: those that every part includes; all of them if nothing is named.

    Attributes:
        text: part of client, machine, node; a number: of the VM; an address.
        clients, sites, nodes, states, offers: any of these.
        late: those whose backup is on and that have no good one of the last two days.
        restart_due, updates_due, held: those of which that holds.
        without_file: those that no file has.
        unread: those that could not be read.
    """

    text: str = ""
    clients: Collection[str] = ()
    sites: Collection[str] = ()
    nodes: Collection[str] = ()
    states: Collection[str] = ()
    offers: Collection[str] = ()
    late: bool = False
    restart_due: bool = False
    updates_due: bool = False
    held: bool = False
    without_file: bool = False
    unread: bool = False

    def conditions(self, now: dt.datetime) -> list[sa.ColumnElement[bool]]:
        """As the database asks for it."""
        columns = MACHINES.c
        found: list[sa.ColumnElement[bool]] = []
        for column, values in (
            (columns.client, self.clients),
            (columns.site, self.sites),
            (columns.node, self.nodes),
            (columns.state, self.states),
            (columns.offer, self.offers),
        ):
            if values:
                found.append(column.in_(list(values)))
        if self.late:
            before = int((now - LATE).timestamp())
            found += [
                columns.backup_days.is_not(None),
                columns.state.not_in(_OUT_OF_SERVICE),
                columns.last_backup < before,
            ]
        if self.restart_due:
            found.append(columns.restart != "")
        if self.updates_due:
            found.append(columns.updates_due > 0)
        if self.held:
            found.append(columns.held.is_not(None))
        if self.without_file:
            found.append(columns.in_file.is_(False))
        if self.unread:
            found.append(columns.state.in_(("unreadable", "unknown")))
        if self.text.strip():
            found.append(_matching(columns.findable, self.text))
        return found


_MACHINES_BY: Mapping[MachineSort, tuple[sa.Column[Any], ...]] = {
    MachineSort.NAME: (),
    MachineSort.SITE: (MACHINES.c.site, MACHINES.c.node),
    MachineSort.NODE: (MACHINES.c.node,),
    MachineSort.STATE: (MACHINES.c.state,),
    MachineSort.OFFER: (MACHINES.c.offer,),
    MachineSort.VCPUS: (MACHINES.c.vcpus,),
    MachineSort.MEMORY: (MACHINES.c.memory_mib,),
    MachineSort.DISK: (MACHINES.c.disk_gib,),
    MachineSort.BACKUP: (MACHINES.c.last_backup,),
    MachineSort.VOLUME: (MACHINES.c.backup_bytes,),
    MachineSort.TESTED: (MACHINES.c.tested,),
    MachineSort.UPDATES: (MACHINES.c.updates_due,),
}
_CLIENTS_BY: Mapping[ClientSort, tuple[sa.Column[Any], ...]] = {
    ClientSort.NAME: (),
    ClientSort.CONTRACT: (CLIENTS.c.contract,),
    ClientSort.MACHINES: (CLIENTS.c.machines,),
    ClientSort.VCPUS: (CLIENTS.c.vcpus,),
    ClientSort.MEMORY: (CLIENTS.c.memory_mib,),
    ClientSort.DISK: (CLIENTS.c.disk_gib,),
    ClientSort.VOLUME: (CLIENTS.c.backup_bytes,),
}
_MACHINE_ROW = [MACHINES.c[name] for name in MACHINE_COLUMNS]
_CLIENT_ROW = [CLIENTS.c[name] for name in CLIENT_COLUMNS]


def machine(database: Database, client: str, name: str) -> LookedMachine | None:
    """All that is known of one machine: one query. None: there is none of that name.

    Where several claim to be it, the one that could be read.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    asked = (
        sa.select(MACHINE_DOCUMENTS.c.document)
        .join(MACHINES, MACHINES.c.key == MACHINE_DOCUMENTS.c.key)
        .where(MACHINES.c.client == client, MACHINES.c.machine == name)
        .order_by(MACHINES.c.state.in_(("unreadable", "unknown", "missing")), MACHINES.c.key)
        .limit(1)
    )
    with database.reading() as connection:
        found = connection.execute(asked).scalar()
    return None if found is None else _document(LookedMachine, found)


def machines_of(database: Database, client: str) -> tuple[LookedMachine, ...]:
    """All that is known of a client's machines, by name: one query.

    Raises:
        HistoryUnavailable: they could not be read.
    """
    asked = (
        sa.select(MACHINE_DOCUMENTS.c.document)
        .join(MACHINES, MACHINES.c.key == MACHINE_DOCUMENTS.c.key)
        .where(MACHINES.c.client == client)
        .order_by(MACHINES.c.machine, MACHINES.c.key)
    )
    with database.reading() as connection:
        found = connection.execute(asked).scalars().all()
    return tuple(_document(LookedMachine, text) for text in found)


def machine_rows(
    database: Database,
    wanted: MachineFilter,
    now: dt.datetime,
    *,
    sort: MachineSort = MachineSort.NAME,
    descending: bool = False,
    page: int = 1,
    size: int = 50,
) -> Found[MachineRow]:
    """One page of the machines: two queries.

    Args:
        database: where.
        wanted: which.
        now: the time, aware.
        sort, descending: what has nothing there comes first, or last where it is turned round.
        page: from 1.
        size: rows of a page, 1 to :data:`LARGEST_PAGE`.

    Raises:
        HistoryUnavailable: they could not be read.
    """
    ends = (MACHINES.c.client, MACHINES.c.machine, MACHINES.c.key)
    order = _order(_MACHINES_BY[sort], ends, descending=descending)
    found = _page(database, _MACHINE_ROW, wanted.conditions(now), order, page, size)
    return Found(
        rows=tuple(machine_row(row) for row in found.rows),
        total=found.total,
        page=found.page,
        pages=found.pages,
    )


def clients(
    database: Database,
    *,
    text: str = "",
    file: str = "",
    sort: ClientSort = ClientSort.NAME,
    descending: bool = False,
    page: int = 1,
    size: int = 50,
) -> Found[ClientRow]:
    """One page of the clients: two queries.

    Args:
        database: where.
        text: part of the name, of a contract's reference, or of a quote's or an order's; all of them if empty.
        file: only those whose file is so: ``yes``, ``errors``, ``none``.
        sort, descending: as of :func:`machine_rows`.
        page: from 1.
        size: rows of a page.

    Raises:
        HistoryUnavailable: they could not be read.
    """
    conditions = [_matching(CLIENTS.c.findable, text)] if text.strip() else []
    if file:
        conditions.append(CLIENTS.c.file == file)
    order = _order(_CLIENTS_BY[sort], (CLIENTS.c.client,), descending=descending)
    found = _page(database, _CLIENT_ROW, conditions, order, page, size)
    return Found(
        rows=tuple(client_row(row) for row in found.rows),
        total=found.total,
        page=found.page,
        pages=found.pages,
    )


def client(database: Database, name: str) -> tuple[ClientRow, LookedClient] | None:
    """All that is known of one client beside its machines: one query. None: there is none of that name.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    asked = sa.select(*_CLIENT_ROW, CLIENTS.c.document).where(CLIENTS.c.client == name)
    with database.reading() as connection:
        found = connection.execute(asked).mappings().first()
    return None if found is None else (client_row(dict(found)), _document(LookedClient, found["document"]))


def site_looks(database: Database) -> tuple[SiteRow, ...]:
    """When each site was read, and what else was found there, by name: one query.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    with database.reading() as connection:
        found = connection.execute(sa.select(SITES).order_by(SITES.c.site)).mappings().all()
    return tuple(
        SiteRow(
            site=row["site"],
            at=moment(row["at"]),
            tried=dt.datetime.fromtimestamp(row["tried"], dt.UTC),
            problem=row["problem"],
            frozen=row["frozen"],
            version=row["version"],
            document=_document(LookedSite, row["document"]),
        )
        for row in found
    )


def endings(database: Database, first: dt.date, last: dt.date) -> tuple[EndingRow, ...]:
    """What ends between two days, the next one first: one query.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    asked = (
        sa.select(ENDINGS)
        .where(ENDINGS.c.last_day.between(first.isoformat(), last.isoformat()))
        .order_by(ENDINGS.c.last_day, ENDINGS.c.client, ENDINGS.c.reference)
    )
    with database.reading() as connection:
        found = connection.execute(asked).mappings().all()
    return tuple(
        EndingRow(
            client=row["client"],
            kind=row["kind"],
            reference=row["reference"],
            last_day=dt.date.fromisoformat(row["last_day"]),
        )
        for row in found
    )


def under_way(database: Database, now: dt.datetime) -> LookUnderWay | None:
    """The look that somebody is at; None: nobody is.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    with database.reading() as connection:
        found = connection.execute(sa.select(TURN).where(TURN.c.until > int(now.timestamp()))).first()
    if found is None:
        return None
    since, until = (dt.datetime.fromtimestamp(seconds, dt.UTC) for seconds in (found.since, found.until))
    return LookUnderWay(since=since, until=until)


def totals(database: Database) -> Totals:
    """How much there is: one query.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    asked = sa.select(
        sa.select(sa.func.count()).select_from(CLIENTS).scalar_subquery().label("clients"),
        sa.func.count().label("machines"),
        sa.func.coalesce(sa.func.sum(sa.case((MACHINES.c.running.is_(True), 1), else_=0)), 0).label(
            "running"
        ),
        sa.func.coalesce(sa.func.sum(MACHINES.c.backup_bytes), 0).label("backup_bytes"),
    ).select_from(MACHINES)
    with database.reading() as connection:
        found = connection.execute(asked).one()
    return Totals(
        clients=found.clients,
        machines=found.machines,
        running=int(found.running),
        backup_bytes=int(found.backup_bytes),
    )


def choices(database: Database) -> Mapping[str, tuple[str, ...]]:
    """What the machines can be filtered by: the names of ``sites``, ``nodes``, ``offers``, ``states``: one query.

    Raises:
        HistoryUnavailable: they could not be read.
    """
    asked = sa.select(*(MACHINES.c[name] for name in ("site", "node", "offer", "state"))).distinct()
    found: dict[str, set[str]] = {name: set() for name in ("sites", "nodes", "offers", "states")}
    with database.reading() as connection:
        for row in connection.execute(asked):
            for names, name in zip(found.values(), row, strict=True):
                names.update({name} if name else ())
    return {what: tuple(sorted(names)) for what, names in found.items()}


def _page(
    database: Database,
    columns: Sequence[sa.Column[Any]],
    conditions: Sequence[sa.ColumnElement[bool]],
    order: Sequence[sa.ColumnElement[Any]],
    page: int,
    size: int,
) -> Found[Mapping[str, Any]]:
    size = min(max(size, 1), LARGEST_PAGE)
    table = columns[0].table
    (key,) = sa.inspect(table).primary_key.columns
    with database.reading() as connection:
        total = connection.execute(
            sa.select(sa.func.count()).select_from(table).where(*conditions)
        ).scalar_one()
        pages = max(-(-total // size), 1)
        page = min(max(page, 1), pages)
        # Rows are wide: those of the pages before are passed over in an index where one has the order.
        keys = sa.select(key).where(*conditions).order_by(*order).limit(size).offset((page - 1) * size)
        asked = sa.select(*columns).where(key.in_(keys)).order_by(*order)
        rows = tuple(dict(row) for row in connection.execute(asked).mappings())
    return Found(rows=rows, total=total, page=page, pages=pages)


def _order(
    columns: Sequence[sa.Column[Any]], ends: Sequence[sa.Column[Any]], *, descending: bool
) -> list[sa.ColumnElement[Any]]:
    """What is alike stays in the order of the names, unless these are what it is sorted by."""
    if not columns:
        return [column.desc() if descending else column.asc() for column in ends]
    if descending:
        return [*(column.desc().nulls_last() for column in columns), *ends]
    return [*(column.asc().nulls_first() for column in columns), *ends]


def _matching(column: sa.Column[Any], text: str) -> sa.ColumnElement[bool]:
    """Each word is part of what can be found; an address, and a number, is a whole word of it."""
    words = text.lower()[:_LONGEST_TEXT].split()
    return sa.and_(
        *(column.contains(f" {word} " if _is_address(word) else word, autoescape=True) for word in words)
    )


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True


def _document(form: type[Document], text: str) -> Document:
    try:
        return form.model_validate_json(text)
    except ValidationError:
        raise HistoryUnavailable(
            "the last look was written by another version of orchestrator: renew it (orchestrator look)"
        ) from None
