"""What the cluster's list knows of VMs: what their node's statistics daemon told it last, every ten seconds.

A VM that was made since has neither name nor state there, or the name "VM 110" if a round came while it was cloned;
one that was started since is listed as stopped. Number, node, lock, tags and pool are right at once, and so is the
node's own list. So it is on a real node (`extract_vm_stats` in PVE::API2Tools).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from lab.api.graphs import Graphs
from lab.api.vm_status import vm_status

if TYPE_CHECKING:
    from lab.api.cluster import Cluster

ROUND_SECONDS = 10.0
_OF_THE_CLUSTER = ("lock", "tags")
_GENERATIONS = 181
"""Half an hour of rounds, and the newest one."""

_log = logging.getLogger(__name__)


class Reports:
    """The last report of one node's VMs.

    Attributes:
        graphs: what is kept of all reports.
    """

    def __init__(self) -> None:
        self.graphs = Graphs()
        self._told: dict[int, dict[str, Any]] = {}
        self._samples: deque[tuple[int, dict[int, int]]] = deque(maxlen=_GENERATIONS)

    async def report_for_ever(self, cluster: Cluster) -> None:
        """Make a round again and again; ends when it is cancelled."""
        while True:
            try:
                await self.report(cluster)
            except (OSError, ValueError):
                _log.exception("VMs of %s could not be looked at", cluster.node)
            await asyncio.sleep(ROUND_SECONDS)

    async def report(self, cluster: Cluster) -> None:
        """Make a round: what the VMs are called, whether they run, and their figures."""
        told: dict[int, dict[str, Any]] = {}
        for vmid in cluster.configurations.vmids():
            config = cluster.configurations.load(vmid)
            shown = await vm_status(cluster, vmid, config)
            shown["maxcpu"] = shown.pop("cpus")
            for key in ("serial", *_OF_THE_CLUSTER):
                shown.pop(key, None)
            told[vmid] = shown | {"template": int(config.template)}
            self.graphs.tell(time.time(), vmid, shown)
        self._told = told
        self._samples.append((int(time.time()), {vmid: shown["uptime"] for vmid, shown in told.items()}))

    def samples(self, generations: int) -> list[tuple[int, dict[int, int]]]:
        """The newest rounds, the oldest of them first: time, and the uptime of each VM by number."""
        return list(self._samples)[-generations:]

    def forget(self, vmid: int) -> None:
        """Drop what is known of a VM that was removed: its number may be given again."""
        self._told.pop(vmid, None)
        self.graphs.forget(vmid)

    def listed(self, cluster: Cluster, vmid: int) -> dict[str, Any]:
        """One VM's entry in `GET /cluster/resources`."""
        values = cluster.configurations.load(vmid).values
        shown = {
            "id": f"qemu/{vmid}",
            "type": "qemu",
            "vmid": vmid,
            "node": cluster.node,
            "status": "unknown",
        }
        shown |= {key: values[key] for key in _OF_THE_CLUSTER if key in values}
        pool = cluster.pools.pool_of(vmid)
        return shown | ({"pool": pool} if pool else {}) | self._told.get(vmid, {})
