"""Values of a VM's configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.proxmox import parse_disk, parse_disk_bytes, parse_property_string, parse_tags

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("104858K", 104858 * 1024),
        ("128M", 128 * 1024**2),
        ("4G", 4 * GIB),
        ("2T", 2048 * GIB),
        ("0.5G", GIB // 2),
        ("512", 512),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_disk_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "4 G", "4GiB", "-1G", "4P", "four"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_disk_bytes(text)


@given(st.integers(0, 2**40), st.sampled_from("KMGT"))
def test_a_unit_multiplies(number: int, unit: str) -> None:
    assert parse_disk_bytes(f"{number}{unit}") == number * 1024 ** ("KMGT".index(unit) + 1)


def test_a_disk() -> None:
    disk = parse_disk("local:9000/base-9000-disk-0.qcow2/141/vm-141-disk-0.qcow2,discard=on,size=3G")
    assert disk.volume == "local:9000/base-9000-disk-0.qcow2/141/vm-141-disk-0.qcow2"
    assert (disk.storage, disk.size_bytes, disk.size_gib) == ("local", 3 * GIB, 3)
    assert disk.options == {"discard": "on"}
    assert not disk.is_cdrom


def test_drives_that_are_no_disks() -> None:
    assert parse_disk("local:101/vm-101-cloudinit.qcow2,media=cdrom").is_cdrom
    empty = parse_disk("none,media=cdrom")
    assert (empty.volume, empty.storage, empty.size_bytes) == ("none", None, 0)
    assert parse_disk("file=local:1/vm-1-disk-0.raw,size=1G").volume == "local:1/vm-1-disk-0.raw"
    with pytest.raises(ValueError, match="not a drive"):
        parse_disk("size=4G")


def test_property_strings() -> None:
    assert parse_property_string("virtio=BC:24:11:44:91:79,bridge=vmbr0,tag=10") == {
        "virtio": "BC:24:11:44:91:79",
        "bridge": "vmbr0",
        "tag": "10",
    }
    assert parse_property_string("1,fstrim_cloned_disks=1") == {"": "1", "fstrim_cloned_disks": "1"}
    assert parse_property_string("") == {}
    with pytest.raises(ValueError, match="has no name"):
        parse_property_string("a=1,b")


_names = st.text(st.characters(categories=["Ll", "Nd"]), min_size=1)


@given(st.dictionaries(_names, st.text(st.characters(exclude_characters=","))))
def test_a_property_string_reads_back(properties: dict[str, str]) -> None:
    assert (
        parse_property_string(",".join(f"{key}={value}" for key, value in properties.items())) == properties
    )


@pytest.mark.parametrize("text", ["b;a", "A;b", "a,b", "a b", "b;;a;B"])
def test_tags_are_a_set(text: str) -> None:
    assert parse_tags(text) == {"a", "b"}
