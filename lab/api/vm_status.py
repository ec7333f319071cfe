"""The state of VMs as lists and status calls show it, from configurations and real counters."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lab.api.options import agent_enabled
from lab.api.vm_config import VmConfig
from lab.qemu import GuestNotRunningError

if TYPE_CHECKING:
    from lab.api.cluster import Cluster

_MIB = 1024**2


async def vm_status(cluster: Cluster, vmid: int, config: VmConfig) -> dict[str, Any]:
    """One VM's entry in `GET /nodes/N/qemu`. Sizes are bytes, `cpu` is a share of the VM's processors
    since its start."""
    boot_disk = config.boot_disk()
    cpus = min(config.vcpus, os.cpu_count() or 1)
    shown: dict[str, Any] = {
        "vmid": vmid,
        "name": config.values.get("name", f"VM {vmid}"),
        "status": "stopped",
    }
    shown |= {"cpus": cpus, "maxmem": config.memory_mib * _MIB, "disk": 0}
    shown["maxdisk"] = boot_disk.size if boot_disk else 0
    shown |= dict.fromkeys(("uptime", "cpu", "mem", "netin", "netout", "diskread", "diskwrite"), 0)
    if await cluster.is_running(vmid):
        with suppress(GuestNotRunningError):
            shown |= await _running_figures(cluster, vmid, cpus)
    if config.template:
        shown["template"] = 1
    if "serial0" in config.values:
        shown["serial"] = 1
    return shown | {key: config.values[key] for key in ("lock", "tags") if key in config.values}


async def current_status(cluster: Cluster, vmid: int, config: VmConfig) -> dict[str, Any]:
    """The answer of `GET …/status/current`."""
    shown = await vm_status(cluster, vmid, config)
    shown |= {"qmpstatus": shown["status"], "ha": {"managed": 0}}
    if "vga" in config.values:
        shown["clipboard"] = None
    return shown | ({"agent": 1} if agent_enabled(config.values.get("agent")) else {})


async def _running_figures(cluster: Cluster, vmid: int, cpus: int) -> dict[str, Any]:
    counters = await cluster.guests.counters(cluster.node, vmid)
    return {
        "status": "running",
        "uptime": int(counters.uptime_seconds),
        "cpu": counters.cpu_seconds / max(counters.uptime_seconds, 1.0) / cpus,
        "mem": counters.memory_bytes,
        "netin": counters.net_in_bytes,
        "netout": counters.net_out_bytes,
        "diskread": counters.disk_read_bytes,
        "diskwrite": counters.disk_written_bytes,
    }
