"""The site file, and where files are by default. Little is loaded for it: a plan begins to read the sites early."""

from __future__ import annotations

import hashlib
from pathlib import Path

from orchestrator.errors import RequestRefused
from orchestrator.sites.loading import load_provider
from orchestrator.sites.model import Provider, Site

DEFAULT_FOLDER = Path("subscriptions")
"""The clients' files, where no others are named."""


def find_inventory(name: str | None) -> Path:
    """The folder of an inventory, by path or by its name below ./inventories.

    Raises:
        RequestRefused: there is none, or none was named.
    """
    if name is None:
        known = sorted(path.parent.name for path in Path("inventories").glob("*/sites.yaml"))
        raise RequestRefused(
            "which sites? Name an inventory with --inventory, or in ORCHESTRATOR_INVENTORY"
            + (
                f"; below ./inventories there are: {', '.join(known)}"
                if known
                else "; `orchestrator init` writes one"
            )
        )
    for path in (Path(name), Path("inventories") / name):
        if path.exists():
            return path
    raise RequestRefused(f"no inventory {name}: neither a folder of that path, nor inventories/{name}")


def open_provider(inventory: str | None) -> Provider:
    """Read the site file.

    Raises:
        RequestRefused: there is none.
        ProblemsFound: it has errors.
    """
    return load_provider(find_inventory(inventory))


def provider_name(provider: Provider) -> str:
    """A name for the set of sites, by the addresses of their APIs: for saved plans, and the list of host keys."""
    urls = sorted(site.api.url for site in provider.sites.values())
    return hashlib.sha256("\n".join(urls).encode()).hexdigest()[:12]


def site_of(provider: Provider, name: str) -> Site:
    """A site of an inventory.

    Raises:
        RequestRefused: it has none of that name.
    """
    if name not in provider.sites:
        raise RequestRefused(
            f"there is no site {name}: the inventory has {', '.join(sorted(provider.sites))}"
        )
    return provider.sites[name]
