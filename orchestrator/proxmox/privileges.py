"""Privileges of tokens in Proxmox VE: what one is, and what a token holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

Held = Mapping[str, Mapping[str, Any]]
"""Privileges by path, as ``GET /access/permissions`` tells them; 0: only at the path itself, not below."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """One privilege.

    Attributes:
        path: where it is needed, with all that lies below.
        features: what cannot be done without it.
        releases: the major versions of Proxmox VE that it is needed on.
    """

    privilege: str
    path: str
    features: tuple[str, ...]
    releases: frozenset[int] = frozenset({8, 9})


def major(version: str) -> int:
    """The major version of ``8.4.1``; 0 if it says none."""
    found = re.match(r"[0-9]{1,4}", version)
    return int(found[0]) if found else 0


def read_version(cluster: Calls) -> str:
    """The version of Proxmox VE, such as ``8.4.1``: one call.

    Raises:
        ProxmoxError: it could not be read.
    """
    return str(cluster.get("/version")["version"])


def holds(held: Held, need: Need) -> bool:
    """Whether a privilege holds at its path and below.

    A grant at a path replaces the wider ones above it, whatever it says; so a narrower grant is looked at as well.
    """
    here = held[need.path] if need.path in held else held.get("/", {})
    return bool(int(here.get(need.privilege) or 0))


def read_held(cluster: Calls) -> Held:
    """What the token may do, by path: one call.

    Raises:
        ProxmoxError: it could not be read.
    """
    held: Held = cluster.get("/access/permissions")
    return held
