"""The whole estate at a glance, as data: sites, nodes, storages, clients, machines. Filtered and sorted here.

Every row is flat: its fields are the keys of the JSON and the columns of the CSV.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from orchestrator.resources.without_file import WithoutFile

VERSION = 1
"""Of the JSON."""


class State(StrEnum):
    """Of a machine."""

    RUNNING = "running"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    UNFINISHED = "unfinished"
    """Its creation did not end."""
    MISSING = "missing"
    """A file asks for it, and it is not there."""
    UNREADABLE = "unreadable"
    """What is it, or may be it, could not be read."""
    UNKNOWN = "unknown"
    """Its site could not be read."""


class Table(StrEnum):
    """What an estate consists of."""

    NODES = "nodes"
    STORAGES = "storages"
    CLIENTS = "clients"
    MACHINES = "machines"


class Due(StrEnum):
    """What may be due in a machine."""

    RESTARTS = "restarts"
    UPDATES = "updates"


class SortKey(StrEnum):
    """What machines are sorted by."""

    NAME = "name"
    SITE = "site"
    STATE = "state"
    VCPUS = "vcpus"
    MEMORY = "memory"
    DISK = "disk"
    BACKUP = "backup"
    TESTED = "tested"
    UPDATES = "updates"


LATE = dt.timedelta(days=2)
"""The age from which a last good backup is told as late: two nights did not make one."""

_IN_SERVICE = (State.RUNNING, State.STOPPED, State.UNREADABLE)
"""What should have backups."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EstateMachine:
    """A machine of ours, or one that a file asks for.

    Attributes:
        node, vmid: where it is; None if that is not known, or it is not there.
        running: whether it is switched on; None if that is not known.
        in_file: whether a file has it; None if no files were read, or its client's file was not given or has errors.
        vcpus, memory_mib, disk_gib: what it was promised: by its file; else what it has. 0 of a retired one, which
            holds its disks alone.
        backup_days: how long its backups are kept; None if its backup is off.
        last_backup: when the last good one was made (aware); None if there is none.
        backups_known: whether all backup storages of its site could be listed.
        tested: the day a backup of it was last restored and found sound; None: never, or that is not known.
        restart: settings that wait for its next start; ``cloud-init`` for those that Proxmox does not name.
        restart_since: when they were written (aware), as far as the history or the mark knows.
        updates_due: packages, as the last night saw them; None if no night looked.
        held: why it is held back until somebody has looked; None if it is not.
        held_from: what from: automatic updates, or a restart.
        held_since: since when (aware).
        problem: why it could not be read; empty if it was.
    """

    client: str
    machine: str
    site: str
    node: str | None = None
    vmid: int | None = None
    contract: str = ""
    offer: str = ""
    state: State
    running: bool | None = None
    in_file: bool | None = None
    vcpus: int = 0
    memory_mib: int = 0
    disk_gib: float = 0.0
    backup_days: int | None = None
    last_backup: dt.datetime | None = None
    backups_known: bool = True
    tested: dt.date | None = None
    restart: tuple[str, ...] = ()
    restart_since: dt.datetime | None = None
    updates_due: int | None = None
    held: str | None = None
    held_from: Literal["updates", "restart"] | None = None
    held_since: dt.datetime | None = None
    problem: str = ""

    def without_backup(self, now: dt.datetime, age: dt.timedelta) -> bool:
        """Whether it is in service, its backup is on, and no good one is known that is at most so old."""
        wanted = self.backup_days is not None and self.state in _IN_SERVICE
        return wanted and (self.last_backup is None or now - self.last_backup > age)


