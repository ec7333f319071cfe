"""What each of Proxmox's types of storage can do: read in the sources of its storage plugins (8.4 and 9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import Reason

_FILES = frozenset({"raw", "qcow2", "vmdk"})
_RAW = frozenset({"raw"})
_NONE: frozenset[str] = frozenset()

VOLUME_CHAIN = "snapshot-as-volume-chain"
"""The setting of a storage (Proxmox VE 9, directories and LVM) by which each snapshot is a volume of its own."""


@dataclass(frozen=True, kw_only=True)
class StorageType:
    """A type of storage.

    Attributes:
        formats: in which disks can be made on it; empty if none can.
        thick: whether a new disk takes its whole size at once.
        snapshots: true if volumes of every format can be snapshotted, false if none but qcow2 can (LVM, since Proxmox
            VE 9). None if the format decides: qcow2 can, raw cannot.
        newest_only: whether a volume goes back to its newest snapshot only: ZFS would destroy the newer ones.
        replicates: whether Proxmox can replicate its volumes to another node, where the storage is not shared.
        folder: whether its data are in a folder of the node, on whatever is mounted there.
        deduplicates: whether equal pieces of backups are stored once: an archive takes the room of what is new in it.
    """

    formats: frozenset[str]
    thick: bool = False
    snapshots: bool | None = None
    newest_only: bool = False
    replicates: bool = False
    folder: bool = False
    deduplicates: bool = False


STORAGE_TYPES: Mapping[str, StorageType] = {
    "dir": StorageType(formats=_FILES, folder=True),
    "nfs": StorageType(formats=_FILES),
    "cifs": StorageType(formats=_FILES),
    "glusterfs": StorageType(formats=_FILES),
    "btrfs": StorageType(formats=_RAW, snapshots=True, folder=True),
    # qcow2 where "snapshot-as-volume-chain" is set, from Proxmox VE 9 on.
    "lvm": StorageType(formats=frozenset({"raw", "qcow2"}), thick=True, snapshots=False),
    "lvmthin": StorageType(formats=_RAW, snapshots=True),
    "zfspool": StorageType(formats=_RAW, snapshots=True, newest_only=True, replicates=True),
    "zfs": StorageType(formats=_RAW, snapshots=True, newest_only=True),
    "rbd": StorageType(formats=_RAW, snapshots=True),
    # Their volumes are made on the array, whatever `content` says.
    "iscsi": StorageType(formats=_NONE, snapshots=False),
    "iscsidirect": StorageType(formats=_NONE, snapshots=False),
    "cephfs": StorageType(formats=_NONE),
    "pbs": StorageType(formats=_NONE, deduplicates=True),
    "esxi": StorageType(formats=_NONE),
}
"""By Proxmox's name of the type. Of others (plugins of other makers) nothing is known."""


def storage_type(kind: str) -> StorageType:
    """What a type of storage can do, by Proxmox's name of it; one that is not in the table can do nothing for sure."""
    return STORAGE_TYPES.get(kind, StorageType(formats=_NONE))


def disk_objection(storage: str, kind: str, disk_format: str | None) -> Reason | None:
    """Why no disk can be made on a storage: what it is, and what to do. None if one can, or the type is not known.

    Args:
        storage: its name.
        kind: Proxmox's type of it; empty if it was not told.
        disk_format: the format that is asked for; None: the storage's own.
    """
    known = STORAGE_TYPES.get(kind)
    if known is None:
        return None
    if not known.formats:
        return (
            f"the storage {storage} is of type {kind}, on which Proxmox makes no disks: name another one as `storage` "
            "in the site file"
        )
    if disk_format is not None and disk_format not in known.formats:
        return (
            f"the storage {storage} is of type {kind}, which has no {disk_format} disks (it has "
            f"{', '.join(sorted(known.formats))}): take disk_format out of the site file, or correct it"
        )
    return None


def can_snapshot(kind: str, volume_format: str | None) -> bool | None:
    """Whether a disk can be snapshotted.

    Args:
        kind: Proxmox's type of the storage; empty if unknown.
        volume_format: ``raw``, ``qcow2``; None if unknown.

    Returns:
        None if it cannot be told from type and format.
    """
    able = storage_type(kind).snapshots
    if able or volume_format == "qcow2":
        return True
    return False if able is False or (volume_format == "raw" and kind) else None


def newest_only(settings: Mapping[str, Any]) -> bool:
    """Whether a storage can bring a volume back to its newest snapshot only, by its entry in ``GET /storage``.

    Others are refused in the task: "can't rollback, 'one' is not most recent snapshot on '…'".
    """
    kind = storage_type(str(settings.get("type")))
    return kind.newest_only or str(settings.get(VOLUME_CHAIN) or 0) == "1"
