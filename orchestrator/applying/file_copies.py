"""Files of a client's archive, written into a folder of this computer.

What they are called and what is in them comes from a guest, so nothing of it is believed: no name leaves the folder,
nothing that is there is replaced, no link is made, and what is unpacked has a limit of its own. Everything is written
aside first and moved when it is whole; what an interrupted copy left is removed by the next one of that name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.applying.stopped import Stopped
from orchestrator.counting import counted
from orchestrator.errors import local_reason

_PIECE = 1024 * 1024
_MOST_ENTRIES = 500_000
_MOST_DIRECTORY = 256 * 1024**2
"""Bytes of a zip archive's directory, which is read at once."""
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")

Sink = Callable[[bytearray], None]
Fetch = Callable[[Sink], None]


@dataclass(frozen=True, kw_only=True)
class FileCopy:
    """What was copied.

    Attributes:
        path: where it is now.
        files: how many.
        size: bytes of all of them.
        left_out: links, devices and the like, which are not copied.
    """

    path: Path
    files: int
    size: int
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class CopyLimits:
    """What a copy may cost.

    Attributes:
        size: bytes that are written.
        until: when it ends at the latest (``time.monotonic``).
    """

    size: int
    until: float

    def check(self, size: int) -> None:
        """Raise Stopped if that much is too much, or it took too long."""
        if size > self.size:
            raise Stopped(f"it is larger than {self.size} bytes: allow more with --limit")
        if time.monotonic() > self.until:
            raise Stopped("it took too long: allow more seconds with --timeout")


def copy_file(fetch: Fetch, name: bytes, folder: Path, size: int, limits: CopyLimits) -> FileCopy:
    """Copy a file.

    Args:
        fetch: gives its content to a sink.
        name: of the file, as the guest called it.
        folder: where it goes; made if it is not there.
        size: that it has.
        limits: what it may cost.

    Raises:
        Stopped: something of that name is there, it did not come whole, or it cannot be written.
    """
    limits.check(size)
    with _aside(folder, name) as (part, final):
        got = _receive(fetch, part / "content", limits)
        if got != size:
            raise Stopped(f"the file has {size} bytes and {got} came: the node's task pbs-download says why")
        _move(part / "content", final)
    return FileCopy(path=final, files=1, size=size)


def copy_folder(fetch: Fetch, name: bytes, folder: Path, limits: CopyLimits) -> FileCopy:
    """Copy a folder, which comes as a zip archive.

    Args:
        fetch: gives the zip archive to a sink.
        name: of the folder, as the guest called it.
        folder: where it goes; made if it is not there.
        limits: what it may cost.

    Raises:
        Stopped: something of that name is there, it did not come whole, has a name that leads elsewhere, is too
            large, or it cannot be written.
    """
    with _aside(folder, name) as (part, final):
        packed, content = part / "packed.zip", part / "content"
        _receive(fetch, packed, limits)
        content.mkdir(mode=0o700)
        try:
            with packed.open("rb") as archive:
                _check_directory(archive)
                with zipfile.ZipFile(archive) as opened:
                    copied = _Unpacking(opened, content, limits).done()
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeError) as error:
            raise Stopped(
                f"the folder did not come whole, or has names that cannot be read ({error}): the node's task "
                "pbs-download says why; its files can be copied one by one"
            ) from error
        _move(content, final)
    return FileCopy(path=final, files=copied.files, size=copied.size, left_out=copied.left_out)


@contextmanager
def _aside(folder: Path, name: bytes) -> Iterator[tuple[Path, Path]]:
    """A fresh folder to write into, and the path that the copy gets."""
    if not _is_name(name):
        raise Stopped("it has no name that a file can have here")
    part = folder / f".orchestrator-{hashlib.sha256(name).hexdigest()[:16]}.part"
    final = folder / os.fsdecode(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.lexists(final):
            raise Stopped(
                f"{final} exists, and nothing is replaced: remove it, or name another folder with --to"
            )
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        yield part, final
    except OSError as error:
        raise Stopped(f"{folder} cannot be written: {local_reason(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _move(content: Path, final: Path) -> None:
    if os.path.lexists(final):
        raise Stopped(f"{final} exists, and nothing is replaced: remove it, or name another folder with --to")
    content.rename(final)


def _is_name(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and len(name) <= 255


def _receive(fetch: Fetch, path: Path, limits: CopyLimits) -> int:
    came = 0
    with _new(path) as file:

        def sink(piece: bytearray) -> None:
            nonlocal came
            came += len(piece)
            limits.check(came)
            try:
                file.write(piece)
            except OSError as error:  # else it would pass for one of the connection
                raise Stopped(f"{path.parent.parent} cannot be written: {local_reason(error)}") from error

        fetch(sink)
    return came


def _new(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _check_directory(archive: IO[bytes]) -> None:
    """Look how much a zip archive lists before its list is read into memory."""
    length = archive.seek(0, os.SEEK_END)
    archive.seek(max(0, length - 65_557))
    tail = archive.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile("it has no end")
    entries, size = _END.unpack_from(tail, at)[4:6]
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size : at - _LOCATOR.size + 4] == b"PK\6\7":
        archive.seek(_LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2])
        record = archive.read(_END_64.size)
        if len(record) < _END_64.size:
            raise zipfile.BadZipFile("its end cannot be read")
        entries, size = _END_64.unpack(record)[7:9]
    archive.seek(0)
    if entries > _MOST_ENTRIES or size > _MOST_DIRECTORY:
        raise Stopped(
            f"it has more than {counted(_MOST_ENTRIES, 'file')}: copy a folder inside it, or restore with --as"
        )


class _Unpacking:
    """One zip archive on its way into a fresh folder."""

    def __init__(self, archive: zipfile.ZipFile, into: Path, limits: CopyLimits) -> None:
        self._archive = archive
        self._into = into
        self._limits = limits
        self._files = self._size = self._left_out = 0

    def done(self) -> FileCopy:
        """Unpack all of it."""
        entries = [(info, _parts(info)) for info in self._archive.infolist()]
        # Proxmox puts the folder itself first: what is in it is wanted.
        roots = {parts[0] for _, parts in entries}
        inner = (
            1 if len(roots) == 1 and all(len(parts) > 1 or info.is_dir() for info, parts in entries) else 0
        )
        for info, parts in entries:
            self._one(info, parts[inner:])
        return FileCopy(path=self._into, files=self._files, size=self._size, left_out=self._left_out)

    def _one(self, info: zipfile.ZipInfo, parts: list[bytes]) -> None:
        self._limits.check(self._size)
        if not parts:
            return
        path = self._into.joinpath(*map(os.fsdecode, parts))
        mode = info.external_attr >> 16
        if info.is_dir():
            _folder(path)
            return
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            self._left_out += 1
            return
        _folder(path.parent)
        with self._archive.open(info) as packed, _new(path) as file:
            while piece := packed.read(_PIECE):
                self._size += len(piece)
                self._limits.check(self._size)
                file.write(piece)
        self._files += 1


def _folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _parts(info: zipfile.ZipInfo) -> list[bytes]:
    """The names of a path in a zip archive, each one that a file can have here."""
    said = info.orig_filename
    name = said.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    parts = name.rstrip(b"/").split(b"/")
    if info.flag_bits & 1 or not all(map(_is_name, parts)):
        raise Stopped("a name in it would lead out of the folder, or cannot be read: nothing was copied")
    return parts
