"""The configuration in an archive, and what a restore makes of it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from lab.api.drives import Drive, parse_drive, parse_net, print_net, random_mac
from lab.api.errors import Refused
from lab.api.options import SMBIOS
from lab.api.values import parse_properties, print_properties
from lab.api.vm_config import VmConfig, parse
from lab.vma import Device

_MAP = re.compile(r"#qmdump#map:(?P<slot>\S+?):(?P<device>\S+?):(?P<storage>\S*?):(?P<format>\S*?):")
_LEFT_OUT = re.compile(r"lock|parent|unused\d+")
_DISK = re.compile(r"scsi\d+")


@dataclass(frozen=True)
class ArchivedDisk:
    """A disk in an archive.

    Attributes:
        slot: where it belongs.
        number: its number in the archive.
        size: bytes.
        storage, format: what it was on, and as what; empty where the archive does not say.
    """

    slot: str
    number: int
    size: int
    storage: str
    format: str


def archived_disks(text: str, devices: Mapping[int, Device]) -> list[ArchivedDisk]:
    """The disks of an archive, from its configuration file and its header.

    Raises:
        Refused: the two do not fit.
    """
    numbers = {device.name: number for number, device in devices.items()}
    disks = []
    for found in filter(None, map(_MAP.fullmatch, text.splitlines())):
        if found["device"] not in numbers:
            raise Refused(f"archive does not contain data for drive '{found['slot']}'")
        number = numbers.pop(found["device"])
        size = devices[number].size
        disks.append(ArchivedDisk(found["slot"], number, size, found["storage"], found["format"]))
    if numbers:
        raise Refused(f"found no device mapping information for device '{next(iter(numbers))}'")
    return disks


def archived_cloud_init(text: str) -> dict[str, Drive]:
    """The cloud-init drives of an archive's configuration: they are made anew."""
    drives = parse(_plain(text)).drives()
    return {slot: drive for slot, drive in drives.items() if drive.cloud_init}


def restored_config(text: str, volumes: Mapping[str, str], *, unique: bool) -> VmConfig:
    """The configuration of the restored machine, before what the request changes in it.

    Args:
        text: the configuration file in the archive.
        volumes: the volumes that were made, by slot.
        unique: give it addresses and an identity of its own.
    """
    archived = parse(_plain(text))
    config, comments = VmConfig(), list[str]()
    for key, value in archived.values.items():
        if _LEFT_OUT.fullmatch(key):
            continue
        if _DISK.fullmatch(key) and parse_drive(value, key).options.get("backup") == 0:
            # The disk was left out of the backup: Proxmox leaves its line as a comment, which is the notes.
            comments.append(f"{key}: {value}")
        elif key in volumes:
            config.values[key] = str(parse_drive(value, key).having(file=volumes[key]))
        else:
            config.values[key] = _own(key, value, unique)
    if comments:
        notes = filter(None, (config.values.get("description"), *comments))
        config.values["description"] = "\n".join(notes)
    return config


def _own(key: str, value: str, unique: bool) -> str:
    """A value with what must not be the same in two machines."""
    if key == "vmgenid":
        return value if value == "0" else str(uuid.uuid4())
    if unique and re.fullmatch(r"net\d+", key):
        return print_net(parse_net(value, key) | {"macaddr": random_mac()})
    if unique and key == "smbios1":
        return print_properties(parse_properties(value, SMBIOS, name=key) | {"uuid": str(uuid.uuid4())})
    return value


def _plain(text: str) -> str:
    """The file without the lines that describe the backup: they look like notes."""
    return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith(("#qmdump#", "#vzdump#")))
