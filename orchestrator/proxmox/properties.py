"""Values of a VM's configuration: property strings, disks, sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from orchestrator.errors import BadValue
from orchestrator.proxmox.errors import tidy

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([KMGT]?)", re.IGNORECASE)
_GIB = 1024**3

_QUOTED = r'"(?:[^"\\]|\\.)*"(?=,|\Z)'
_PART = re.compile(rf'[^=,"]*={_QUOTED}|{_QUOTED}|[^,]*')
"""One part of a property string; a quoted value may hold commas."""

_ON = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True)
class PropertyString:
    """A value such as ``virtio=BC:24:11:44:91:79,bridge=vmbr0,firewall=1``, to read, change and write back.

    What is not changed stays as it was: unknown keys, their order, quoted values. So text that was parsed is written
    back the same, and a change of one key changes that key alone.

    Attributes:
        parts: the parts as they stand in the text.
        default_key: the key that the first part without a name is short for: ``enabled`` of ``agent: 1``,
            ``current`` of ``memory: 2048``.
    """

    parts: tuple[str, ...]
    default_key: str = ""

    @classmethod
    def parse(cls, text: str, *, default_key: str = "") -> Self:
        """Take a text apart. Every text can be: Proxmox checked the ones that it stores."""
        return cls(parts=tuple(_split(text)) if text else (), default_key=default_key)

    def __str__(self) -> str:
        """The text, as it is written to Proxmox."""
        return ",".join(self.parts)

    def _key(self, part: str) -> str | None:
        name, equals, _ = part.partition("=")
        if equals:
            return name
        return self.default_key if part.strip() else None

    def get(self, key: str) -> str | None:
        """The value of a key, without its quotes; None if it is not there."""
        for part in self.parts:
            if self._key(part) == key:
                return _unquoted(part.partition("=")[2] if "=" in part else part)
        return None

    def is_on(self, key: str) -> bool:
        """Whether a switch is on, in any of the ways to write that: ``1``, ``on``, ``yes``, ``true``."""
        return (self.get(key) or "").lower() in _ON

    def with_(self, key: str, value: str) -> Self:
        """The same with one key changed in its place, or added at the end. There is one of it afterwards.

        Args:
            key: its name, or the default key.
            value: what it shall be.

        Raises:
            ValueError: the value holds a comma or a quote: it would be read as more than one key.
        """
        if set(value) & set(',"'):
            raise BadValue(f"not a value of a property string: {key}={value!r}")
        changed: list[str] = []
        done = False
        for part in self.parts:
            if self._key(part) != key:
                changed.append(part)
            elif not done:
                changed.append(f"{key}={value}" if "=" in part else value)
                done = True
        if not done:
            changed.append(f"{key}={value}")
        return type(self)(parts=tuple(changed), default_key=self.default_key)

    def without(self, key: str) -> Self:
        """The same without a key."""
        parts = tuple(part for part in self.parts if self._key(part) != key)
        return type(self)(parts=parts, default_key=self.default_key)


def _split(text: str) -> Iterator[str]:
    """Part a text at its commas, but for those in quoted values."""
    position = 0
    while found := _PART.match(text, position):  # the last alternative fits everywhere, an empty part too
        yield found[0]
        if found.end() == len(text):
            return
        position = found.end() + 1


def _unquoted(value: str) -> str:
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def parse_property_string(text: str) -> dict[str, str]:
    """Take ``virtio=BC:24:11:44:91:79,bridge=vmbr0`` apart, to read it; :class:`PropertyString` is for changing it.

    A first part without a name (the volume of a disk, the ``1`` of ``agent: 1``) is kept under the empty name.

    Raises:
        ValueError: a later part has no name.
    """
    properties: dict[str, str] = {}
    for index, part in enumerate(filter(None, PropertyString.parse(text).parts)):
        name, equals, value = part.partition("=")
        if equals:
            properties[name] = _unquoted(value)
        elif index == 0:
            properties[""] = part
        else:
            raise BadValue(f"not NAME=VALUE,…: {text!r} ({part!r} has no name)")
    return properties


def parse_disk_bytes(text: str) -> int:
    """Return the bytes of a size as Proxmox writes it: ``104858K``, ``4G``, ``2T``, or a number of bytes.

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise BadValue(f"not a size of Proxmox: {text!r} (such as 104858K, 4G, 2T)")
    return int(float(found[1]) * _UNITS[found[2].upper()])


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A drive of a VM.

    Attributes:
        volume: ``STORAGE:VOLUME``, or ``none``.
        size_bytes: 0 if the value does not say (an empty drive).
        options: everything but volume and size.
    """

    volume: str
    size_bytes: int
    options: Mapping[str, str]

    @property
    def storage(self) -> str | None:
        """The storage of the volume."""
        name, colon, _ = self.volume.partition(":")
        return name if colon else None

    @property
    def size_gib(self) -> float:
        """The size in GiB. Not always a whole number: clones of odd images are not."""
        return self.size_bytes / _GIB

    @property
    def left_out(self) -> bool:
        """Whether vzdump leaves it out of backups: ``backup=0``."""
        return self.options.get("backup", "1").lower() in ("0", "off", "no", "false")

    @property
    def is_cdrom(self) -> bool:
        """Whether it is a CD drive (the cloud-init drive is one)."""
        return self.options.get("media") == "cdrom"


def parse_disk(value: str) -> Disk:
    """Take a drive's value apart: ``local:101/vm-101-disk-0.qcow2,size=4G``.

    Raises:
        ValueError: it is none.
    """
    options = parse_property_string(value)
    volume = options.pop("", None) or options.pop("file", None)
    if volume is None:
        raise BadValue(f"not a drive: {value!r}")
    size = options.pop("size", None)
    return Disk(volume=volume, size_bytes=parse_disk_bytes(size) if size else 0, options=options)


_DRIVE = re.compile(r"(?:scsi|virtio|sata|ide|efidisk|tpmstate)[0-9]{1,3}")
_PROPERTIES = re.compile(r"(?:net|ipconfig)[0-9]{1,3}|agent|boot")
_COUNT = re.compile(r"cores|sockets|vcpus")


def wrong_setting(key: str, value: str) -> str:
    """Say what is wrong with a setting of a VM that is read as more than a text here; empty if nothing is.

    The file of a VM can be edited on its node, by hand and by other programs.
    """
    try:
        if _DRIVE.fullmatch(key):
            parse_disk(value)
        elif _PROPERTIES.fullmatch(key):
            parse_property_string(value)
    except ValueError as error:
        return f"{key}: {tidy(str(error), 200)}"
    if _COUNT.fullmatch(key) and not _is_count(value):
        return f"{key}: expected a number from 1 to 99999, found {tidy(value, 40)!r}"
    if key == "memory" and not _is_memory(value):
        return f"memory: expected a number of MiB, found {tidy(value, 40)!r}"
    return ""


def _is_count(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,4}", text) is not None


def _is_memory(text: str) -> bool:
    """``2048``, or ``current=2048``."""
    return re.fullmatch(r"(?:current=)?[1-9][0-9]{0,11}", text) is not None
