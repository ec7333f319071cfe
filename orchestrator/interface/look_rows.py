"""The rows of lists: what is filtered and sorted by, of a machine and of a client."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.interface.looked import LookedClient, LookedMachine


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineRow:
    """A machine in a list. Its document has more: :func:`orchestrator.interface.looks.machine`.

    Attributes:
        state: a :class:`orchestrator.reports.estate.State`.
        running: None if that is not known.
        in_file: None if no files were read, or its client's file has errors.
        backup_days: None if its backup is off.
        last_backup: when the last good one was made; None: there is none, or that is not known.
        backups_known: whether all backup storages of its site could be listed.
        backups, backup_bytes: how many are kept, and their size.
        tested: the day one was last restored and found sound.
        restart: the attributes that wait for its next start.
        updates_due: packages; None if no night has looked.
        held: why it is held back until somebody has looked; None: it is not.
        problem: why it could not be read.
        address: the first one.
    """

    client: str
    machine: str
    site: str
    node: str | None
    vmid: int | None
    contract: str
    offer: str
    state: str
    running: bool | None
    in_file: bool | None
    vcpus: int
    memory_mib: int
    disk_gib: float
    backup_days: int | None
    last_backup: dt.datetime | None
    backups_known: bool
    backups: int
    backup_bytes: int
    tested: dt.date | None
    restart: tuple[str, ...]
    restart_since: dt.datetime | None
    updates_due: int | None
    held: str | None
    held_from: Literal["updates", "restart"] | None
    held_since: dt.datetime | None
    problem: str
    address: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientRow:
    """A client in a list.

    Attributes:
        contract: the references, one after the other.
        offers, sites: of its machines.
        file: ``yes``, ``errors``, ``none``; None: no files were read.
        standing: of the contract; None: it has no file without errors.
        level: of managed services; None: there are none.
        free_changes, free_used: standard changes of the month that are not charged (article 3.8.4), and how many of
            them are used; None: there are none, or that is not known.
        missing, unreadable, restarts_due, updates_due, held: machines.
        backup_bytes: of all its backups.
    """

    client: str
    contract: str
    offers: tuple[str, ...]
    sites: tuple[str, ...]
    file: Literal["yes", "errors", "none"] | None
    standing: str | None
    level: str | None
    free_changes: int | None
    free_used: int | None
    machines: int
    running: int
    vcpus: int
    memory_mib: int
    disk_gib: float
    missing: int
    unreadable: int
    restarts_due: int
    updates_due: int
    held: int
    backup_bytes: int


MACHINE_COLUMNS = tuple(field.name for field in fields(MachineRow))
CLIENT_COLUMNS = tuple(field.name for field in fields(ClientRow))


def machine_values(looked: LookedMachine) -> dict[str, Any]:
    """The columns of a machine, from its document."""
    hold, backups = looked.hold, looked.backups
    vmid = "" if looked.vmid is None else str(looked.vmid)
    return {
        "key": f"{looked.site}/{looked.client}/{looked.machine}/{vmid}",
        **{
            name: getattr(looked, name)
            for name in ("client", "machine", "site", "node", "vmid", "contract", "offer", "state", "running",
                         "in_file", "vcpus", "memory_mib", "disk_gib", "updates_due", "problem", "address")
        },
        "backup_days": backups.days,
        "last_backup": _seconds(backups.last_good) or 0,
        "backups_known": backups.known,
        "backups": len(backups.kept),
        "backup_bytes": backups.volume,
        "tested": backups.last_test.isoformat() if backups.last_test else None,
        "restart": " / ".join(looked.waiting_for),
        "restart_since": _seconds(looked.waiting_since),
        "held": hold.reason if hold else None,
        "held_from": hold.kind if hold else None,
        "held_since": _seconds(hold.since) if hold else None,
        "findable": findable(f"{looked.client}/{looked.machine}", *looked.addresses, vmid, looked.node or ""),
    }  # fmt: skip


def client_values(looked: LookedClient) -> dict[str, Any]:
    """The columns of a client, from its document; those of its machines are counted where they are."""
    contract = looked.contract
    return {
        "client": looked.client,
        "contract": " ".join(looked.contracts),
        "offers": " ".join(looked.offers),
        "sites": " ".join(looked.sites),
        "file": looked.file,
        "standing": contract.standing if contract else None,
        "level": contract.level if contract else None,
        "free_changes": contract.free_changes if contract else None,
        "free_used": contract.free_used if contract else None,
        "findable": findable(looked.client, *looked.contracts, *_references(looked)),
    }


def _references(looked: LookedClient) -> Iterable[str]:
    contract = looked.contract
    terms = (*contract.quotes, *contract.orders, *contract.catalogue) if contract else ()
    return (term.reference for term in terms)


def findable(*words: str) -> str:
    """What a search goes through: each word between blanks, in small letters."""
    return f" {' '.join(word for word in words if word)} ".lower()


def machine_row(found: Mapping[str, Any]) -> MachineRow:
    """A row as it was read."""
    values = {name: found[name] for name in MACHINE_COLUMNS}
    values["last_backup"] = values["last_backup"] or None
    for name in ("last_backup", "restart_since", "held_since"):
        values[name] = moment(values[name])
    values["tested"] = dt.date.fromisoformat(values["tested"]) if values["tested"] else None
    values["restart"] = tuple(values["restart"].split(" / ")) if values["restart"] else ()
    return MachineRow(**values)


def client_row(found: Mapping[str, Any]) -> ClientRow:
    """A row as it was read."""
    values = {name: found[name] for name in CLIENT_COLUMNS}
    for name in ("offers", "sites"):
        values[name] = tuple(values[name].split())
    return ClientRow(**values)


def moment(seconds: int | None) -> dt.datetime | None:
    """A moment as it is kept, in seconds since the epoch."""
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


def _seconds(at: dt.datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
