"""What each of Proxmox's types of storage can hold: read in the sources of its storage plugins (8.4 and 9.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_FILES = frozenset({"raw", "qcow2", "vmdk"})
_RAW = frozenset({"raw"})
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class StorageType:
    """A type of storage.

    Attributes:
        formats: in which disks can be made on it; empty if none can.
        thick: whether a new disk takes its whole size at once.
    """

    formats: frozenset[str]
    thick: bool = False


STORAGE_TYPES: Mapping[str, StorageType] = {
    "dir": StorageType(formats=_FILES),
    "nfs": StorageType(formats=_FILES),
    "cifs": StorageType(formats=_FILES),
    "glusterfs": StorageType(formats=_FILES),
    "btrfs": StorageType(formats=_RAW),
    # qcow2 where "snapshot-as-volume-chain" is set, from Proxmox VE 9 on.
    "lvm": StorageType(formats=frozenset({"raw", "qcow2"}), thick=True),
    "lvmthin": StorageType(formats=_RAW),
    "zfspool": StorageType(formats=_RAW),
    "zfs": StorageType(formats=_RAW),
    "rbd": StorageType(formats=_RAW),
    # Their volumes are made on the array, whatever `content` says.
    "iscsi": StorageType(formats=_NONE),
    "iscsidirect": StorageType(formats=_NONE),
    "cephfs": StorageType(formats=_NONE),
    "pbs": StorageType(formats=_NONE),
    "esxi": StorageType(formats=_NONE),
}
"""By Proxmox's name of the type. Of others (plugins of other makers) nothing is known."""


def disk_objection(storage: str, kind: str, disk_format: str | None) -> str | None:
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
            "in the site's file"
        )
    if disk_format is not None and disk_format not in known.formats:
        return (
            f"the storage {storage} is of type {kind}, which has no {disk_format} disks (it has "
            f"{', '.join(sorted(known.formats))}): take disk_format out of the site's file, or correct it"
        )
    return None