@dataclass(frozen=True, kw_only=True, slots=True)
class EstateNode:
    """A node, with what its machines were promised.

    Attributes:
        node: its name; empty: machines of the site that are not made yet.
        state: ``online``, ``off``, ``silent`` (it keeps its figures to itself) or, without a node, empty.
        vcpus, memory_mib: what it has; 0 if that is not known.
        vcpus_others, memory_mib_others: of running guests that are not ours.
        over_promised: whether more is promised, with what the others have, than there is.
    """

    site: str
    node: str
    state: str
    machines: int
    vcpus: int
    vcpus_promised: int
    vcpus_others: int
    vcpus_over_promised: bool
    memory_mib: int
    memory_mib_promised: int
    memory_mib_others: int
    memory_over_promised: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EstateStorage:
    """A storage of machines' disks, or of their backups.

    Attributes:
        node: where it is; empty if several nodes share it, or for disks that are not made yet.
        size_bytes, used_bytes: 0 if that is not known.
        promised_bytes: the full size of the disks on it; None for backups.
    """

    site: str
    storage: str
    node: str
    purpose: Literal["machines", "backups"]
    status: str
    size_bytes: int
    used_bytes: int
    promised_bytes: int | None
    over_promised: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EstateClient:
    """A client: what it was promised, and how many of its machines need somebody.

    Attributes:
        file: ``yes``; ``errors``: it has some, so what it asks for is not known; ``none``; None if it is not known.
        without_backup: machines whose backup is on and that have no good one of the last two days.
    """

    client: str
    contracts: tuple[str, ...]
    file: Literal["yes", "errors", "none"] | None
    machines: int
    running: int
    vcpus: int
    memory_mib: int
    disk_gib: float
    missing: int
    restarts_due: int
    updates_due: int
    held: int
    without_backup: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EstateSite:
    """A site: its version of Proxmox VE, or why it could not be read."""

    site: str
    version: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Estate:
    """Everything.

    Attributes:
        at: when it was read (aware).
        files: whether subscription files were read.
        without_file: the clients that have machines and no file among those given.
        problems: what could not be read besides, human-readable.
        incomplete: whether anything is missing or unknown because it could not be read.
    """

    at: dt.datetime
    files: bool
    sites: tuple[EstateSite, ...] = ()
    nodes: tuple[EstateNode, ...] = ()
    storages: tuple[EstateStorage, ...] = ()
    clients: tuple[EstateClient, ...] = ()
    machines: tuple[EstateMachine, ...] = ()
    without_file: tuple[WithoutFile, ...] = ()
    problems: tuple[str, ...] = ()
    incomplete: bool = False

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "version": VERSION,
            "at": self.at.isoformat(),
            "files": self.files,
            "incomplete": self.incomplete,
            "sites": [row_data(row) for row in self.sites],
            **{table.value: [row_data(row) for row in self.table(table)] for table in Table},
            "without_file": [row_data(row) for row in self.without_file],
            "problems": list(self.problems),
        }

    def table(self, name: Table) -> tuple[Any, ...]:
        """The rows of one table."""
        rows: tuple[Any, ...] = getattr(self, name.value)
        return rows


ROWS = {
    Table.NODES: EstateNode,
    Table.STORAGES: EstateStorage,
    Table.CLIENTS: EstateClient,
    Table.MACHINES: EstateMachine,
}


def row_data(row: Any) -> dict[str, Any]:
    """A row's fields, as JSON has them."""
    return {field.name: _plain(getattr(row, field.name)) for field in fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):  # a moment is a date, too
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which machines are asked for; all of them if nothing is named.

    Attributes:
        clients, states: any of these.
        nodes: any of these.
        without_backup: those that should have a good backup that is at most so old, and have none.
        due: those in which any of this is due.
        held: those held back until somebody has looked.
        without_file: those that no file has.
    """

    clients: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    states: frozenset[State] = frozenset()
    without_backup: dt.timedelta | None = None
    due: frozenset[Due] = frozenset()
    held: bool = False
    without_file: bool = False

    @property
    def any(self) -> bool:
        """Whether machines are left out."""
        return self != Filters()

    def include(self, row: EstateMachine, now: dt.datetime) -> bool:
        """Whether a machine is asked for: by every filter that is named."""
        return (
            (not self.clients or row.client in self.clients)
            and (not self.nodes or row.node in self.nodes)
            and (not self.states or row.state in self.states)
            and (self.without_backup is None or row.without_backup(now, self.without_backup))
            and (
                not self.due
                or (Due.RESTARTS in self.due and bool(row.restart))
                or (Due.UPDATES in self.due and bool(row.updates_due))
            )
            and (not self.held or row.held is not None)
            and (not self.without_file or row.in_file is False)
        )


_SORTED_BY: dict[SortKey, Callable[[EstateMachine], Any]] = {
    SortKey.NAME: lambda row: (row.client, row.machine),
    SortKey.SITE: lambda row: (row.site, row.node or ""),
    SortKey.STATE: lambda row: row.state,
    SortKey.VCPUS: lambda row: row.vcpus,
    SortKey.MEMORY: lambda row: row.memory_mib,
    SortKey.DISK: lambda row: row.disk_gib,
    SortKey.BACKUP: lambda row: row.last_backup.timestamp() if row.last_backup else 0.0,
    SortKey.TESTED: lambda row: row.tested.toordinal() if row.tested else 0,
    SortKey.UPDATES: lambda row: row.updates_due or 0,
}


def chosen(estate: Estate, filters: Filters, key: SortKey, *, reverse: bool) -> Estate:
    """The estate with the machines that are asked for, and their clients; the smallest, or oldest, come first.

    Nodes and storages stay as they are: what is promised on them is not less because it is not shown.
    """
    by_name = sorted(estate.machines, key=_SORTED_BY[SortKey.NAME])
    kept = [row for row in by_name if filters.include(row, estate.at)]
    kept.sort(
        key=_SORTED_BY[key], reverse=reverse
    )  # stable: those that are alike stay in the order of their names
    clients = estate.clients
    if filters.any:
        there = {row.client for row in kept}
        clients = tuple(row for row in clients if row.client in there)
    nodes: Iterable[EstateNode] = estate.nodes
    if filters.nodes:
        nodes = (row for row in nodes if row.node in filters.nodes)
    return replace(estate, machines=tuple(kept), clients=clients, nodes=tuple(nodes))
