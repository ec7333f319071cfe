"""Starting and stopping machines that the HA manager minds.

Asked to shut such a machine down, Proxmox hands the request to the HA manager, which pulls the plug when the guest
takes longer (``forceStop`` in PVE::HA::Resources::PVEVM), and says that it is done before it has begun. So the manager
is told to ignore the machine while its power changes, and afterwards what it is to keep up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.proxmox import set_ha_state

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


@contextmanager
def kept_aside(cluster: Cluster, node: str, vmid: int, *, managed: bool) -> Iterator[None]:
    """Keep the HA manager from a machine while it is started or stopped.

    A kill in between leaves it ignored, which the next plan shows and mends.

    Args:
        cluster, node, vmid: the machine.
        managed: whether the HA manager minds it; else nothing is done.

    Raises:
        ProxmoxError: the manager could not be told.
    """
    if not managed:
        yield
        return
    set_ha_state(cluster, vmid, "ignored")
    try:
        yield
    finally:
        status = cluster.get(f"/nodes/{node}/qemu/{vmid}/status/current")
        set_ha_state(cluster, vmid, "stopped" if status["status"] == "stopped" else "started")
