"""The inventory that describes a lab to the orchestrator: a file like any provider's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab.api.access import ORCHESTRATOR_TOKEN, Credentials
from lab.network import namespace_of
from lab.node_shell import NodeShell
from lab.settings import LabSettings, SiteSettings

_FIRST, _LAST = 20, 200
"""Where automatic addresses are chosen, counted from the subnet's first address."""


def write_inventory(
    settings: LabSettings,
    credentials: Credentials,
    key: Path,
    public_key: str,
    shells: Mapping[str, NodeShell | None],
) -> Path:
    """Write `inventory/sites.yaml` into the lab's state directory and return its path.

    Args:
        settings, credentials: of the lab.
        key, public_key: what guests are entered with.
        shells: how the node of each site is entered; None: not at all.

    Guests are reached by SSH through the lab's network namespace: the proxy command needs root and
    `nc` (package netcat-openbsd).
    """
    management = {
        "addresses": [f"{site.gateway}/32" for site in settings.sites],
        "monitoring_addresses": [f"{site.gateway}/32" for site in settings.sites],
        "user": "admin",
        "ssh_public_key": public_key,
        "ssh_private_key": str(key),
        "ssh_proxy_command": f"ip netns exec {namespace_of(settings.name)} nc %h %p",
    }
    sites = {site.name: _site(settings, credentials, site, shells[site.name]) for site in settings.sites}
    path = settings.state_dir / "inventory" / "sites.yaml"
    path.parent.mkdir(exist_ok=True)
    head = f"# Written by the lab {settings.name!r} each time it starts.\n"
    path.write_text(head + yaml.safe_dump({"management": management, "sites": sites}, sort_keys=False))
    return path


def _site(
    settings: LabSettings, credentials: Credentials, site: SiteSettings, shell: NodeShell | None
) -> dict[str, Any]:
    other = settings.other(site)
    network = {
        "name": "public",
        "bridge": "vmbr0",
        "subnet": str(site.subnet),
        "gateway": site.gateway,
        "range": f"{site.subnet[_FIRST]}-{site.subnet[_LAST]}",
    }
    return {
        "api": {
            "url": f"https://{settings.address}:{site.port}",
            "token_id": ORCHESTRATOR_TOKEN,
            "token_secret": {"file": str(credentials.token_file)},
            "ca_file": str(settings.state_dir / "ca.pem"),
        },
        "data_centre": f"Lab {site.name}",
        "storage": "local",
        "disk_format": "qcow2",
        "networks": [network],
        "images": {"debian-12": {"template": "debian-12"}},
        "backup_storages": [{"name": f"backup-{other.name}", "site": other.name}],
        **({"node_access": _node_access(site, shell)} if shell else {}),
    }


def _node_access(site: SiteSettings, shell: NodeShell) -> dict[str, Any]:
    return {
        "ssh_private_key": str(shell.private_key),
        "ssh_known_hosts": str(shell.known_hosts),
        "addresses": {site.node: shell.address},
    }
