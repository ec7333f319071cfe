"""From disks to an archive and back: VMA through a compressor, in a thread of its own, one cluster at a time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from lab.api.errors import Refused
from lab.vma import CLUSTER, Device, Header, VmaError, VmaReader, VmaWriter

CONFIG_NAME = "qemu-server.conf"
COMPRESSORS = {
    "0": ("", ()),
    "gzip": (".gz", ("gzip",)),
    "zstd": (".zst", ("zstd", "-q", "--threads=1", "-1")),
}
"""Ending and program, by the words of the API; lzo is not there."""

T = TypeVar("T")


@dataclass(frozen=True)
class Figures:
    """What was written: bytes of the disks in all, and those that are no zeros."""

    total: int
    data: int


class _Stopped(Exception):
    """The task was interrupted."""


async def write_archive(
    path: Path,
    *,
    compress: str,
    config: bytes,
    disks: Mapping[str, Path],
    ctime: int,
    report: Callable[[int, int], None],
) -> Figures:
    """Write an archive of raw images.

    Args:
        path: the new file.
        compress: a key of :data:`COMPRESSORS`.
        config: the configuration file.
        disks: raw images by their device's name.
        ctime: epoch seconds.
        report: is told now and then: bytes done, bytes in all.

    Raises:
        Refused: it could not be written (no space, read-only); nothing is left of it.
    """
    try:
        return await _in_thread(
            lambda stop: _write(path, COMPRESSORS[compress][1], config, disks, ctime, report, stop)
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write(
    path: Path,
    program: tuple[str, ...],
    config: bytes,
    disks: Mapping[str, Path],
    ctime: int,
    report: Callable[[int, int], None],
    stop: threading.Event,
) -> Figures:
    devices = {
        number: Device(name, image.stat().st_size) for number, (name, image) in enumerate(disks.items(), 1)
    }
    total, done, zeros = sum(device.size for device in devices.values()), 0, 0
    header = Header({CONFIG_NAME: config}, devices, ctime)
    with _compressed_into(path, program) as stream:
        writer = VmaWriter(stream, header)
        for number, image in enumerate(disks.values(), 1):
            for cluster, content in enumerate(_clusters(image)):
                if stop.is_set():
                    raise _Stopped
                zeros += writer.write(number, cluster, content)
                done += min(CLUSTER, devices[number].size - cluster * CLUSTER)
                if cluster % 4096 == 4095:
                    report(done, total)
        writer.close()
    report(total, total)
    return Figures(total, total - zeros)


def _clusters(image: Path) -> Iterator[bytes]:
    """The clusters of a raw image; a hole is not read, and comes as nothing."""
    size = image.stat().st_size
    with image.open("rb", buffering=0) as file:
        data_at = -1
        for offset in range(0, size, CLUSTER):
            if data_at < offset:
                data_at = _next_data(file.fileno(), offset, size)
            length = min(CLUSTER, size - offset)
            if data_at >= offset + length:
                yield b""
            else:
                yield os.pread(file.fileno(), length, offset)
                data_at = -1


def _next_data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # nothing but a hole is left
        return size


@contextmanager
def _compressed_into(path: Path, program: tuple[str, ...]) -> Iterator[BinaryIO]:
    try:
        with path.open("xb") as file:
            if not program:
                yield file
                file.flush()
                os.fsync(file.fileno())
                return
            process = subprocess.Popen(
                [*program, "-c"], stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE
            )
            assert process.stdin is not None and process.stderr is not None  # noqa: S101  (both are pipes)
            try:
                yield cast(BinaryIO, process.stdin)
                process.stdin.close()
            except BaseException:
                process.kill()
                raise
            finally:
                told = process.stderr.read().decode(errors="replace").strip()
                process.stderr.close()
                process.wait()
            if process.returncode:
                raise Refused(told or f"{program[0]} ended with {process.returncode}")
            os.fsync(file.fileno())
    except BrokenPipeError:
        raise Refused(f"vma_queue_write: write error - {told or 'Broken pipe'}") from None
    except OSError as error:
        raise Refused(f"vma_queue_write: write error - {error.strerror}") from None


async def read_archive_config(path: Path) -> tuple[Header, str]:
    """The header and the configuration file of an archive.

    Raises:
        Refused: it is none, or damaged.
    """

    def read(stop: threading.Event) -> Header:
        with _decompressed(path) as stream:
            return VmaReader(stream).header

    header = await _in_thread(read)
    return header, header.configs.get(CONFIG_NAME, b"").decode(errors="replace")


async def extract_archive(path: Path, images: Mapping[str, Path]) -> None:
    """Write the disks of an archive into raw images.

    Args:
        path: the archive.
        images: where each device's image goes, by the device's name; made anew.

    Raises:
        Refused: the archive is damaged, or there is no space.
    """
    await _in_thread(lambda stop: _extract(path, images, stop))


def _extract(path: Path, images: Mapping[str, Path], stop: threading.Event) -> None:
    with _decompressed(path) as stream:
        reader = VmaReader(stream)
        files = {}
        try:
            for number, device in reader.header.devices.items():
                files[number] = images[device.name].open("wb", buffering=0)
                files[number].truncate(device.size)
            for stored in reader.stored():
                if stop.is_set():
                    raise _Stopped
                os.pwrite(files[stored.device].fileno(), stored.data, stored.offset)
        except OSError as error:
            raise Refused(f"restore failed - {error.strerror}") from None
        finally:
            for file in files.values():
                file.close()


@contextmanager
def _decompressed(path: Path) -> Iterator[BinaryIO]:
    """The archive's content. Whatever is wrong with it, the decompressor's words come first."""
    program = {".zst": ["zstd", "-q", "-d", "-c"], ".gz": ["gzip", "-d", "-c"]}.get(path.suffix)
    try:
        with path.open("rb") as file:
            if program is None:
                yield file
                return
            process = subprocess.Popen(program, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stdout is not None and process.stderr is not None  # noqa: S101  (both are pipes)
            damage: VmaError | None = None
            try:
                yield cast(BinaryIO, process.stdout)
            except VmaError as error:
                damage = error
            finally:
                process.stdout.close()
                told = process.stderr.read().decode(errors="replace").strip()
                process.stderr.close()
                process.wait()
            if damage is not None:
                raise VmaError(f"{damage} ({told})" if told else str(damage))
    except VmaError as error:
        raise Refused(f"command 'vma extract -v -' failed: {error}") from None
    except FileNotFoundError:
        raise Refused(f"archive '{path.name}' does not exist") from None


async def _in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work beside the server; where its task is interrupted, it is waited for until it has let go."""
    stop = threading.Event()
    running = asyncio.create_task(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([running])
        running.exception()
        raise
