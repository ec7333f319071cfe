"""Values of a VM's configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.proxmox import (
    PropertyString,
    parse_disk,
    parse_disk_bytes,
    parse_property_string,
    parse_tags,
)

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


@given(st.dictionaries(_names, st.text(st.characters(exclude_characters=',"'))))
def test_a_property_string_reads_back(properties: dict[str, str]) -> None:
    assert (
        parse_property_string(",".join(f"{key}={value}" for key, value in properties.items())) == properties
    )


_CARD = "virtio=BC:24:11:44:91:79,bridge=vmbr0,firewall=1,trunks=2;3,queues=4,mtu=1,rate=10,link_down=0"


@pytest.mark.parametrize(
    ("text", "default_key", "key", "value", "changed"),
    [
        (_CARD, "", "bridge", "vmbr7", _CARD.replace("vmbr0", "vmbr7")),
        (_CARD, "", "tag", "12", f"{_CARD},tag=12"),
        (_CARD, "", "link_down", "1", _CARD.replace("link_down=0", "link_down=1")),
        ("virtio", "model", "bridge", "vmbr0", "virtio,bridge=vmbr0"),
        ("0,fstrim_cloned_disks=1", "enabled", "enabled", "1", "1,fstrim_cloned_disks=1"),
        ("enabled=0,type=virtio", "enabled", "enabled", "1", "enabled=1,type=virtio"),
        ("type=virtio", "enabled", "enabled", "1", "type=virtio,enabled=1"),
        ("1024,x=2", "current", "current", "2048", "2048,x=2"),
        ("a=1,b=2,a=3", "", "a", "4", "a=4,b=2"),
        ('a="x,a=1",b=c=d', "", "a", "2", "a=2,b=c=d"),
        ('b="x,a=1",c=d', "", "a", "2", 'b="x,a=1",c=d,a=2'),
        ("", "", "a", "1", "a=1"),
    ],
)
def test_one_key_is_changed_in_its_place(
    text: str, default_key: str, key: str, value: str, changed: str
) -> None:
    properties = PropertyString.parse(text, default_key=default_key).with_(key, value)
    assert str(properties) == changed
    assert properties.get(key) == value


@pytest.mark.parametrize("value", ["1,link_down=1", '"1'])
def test_a_value_cannot_bring_keys_of_its_own(value: str) -> None:
    with pytest.raises(ValueError, match="not a value"):
        PropertyString.parse(_CARD).with_("tag", value)


_texts = st.text(st.sampled_from('ab=",;\\ 1é'), max_size=30)


@given(_texts, st.sampled_from(["", "enabled"]))
def test_a_property_string_is_written_as_it_was_read(text: str, default_key: str) -> None:
    assert str(PropertyString.parse(text, default_key=default_key)) == text


@given(_texts, _names, _names, st.sampled_from(["", "enabled"]))
def test_a_change_of_one_key_changes_that_key_alone(
    text: str, key: str, value: str, default_key: str
) -> None:
    before = PropertyString.parse(text, default_key=default_key)
    after = before.with_(key, value)
    again = PropertyString.parse(str(after), default_key=default_key)
    assert again.get(key) == value
    # The same as Proxmox would read of it, but for that key, which is there once; without it there is no trace of it.
    assert again.without(key).parts == before.without(key).parts
    assert before.without(key).get(key) is None


@pytest.mark.parametrize("text", ["b;a", "A;b", "a,b", "a b", "b;;a;B"])
def test_tags_are_a_set(text: str) -> None:
    assert parse_tags(text) == {"a", "b"}
