"""Archives are read as they were written, and a damaged one is never taken for a whole one."""

from __future__ import annotations

import hashlib
import io
import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.vma import CLUSTER, Device, Header, VmaError, VmaReader, VmaWriter

CONFIG = b"cores: 2\nmemory: 512\n#qmdump#map:scsi0:drive-scsi0:local:qcow2:\n"
HEADER_BYTES = 12288
EXTENT_BYTES = 512


def archive(disks: list[bytes], configs: dict[str, bytes] | None = None) -> bytes:
    """An archive of disks, the last first: the order of clusters is free."""
    devices = {number: Device(f"drive-scsi{number - 1}", len(disk)) for number, disk in enumerate(disks, 1)}
    target = io.BytesIO()
    writer = VmaWriter(target, Header(configs or {"qemu-server.conf": CONFIG}, devices, ctime=1795412903))
    for number, disk in reversed(list(enumerate(disks, 1))):
        for cluster in range(-(-len(disk) // CLUSTER)):
            writer.write(number, cluster, disk[cluster * CLUSTER : (cluster + 1) * CLUSTER])
    writer.close()
    return target.getvalue()


def restored(text: bytes) -> list[bytes]:
    """The disks of an archive."""
    reader = VmaReader(io.BytesIO(text))
    disks = [bytearray(device.size) for device in reader.header.devices.values()]
    for piece in reader.stored():
        disks[piece.device - 1][piece.offset : piece.offset + len(piece.data)] = piece.data
    return [bytes(disk) for disk in disks]


PIECES = st.sampled_from([bytes(4096), bytes(CLUSTER), b"\1" * 4096, b"data" * 1500, b"\xff" * CLUSTER, b"x"])
DISKS = st.lists(PIECES, min_size=1, max_size=12).map(b"".join)


@given(st.lists(DISKS, min_size=1, max_size=3), st.binary(max_size=2000))
@settings(max_examples=60, deadline=None)
def test_what_was_written_is_read_again(disks: list[bytes], config: bytes) -> None:
    text = archive(disks, {"qemu-server.conf": config, "qemu-server.fw": b"[OPTIONS]\n"})
    header = VmaReader(io.BytesIO(text)).header
    assert restored(text) == disks
    assert dict(header.configs) == {"qemu-server.conf": config, "qemu-server.fw": b"[OPTIONS]\n"}
    assert header.ctime == 1795412903


def test_more_clusters_than_an_extent_holds() -> None:
    disk = b"".join(bytes([number % 251]) * CLUSTER for number in range(130))
    assert restored(archive([disk])) == [disk]


def test_layout_is_the_documented_one() -> None:
    disk = bytes(4096) + b"a" * 4096 + bytes(CLUSTER - 8192) + bytes(CLUSTER) + b"b" * 100
    text = archive([disk])
    magic, version, archive_id = struct.unpack(">4sI16s", text[:24])
    assert (magic, version) == (b"VMA\0", 1)
    blobs_at, _, size = struct.unpack(">III", text[48:60])
    assert blobs_at == HEADER_BYTES
    signed = hashlib.md5(text[:32] + bytes(16) + text[48:size]).digest()
    assert text[32:48] == signed
    name_at, file_at = (struct.unpack(">I", text[at : at + 4])[0] for at in (2044, 3068))
    name = text[blobs_at + name_at :]
    assert name[2 : 2 + struct.unpack("<H", name[:2])[0]] == b"qemu-server.conf\0"
    assert text[blobs_at + file_at + 2 :].startswith(CONFIG)
    assert struct.unpack(">Q", text[4096 + 32 + 8 : 4096 + 48]) == (len(disk),)

    extent = text[size:]
    assert struct.unpack(">4sHH16s", extent[:24]) == (b"VMAE", 0, 2, archive_id)
    assert extent[24:40] == hashlib.md5(extent[:24] + bytes(16) + extent[40:512]).digest()
    infos = struct.unpack(">4Q", extent[40:72])
    assert infos == (2 << 48 | 1 << 32, 1 << 32 | 1, 1 << 48 | 1 << 32 | 2, 0)
    assert extent[512:] == b"a" * 4096 + b"b" * 100 + bytes(3996)


def test_zeros_are_left_out_and_counted() -> None:
    target = io.BytesIO()
    writer = VmaWriter(target, Header({}, {1: Device("drive-scsi0", 2 * CLUSTER + 5000)}, 0))
    assert writer.write(1, 0, b"") == CLUSTER
    assert writer.write(1, 1, b"x" + bytes(CLUSTER - 1)) == CLUSTER - 4096
    assert writer.write(1, 2, b"x" * 5000) == 0
    writer.close()
    assert len(target.getvalue()) == HEADER_BYTES + 512 + EXTENT_BYTES + 3 * 4096


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_shortened_archive_is_refused(data: st.DataObject) -> None:
    text = archive([b"a" * CLUSTER * 61, bytes(CLUSTER)])
    length = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(VmaError):
        restored(text[:length])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_flipped_bit_in_a_header_is_refused(data: st.DataObject) -> None:
    text = bytearray(archive([b"a" * 4096 + bytes(CLUSTER)]))
    place = data.draw(st.integers(0, len(text) - 4096 - 1))
    text[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(VmaError):
        restored(bytes(text))


def resigned(extent: bytearray) -> bytearray:
    """An extent that says something else, with a right checksum."""
    extent[24:40] = bytes(16)
    extent[24:40] = hashlib.md5(bytes(extent[:EXTENT_BYTES])).digest()
    return extent


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (40, struct.pack(">Q", 1 << 48 | 9 << 32), "got wrong dev id 9"),
        (40, struct.pack(">Q", 1 << 48 | 1 << 32 | 7), "write beyond end"),
        (
            40,
            struct.pack(">QQ", 1 << 48 | 1 << 32, 1 << 32),
            "found duplicated cluster 0 for stream drive-scsi0",
        ),
        (40, struct.pack(">Q", 1 << 48 | 1 << 32 | 1), "write beyond end"),
        (6, struct.pack(">H", 2), "missing blocks"),
        (0, b"VMAX", "extent header magic"),
        (8, uuid.UUID(int=7).bytes, "extent uuid"),
    ],
)
def test_extent_that_lies_is_refused(place: int, value: bytes, words: str) -> None:
    text = bytearray(archive([b"a" * 4096]))
    extent = text[HEADER_BYTES + 512 :]
    extent[place : place + len(value)] = value
    with pytest.raises(VmaError, match=words):
        restored(bytes(text[: HEADER_BYTES + 512] + resigned(extent)))


def test_extent_with_another_checksum_is_refused() -> None:
    text = bytearray(archive([b"a" * 4096]))
    text[HEADER_BYTES + 512 + 45] ^= 1
    with pytest.raises(VmaError, match="wrong vma extent header checksum"):
        restored(bytes(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "can't read vma header - got EOF"),
        (b"QFI\xfb".ljust(HEADER_BYTES, b"\0"), "not a vma file"),
        (b"VMA\0".ljust(HEADER_BYTES, b"\0"), "wrong vma header size 0"),
    ],
)
def test_what_is_no_archive_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(VmaError, match=words):
        VmaReader(io.BytesIO(text))


def test_archive_of_a_machine_without_disks_holds_its_configuration() -> None:
    reader = VmaReader(io.BytesIO(archive([])))
    assert (dict(reader.header.devices), list(reader.stored())) == ({}, [])
    assert reader.header.configs["qemu-server.conf"] == CONFIG


def test_archive_of_nothing_is_refused() -> None:
    target = io.BytesIO()
    VmaWriter(target, Header({}, {}, 0)).close()
    with pytest.raises(VmaError, match="does not contain data"):
        VmaReader(io.BytesIO(target.getvalue()))
