"""The storages of a cluster: folders laid out as Proxmox's directory storages.

`local` keeps the disks of the site's own machines. The backup storage is named after the other site and
stands in the other site's folder.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.api.errors import Refused, WrongParameters

_LOCK_PATIENCE = 10.0
_LOCK_LIMIT = 60.0
_FOLDERS = {
    "images": "images",
    "iso": "template/iso",
    "import": "import",
    "backup": "dump",
    "snippets": "snippets",
}
_IMAGE = re.compile(
    r"(?:(?P<base>\d+/base-\d+-[^/]+)/)?(?P<owner>\d+)/(?P<file>(?:vm|base)-\d+-[^/\s]+\.(?P<format>raw|qcow2))"
)
_OTHER = re.compile(r"(?P<kind>iso|import|backup|snippets)/(?P<file>[^/\s]+)")
_ARCHIVE = re.compile(
    r"vzdump-qemu-(?P<vmid>\d+)-(?P<stamp>\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.(?P<format>vma(\.(zst|gz|lzo))?)"
)
_LISTED_BACKUP = re.compile(r"backup/[^/\s]+\.(?:tgz|(?:tar|vma)(?:\.(?:zst|gz|lzo))?)")


@dataclass(frozen=True)
class Storage:
    """One storage: its name, its folder, what it may hold, and whether several sites reach it."""

    name: str
    path: Path
    content: tuple[str, ...]
    shared: bool

    @property
    def configuration(self) -> dict[str, Any]:
        """Its entry in the cluster's list of storages."""
        listed = {"storage": self.name, "type": "dir", "path": str(self.path)}
        return listed | {"content": ",".join(self.content), "shared": int(self.shared)}

    @property
    def status(self) -> dict[str, Any]:
        """Its real figures, in bytes; zeros where its folder is not there."""
        shown = {"type": "dir", "content": ",".join(self.content), "shared": int(self.shared), "enabled": 1}
        try:
            usage = shutil.disk_usage(self.path)
        except FileNotFoundError:
            return shown | {"active": 0, "total": 0, "used": 0, "avail": 0}
        return shown | {"active": 1, "total": usage.total, "used": usage.used, "avail": usage.free}

    @property
    def dump_dir(self) -> Path:
        """Where its backups are."""
        return self.path / _FOLDERS["backup"]

    def activate(self) -> None:
        """Make sure that it can be worked with.

        Raises:
            Refused: its folder is not there, or not writable.
        """
        if not self.path.is_dir():
            text = f"directory '{self.path}' does not exist or is unreachable"
            raise Refused(f"unable to activate storage '{self.name}' - {text}")
        for kind in self.content:
            folder = self.path / _FOLDERS[kind]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                text = f"failed to create content directory '{folder}' for content '{kind}'"
                raise Refused(f"{text} - {error.strerror}") from error


@dataclass(frozen=True)
class Volume:
    """One file of a storage.

    Attributes:
        storage: where it is.
        name: what stands behind the storage's name in the volume's id.
        kind: `images`, `iso`, `import`, `backup` or `snippets`.
        path: the file.
        format: `qcow2`, `raw`, or what its name ends with.
        owner: the VM it belongs to, where it belongs to one.
    """

    storage: Storage
    name: str
    kind: str
    path: Path
    format: str
    owner: int | None

    @property
    def volid(self) -> str:
        """Its id, as configurations name it."""
        return f"{self.storage.name}:{self.name}"

    @property
    def protected(self) -> bool:
        """Whether its owner has forbidden to remove it (backups only)."""
        return self.protection_file.exists()

    @property
    def protection_file(self) -> Path:
        """The file that says so by being there."""
        return self.path.with_name(self.path.name + ".protected")

    @property
    def notes_file(self) -> Path:
        """Where its notes are (backups only)."""
        return self.path.with_name(self.path.name + ".notes")

    def virtual_size(self) -> int:
        """Bytes that a guest sees.

        Raises:
            Refused: there is no such file.
        """
        return self._facts()[0]

    def shown(self) -> dict[str, Any]:
        """Its entry in the list of a storage's content."""
        size, parent = self._facts()
        stat = self.path.stat()
        entry: dict[str, Any] = {"volid": self.volid, "content": self.kind, "format": self.format}
        entry |= {"size": size, "ctime": int(stat.st_ctime)}
        if self.owner is not None:
            entry["vmid"] = self.owner
        if self.kind == "images":
            entry |= {"used": stat.st_blocks * 512, "parent": parent}
        if self.kind == "backup":
            entry |= self._archive_facts()
        return entry

    def _facts(self) -> tuple[int, str | None]:
        """Virtual size and backing file, from the image's header."""
        try:
            with self.path.open("rb") as file:
                header = file.read(32)
                if header[:4] != b"QFI\xfb":
                    return self.path.stat().st_size, None
                offset = int.from_bytes(header[8:16], "big")
                file.seek(offset)
                parent = file.read(int.from_bytes(header[16:20], "big")).decode() if offset else None
        except FileNotFoundError:
            raise Refused(f"volume '{self.volid}' does not exist") from None
        return int.from_bytes(header[24:32], "big"), parent

    def _archive_facts(self) -> dict[str, Any]:
        found = _ARCHIVE.fullmatch(self.path.name)
        facts: dict[str, Any] = {}
        if found:
            taken = time.mktime(time.strptime(found["stamp"], "%Y_%m_%d-%H_%M_%S"))
            facts |= {"ctime": int(taken), "subtype": "qemu"}
        if self.notes_file.exists():
            # Lists show the first line alone; the volume itself shows all.
            facts["notes"] = self.notes_file.read_text().partition("\n")[0]
        return facts | ({"protected": 1} if self.protected else {})


