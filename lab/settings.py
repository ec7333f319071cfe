"""What one lab is: its name, its folder, and its sites with their nodes, ports and subnets.

A lab's settings are kept in its folder, so that it is started again as it was, and stopped by its name
alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from lab.network import Bridge, bridge_name, namespace_of

STATES = Path("/var/lib/orchestrator-lab")
"""Where the folders of labs are."""

SITES = ("paris", "lyon")
"""The data centres, one cluster of one node each."""

BRIDGE = "vmbr0"
"""The bridge of every node, by the name its users know."""

_FILE = "lab.json"
_OFFERED_ADDRESSES = (20, 200)
_SOURCE_ADDRESSES = (2, 3)
_SMALLEST_PREFIX = 24


class SettingsError(ValueError):
    """Settings that make no lab; the text says which and why."""


@dataclass(frozen=True)
class SiteSettings:
    """One site: a cluster of one node."""

    name: str
    node: str
    port: int
    subnet: str

    @property
    def network(self) -> IPv4Network:
        """The subnet of the node's bridge."""
        return IPv4Network(self.subnet)

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's own address, `.1`: from it the provider reaches the machines."""
        return self.network[1]

    @property
    def offered(self) -> tuple[IPv4Address, IPv4Address]:
        """First and last address for machines."""
        first, last = _OFFERED_ADDRESSES
        return self.network[first], self.network[last]

    @property
    def backup_storage(self) -> str:
        """The name under which other sites know the storage for backups that stands here."""
        return f"backup-{self.name}"


@dataclass(frozen=True)
class LabSettings:
    """One lab.

    Attributes:
        name: part of the network namespace's name.
        state: folder of everything the lab keeps.
        address: where the APIs listen.
        image: guest image (qcow2) to make template 9000 of, or None.
    """

    name: str
    state: Path
    address: str
    sites: tuple[SiteSettings, ...]
    image: Path | None = None

    @property
    def namespace(self) -> str:
        """The network namespace."""
        return namespace_of(self.name)

    @property
    def bridges(self) -> tuple[Bridge, ...]:
        """A bridge a node, with its gateway address and two more to connect from."""
        return tuple(
            Bridge(site.node, bridge_name(index), _addresses(site.network))
            for index, site in enumerate(self.sites)
        )

    def url(self, site: SiteSettings) -> str:
        """The address of a site's API."""
        return f"https://{self.address}:{site.port}"

    def save(self) -> None:
        """Keep the settings in the lab's folder."""
        content = {**asdict(self), "state": str(self.state), "image": str(self.image) if self.image else None}
        scratch = self.state / f".{_FILE}.new"
        scratch.write_text(json.dumps(content, indent=2) + "\n")
        scratch.replace(self.state / _FILE)


def load(state: Path) -> LabSettings | None:
    """The settings that a lab's folder keeps, or None where there is no lab."""
    path = state / _FILE
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    return LabSettings(
        name=content["name"],
        state=state,
        address=content["address"],
        sites=tuple(SiteSettings(**site) for site in content["sites"]),
        image=Path(content["image"]) if content["image"] else None,
    )


def make(
    name: str,
    state: Path,
    *,
    address: str,
    nodes: Sequence[str],
    ports: Sequence[int],
    subnets: Sequence[str],
    image: Path | None,
) -> LabSettings:
    """Settings of a new lab, one node, port and subnet a site.

    Raises:
        SettingsError: something does not fit.
    """
    try:
        namespace_of(name)
        networks = [IPv4Network(subnet) for subnet in subnets]
    except ValueError as error:
        raise SettingsError(str(error)) from None
    for what, given in (("node names", nodes), ("ports", ports), ("subnets", subnets)):
        if len(given) != len(SITES) or len(set(given)) != len(SITES):
            raise SettingsError(f"{what}: {len(SITES)} different ones are needed, for {' and '.join(SITES)}")
    if networks[0].overlaps(networks[1]) or any(net.prefixlen > _SMALLEST_PREFIX for net in networks):
        raise SettingsError(
            f"subnets: {subnets[0]} and {subnets[1]} must not overlap, and be /{_SMALLEST_PREFIX} or larger"
        )
    if image is not None and not os.access(image, os.R_OK):
        raise SettingsError(f"{image}: no such image, or it cannot be read; `python -m lab.image` makes one")
    described = zip(SITES, nodes, ports, subnets, strict=True)
    return LabSettings(
        name, state.absolute(), address, tuple(SiteSettings(*site) for site in described), image
    )


def _addresses(network: IPv4Network) -> tuple[IPv4Interface, ...]:
    return tuple(
        IPv4Interface(f"{network[index]}/{network.prefixlen}") for index in (1, *_SOURCE_ADDRESSES)
    )
