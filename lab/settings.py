"""What a lab is made of: its name, where it keeps its state, and its two sites."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/orchestrator-lab")
SITE_NAMES = ("paris", "lyon")
_FILE = "lab.json"
_SOURCES = 3
"""Addresses of each bridge: the gateway, and two more that tests and the demo connect from."""


@dataclass(frozen=True)
class SiteSettings:
    """One site: its name, its node's name, the port of its API and the subnet of its guests."""

    name: str
    node: str
    port: int
    subnet: IPv4Network

    @property
    def gateway(self) -> str:
        """The first address of the subnet, on the node's bridge."""
        return str(self.subnet[1])

    @property
    def bridge_addresses(self) -> tuple[IPv4Interface, ...]:
        """All addresses of the node's bridge: the gateway's first."""
        return tuple(
            IPv4Interface((int(self.subnet[index]), self.subnet.prefixlen))
            for index in range(1, 1 + _SOURCES)
        )


@dataclass(frozen=True)
class LabSettings:
    """A lab.

    Attributes:
        name: 1 to 31 lower-case letters, digits and dashes.
        state_dir: everything that outlives the server.
        address: where the API listens.
        sites: two, each with a node of its own.
        image: a guest image (qcow2) to make the template `debian-12` of, or None.
    """

    name: str
    state_dir: Path
    address: str
    sites: tuple[SiteSettings, ...]
    image: Path | None = None

    @property
    def run_dir(self) -> Path:
        """Sockets and process ids; a short path, since a socket's name has little room."""
        return Path("/run/orchestrator-lab") / self.name

    def node_dir(self, site: SiteSettings) -> Path:
        """What one node keeps: configurations, tasks, pools, figures."""
        return self.state_dir / "nodes" / site.node

    def site_dir(self, site: SiteSettings) -> Path:
        """The storages that stand at a site."""
        return self.state_dir / "sites" / site.name

    def other(self, site: SiteSettings) -> SiteSettings:
        """The other site."""
        return next(item for item in self.sites if item != site)

    def save(self) -> None:
        """Write the settings into the state directory."""
        sites = [
            {"name": site.name, "node": site.node, "port": site.port, "subnet": str(site.subnet)}
            for site in self.sites
        ]
        written = {"name": self.name, "address": self.address, "sites": sites}
        image = {"image": str(self.image)} if self.image else {}
        (self.state_dir / _FILE).write_text(json.dumps(written | image, indent=1))


def load_settings(state_dir: Path) -> LabSettings | None:
    """The settings of the lab in a state directory, or None where there is none."""
    path = state_dir / _FILE
    if not path.exists():
        return None
    stored = json.loads(path.read_text())
    sites = tuple(
        SiteSettings(site["name"], site["node"], site["port"], ipaddress.IPv4Network(site["subnet"]))
        for site in stored["sites"]
    )
    image = Path(stored["image"]) if "image" in stored else None
    return LabSettings(stored["name"], state_dir, stored["address"], sites, image)
