"""The provider's own side, the public face: data centres, their clusters, networks, images and secrets.

Names are loaded on first use: ``orchestrator --help`` must not pay for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.sites.access import SecretReference
    from orchestrator.sites.loading import load_apis, load_provider
    from orchestrator.sites.model import Provider, Site, SiteNetwork
    from orchestrator.sites.secrets import SecretUnavailable
    from orchestrator.sites.unused_addresses import free_addresses


_NAMES = {
    "access": ("SecretReference",),
    "model": ("Provider", "Site", "SiteNetwork"),
    "secrets": ("SecretUnavailable",),
    "unused_addresses": ("free_addresses",),
    "loading": ("load_apis", "load_provider"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