class Storages:
    """The storages of one cluster."""

    def __init__(self, storages: list[Storage]) -> None:
        self._storages = {storage.name: storage for storage in storages}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for storage in storages:
            for kind in storage.content:
                (storage.path / _FOLDERS[kind]).mkdir(parents=True, exist_ok=True)

    def all(self) -> list[Storage]:
        """All storages."""
        return list(self._storages.values())

    def find(self, name: str) -> Storage:
        """A storage by its name.

        Raises:
            Refused: there is none.
        """
        if name not in self._storages:
            raise Refused(f"storage '{name}' does not exist")
        return self._storages[name]

    def for_images(self, name: str) -> Storage:
        """A storage that takes disks.

        Raises:
            Refused: there is none.
            WrongParameters: it does not take disks.
        """
        storage = self.find(name)
        if "images" not in storage.content:
            raise WrongParameters({"storage": f"storage '{name}' does not support vm images"})
        return storage

    def volume(self, volid: str) -> Volume:
        """The volume of an id; whether the file is there is not looked at.

        Raises:
            Refused: not the id of a volume, or of a storage that does not exist.
        """
        if volid.startswith("/"):
            raise Refused(
                "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 569."
            )
        name, colon, rest = volid.partition(":")
        if not colon:
            raise Refused(f"unable to parse volume ID '{volid}'")
        storage = self.find(name)
        if found := _IMAGE.fullmatch(rest):
            path = storage.path / "images" / found["owner"] / found["file"]
            return Volume(storage, rest, "images", path, found["format"], int(found["owner"]))
        if found := _OTHER.fullmatch(rest):
            archive = _ARCHIVE.fullmatch(found["file"])
            path = storage.path / _FOLDERS[found["kind"]] / found["file"]
            form = archive["format"] if archive else path.suffix.removeprefix(".")
            owner = int(archive["vmid"]) if archive else None
            return Volume(storage, rest, found["kind"], path, form, owner)
        raise Refused(f"unable to parse directory volume name '{rest}'")

    def content(self, storage: Storage) -> Iterator[Volume]:
        """All volumes of a storage.

        Raises:
            Refused: it is not there.
        """
        storage.activate()
        for kind in storage.content:
            form = {"images": _IMAGE, "backup": _LISTED_BACKUP}.get(kind, _OTHER)
            folder = storage.path / _FOLDERS[kind]
            for path in sorted(folder.glob("*/*" if kind == "images" else "*")):
                name = f"{path.parent.name}/{path.name}" if kind == "images" else f"{kind}/{path.name}"
                if form.fullmatch(name):
                    yield self.volume(f"{storage.name}:{name}")

    def images_of(self, vmid: int) -> list[Volume]:
        """All disk images that carry a VM's number."""
        found = []
        for storage in self.all():
            if "images" in storage.content:
                found += [
                    volume
                    for volume in self.content(storage)
                    if volume.owner == vmid and volume.kind == "images"
                ]
        return found

    async def reserve(self, storage: Storage, vmid: int, format: str, *, kind: str = "vm") -> Volume:
        """Take the first free name for a disk of a VM: an empty file, to be filled by the caller.

        Raises:
            Refused: the storage's lock was not to be had.
        """
        async with self._locked(storage):
            folder = storage.path / "images" / str(vmid)
            folder.mkdir(parents=True, exist_ok=True)
            taken = {path.stem.rpartition("-disk-")[2] for path in folder.iterdir()}
            number = next(str(index) for index in range(1000) if str(index) not in taken)
            name = f"{vmid}/{kind}-{vmid}-disk-{number}.{format}"
            volume = self.volume(f"{storage.name}:{name}")
            volume.path.touch()
        return volume

    def free(self, volume: Volume) -> None:
        """Erase a volume; its VM's folder goes with its last file.

        Raises:
            Refused: it is protected.
        """
        if volume.protected:
            raise Refused(f"cannot remove protected volume '{volume.name}' on '{volume.storage.name}'")
        volume.path.unlink(missing_ok=True)
        volume.notes_file.unlink(missing_ok=True)
        if volume.kind == "images" and volume.path.parent.exists() and not any(volume.path.parent.iterdir()):
            volume.path.parent.rmdir()

    @asynccontextmanager
    async def _locked(self, storage: Storage) -> AsyncIterator[None]:
        lock = self._locks[storage.name]
        try:
            await asyncio.wait_for(lock.acquire(), _LOCK_PATIENCE)
        except TimeoutError:
            raise Refused(f"cfs-lock 'storage-{storage.name}' error: got lock request timeout") from None
        try:
            async with asyncio.timeout(_LOCK_LIMIT):
                yield
        finally:
            lock.release()
