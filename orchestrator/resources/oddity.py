"""Whether the configuration of a machine can be understood: checked once, where it is read.

Files of the hypervisor are edited by hand, and newer versions know values that this program does not. What plans,
backups and restores take apart later is taken apart first, so that an odd value is that machine's trouble and nobody
else's. What every reader of a configuration needs is checked there (:func:`orchestrator.proxmox.read_vm`); here is what
only a machine of ours must not have. An address that is none is no trouble of a stranger: it is just nobody's.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from orchestrator.proxmox import parse_property_string

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig

_NETWORK_DEVICE = re.compile(r"net[0-9]+")
_ADDRESSES = re.compile(r"ipconfig[0-9]+")
_VLAN = re.compile(r"[1-9][0-9]{0,3}")


def oddity(config: VmConfig) -> str | None:
    """Say what of a machine's configuration cannot be understood; None if all of it can that is used."""
    if config.wrong:
        return config.wrong
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
    if _ADDRESSES.fullmatch(key):
        address = parse_property_string(value).get("ip", "dhcp")
        if address != "dhcp":
            IPv4Interface(address)
    elif _NETWORK_DEVICE.fullmatch(key):
        return bool(_VLAN.fullmatch(parse_property_string(value).get("tag", "1")))
    return True
