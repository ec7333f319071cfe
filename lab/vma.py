"""VMA, the format of Proxmox's backup archives: disks of one machine with its configuration, as a stream.

A header names the configuration files and the disks. Extents follow: a small header of their own, and up to
59 clusters of 64 KiB of any disk. Of a cluster only those of its 16 blocks of 4 KiB are stored that are not
zero; a cluster of zeros is 8 bytes in its extent's header. Numbers are big-endian, but for the length of a
name or file in the header. Both headers carry a checksum, the data has none: of a changed byte in the data
only the compression around the archive can tell.

Reading and writing hold one extent in memory, whatever the disks' size.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

CLUSTER = 65536
"""Bytes of a cluster."""

_BLOCK = 4096
_BLOCKS = CLUSTER // _BLOCK
_CLUSTERS = 59
_WHOLE = (1 << _BLOCKS) - 1
_ZERO_BLOCK, _ZERO_CLUSTER = bytes(_BLOCK), bytes(CLUSTER)
_HEADER_BYTES = 12288
_LARGEST_HEADER = 16 * 1024**2
_CONFIGS = 256
_DEVICES = range(1, 255)
_START = struct.Struct(">4sI16sq16sIII")
_POINTERS = struct.Struct(f">{_CONFIGS}I")
_DEVICE = struct.Struct(">IIQQQ")
_EXTENT = struct.Struct(f">4sHH16s16s{_CLUSTERS}Q")
_NAMES_AT = 2044
_DATA_AT = _NAMES_AT + _POINTERS.size
_DEVICES_AT = 4096
_HEADER_SUM, _EXTENT_SUM = slice(32, 48), slice(24, 40)
_LENGTH = struct.Struct("<H")


class VmaError(ValueError):
    """What was read is no complete and unharmed archive; the text says what is wrong with it."""


@dataclass(frozen=True)
class Device:
    """One disk: QEMU's name of it (`drive-scsi0`) and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Header:
    """What an archive holds.

    Attributes:
        id: marks the archive and each of its extents.
        ctime: when it was begun, in epoch seconds.
        configs: configuration files by name.
        devices: disks by number, from 1.
    """

    configs: Mapping[str, bytes]
    devices: Mapping[int, Device]
    ctime: int
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(frozen=True)
class Stored:
    """Bytes of one disk that are not all zero."""

    device: int
    offset: int
    data: bytes


class VmaWriter:
    """Writes an archive: every cluster of every disk once, in any order, then `close`."""

    def __init__(self, target: BinaryIO, header: Header) -> None:
        self._target = target
        self._header = header
        self._infos: list[int] = []
        self._blocks: list[bytes] = []
        target.write(_print_header(header))

    def write(self, device: int, cluster: int, data: bytes) -> int:
        """Add a cluster; the last one of a disk may be short, nothing at all stands for zeros.

        Returns how many of its bytes were zero and are not stored.
        """
        if len(self._infos) == _CLUSTERS:
            self._flush()
        length = min(CLUSTER, self._header.devices[device].size - cluster * CLUSTER)
        padded = data.ljust(CLUSTER, b"\0") if data else _ZERO_CLUSTER
        mask, zero = 0, length
        if padded != _ZERO_CLUSTER:
            for number in range(_BLOCKS):
                block = padded[number * _BLOCK : (number + 1) * _BLOCK]
                if block != _ZERO_BLOCK:
                    mask |= 1 << number
                    self._blocks.append(block)
                    zero -= max(min(_BLOCK, length - number * _BLOCK), 0)
        self._infos.append(mask << 48 | device << 32 | cluster)
        return zero

    def close(self) -> None:
        """Write what is left; the file below stays open."""
        if self._infos:
            self._flush()

    def _flush(self) -> None:
        infos = self._infos + [0] * (_CLUSTERS - len(self._infos))
        extent = _EXTENT.pack(b"VMAE", 0, len(self._blocks), self._header.id.bytes, bytes(16), *infos)
        self._target.write(_signed(extent, _EXTENT_SUM))
        self._target.writelines(self._blocks)
        self._infos.clear()
        self._blocks.clear()


