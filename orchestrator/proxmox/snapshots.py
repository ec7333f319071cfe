"""A VM's snapshots."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls


@dataclass(frozen=True, kw_only=True)
class VmSnapshot:
    """One snapshot.

    Attributes:
        taken_at: when (aware, UTC).
        description: its text.
        parent: the snapshot before it; None for the first.
        unfinished: what a task that crashed left: ``prepare`` or ``delete``; None for a whole one.
    """

    name: str
    taken_at: dt.datetime
    description: str
    parent: str | None
    unfinished: str | None = None


def read_snapshots(cluster: Calls, node: str, vmid: int) -> tuple[VmSnapshot, ...]:
    """Read a VM's snapshots, the oldest first: one call.

    Raises:
        NotFound: there is no such VM on this node.
        ProxmoxError: they could not be read.
    """
    listed = cluster.get(f"/nodes/{node}/qemu/{vmid}/snapshot")
    snapshots = [
        VmSnapshot(
            name=str(entry["name"]),
            taken_at=dt.datetime.fromtimestamp(int(entry.get("snaptime") or 0), dt.UTC),
            description=str(entry.get("description") or ""),
            parent=str(entry["parent"]) if entry.get("parent") else None,
            unfinished=str(entry["snapstate"]) if entry.get("snapstate") else None,
        )
        for entry in listed
        if entry["name"] != "current"  # "You are here!" is no snapshot
    ]
    return tuple(sorted(snapshots, key=lambda snapshot: (snapshot.taken_at, snapshot.name)))
