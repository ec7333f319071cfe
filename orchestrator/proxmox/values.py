"""Values of a VM's configuration: property strings, disks, sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)", re.IGNORECASE)
_GIB = 1024**3


def parse_property_string(text: str) -> dict[str, str]:
    """Take ``virtio=BC:24:11:44:91:79,bridge=vmbr0`` apart.

    A first part without a name (the volume of a disk, the ``1`` of ``agent: 1``) is kept under the empty name.

    Raises:
        ValueError: a later part has no name.
    """
    properties: dict[str, str] = {}
    for index, part in enumerate(filter(None, text.split(","))):
        name, equals, value = part.partition("=")
        if equals:
            properties[name] = value
        elif index == 0:
            properties[""] = part
        else:
            raise ValueError(f"not NAME=VALUE,…: {text!r} ({part!r} has no name)")
    return properties


def parse_disk_bytes(text: str) -> int:
    """Return the bytes of a size as Proxmox writes it: ``104858K``, ``4G``, ``2T``, or a number of bytes.

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"not a size of Proxmox: {text!r} (such as 104858K, 4G, 2T)")
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
        raise ValueError(f"not a drive: {value!r}")
    size = options.pop("size", None)
    return Disk(volume=volume, size_bytes=parse_disk_bytes(size) if size else 0, options=options)