class VmaReader:
    """Reads an archive: `header` at once, the disks through `stored`.

    Raises:
        VmaError: it has no readable header.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.header = _read_header(source)

    def stored(self) -> Iterator[Stored]:
        """All bytes that are not zero, in the archive's order.

        Raises:
            VmaError: the archive is damaged, or ends too early; what came before was as it was written.
        """
        seen = {
            number: bytearray(_clusters_of(device) // 8 + 1) for number, device in self.header.devices.items()
        }
        while start := _read(self._source, _EXTENT.size):
            yield from self._extent(start, seen)
        for number, device in self.header.devices.items():
            for cluster in range(_clusters_of(device)):
                if not seen[number][cluster // 8] >> cluster % 8 & 1:
                    raise VmaError(f"detected missing cluster {cluster} for stream {device.name}")

    def _extent(self, start: bytes, seen: Mapping[int, bytearray]) -> Iterator[Stored]:
        if len(start) < _EXTENT.size:
            raise VmaError(f"read short extent ({len(start)} bytes)")
        if _signed(start, _EXTENT_SUM) != start:
            raise VmaError("wrong vma extent header checksum")
        magic, reserved, count, archive, _, *infos = _EXTENT.unpack(start)
        if archive != self.header.id.bytes:
            raise VmaError("wrong vma extent uuid")
        if magic != b"VMAE" or reserved:
            raise VmaError("wrong vma extent header magic")
        if count != sum((info >> 48).bit_count() for info in infos if info >> 32 & 0xFF):
            raise VmaError("vma extent error - missing blocks")
        for info in infos:
            if number := info >> 32 & 0xFF:
                self._mark(number, info & 0xFFFFFFFF, seen)
                yield from self._cluster(number, info & 0xFFFFFFFF, info >> 48)

    def _mark(self, number: int, cluster: int, seen: Mapping[int, bytearray]) -> None:
        device = self.header.devices.get(number)
        if device is None:
            raise VmaError(f"got wrong dev id {number}")
        if cluster >= _clusters_of(device):
            raise VmaError("got wrong block address - write beyond end")
        if seen[number][cluster // 8] >> cluster % 8 & 1:
            raise VmaError(f"found duplicated cluster {cluster} for stream {device.name}")
        seen[number][cluster // 8] |= 1 << cluster % 8

    def _cluster(self, number: int, cluster: int, mask: int) -> Iterator[Stored]:
        size, start = self.header.devices[number].size, cluster * CLUSTER
        pieces = (
            [(start, CLUSTER)]
            if mask == _WHOLE
            else [(start + block * _BLOCK, _BLOCK) for block in range(_BLOCKS) if mask >> block & 1]
        )
        for offset, length in pieces:
            data = _read(self._source, length)
            if len(data) < length:
                raise VmaError(f"short vma extent ({len(data)} < {length})")
            if offset >= size:
                raise VmaError("got wrong block address - write beyond end")
            yield Stored(number, offset, data[: size - offset])


def _clusters_of(device: Device) -> int:
    return -(-device.size // CLUSTER)


def _print_header(header: Header) -> bytes:
    # The names and files stand one after the other; what points to them counts from here, 0 means nothing.
    buffer = bytearray(1)

    def put(data: bytes) -> int:
        position = len(buffer)
        buffer.extend(_LENGTH.pack(len(data)) + data)
        return position

    names = [put(name.encode() + b"\0") for name in header.configs]
    files = [put(data) for data in header.configs.values()]
    rest = [0] * (_CONFIGS - len(names))
    text = bytearray(_HEADER_BYTES)
    for number, device in header.devices.items():
        entry = (put(device.name.encode() + b"\0"), 0, device.size, 0, 0)
        _DEVICE.pack_into(text, _DEVICES_AT + number * _DEVICE.size, *entry)
    _POINTERS.pack_into(text, _NAMES_AT, *names, *rest)
    _POINTERS.pack_into(text, _DATA_AT, *files, *rest)
    used = len(buffer)
    buffer.extend(bytes(-used % 512))
    sizes = (_HEADER_BYTES, used, _HEADER_BYTES + len(buffer))
    _START.pack_into(text, 0, b"VMA\0", 1, header.id.bytes, header.ctime, bytes(16), *sizes)
    return _signed(bytes(text + buffer), _HEADER_SUM)


def _read_header(source: BinaryIO) -> Header:
    text = _read(source, _HEADER_BYTES)
    if len(text) < _HEADER_BYTES:
        raise VmaError("can't read vma header - got EOF")
    magic, version, archive, ctime, _, blobs_at, blobs_size, size = _START.unpack_from(text)
    if magic != b"VMA\0":
        raise VmaError("not a vma file - wrong magic number")
    if not _HEADER_BYTES < size <= _LARGEST_HEADER:
        raise VmaError(f"wrong vma header size {size}")
    text += _read(source, size - _HEADER_BYTES)
    if len(text) < size:
        raise VmaError("can't read vma header data - got EOF")
    if _signed(text, _HEADER_SUM) != text:
        raise VmaError("wrong vma header checksum")
    if version != 1:
        raise VmaError(f"wrong vma version {version}")
    if blobs_at < _HEADER_BYTES or blobs_at + blobs_size > size:
        raise VmaError(f"wrong vma blob buffer size {blobs_at}/{blobs_size}")
    buffer = text[blobs_at : blobs_at + blobs_size]
    header = Header(_configs(text, buffer), _devices(text, buffer), ctime, uuid.UUID(bytes=archive))
    if not (header.configs or header.devices):
        raise VmaError("vma does not contain data")
    return header


def _configs(text: bytes, buffer: bytes) -> dict[str, bytes]:
    names, files = _POINTERS.unpack_from(text, _NAMES_AT), _POINTERS.unpack_from(text, _DATA_AT)
    present = [(name, file) for name, file in zip(names, files, strict=True) if name and file]
    return {_name(buffer, name): _blob(buffer, file) for name, file in present}


def _devices(text: bytes, buffer: bytes) -> dict[int, Device]:
    devices = {}
    for number in _DEVICES:
        name, _, size, _, _ = _DEVICE.unpack_from(text, _DEVICES_AT + number * _DEVICE.size)
        if name and size:
            devices[number] = Device(_name(buffer, name), size)
    return devices


def _name(buffer: bytes, position: int) -> str:
    return _blob(buffer, position).rstrip(b"\0").decode(errors="replace")


def _blob(buffer: bytes, position: int) -> bytes:
    start = position + _LENGTH.size
    if start > len(buffer):
        raise VmaError("vma contains invalid data pointers")
    end = start + _LENGTH.unpack_from(buffer, position)[0]
    if end > len(buffer):
        raise VmaError("vma contains invalid data pointers")
    return buffer[start:end]


def _signed(text: bytes, place: slice) -> bytes:
    """A header with its checksum, which is made over all of it with zeros in the checksum's place."""
    blank = text[: place.start] + bytes(16) + text[place.stop :]
    checksum = hashlib.md5(blank, usedforsecurity=False).digest()
    return text[: place.start] + checksum + text[place.stop :]


def _read(source: BinaryIO, length: int) -> bytes:
    """Exactly `length` bytes, fewer only at the end: a pipe gives what it has."""
    parts, missing = [], length
    while missing and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
