"""Backup archives on a storage, and what can be done with one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredArchive:
    """One backup archive of a VM as its storage lists it.

    Attributes:
        volid: ``STORAGE:backup/vzdump-qemu-101-2026_11_23-05_48_23.vma.zst``.
        node: a node that reaches its storage.
        vmid: the VM it was made of.
        taken_at: when (aware, UTC).
        size: bytes.
        protected: whether Proxmox refuses to remove it.
    """

    volid: str
    storage: str
    node: str
    vmid: int
    taken_at: dt.datetime
    size: int
    notes: str
    protected: bool

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/nodes/{self.node}/storage/{self.storage}/content/{quote(self.volid, safe=':/')}"


def read_archives(
    cluster: Cluster, node: str, storage: str, *, vmid: int | None = None
) -> tuple[StoredArchive, ...]:
    """Read the archives of one VM, or of all, on a storage, whatever their number: one call.

    Args:
        cluster: the API.
        node: a node that reaches the storage.
        storage: its name.
        vmid: only this VM's.

    Raises:
        ProxmoxError: the storage is away, or could not be read.
    """
    listed = cluster.get(f"/nodes/{node}/storage/{storage}/content", content="backup", vmid=vmid)
    archives = [
        StoredArchive(
            volid=str(entry["volid"]),
            storage=storage,
            node=node,
            vmid=int(entry["vmid"]),
            taken_at=dt.datetime.fromtimestamp(int(entry["ctime"]), dt.UTC),
            size=int(entry.get("size") or 0),
            notes=str(entry.get("notes") or ""),
            protected=bool(int(entry.get("protected") or 0)),
        )
        for entry in listed
        if entry.get("vmid") and entry.get("subtype", "qemu") == "qemu"
    ]
    return tuple(sorted(archives, key=lambda archive: (archive.taken_at, archive.volid)))
