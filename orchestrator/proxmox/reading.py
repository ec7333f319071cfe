"""Reading a cluster in bulk, and making sure that what is not seen is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.proxmox.errors import BadAnswer, ProxmoxError

if TYPE_CHECKING:
    from orchestrator.proxmox.client import Cluster


FREEZE_POOL = "orchestrator-freeze"
"""A pool of this name at a site stops every change there; its comment says who made it, and why."""


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
        off: whether the cluster says that it is off. One that is neither online nor off keeps its figures to
            itself (its statistics daemon hangs), and answers.
    """

    name: str
    online: bool
    maxmem: int
    mem: int
    maxcpu: int
    off: bool = field(default=False, compare=False)


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
        containers: never ours; they have addresses.
        bad_entries: entries that could not be read; they are in none of the other lists.
    """

    site: str
    version: str
    vms: tuple[VmSummary, ...]
    nodes: tuple[NodeSummary, ...]
    storages: tuple[StorageSummary, ...]
    pools: frozenset[str]
    frozen: str = ""
    containers: tuple[VmSummary, ...] = ()
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
    nodes = tuple(_node(entry) for entry in resources if entry["type"] == "node")
    off = frozenset(node.name for node in nodes if node.off)
    vms = _named(cluster, [_vm(entry) for entry in resources if entry["type"] == "qemu"], off)
    return ClusterState(
        site=cluster.site,
        version=version,
        vms=tuple(sorted(vms, key=lambda vm: vm.vmid)),
        nodes=nodes,
        storages=tuple(_storage(entry) for entry in resources if entry["type"] == "storage"),
        pools=frozenset(str(entry["poolid"]) for entry in pools),
        frozen=_frozen(pools),
        containers=tuple(_vm(entry) for entry in resources if entry["type"] == "lxc"),
    )


def read_frozen(cluster: Cluster) -> str:
    """Who stopped every change at a site, and why; empty if nobody did. One call.

    Raises:
        ProxmoxError: it could not be read.
    """
    return _frozen(cluster.get("/pools"))


def _frozen(pools: Iterable[Mapping[str, Any]]) -> str:
    for entry in pools:
        if entry["poolid"] == FREEZE_POOL:
            return str(entry.get("comment") or "somebody, by hand")
    return ""


def _named(cluster: Cluster, vms: list[VmSummary], off: Collection[str]) -> list[VmSummary]:
    """Give fresh machines their names, and the state that they are in.

    Until pvestatd's next round (10 s) the cluster's list calls a new VM "VM 110", and its state ``unknown``; its node's
    list knows better. So it does on a node whose pvestatd hangs. Nodes that are off are not asked.
    """
    nameless = {vm.node for vm in vms if vm.name == f"VM {vm.vmid}"} - set(off)
    known: dict[int, Mapping[str, Any]] = {}
    for node in sorted(nameless):
        try:
            listed = cluster.get(f"/nodes/{node}/qemu")
        except ProxmoxError:  # then their names are not known; what reads the machines will say why
            continue
        known |= {int(entry["vmid"]): entry for entry in listed if entry.get("name")}

    def named(vm: VmSummary) -> VmSummary:
        entry = known.get(vm.vmid) if vm.node in nameless else None
        if entry is None:
            return vm
        status = str(entry.get("status") or vm.status) if vm.status == "unknown" else vm.status
        return replace(vm, name=str(entry["name"]), status=status)

    return [named(vm) for vm in vms]


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
        off=entry.get("status") == "offline",
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
    return _read_config(cluster, node, "qemu", vmid)


def read_container(cluster: Cluster, node: str, vmid: int) -> VmConfig:
    """Read one container's configuration, as :func:`read_vm` reads a VM's: one call.

    Raises:
        NotFound: there is no such container on this node.
        ProxmoxError: it could not be read.
    """
    return _read_config(cluster, node, "lxc", vmid)


def read_pool_members(cluster: Cluster, pool: str) -> frozenset[int]:
    """The numbers of the machines in a pool, as the cluster has it at this moment: one call.

    Raises:
        NotFound: there is no such pool.
        ProxmoxError: it could not be read.
    """
    pools = cluster.get("/pools", poolid=pool)
    members = [member for entry in pools for member in entry.get("members") or ()]
    return frozenset(int(member["vmid"]) for member in members if "vmid" in member)


def _read_config(cluster: Cluster, node: str, kind: str, vmid: int) -> VmConfig:
    current: dict[str, str] = {}
    pending: dict[str, str] = {}
    deleted: set[str] = set()
    for entry in cluster.get(f"/nodes/{node}/{kind}/{vmid}/pending"):
        key = entry["key"]
        if "value" in entry:
            current[key] = str(entry["value"])
        if "pending" in entry:
            pending[key] = str(entry["pending"])
        elif entry.get("delete"):
            deleted.add(key)
    digest = current.pop("digest", "")
    if not digest and kind == "qemu":
        raise BadAnswer(
            "the configuration has no digest",
            site=cluster.site,
            call=f"GET /nodes/{node}/qemu/{vmid}/pending",
        )
    return VmConfig(
        node=node, vmid=vmid, current=current, pending=pending, deleted=frozenset(deleted), digest=digest
    )


def parse_tags(text: str) -> frozenset[str]:
    """Take a VM's tags apart. Their order means nothing; Proxmox stores them in lower case."""
    return frozenset(tag.lower() for tag in text.replace(",", ";").replace(" ", ";").split(";") if tag)
