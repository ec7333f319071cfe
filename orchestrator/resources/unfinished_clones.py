"""Before a run: let clones finish that an earlier, killed run had asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.proxmox import ProxmoxError

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedSite

_POLL_SECONDS = 1.0


def unfinished_clones(observed: ObservedSite) -> list[str]:
    """Nodes where one of our machines is locked by its clone."""
    return sorted({m.summary.node for m in observed.machines if m.summary.lock in ("clone", "create")})


def await_clones(
    cluster: Cluster, nodes: list[str], *, seconds: float, pause: Callable[[float], None] = time.sleep
) -> None:
    """Wait until no clone runs on these nodes, at most ``seconds`` seconds.

    A lock that is left when none runs is a crashed task's: the plan then reports it with the remedy.
    """
    deadline = time.monotonic() + seconds
    for node in nodes:
        while time.monotonic() < deadline:
            try:
                active = cluster.get(f"/nodes/{node}/tasks", source="active")
            except ProxmoxError:  # what stands there is looked at next, and says what is wrong
                break
            if not any(
                task["type"] in ("qmclone", "qmcreate") and not task.get("endtime") for task in active
            ):
                break
            pause(_POLL_SECONDS)
