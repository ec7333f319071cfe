"""The pools of a cluster, their machines, and the one that stops every change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import ServerError, tidy

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

FREEZE_POOL = "orchestrator-freeze"
"""A pool of this name at a site stops every change there; its comment says who made it, and why."""

_BY_HAND = "somebody, by hand"


def read_frozen(cluster: Calls) -> str:
    """Who stopped every change at a site, and why; empty if nobody did. One call.

    Raises:
        ProxmoxError: it could not be read.
    """
    return frozen_by(read_pools(cluster))


def read_pools(cluster: Calls) -> dict[str, str]:
    """The pools of a cluster and their comments, as far as the token sees them. One call.

    Raises:
        ProxmoxError: they could not be read.
    """
    answer = cluster.get("/pools")
    if not isinstance(answer, list):
        raise ServerError("the answer is not a list of pools", site=cluster.site, call="GET /pools")
    return comments(answer)


def comments(pools: Iterable[Any]) -> dict[str, str]:
    """The comment of each pool, by its name: whatever else the list holds, a freeze is seen."""
    return {
        entry["poolid"]: entry["comment"] if isinstance(entry.get("comment"), str) else ""
        for entry in pools
        if isinstance(entry, dict) and isinstance(entry.get("poolid"), str)
    }


def frozen_by(pools: Mapping[str, str]) -> str:
    """Who stopped every change, by pools and their comments; empty if nobody did."""
    return (tidy(pools[FREEZE_POOL]) or _BY_HAND) if FREEZE_POOL in pools else ""


def read_pool_members(cluster: Calls, pool: str) -> frozenset[int]:
    """The numbers of the machines in a pool, as the cluster has it at this moment: one call.

    Raises:
        NotFound: there is no such pool.
        ProxmoxError: it could not be read.
    """
    pools = cluster.get("/pools", poolid=pool)
    members = [member for entry in pools for member in entry.get("members") or ()]
    return frozenset(int(member["vmid"]) for member in members if "vmid" in member)
