"""Archive files: a VMA stream through a compressor's pipe.

Everything here blocks and is meant for a thread; `stop` is how its caller ends it early.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import BinaryIO, cast

from lab.vma import CLUSTER, Header, VmaError, VmaReader, VmaWriter

COMPRESSIONS = {"0": "vma", "gzip": "vma.gz", "zstd": "vma.zst"}
"""How an archive's name ends, by the name of its compression."""

_COMPRESSORS = {
    "vma": ("cat",),
    "vma.gz": ("gzip", "--rsyncable"),
    "vma.zst": ("zstd", "-q", "--threads=1"),
}
_DECOMPRESSORS = {"vma.gz": ("zcat",), "vma.zst": ("zstd", "-q", "-d", "-c")}


class ArchiveError(RuntimeError):
    """An archive could not be written or read.

    Attributes:
        said: the lines that the compressor left.
    """

    def __init__(self, text: str, said: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.said = said


class StoppedError(RuntimeError):
    """The caller asked for an early end."""


def decompression(path: Path, form: str) -> tuple[str, ...]:
    """The command that decompresses an archive, nothing for one that is not compressed."""
    return (*_DECOMPRESSORS[form], str(path)) if form in _DECOMPRESSORS else ()


def write_archive(target: Path, form: str, header: Header, disks: Mapping[int, Path], stop: Event) -> int:
    """Write an archive of raw disk images; `disks` are theirs by the header's numbers.

    Returns how many of their bytes are zero and not stored.

    Raises:
        ArchiveError: it could not be written; a part of it is left.
        StoppedError: `stop` was set.
    """
    zeros = 0
    with _compressed(target, form) as stream:
        writer = VmaWriter(stream, header)
        for number, path in disks.items():
            for cluster, data in _clusters(path, header.devices[number].size):
                zeros += writer.write(number, cluster, data)
                if stop.is_set():
                    raise StoppedError
        writer.close()
    return zeros


@contextmanager
def open_archive(path: Path, form: str, *, whole: bool = True) -> Iterator[VmaReader]:
    """Read an archive; it is sound only if this ends without an error and all of it was read (`whole`).

    Raises:
        ArchiveError: it is damaged or ends too early.
    """
    with tempfile.TemporaryFile() as errors, path.open("rb") as file:
        command = _DECOMPRESSORS.get(form)
        process = None
        if command is not None:
            process = subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=errors)
        source = file if process is None else cast(BinaryIO, process.stdout)
        try:
            yield VmaReader(source)
            status = process.wait() if process and whole else 0
        except VmaError as error:
            if process is not None:
                process.wait()
            raise ArchiveError(str(error), _said(errors)) from error
        finally:
            if process is not None:
                _ended(process)
        if status:
            raise ArchiveError(f"exit code {status}", _said(errors))


def extract(reader: VmaReader, disks: Mapping[int, Path], stop: Event) -> None:
    """Write an archive's disks as raw images with holes.

    Raises:
        VmaError: the archive is damaged or ends too early.
        OSError: no space.
        StoppedError: `stop` was set.
    """
    files = {number: path.open("wb") for number, path in disks.items()}
    try:
        for number, file in files.items():
            file.truncate(reader.header.devices[number].size)
        for piece in reader.stored():
            if stop.is_set():
                raise StoppedError
            os.pwrite(files[piece.device].fileno(), piece.data, piece.offset)
    finally:
        for file in files.values():
            file.close()


@contextmanager
def _compressed(target: Path, form: str) -> Iterator[BinaryIO]:
    """A stream into a file through its compressor."""
    with tempfile.TemporaryFile() as errors, target.open("wb") as file:
        process = subprocess.Popen(_COMPRESSORS[form], stdin=subprocess.PIPE, stdout=file, stderr=errors)
        stream = cast(BinaryIO, process.stdin)
        try:
            yield stream
            stream.close()
            status = process.wait()
        except BrokenPipeError as error:
            process.wait()
            raise ArchiveError("vma_queue_write: write error - Broken pipe", _said(errors)) from error
        finally:
            _ended(process)
        if status:
            name = " ".join(_COMPRESSORS[form])
            raise ArchiveError(f"{name} failed - wrong exit status {status}", _said(errors))


def _clusters(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """All clusters of an image; those in its holes are not read, and empty."""
    with path.open("rb") as file:
        data_end = 0
        for cluster in range(-(-size // CLUSTER)):
            start = cluster * CLUSTER
            if start >= data_end:
                data_start, data_end = _next_data(file, start, size)
            if start + CLUSTER <= data_start:
                yield cluster, b""
                data_end = 0
            else:
                yield cluster, os.pread(file.fileno(), min(CLUSTER, size - start), start)


def _next_data(file: BinaryIO, start: int, size: int) -> tuple[int, int]:
    try:
        first = os.lseek(file.fileno(), start, os.SEEK_DATA)
    except OSError:  # only a hole is left
        return size + CLUSTER, size + CLUSTER
    return first, os.lseek(file.fileno(), first, os.SEEK_HOLE)


def _said(errors: BinaryIO) -> tuple[str, ...]:
    errors.seek(0)
    return tuple(line for line in errors.read().decode(errors="replace").splitlines() if line.strip())


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Make sure that a program is gone, and its pipes closed."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue
    process.wait()
