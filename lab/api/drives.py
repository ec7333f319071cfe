"""Disks and network cards as they stand in a VM's configuration.

`scsi0: local:100/vm-100-disk-0.qcow2,size=20G` and `net0: virtio=BC:24:11:00:00:01,bridge=vmbr0`: the
main item first, the options sorted.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lab.api import formats
from lab.api.errors import NotImplementedHere
from lab.api.sizes import SIZE_PATTERN, format_size, parse_size
from lab.api.values import Property, Value, lacking, parse_properties, print_properties, words

DISK_SLOTS = tuple(f"scsi{index}" for index in range(31))
"""The lab's guests have their drives on virtio-scsi: Debian's cloud kernel knows no IDE or SATA."""

_CARD_MODELS = words(
    "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er "
    "ne2k_isa ne2k_pci pcnet rtl8139 virtio vmxnet3"
)
_NEW_DISK = re.compile(r"(?:([^:\s]+):)?(\d+(?:\.\d+)?)")

_DRIVE = {
    "file": Property(optional=False),
    "aio": Property(choices=("native", "threads", "io_uring")),
    "backup": Property("boolean"),
    "cache": Property(choices=("none", "writethrough", "writeback", "unsafe", "directsync")),
    "discard": Property(choices=("ignore", "on")),
    "format": Property(choices=("raw", "qcow", "qed", "qcow2", "vmdk", "cloop")),
    "import-from": Property(),
    "iothread": Property("boolean"),
    "media": Property(choices=("cdrom", "disk")),
    "replicate": Property("boolean"),
    "size": Property(pattern=SIZE_PATTERN),
    "ssd": Property("boolean"),
    **lacking(
        "bps", "bps_rd", "bps_wr", "cyls", "detect_zeroes", "heads", "iops", "iops_rd", "iops_wr", "mbps"
    ),
    **lacking("mbps_rd", "mbps_wr", "product", "queues", "rerror", "ro", "scsiblock", "secs", "serial"),
    **lacking("shared", "snapshot", "trans", "vendor", "werror", "wwn"),
}
_UNUSED = {"file": Property(optional=False)}
_NET = {
    "model": Property(optional=False, choices=_CARD_MODELS),
    "macaddr": Property(check=formats.mac_address),
    "bridge": Property(pattern=r"[-_.\w\d]+"),
    "firewall": Property("boolean"),
    "link_down": Property("boolean"),
    "mtu": Property("integer", minimum=1, maximum=65520),
    "queues": Property("integer", minimum=0, maximum=64),
    "rate": Property("number", minimum=0),
    "tag": Property("integer", minimum=1, maximum=4094),
    "trunks": Property(pattern=r"\d+(?:-\d+)?(?:;\d+(?:-\d+)?)*"),
}


@dataclass(frozen=True)
class Drive:
    """One drive.

    Attributes:
        file: the volume (`STORAGE:NAME`) or, in a request, what to make (`STORAGE:GIB`, `STORAGE:cloudinit`).
        options: everything after it.
    """

    file: str
    options: Mapping[str, Value]

    @property
    def cdrom(self) -> bool:
        """A CD drive, as the cloud-init drive is."""
        return self.options.get("media") == "cdrom"

    @property
    def cloud_init(self) -> bool:
        """The drive whose content the hypervisor writes."""
        return self.file.endswith(":cloudinit") or bool(re.search(r"vm-\d+-cloudinit(\.\w+)?$", self.file))

    @property
    def size(self) -> int:
        """Bytes, 0 where the configuration does not say."""
        return parse_size(str(self.options.get("size", "0")))

    @property
    def new_disk(self) -> tuple[str, str] | None:
        """Storage (may be empty) and size in GiB of a disk to make, or None for a volume that exists."""
        found = _NEW_DISK.fullmatch(self.file)
        return (found[1] or "", found[2]) if found else None

    def having(self, *, file: str | None = None, size: int | None = None, media: str | None = None) -> Drive:
        """This drive with another volume, size in bytes, or kind; the words that only a request has are gone."""
        options = {key: value for key, value in self.options.items() if key not in ("format", "import-from")}
        if size is not None:
            options["size"] = format_size(size)
        if media is not None:
            options["media"] = media
        return replace(self, file=file or self.file, options=options)

    def __str__(self) -> str:
        return print_properties({"file": self.file, **self.options}, default_key="file")


def parse_drive(text: str, slot: str) -> Drive:
    """Read the value of a drive's key.

    Raises:
        ValueError: in Proxmox's words.
    """
    schema = _UNUSED if slot.startswith("unused") else _DRIVE
    options = parse_properties(text, schema, name=slot, default_key="file")
    return Drive(str(options.pop("file")), options)


def parse_net(text: str, slot: str) -> dict[str, Value]:
    """Read the value of a network card's key: `model`, `macaddr` where given, and the options.

    Raises:
        ValueError: in Proxmox's words.
        NotImplementedHere: a model other than virtio.
    """
    parts = []
    for part in text.split(","):
        key, separator, value = part.partition("=")
        parts.append(f"model={key},macaddr={value}" if separator and key in _CARD_MODELS else part)
    card = parse_properties(",".join(parts), _NET, name=slot, default_key="model")
    if card["model"] != "virtio":
        raise NotImplementedHere(f"Network card model '{card['model']}' ({slot})")
    return card


def print_net(card: Mapping[str, Value]) -> str:
    """The value of a network card's key; a card without an address gets one."""
    options = {key: value for key, value in card.items() if key not in ("model", "macaddr")}
    address = str(card.get("macaddr") or random_mac()).upper()
    return ",".join(filter(None, [f"{card['model']}={address}", print_properties(options)]))


def random_mac() -> str:
    """An address with Proxmox's own prefix."""
    return "BC:24:11:" + ":".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def check_drive(slot: str) -> Callable[[str], object]:
    """The format of a drive's key, for its `Property`."""
    return lambda text: parse_drive(text, slot)


def check_net(slot: str) -> Callable[[str], object]:
    """The format of a network card's key, for its `Property`."""
    return lambda text: parse_net(text, slot)
