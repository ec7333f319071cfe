"""A VM's snapshots."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster


@dataclass(frozen=True, kw_only=True)
class VmSnapshot:
    """One snapshot.

    Attributes:
        taken_at: when (aware, UTC).
        description: its text.
        parent: the snapshot before it; None for the first.
        unfinished: what a task that crashed left: ``prepare`` or ``delete``; None for a whole one.
    """

    name: str
    taken_at: dt.datetime
    description: str
    parent: str | None
    unfinished: str | None = None


def read_snapshots(cluster: Cluster, node: str, vmid: int) -> tuple[VmSnapshot, ...]:
    """Read a VM's snapshots, the oldest first: one call.

    Raises:
        NotFound: there is no such VM on this node.
        ProxmoxError: they could not be read.
    """
    listed = cluster.get(f"/nodes/{node}/qemu/{vmid}/snapshot")
    snapshots = [
        VmSnapshot(
            name=str(entry["name"]),
            taken_at=dt.datetime.fromtimestamp(int(entry.get("snaptime") or 0), dt.UTC),
            description=str(entry.get("description") or ""),
            parent=str(entry["parent"]) if entry.get("parent") else None,
            unfinished=str(entry["snapstate"]) if entry.get("snapstate") else None,
        )
        for entry in listed
        if entry["name"] != "current"  # "You are here!" is no snapshot
    ]
    return tuple(sorted(snapshots, key=lambda snapshot: (snapshot.taken_at, snapshot.name)))


_ALWAYS = frozenset({"zfspool", "lvmthin", "rbd", "btrfs", "zfs"})
"""Types of storage that snapshot whatever the format of the volume."""

_NEVER = frozenset({"lvm", "iscsi", "iscsidirect"})


_NEWEST_ONLY = frozenset({"zfspool", "zfs"})
"""Types of storage that go back to a volume's newest snapshot only: ZFS would destroy the newer ones."""

VOLUME_CHAIN = "snapshot-as-volume-chain"
"""The setting of a storage (Proxmox VE 9, directories and LVM) by which each snapshot is a volume of its own."""


def newest_only(settings: Mapping[str, Any]) -> bool:
    """Whether a storage can bring a volume back to its newest snapshot only, by its entry in ``GET /storage``.

    Others are refused in the task: "can't rollback, 'one' is not most recent snapshot on '…'".
    """
    return str(settings.get("type")) in _NEWEST_ONLY or str(settings.get(VOLUME_CHAIN) or 0) == "1"


def can_snapshot(storage_type: str, volume_format: str | None) -> bool | None:
    """Whether a disk can be snapshotted.

    Args:
        storage_type: Proxmox's type of the storage (``dir``, ``lvmthin``, …); empty if unknown.
        volume_format: ``raw``, ``qcow2``; None if unknown.

    Returns:
        None if it cannot be told from type and format.
    """
    if storage_type in _ALWAYS:
        return True
    if volume_format == "qcow2":
        return True  # LVM too, since Proxmox VE 9, where it is asked for
    if storage_type in _NEVER or (volume_format == "raw" and storage_type):
        return False
    return None
