"""Backup archives on a storage, and what can be done with one."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from orchestrator.proxmox.errors import BadAnswer
from orchestrator.proxmox.shapes import FLAG, LINE, PLAIN, SIZE, TEXT, TIME, VMID, Record, Scalar, wrong

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster

_BACKUP_SERVER = "pbs-vm"
"""The format of an archive on a Proxmox Backup Server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredArchive:
    """One backup archive of a VM as its storage lists it.

    Attributes:
        volid: ``STORAGE:backup/vzdump-qemu-101-2026_11_23-05_48_23.vma.zst``; on a backup server
            ``STORAGE:backup/vm/101/2026-11-23T04:48:23Z``.
        node: a node that reaches its storage.
        vmid: the VM it was made of.
        taken_at: when (aware, UTC).
        size: bytes; on a backup server those of the disks, before deduplication; 0: it is not complete.
        protected: whether Proxmox refuses to remove it.
        deduplicated: whether it is on a Proxmox Backup Server.
        verification: what the server's last verification of it found: ``ok``, ``failed``; empty: none was made.
        encrypted: whether only who has the key of the storage can read it.
    """

    volid: str
    storage: str
    node: str
    vmid: int
    taken_at: dt.datetime
    size: int
    notes: str
    protected: bool
    deduplicated: bool = False
    verification: Literal["", "ok", "failed"] = ""
    encrypted: bool = False

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/nodes/{self.node}/storage/{self.storage}/content/{quote(self.volid, safe=':/')}"


@dataclass(frozen=True, kw_only=True)
class ArchiveListing:
    """What a storage lists.

    Attributes:
        archives: the oldest first.
        bad: what is wrong with each entry that could not be read, by the VM that it names; None: it names none. Such an
            archive is there all the same: nothing may be concluded from its absence from ``archives``.
    """

    archives: tuple[StoredArchive, ...]
    bad: tuple[tuple[int | None, str], ...] = ()


def list_archives(cluster: Cluster, node: str, storage: str, *, vmid: int | None = None) -> ArchiveListing:
    """List the archives of one VM, or of all, on a storage, whatever their number: one call.

    Args:
        cluster: the API.
        node: a node that reaches the storage.
        storage: its name.
        vmid: only this VM's.

    Raises:
        ProxmoxError: the storage is away, or could not be read.
    """
    archives: list[StoredArchive] = []
    bad: list[tuple[int | None, str]] = []
    read = _EntryReader(node, storage, bad)
    for entry in cluster.get(_content(node, storage), content="backup", vmid=vmid):
        if (archive := read(entry)) is not None:
            archives.append(archive)
    archives.sort(key=lambda archive: (archive.taken_at, archive.volid))
    return ArchiveListing(archives=tuple(archives), bad=tuple(bad))


def newest_archives(
    cluster: Cluster,
    node: str,
    storage: str,
    *,
    passed_over: Callable[[str, int], bool],
    bad: list[tuple[int | None, str]],
) -> Iterator[StoredArchive]:
    """List the archives of all VMs on a storage, the newest first, without those that need not be looked at: one call.

    A storage may have hundreds of thousands, of which one a machine is wanted: what is passed over is not even checked.

    Args:
        cluster: the API.
        node: a node that reaches the storage.
        storage: its name.
        passed_over: asked of each, right before it would be given: its notes, and when it was made (Unix time).
        bad: gets what is wrong with each entry that could not be read, as in :class:`ArchiveListing`.

    Raises:
        ProxmoxError: the storage is away, or could not be read.
    """
    read = _EntryReader(node, storage, bad)
    entries = cluster.get(_content(node, storage), content="backup")
    for entry in sorted(entries, key=_made_at, reverse=True):
        notes, made = entry.get("notes"), _made_at(entry)
        if isinstance(notes, str) and passed_over(notes, made):
            continue
        if (archive := read(entry)) is not None:
            yield archive


def _content(node: str, storage: str) -> str:
    return f"/nodes/{node}/storage/{storage}/content"


