"""Reading a cluster in bulk, and making sure that what is not seen is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.proxmox.errors import ServerError

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster


FREEZE_POOL = "orchestrator-freeze"
"""A pool of this name at a site stops every change there; its comment says who made it, and why."""

_BY_HAND = "somebody, by hand"


@dataclass(frozen=True, kw_only=True)
class VmSummary:
    """A VM as the cluster's list shows it.

    Attributes:
        status: ``running``, ``stopped``, ``paused`` or, while its node is away, ``unknown``.
        lock: the mark of a task that holds it (``clone``, ``backup``, …).
        maxmem: memory in bytes.
        maxcpu: virtual CPUs.
        uptime: seconds since it was started; 0 if it does not run. Up to ten seconds old in the cluster's list.
        ha: whether the HA manager minds it.
    """

    vmid: int
    name: str
    node: str
    status: str
    template: bool
    tags: frozenset[str]
    pool: str | None
    lock: str | None
    maxmem: int
    maxcpu: int
    uptime: int = 0
    ha: bool = False


@dataclass(frozen=True, kw_only=True)
class NodeSummary:
    """A node of the cluster. Right after its boot the figures are 0 (pvestatd has not measured yet).

    Attributes:
        maxmem, mem: memory it has and uses, bytes.
        maxcpu: processors.
    """

    name: str
    online: bool
    maxmem: int
    mem: int
    maxcpu: int


@dataclass(frozen=True, kw_only=True)
class StorageSummary:
    """A storage on one node (a shared one is listed once a node).

    Attributes:
        status: ``available``, or anything else if it cannot be used there.
        content: what it takes: ``images``, ``backup``, ``import``, …
        kind: Proxmox's type of it: ``dir``, ``lvmthin``, …; empty if it was not told.
        maxdisk, disk: its size and what is used of it, bytes.
    """

    name: str
    node: str
    shared: bool
    status: str
    content: frozenset[str]
    maxdisk: int
    disk: int
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class BadEntry:
    """An entry of the cluster's lists that could not be read. It is there, whatever it is: it is not absent.

    What stands here was checked as in a sound entry, and is safe to show.

    Attributes:
        kind: what it is.
        name: the machine's, node's, storage's or pool's; if that cannot be read, what is known instead ("VM 101").
        reason: what is wrong with it.
        vmid: of a machine; None if it cannot be read.
        node: where a machine or storage is; None if it cannot be read.
        pool, tags: of a machine, as far as they can be read.
    """

    kind: Literal["machine", "node", "storage", "pool"]
    name: str
    reason: str
    vmid: int | None = None
    node: str | None = None
    pool: str | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """Everything the cluster lists.

    Attributes:
        version: of Proxmox VE, such as ``8.4.1``.
        pools: names of pools.
        frozen: who stopped every change, and why: the comment of the pool :data:`FREEZE_POOL`; empty if nobody did.
        bad_entries: entries that could not be read; they are in none of the other lists.
    """

    site: str
    version: str
    vms: tuple[VmSummary, ...]
    nodes: tuple[NodeSummary, ...]
    storages: tuple[StorageSummary, ...]
    pools: frozenset[str]
    frozen: str = ""
    bad_entries: tuple[BadEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VmConfig:
    """A VM's configuration with what waits for its next start.

    Values are texts, whatever type the answer had (``memory`` comes as a text, ``kvm`` as a number).

    Attributes:
        current: what it runs with.
        pending: what it will have after the next start.
        deleted: keys that will be gone after the next start.
        digest: of the whole configuration file, to be given back with a write.
    """

    node: str
    vmid: int
    current: Mapping[str, str]
    pending: Mapping[str, str]
    deleted: frozenset[str]
    digest: str

    def effective(self, key: str) -> str | None:
        """Return the value that was last set: the pending one, else the current one. None if there is none."""
        if key in self.pending:
            return self.pending[key]
        return None if key in self.deleted else self.current.get(key)


def read_cluster(cluster: Cluster) -> ClusterState:
    """Read the cluster's lists: three calls, and one a node that has machines made seconds ago.

    Raises:
        ProxmoxError: it could not be read.
    """
    version = str(cluster.get("/version")["version"])
    pools = cluster.get("/pools")
    resources = cluster.get("/cluster/resources")
    vms = _named(cluster, [_vm(entry) for entry in resources if entry["type"] == "qemu"])
    return ClusterState(
        site=cluster.site,
        version=version,
        vms=tuple(sorted(vms, key=lambda vm: vm.vmid)),
        nodes=tuple(_node(entry) for entry in resources if entry["type"] == "node"),
        storages=tuple(_storage(entry) for entry in resources if entry["type"] == "storage"),
        pools=frozenset(str(entry["poolid"]) for entry in pools),
        frozen=_frozen(pools),
    )


def read_frozen(cluster: Cluster) -> str:
    """Who stopped every change at a site, and why; empty if nobody did. One call.

    Raises:
        ProxmoxError: it could not be read.
    """
    return frozen_by(read_pools(cluster))


def read_pools(cluster: Cluster) -> dict[str, str]:
    """The pools of a cluster and their comments, as far as the token sees them. One call.

    Raises:
        ProxmoxError: they could not be read.
    """
    answer = cluster.get("/pools")
    if not isinstance(answer, list):
        raise ServerError("the answer is not a list of pools", site=cluster.site, call="GET /pools")
    return {
        entry["poolid"]: str(entry.get("comment") or "")
        for entry in answer
        if isinstance(entry, dict) and isinstance(entry.get("poolid"), str)
    }


def frozen_by(pools: Mapping[str, str]) -> str:
    """Who stopped every change, by pools and their comments; empty if nobody did."""
    return (pools[FREEZE_POOL] or _BY_HAND) if FREEZE_POOL in pools else ""


def _frozen(pools: Iterable[Mapping[str, Any]]) -> str:
    for entry in pools:
        if entry["poolid"] == FREEZE_POOL:
            return str(entry.get("comment") or _BY_HAND)
    return ""


def _named(cluster: Cluster, vms: list[VmSummary]) -> list[VmSummary]:
    """Give fresh machines their names.

    Until pvestatd's next round (10 s) the cluster's list calls a new VM "VM 110"; its node's list knows better.
    """
    nameless = {vm.node for vm in vms if vm.name == f"VM {vm.vmid}" and vm.status != "unknown"}
    names = {
        int(entry["vmid"]): str(entry["name"])
        for node in sorted(nameless)
        for entry in cluster.get(f"/nodes/{node}/qemu")
        if entry.get("name")
    }
    return [replace(vm, name=names.get(vm.vmid, vm.name)) if vm.node in nameless else vm for vm in vms]


def _vm(entry: Mapping[str, Any]) -> VmSummary:
    vmid = int(entry["vmid"])
    return VmSummary(
        vmid=vmid,
        name=str(entry.get("name") or f"VM {vmid}"),
        node=str(entry["node"]),
        status=str(entry.get("status", "unknown")),
        template=bool(int(entry.get("template") or 0)),
        tags=parse_tags(str(entry.get("tags") or "")),
        pool=str(entry["pool"]) if entry.get("pool") else None,
        lock=str(entry["lock"]) if entry.get("lock") else None,
        maxmem=int(entry.get("maxmem") or 0),
        maxcpu=int(entry.get("maxcpu") or 0),
        uptime=int(entry.get("uptime") or 0),
        ha=entry.get("hastate") not in (None, "", "ignored"),
    )


def _node(entry: Mapping[str, Any]) -> NodeSummary:
    return NodeSummary(
        name=str(entry["node"]),
        online=entry.get("status") == "online",
        maxmem=int(entry.get("maxmem") or 0),
        mem=int(entry.get("mem") or 0),
        maxcpu=int(entry.get("maxcpu") or 0),
    )


def _storage(entry: Mapping[str, Any]) -> StorageSummary:
    return StorageSummary(
        name=str(entry["storage"]),
        node=str(entry["node"]),
        shared=bool(int(entry.get("shared") or 0)),
        status=str(entry.get("status", "unknown")),
        content=frozenset(filter(None, str(entry.get("content") or "").split(","))),
        maxdisk=int(entry.get("maxdisk") or 0),
        disk=int(entry.get("disk") or 0),
        kind=str(entry.get("plugintype") or ""),
    )


def read_vm(cluster: Cluster, node: str, vmid: int) -> VmConfig:
    """Read one VM's configuration, current and pending, with its digest: one call.

    Raises:
        NotFound: there is no such VM on this node.
        ProxmoxError: it could not be read.
    """
    current: dict[str, str] = {}
    pending: dict[str, str] = {}
    deleted: set[str] = set()
    for entry in cluster.get(f"/nodes/{node}/qemu/{vmid}/pending"):
        key = entry["key"]
        if "value" in entry:
            current[key] = str(entry["value"])
        if "pending" in entry:
            pending[key] = str(entry["pending"])
        elif entry.get("delete"):
            deleted.add(key)
    digest = current.pop("digest")
    return VmConfig(
        node=node, vmid=vmid, current=current, pending=pending, deleted=frozenset(deleted), digest=digest
    )


def parse_tags(text: str) -> frozenset[str]:
    """Take a VM's tags apart. Their order means nothing; Proxmox stores them in lower case."""
    return frozenset(tag.lower() for tag in text.replace(",", ";").replace(" ", ";").split(";") if tag)
