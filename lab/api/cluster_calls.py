"""Calls about a cluster, its node, and the figures of both."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from lab.api import formats
from lab.api.errors import Refused, WrongParameters
from lab.api.reports import ROUND_SECONDS
from lab.api.routing import Call, Routes, needs
from lab.api.schemas import NODE
from lab.api.values import Property, split_list

routes = Routes()

VERSION = {"version": "8.4.1", "release": "8.4", "repoid": "orchestrator-lab"}
"""The API that the lab speaks; the last field says who speaks it."""


@routes.add("GET", "/version")
async def get_version(call: Call) -> object:
    """Which Proxmox VE this resembles."""
    return VERSION


@routes.add("GET", "/cluster/nextid", {"vmid": Property(check=formats.vmid)})
async def next_id(call: Call) -> object:
    """The lowest free VM number, or whether a given one is free. Nothing is reserved by asking."""
    configurations = call.cluster.configurations
    if "vmid" in call.parameters:
        if configurations.exists(call.vmid):
            raise WrongParameters({"vmid": f"VM {call.vmid} already exists"})
        return str(call.vmid)
    taken = set(configurations.vmids())
    return str(next(number for number in range(100, 1_000_000_000) if number not in taken))


@routes.add("GET", "/cluster/resources", {"type": Property(choices=("vm", "storage", "node", "sdn"))})
async def list_resources(call: Call) -> object:
    """VMs, pools, storages and nodes, each with its figures."""
    kind = call.text("type")
    resources: list[dict[str, Any]] = []
    if kind is None:
        resources += [
            {"id": f"/pool/{name}", "type": "pool", "pool": name}
            for name in call.cluster.pools.all()
            if call.caller.may(f"/pool/{name}", "Pool.Audit")
        ]
    if kind in (None, "vm"):
        resources += _vms(call)
    if kind in (None, "node"):
        resources.append(_node(call))
    if kind in (None, "storage"):
        resources += _storages(call)
    return resources


def _vms(call: Call) -> list[dict[str, Any]]:
    return [
        call.cluster.reports.listed(call.cluster, vmid)
        for vmid in call.cluster.configurations.vmids()
        if call.caller.may(f"/vms/{vmid}", "VM.Audit")
    ]


def _storages(call: Call) -> list[dict[str, Any]]:
    listed = []
    for storage in call.cluster.storages.all():
        if call.caller.may(f"/storage/{storage.name}", "Datastore.Audit"):
            status = storage.status
            shown = {"id": f"storage/{call.cluster.node}/{storage.name}", "type": "storage"}
            known = "available" if status["active"] else "unknown"
            shown |= {"storage": storage.name, "node": call.cluster.node, "status": known}
            shown |= {"plugintype": "dir", "content": status["content"], "shared": status["shared"]}
            listed.append(shown | {"disk": status["used"], "maxdisk": status["total"]})
    return listed


def _node(call: Call) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": f"node/{call.cluster.node}", "type": "node", "node": call.cluster.node}
    shown |= {"status": "online", "level": ""}
    if not call.caller.may(f"/nodes/{call.cluster.node}", "Sys.Audit"):
        return shown
    memory, disk = _memory(), shutil.disk_usage(call.cluster.settings.state_dir)
    shown |= {"maxcpu": os.cpu_count() or 1, "cpu": _load_share(), "uptime": _uptime()}
    return shown | {
        "maxmem": memory["total"],
        "mem": memory["used"],
        "maxdisk": disk.total,
        "disk": disk.used,
    }


@routes.add("GET", "/nodes")
async def list_nodes(call: Call) -> object:
    """The cluster's one node."""
    return [_node(call)]


@routes.add("GET", "/nodes/{node}/time", NODE, needs("/nodes/{node}", "Sys.Audit"))
async def get_time(call: Call) -> object:
    """The node's clock: that of the machine that the lab runs on."""
    now = int(time.time())
    return {"time": now, "localtime": now - time.timezone, "timezone": time.tzname[0]}


@routes.add(
    "GET",
    "/cluster/metrics/export",
    {
        "history": Property("boolean"),
        "local-only": Property("boolean"),
        "node-list": Property(),
        "start-time": Property("integer"),
    },
    needs("/", "Sys.Audit"),
)
async def export_metrics(call: Call) -> object:
    """Samples of the node's guests, every ten seconds for half an hour: the uptime of each, 0 while it is stopped."""
    for name in split_list(call.text("node-list") or ""):
        if name != call.cluster.node:
            raise Refused(f"Requested node-list contains unknown nodes - {name}\n")
    start = call.number("start-time", 0)
    back = 0
    if call.flag("history"):
        back = int((time.time() - start) / ROUND_SECONDS) if call.text("start-time") else 180
    if back < 0:
        raise Refused(f"error: invalid value: integer `{back}`, expected u32\n")
    return {
        "data": [
            {"type": "gauge", "id": f"qemu/{vmid}", "metric": "uptime", "timestamp": at, "value": uptime}
            for at, uptimes in call.cluster.reports.samples(back + 1)
            if at > start
            for vmid, uptime in uptimes.items()
        ]
    }


@routes.add(
    "GET",
    "/nodes/{node}/journal",
    NODE | {"since": Property("integer", minimum=0), "until": Property("integer", minimum=0)},
    needs("/nodes/{node}", "Sys.Syslog"),
)
async def read_journal(call: Call) -> object:
    """The node's log: how its guests ended, as qmeventd tells it with ``-v``, and nothing else."""
    now = int(time.time())
    lines = call.cluster.guest_ends.lines(
        call.cluster.node, call.number("since", 0), call.number("until", now)
    )
    return ["s=0;i=0", *lines, "s=0;i=1"]


_KINDS = ("bridge", "any_bridge", "any_local_bridge", "include_sdn")


@routes.add("GET", "/nodes/{node}/network", NODE | {"type": Property(choices=_KINDS)})
async def list_bridges(call: Call) -> object:
    """The one bridge that guests are attached to; interfaces of other kinds are not the lab's."""
    if not call.caller.may("/sdn/zones/localnet/vmbr0", "SDN.Use", "SDN.Audit", any_of=True):
        return []
    return [{"iface": "vmbr0", "type": "bridge", "active": 1, "autostart": 1, "method": "static"}]


@routes.add("GET", "/cluster/replication", {})
async def list_replication(call: Call) -> object:
    """One node replicates to no other."""
    return []


@routes.add("GET", "/cluster/status", {}, needs("/", "Sys.Audit"))
async def get_cluster_status(call: Call) -> object:
    """The node and its address."""
    node, address = call.cluster.node, call.cluster.settings.address
    return [
        {"type": "node", "id": f"node/{node}", "name": node, "nodeid": 0, "online": 1, "local": 1}
        | {"ip": address, "level": ""}
    ]


def _memory() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    sizes = {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines}
    total, available = sizes["MemTotal"], sizes["MemAvailable"]
    return {"total": total, "free": available, "used": total - available}


def _load_share() -> float:
    """The last minute's load as a share of all processors."""
    return min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)


def _uptime() -> int:
    return int(float(Path("/proc/uptime").read_text().split()[0]))
