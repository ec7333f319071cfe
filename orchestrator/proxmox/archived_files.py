"""Files in an archive on a Proxmox Backup Server: ``/nodes/NODE/storage/STORAGE/file-restore``.

The node reads the archive in a small machine of its own, so no file system of a client is mounted by its kernel. Paths
are bytes: what a guest called its files is no text. Proxmox knows this for backup servers only (pve-storage,
API2/Storage/FileRestore.pm: "Only PBS storages supported for file-restore").
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import BadAnswer
from orchestrator.proxmox.shapes import FLAG, LATEST, SIZE, TEXT, WHOLE, Listed, Record, wrong

if TYPE_CHECKING:
    from orchestrator.proxmox.archives import StoredArchive
    from orchestrator.proxmox.client import Cluster

_ENTRIES = Listed(
    Record(needs={"filepath": TEXT, "type": TEXT}, may={"size": SIZE, "mtime": WHOLE, "leaf": FLAG})
)
_LONGEST_PATH = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class ArchivedFile:
    """Something in an archive.

    Attributes:
        path: whole, as the archive has it: ``/drive-scsi0.img.fidx/part/1/etc/fstab``.
        kind: Proxmox's letter: ``f`` file, ``d`` folder, ``v`` a disk or what stands for partitions, ``l`` link, …
        size: bytes of a file; None: not told.
        changed_at: aware, UTC; None: not told.
    """

    path: bytes
    kind: str
    size: int | None
    changed_at: dt.datetime | None

    @property
    def name(self) -> bytes:
        """The last part of its path."""
        return self.path.rstrip(b"/").rpartition(b"/")[2]


def list_archived_files(cluster: Cluster, archive: StoredArchive, path: bytes) -> tuple[ArchivedFile, ...]:
    """What is in a folder of an archive, sorted by name; of a file, the file itself. One call.

    Args:
        cluster: the API.
        archive: on a backup server.
        path: absolute; ``/``: the disks.

    Raises:
        BadAnswer: the answer names something outside of that folder.
        ProxmoxError: there is no such folder, or it could not be read.
    """
    place = _place(archive, "list")
    asked = "/" if path == b"/" else base64.b64encode(path).decode()
    entries = cluster.get(place, volume=archive.volid, filepath=asked)

    def bad(why: str) -> BadAnswer:
        return BadAnswer(why, site=cluster.site, call=f"GET {place}")

    if told := wrong(entries, _ENTRIES):
        raise bad(f"the answer is not what it should be: {told}")
    found = []
    for entry in entries:
        item = _file(entry)
        if item is None or not _inside(path, item):
            raise bad("the answer names a path that is not in the folder that was asked for")
        found.append(item)
    return tuple(sorted(found, key=lambda item: item.path))


def download_archived_file(
    cluster: Cluster,
    archive: StoredArchive,
    path: bytes,
    sink: Callable[[bytearray], None],
    *,
    seconds: float,
    size: int,
) -> None:
    """Fetch a file of an archive, or a folder as a zip archive.

    Args:
        cluster: the API.
        archive: on a backup server.
        path: absolute.
        sink: given what comes, piece by piece. It may end early without an error: compare its size, or look whether
            the zip archive is whole.
        seconds, size: how long it may take, and how many bytes may come.

    Raises:
        ProxmoxError: it was refused, took too long, was too large, or broke.
    """
    params = {"volume": archive.volid, "filepath": base64.b64encode(path).decode()}
    cluster.download(_place(archive, "download"), params, sink, seconds=seconds, size=size)


def _place(archive: StoredArchive, what: str) -> str:
    return f"/nodes/{archive.node}/storage/{archive.storage}/file-restore/{what}"


def _file(entry: Mapping[str, Any]) -> ArchivedFile | None:
    try:
        path = base64.b64decode(entry["filepath"], validate=True)
    except (binascii.Error, ValueError):
        return None
    changed = int(entry.get("mtime") or 0)  # the guest's: any number
    return ArchivedFile(
        path=path if path.startswith(b"/") else b"/" + path,
        kind=str(entry["type"])[:1],
        size=int(entry["size"]) if entry.get("size") is not None else None,
        changed_at=dt.datetime.fromtimestamp(changed, dt.UTC) if 0 < changed < LATEST else None,
    )


def _inside(folder: bytes, item: ArchivedFile) -> bool:
    """Whether something is the path that was asked for, or stands in it; its name is one."""
    if len(item.path) > _LONGEST_PATH or b"\0" in item.path:
        return False
    parent, _, name = item.path.rpartition(b"/")
    return item.path == folder or (parent == folder.rstrip(b"/") and name not in (b"", b".", b".."))
