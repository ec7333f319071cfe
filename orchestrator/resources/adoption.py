"""Taking an existing machine over as it is (article 4.2): nothing of it changes but its notes, tags and pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.errors import BadValue
from orchestrator.proxmox import Disk, parse_disk, parse_property_string
from orchestrator.resources.attributes import ATTRIBUTES
from orchestrator.resources.machine import applied, is_cloud_init, is_drive, new_mark

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

_BUSES = ("scsi", "virtio", "sata", "ide")


class Unfit(BadValue):
    """The machine is not what its file says, or cannot be described by one. The text says how."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A disk of a machine, and where it sits."""

    name: str
    disk: Disk

    @property
    def gibibytes(self) -> int:
        """Its size in whole GiB, what is over left out: a file knows no smaller unit."""
        return self.disk.size_bytes // 1024**3


def disk_slots(config: VmConfig) -> list[Slot]:
    """The disks of a machine: the one that it boots from first, the others by bus and number.

    Drives with exchangeable media, cloud-init's, the firmware's and what is not attached are no disks here.
    """
    found = {
        key: parse_disk(value)
        for key, value in config.current.items()
        if is_drive(key) and not parse_disk(value).is_cdrom and not is_cloud_init(value)
    }
    boot = parse_property_string(config.effective("boot") or "").get("order", "")
    order = [name for name in re.split(r"[;,]", boot) if name in found]
    first = order[0] if order else config.effective("bootdisk")

    def place(name: str) -> tuple[bool, int, int]:
        bus = re.sub(r"\d+$", "", name)
        return name != first, _BUSES.index(bus), int(name.removeprefix(bus))

    return [Slot(name=name, disk=found[name]) for name in sorted(found, key=place)]


def adopted_mark(desired: DesiredMachine, observed: ObservedMachine, address: IPv4Address) -> Mark:
    """The mark that makes an existing machine the one of a file.

    Args:
        desired: the file's side.
        observed: the machine as it is; not ours.
        address: where it is reached.

    Raises:
        Unfit: it differs from its file: taking over must change nothing.
    """
    config = observed.config
    slots = disk_slots(config)
    sides: list[tuple[str, object, object]] = [
        ("disks (GiB)", [slot.gibibytes for slot in slots], [size for _, size in desired.disks]),
        (
            "disks left out of the backup",
            [number for number, slot in enumerate(slots) if slot.disk.left_out],
            [number for number, disk in enumerate(desired.file.disks) if not disk.backup],
        ),
        ("power", "running" if observed.running else "stopped", desired.power),
    ]
    for row in ATTRIBUTES:
        if row.adoptable:
            found, asked = row.read(config), row.asked(desired, address)
            sides.append((row.name, None if found is None else row.words(found), row.words(asked)))
    if observed.address is not None:
        sides.append(("address", observed.address, address))
    differing = [
        f"{name} is {is_ or 'none'}, its file says {says}" for name, is_, says in sides if is_ != says
    ]
    if differing:
        raise Unfit("; ".join(differing))
    names = [name for name, _ in desired.disks]
    return new_mark(desired, observed.summary.vmid).with_(
        ready=True,
        slots={name: slot.name for name, slot in zip(names, slots, strict=True)},
        applied=applied(desired, address),
        adopted=address,
    )
