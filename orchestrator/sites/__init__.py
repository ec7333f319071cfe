"""The provider's own side, the public face: data centres, their clusters, networks, images and secrets.

Names are loaded on first use: ``orchestrator --help`` must not pay for pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.sites.free_addresses import free_addresses
    from orchestrator.sites.loading import load_apis, load_provider
    from orchestrator.sites.model import Provider, SecretReference, Site, SiteNetwork
    from orchestrator.sites.secrets import SecretUnavailable

__all__ = [
    "Provider",
    "SecretReference",
    "SecretUnavailable",
    "Site",
    "SiteNetwork",
    "free_addresses",
    "load_apis",
    "load_provider",
]

_HOMES = {
    "Provider": "model",
    "SecretUnavailable": "secrets",
    "SecretReference": "model",
    "Site": "model",
    "SiteNetwork": "model",
    "free_addresses": "free_addresses",
    "load_apis": "loading",
    "load_provider": "loading",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
