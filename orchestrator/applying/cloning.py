"""Whether a VM is still being cloned: before that ends, nobody can see whose it will be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.proxmox import NotFound, read_vm, where_is
from orchestrator.resources.ownership import CLONING

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


def is_being_cloned(cluster: Cluster, vmid: int) -> bool:
    """Whether a VM is being cloned now. Its configuration is nothing but a lock meanwhile: no name, no notes.

    A crashed clone leaves its lock, and no task.

    Raises:
        ProxmoxError: the cluster or the node could not be asked.
    """
    node = where_is(cluster, vmid)
    if node is None:
        return False
    try:
        config = read_vm(cluster, node, vmid, odd=True)
    except NotFound:  # it has just left for the node that it was cloned to
        return where_is(cluster, vmid) is not None
    if config.current.get("lock") not in CLONING:
        return False
    return bool(cluster.get(f"/nodes/{node}/tasks", source="active", typefilter="qmclone"))
