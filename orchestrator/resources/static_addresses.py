"""The static addresses in a guest's configuration, as Proxmox keeps them."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.proxmox import VmConfig

_IPCONFIGS = tuple(f"ipconfig{number}" for number in range(32))
_IP = re.compile(r"(?:^|,)ip=([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?:/[0-9]+)?(?:,|$)")
_NETWORK_DEVICE = re.compile(r"net[0-9]+")


def addresses_in(config: VmConfig) -> list[IPv4Address]:
    """The static IPv4 addresses that cloud-init gives by a configuration. What is no address is nobody's.

    First those that were set last; then those that the running guest keeps until its next start.
    """
    names = [name for name in _IPCONFIGS if name in config.current or name in config.pending]
    texts = [value for name in names if (value := config.effective(name))]
    texts += [value for name in names if (value := config.current.get(name))]
    return list(dict.fromkeys(address for text in texts if (address := static_address(text))))


def addresses_of_container(config: VmConfig) -> list[IPv4Address]:
    """The static IPv4 addresses of a container, those that it gets at its next start as well."""
    texts = [
        value
        for values in (config.current, config.pending)
        for key, value in values.items()
        if _NETWORK_DEVICE.fullmatch(key)
    ]
    return [address for text in texts if (address := static_address(text))]


def static_address(text: str) -> IPv4Address | None:
    """The address in a value such as ``ip=203.0.113.10/24,gw=…``; None if there is none."""
    found = _IP.search(text)
    if found is None:
        return None
    try:
        return IPv4Address(found[1])
    except AddressValueError:
        return None