def _made_at(entry: Mapping[str, Any]) -> int:
    """When an archive was made, as far as that can be read before it is checked."""
    made = entry.get("ctime")
    return made if type(made) is int else sys.maxsize


class _EntryReader:
    """Reads the entries of one storage's list."""

    def __init__(self, node: str, storage: str, bad: list[tuple[int | None, str]]) -> None:
        self._node = node
        self._storage = storage
        self._bad = bad
        self._shape = _entry_of(storage)
        self._volids: set[str] = set()

    def __call__(self, entry: Mapping[str, Any]) -> StoredArchive | None:
        """The archive of an entry; None if it is none of a VM, or cannot be read."""
        if entry.get("vmid") in (None, "", 0, "0") or not _is_of_a_vm(entry):
            return None
        told = wrong(entry, self._shape)
        if not told and entry["volid"] in self._volids:
            told = f"{entry['volid']} is listed twice"
        if told:
            whose = None if wrong(entry["vmid"], VMID) else int(entry["vmid"])
            self._bad.append((whose, f"an archive on {self._storage} cannot be read: {told}"))
            return None
        self._volids.add(entry["volid"])
        deduplicated = entry.get("format") == _BACKUP_SERVER
        return StoredArchive(
            volid=entry["volid"],
            storage=self._storage,
            node=self._node,
            vmid=int(entry["vmid"]),
            taken_at=dt.datetime.fromtimestamp(int(entry["ctime"]), dt.UTC),
            size=_size(entry, deduplicated=deduplicated),
            notes=entry.get("notes") or "",
            protected=bool(int(entry.get("protected") or 0)),
            deduplicated=deduplicated,
            verification=_verification(entry),
            encrypted=bool(entry.get("encrypted")),
        )


def read_archives(
    cluster: Cluster, node: str, storage: str, *, vmid: int | None = None
) -> tuple[StoredArchive, ...]:
    """Read the archives of one VM, or of all, on a storage, the oldest first: one call. Each must be readable.

    Args:
        cluster: the API.
        node: a node that reaches the storage.
        storage: its name.
        vmid: only this VM's.

    Raises:
        BadAnswer: one of them cannot be read.
        ProxmoxError: the storage is away, or could not be read.
    """
    listing = list_archives(cluster, node, storage, vmid=vmid)
    for _, told in listing.bad:
        raise BadAnswer(told, site=cluster.site, call=f"GET /nodes/{node}/storage/{storage}/content")
    return listing.archives


def _is_of_a_vm(entry: Mapping[str, Any]) -> bool:
    """Whether an archive is a VM's, and no container's: older releases say it by the format alone."""
    return entry.get("subtype", "qemu") == "qemu" and entry.get("format") != "pbs-ct"


def _size(entry: Mapping[str, Any], *, deduplicated: bool) -> int:
    """Its bytes. Of a snapshot that is still being written, a backup server knows none: PBSPlugin.pm says 1 then."""
    size = int(entry.get("size") or 0)
    return 0 if deduplicated and size <= 1 else size


def _verification(entry: Mapping[str, Any]) -> Literal["", "ok", "failed"]:
    """What the server's last verification found. A state that is not known here says nothing."""
    state = (entry.get("verification") or {}).get("state")
    return state if state in ("ok", "failed") else ""


def _entry_of(storage: str) -> Record:
    """An archive of a storage. Its name becomes part of a path, and of what is removed."""
    name = re.compile(
        re.escape(storage) + r":[A-Za-z0-9][A-Za-z0-9_.:@+=~-]*(?:/[A-Za-z0-9][A-Za-z0-9_.:@+=~-]*)*"
    )
    volid = Scalar(
        f"the name of an archive on {storage}",
        lambda value: isinstance(value, str) and len(value) <= 512 and name.fullmatch(value) is not None,
    )
    return Record(
        needs={"volid": volid, "vmid": VMID, "ctime": TIME},
        may={
            "size": SIZE,
            "notes": TEXT,
            "protected": FLAG,
            "format": LINE,
            "subtype": LINE,
            "encrypted": PLAIN,
            "verification": Record(needs={"state": LINE}),
        },
    )
