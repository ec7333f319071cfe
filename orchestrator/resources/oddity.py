"""Whether the configuration of a machine can be understood: checked once, where it is read.

Files of the hypervisor are edited by hand, and newer versions know values that this program does not. What plans,
backups and restores take apart later (drives, addresses, network devices, numbers) is taken apart here first, so that
an odd value is that machine's trouble and nobody else's.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from orchestrator.proxmox import parse_disk, parse_property_string

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig

_DRIVE = re.compile(r"(?:scsi|virtio|sata|ide|efidisk|tpmstate)[0-9]+")
_NETWORK_DEVICE = re.compile(r"net[0-9]+")
_ADDRESSES = re.compile(r"ipconfig[0-9]+")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_SIZE = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,9})?[KMGTkmgt]?")


def oddity(config: VmConfig) -> str | None:
    """Say what of a machine's configuration cannot be understood; None if all of it can that is used."""
    for values in (config.current, config.pending):
        for key, value in values.items():
            try:
                sound = _sound(key, value)
            except ValueError:
                sound = False
            if not sound:
                shown = value if len(value) <= 80 else f"{value[:80]}…"
                return f"{key} is {shown!r}"
    return None


def _sound(key: str, value: str) -> bool:
    if key in ("cores", "sockets"):
        return bool(_NUMBER.fullmatch(value))
    if key == "memory":
        return bool(_NUMBER.fullmatch(parse_property_string(value).get("current", value)))
    if key == "boot":
        parse_property_string(value)
    elif _ADDRESSES.fullmatch(key):
        address = parse_property_string(value).get("ip", "dhcp")
        if address != "dhcp":
            IPv4Interface(address)
    elif _NETWORK_DEVICE.fullmatch(key):
        tag = dict(part.partition("=")[::2] for part in value.split(",")).get("tag", "1")
        return bool(_NUMBER.fullmatch(tag))
    elif _DRIVE.fullmatch(key):
        size = parse_property_string(value).get("size", "1G")
        parse_disk(value)
        return bool(_SIZE.fullmatch(size))
    return True
