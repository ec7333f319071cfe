"""Calls about pools: the old form with the name in the path, and the new one with `poolid`."""

from __future__ import annotations

from typing import Any

from lab.api import formats
from lab.api.routing import Call, Routes, needs
from lab.api.values import Property, split_list

routes = Routes()

_NAME = {"poolid": Property(optional=False, check=formats.pool_id)}
_KIND = {"type": Property(choices=("qemu", "lxc", "storage"))}
_UPDATE = _NAME | {
    "comment": Property(),
    "vms": Property(check=formats.vmid_list),
    "storage": Property(),
    "allow-move": Property("boolean"),
    "delete": Property("boolean"),
}
_MAY_CHANGE = needs("/pool/{poolid}", "Pool.Allocate")


@routes.add("GET", "/pools", {"poolid": Property(check=formats.pool_id)} | _KIND)
async def list_pools(call: Call) -> object:
    """All pools, or one with its members."""
    name = call.text("poolid")
    if name is not None:
        call.caller.check(f"/pool/{name}", "Pool.Audit")
        return [{"poolid": name} | await _members(call, name)]
    listed = []
    for name, pool in call.cluster.pools.all().items():
        if call.caller.may(f"/pool/{name}", "Pool.Audit"):
            listed.append({"poolid": name} | ({"comment": pool.comment} if pool.comment else {}))
    return listed


@routes.add("GET", "/pools/{poolid}", _NAME | _KIND, needs("/pool/{poolid}", "Pool.Audit"))
async def get_pool(call: Call) -> object:
    """One pool with its members."""
    return {"poolid": call.required("poolid")} | await _members(call, call.required("poolid"))


async def _members(call: Call, name: str) -> dict[str, Any]:
    cluster, kind = call.cluster, call.text("type")
    members: list[dict[str, Any]] = []
    if kind in (None, "qemu"):
        for vmid in cluster.pools.members(name):
            member = cluster.reports.listed(cluster, vmid)
            member.pop("pool", None)
            members.append(member)
    pool = cluster.pools.find(name)
    if kind in (None, "storage"):
        for storage in pool.storages:
            shown = {"id": f"storage/{cluster.node}/{storage}", "type": "storage", "storage": storage}
            members.append(shown | {"node": cluster.node, "status": "available"})
    return {"members": members} | ({"comment": pool.comment} if pool.comment else {})


@routes.add("POST", "/pools", _NAME | {"comment": Property()}, _MAY_CHANGE)
async def create_pool(call: Call) -> object:
    """Make a pool."""
    call.cluster.pools.create(call.required("poolid"), call.text("comment") or "")
    return None


@routes.add("PUT", "/pools", _UPDATE, _MAY_CHANGE)
@routes.add("PUT", "/pools/{poolid}", _UPDATE, _MAY_CHANGE)
async def update_pool(call: Call) -> object:
    """Change a pool's comment, or put VMs and storages in (with `delete`: take them out)."""
    pools, name = call.cluster.pools, call.required("poolid")
    pools.find(name)
    if call.text("comment") is not None:
        pools.comment(name, call.required("comment"))
    for vmid in map(int, split_list(call.text("vms") or "")):
        call.caller.check(f"/vms/{vmid}", "Permissions.Modify", "VM.Allocate", any_of=True)
        if call.flag("delete"):
            pools.remove_vm(name, vmid)
        else:
            pools.add_vm(name, vmid, allow_move=call.flag("allow-move"))
    for storage in split_list(call.text("storage") or ""):
        call.caller.check(f"/storage/{storage}", "Permissions.Modify", "Datastore.Allocate", any_of=True)
        if call.flag("delete"):
            pools.remove_storage(name, storage)
        else:
            pools.add_storage(name, storage)
    return None


@routes.add("DELETE", "/pools/{poolid}", _NAME, _MAY_CHANGE)
async def delete_pool(call: Call) -> object:
    """Remove an empty pool."""
    call.cluster.pools.remove(call.required("poolid"))
    return None
