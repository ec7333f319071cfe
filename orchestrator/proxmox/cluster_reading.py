"""Reading a cluster in bulk, and making sure that what is not seen is not there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from orchestrator.proxmox.cluster_state import BadEntry, ClusterState, NodeSummary, StorageSummary, VmSummary
from orchestrator.proxmox.errors import ProxmoxError, tidy
from orchestrator.proxmox.pools import comments, frozen_by
from orchestrator.proxmox.privileges import read_held, read_version
from orchestrator.proxmox.redundancy import is_ha_managed
from orchestrator.proxmox.shapes import (
    FLAG,
    LINE,
    NODE,
    NUMBER,
    POOL,
    SIZE,
    STORAGE,
    VMID,
    WHOLE,
    Record,
    Shape,
    wrong,
)

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls


T = TypeVar("T")


def read_lists(cluster: Calls) -> ClusterState:
    """Read the cluster's lists, and what the token may do: whether they are whole, so that an absence can be trusted.

    Four calls. Little is loaded for it: the first calls of a plan are sent before most of the program is.

    Raises:
        ProxmoxError: they cannot be read.
    """
    version, held = read_version(cluster), read_held(cluster)
    return replace(read_cluster(cluster, version=version), held=held)


def read_cluster(cluster: Calls, *, version: str | None = None) -> ClusterState:
    """Read the cluster's lists: three calls, and one a node that has machines made seconds ago.

    An entry that cannot be read is one of ``bad_entries``; the others are as they are.

    Args:
        cluster: the API.
        version: of Proxmox VE, where it is known: one call less.

    Raises:
        ProxmoxError: it could not be read.
    """
    version = version or read_version(cluster)
    pools = cluster.get("/pools")
    resources = cluster.get("/cluster/resources")
    # What has a number and is of no kind that is known may be any machine.
    bad = [
        _bad("qemu", entry, f"type: expected qemu or lxc, found {tidy(entry['type'], 40)!r}")
        for entry in resources
        if "vmid" in entry and entry["type"] not in _GUESTS
    ]
    nodes = _sound(resources, "node", _NODE_ENTRY, _node, bad, lambda entry: entry["node"])
    listed = _sound(resources, "qemu", _VM_ENTRY, _vm, bad, lambda entry: int(entry["vmid"]))
    vms, told = _told_by_nodes(cluster, listed, frozenset(node.name for node in nodes if node.off), bad)
    containers = _sound(resources, "lxc", _VM_ENTRY, _vm, bad, lambda entry: int(entry["vmid"]))
    storages = _sound(
        resources, "storage", _STORAGE_ENTRY, _storage, bad, lambda entry: (entry["storage"], entry["node"])
    )
    mute = {node.name for node in nodes if node.mute}
    storages = [replace(storage, mute=storage.node in mute) for storage in storages]
    return ClusterState(
        site=cluster.site,
        version=version,
        vms=tuple(sorted(vms, key=lambda vm: vm.vmid)),
        nodes=tuple(nodes),
        storages=tuple(storages),
        pools=frozenset(_pools(pools, bad)),
        frozen=frozen_by(comments(pools)),
        containers=tuple(containers),
        bad_entries=tuple(bad),
        told=told,
    )


def read_listing(cluster: Calls, *, version: str = "") -> ClusterState:
    """The cluster's list as it is: one call. What it does not know of a VM stays unknown; see :func:`read_cluster`.

    Pools are those that machines are in.

    Raises:
        ProxmoxError: it could not be read.
    """
    resources = cluster.get("/cluster/resources")
    bad: list[BadEntry] = []
    vms = _sound(resources, "qemu", _VM_ENTRY, _vm, bad, lambda entry: int(entry["vmid"]))
    return ClusterState(
        site=cluster.site,
        version=version,
        vms=tuple(vms),
        nodes=tuple(_sound(resources, "node", _NODE_ENTRY, _node, bad, lambda entry: entry["node"])),
        storages=tuple(
            _sound(
                resources,
                "storage",
                _STORAGE_ENTRY,
                _storage,
                bad,
                lambda entry: (entry["storage"], entry["node"]),
            )
        ),
        pools=frozenset(vm.pool for vm in vms if vm.pool),
        bad_entries=tuple(bad),
    )


_VM_ENTRY = Record(
    needs={"vmid": VMID, "node": NODE},
    may={
        "name": LINE,
        "status": LINE,
        "template": FLAG,
        "tags": LINE,
        "pool": POOL,
        "lock": LINE,
        "maxmem": SIZE,
        "maxcpu": NUMBER,
        "uptime": WHOLE,  # less than 0 while a clock is being set
        "hastate": LINE,
    },
)
_NODE_ENTRY = Record(needs={"node": NODE}, may={"status": LINE, "maxmem": SIZE, "mem": SIZE, "maxcpu": SIZE})
_STORAGE_ENTRY = Record(
    needs={"storage": STORAGE, "node": NODE},
    may={
        "shared": FLAG,
        "status": LINE,
        "content": LINE,
        "maxdisk": SIZE,
        "disk": SIZE,
        "plugintype": LINE,
    },
)
_GUESTS = ("qemu", "lxc", "openvz")
_KINDS: Mapping[str, Literal["machine", "node", "storage"]] = {
    "qemu": "machine",
    "lxc": "machine",
    "node": "node",
    "storage": "storage",
}


def _sound(
    resources: Iterable[Mapping[str, Any]],
    kind: str,
    shape: Record,
    read: Callable[[Mapping[str, Any]], T],
    bad: list[BadEntry],
    identity: Callable[[Mapping[str, Any]], object],
) -> list[T]:
    """The entries of a kind that can be read; the others go to ``bad``.

    What is listed twice is not known: which of the two is it?
    """
    sound: dict[object, list[Mapping[str, Any]]] = {}
    for entry in resources:
        if entry["type"] != kind:
            continue
        if told := wrong(entry, shape):
            bad.append(_bad(kind, entry, told))
        else:
            sound.setdefault(identity(entry), []).append(entry)
    for entries in sound.values():
        if len(entries) > 1:
            bad.append(_bad(kind, entries[0], f"it is listed {len(entries)} times"))
    return [read(entries[0]) for entries in sound.values() if len(entries) == 1]


def _bad(kind: str, entry: Mapping[str, Any], reason: str) -> BadEntry:
    """An entry that cannot be read, with what of it can."""

    def if_sound(key: str, shape: Shape) -> Any:
        return entry[key] if entry.get(key) and not wrong(entry[key], shape) else None

    vmid = if_sound("vmid", VMID)
    named = {
        "qemu": if_sound("name", LINE),
        "lxc": if_sound("name", LINE),
        "storage": if_sound("storage", STORAGE),
    }
    name = named.get(kind) or (f"VM {vmid}" if vmid else f"a {_KINDS[kind]} that cannot be read")
    return BadEntry(
        kind=_KINDS[kind],
        name=str(if_sound("node", NODE) or name if kind == "node" else name),
        reason=f"its entry in the cluster's list cannot be read: {reason}",
        vmid=int(vmid) if vmid else None,
        node=if_sound("node", NODE),
        pool=if_sound("pool", POOL),
        tags=parse_tags(if_sound("tags", LINE) or ""),
    )


def _pools(pools: Iterable[Mapping[str, Any]], bad: list[BadEntry]) -> Iterator[str]:
    for entry in pools:
        if told := wrong(entry["poolid"], POOL):
            reason = f"its entry in the list of pools cannot be read: {told}"
            bad.append(BadEntry(kind="pool", name=tidy(entry["poolid"], 60), reason=reason))
        else:
            yield str(entry["poolid"])


_NODES_ENTRY = Record(
    needs={"vmid": VMID},
    may={
        "name": LINE,
        "status": LINE,
        "template": FLAG,
        "tags": LINE,
        "lock": LINE,
        "maxmem": SIZE,
        "cpus": NUMBER,
        "uptime": WHOLE,
    },
)
"""A VM in its node's own list."""


def _told_by_nodes(
    cluster: Calls, vms: list[VmSummary], off: Collection[str], bad: list[BadEntry]
) -> tuple[list[VmSummary], frozenset[str]]:
    """Have the nodes tell what the cluster's list does not know: names, states and sizes.

    The list is as old as the last report of each node's pvestatd (10 s). A VM made since has no name there and is
    ``unknown``, or is "VM 110" if a report came while it was cloned; on a node whose pvestatd hangs all are so. The
    node's own list is right at once. Nodes that are off are not asked. A machine whose node did not tell might be any,
    in any state: it goes to ``bad``.

    Returns:
        The VMs, and the nodes that told.
    """
    told: dict[int, VmSummary] = {}
    silent: dict[str, str] = {}

    def ask(node: str) -> None:
        try:
            told.update(read_node(cluster, node))
        except ProxmoxError as error:
            silent[node] = error.text

    asked = {vm.node for vm in vms if vm.vague} - set(off)
    for node in sorted(asked):
        ask(node)
    found = []
    for vm in vms:
        if vm.node in off:
            found.append(
                replace(vm, status="unknown")
            )  # the list shows what it did when its node was last heard
            continue
        if vm.node not in asked:
            found.append(vm)
            continue
        if vm.vague and vm.vmid not in told and vm.node not in silent:
            now = where_is(cluster, vm.vmid)  # a clone leaves its template's node when it ends
            if now is None:
                continue
            if now not in off:
                ask(now)
        if vm.vmid in told:
            found.append(_completed(vm, told[vm.vmid]))
        elif vm.vague:
            why = silent.get(vm.node)
            reason = (
                f"its node {vm.node} could not be asked: {why}"
                if why
                else f"its node {vm.node} does not have it (is it being moved or removed?): run this again"
            )
            bad.append(
                BadEntry(
                    kind="machine",
                    name=vm.name,
                    reason=f"its name and state are not known, {reason}",
                    vmid=vm.vmid,
                    node=vm.node,
                    pool=vm.pool,
                    tags=vm.tags,
                )
            )
        else:
            found.append(vm)
    return found, frozenset(asked - silent.keys())


def _completed(vm: VmSummary, told: VmSummary) -> VmSummary:
    """A VM as its node tells, with what only the cluster knows."""
    return replace(
        told,
        pool=vm.pool,
        tags=told.tags or vm.tags,
        ha=vm.ha,
        maxmem=told.maxmem or vm.maxmem,
        maxcpu=vm.maxcpu or told.maxcpu,
    )


def read_node(cluster: Calls, node: str) -> dict[int, VmSummary]:
    """The VMs of a node as it tells itself, by number: right at this moment, without their pools. One call.

    An entry that cannot be read is left out.

    Raises:
        ProxmoxError: the node could not be asked.
    """
    entries = [entry for entry in cluster.get(f"/nodes/{node}/qemu") if not wrong(entry, _NODES_ENTRY)]
    return {int(entry["vmid"]): _vm({**entry, "node": node}) for entry in entries}


def read_state(cluster: Calls, vm: VmSummary) -> VmSummary:
    """A VM with the state, the lock and the uptime that its node says it has at this moment: one call.

    The cluster's list may be ten seconds old, or not know them at all (:attr:`VmSummary.status`).

    Raises:
        NotFound: there is no such VM on this node.
        ProxmoxError: it could not be read.
    """
    status = cluster.get(f"/nodes/{vm.node}/qemu/{vm.vmid}/status/current")
    return replace(
        vm,
        status=str(status["status"]),
        lock=str(status["lock"]) if status.get("lock") else None,
        uptime=max(0, int(status.get("uptime") or 0)),
        ha=is_ha_managed(status),
    )


def where_is(cluster: Calls, vmid: int) -> str | None:
    """The node that has a VM or container now; None if the cluster has none of that number. One call.

    A node that does not have it proves nothing: it may have been migrated, or recovered by HA, since a list was read.

    Raises:
        ProxmoxError: the list could not be read.
    """
    for entry in cluster.get("/cluster/resources", type="vm"):
        if str(entry.get("vmid")) == str(vmid):
            return str(entry.get("node") or "another node")
    return None


def _vm(entry: Mapping[str, Any]) -> VmSummary:
    vmid = int(entry["vmid"])
    return VmSummary(
        vmid=vmid,
        name=str(entry.get("name") or f"VM {vmid}"),
        node=str(entry["node"]),
        status=str(entry.get("status") or "unknown"),
        template=bool(int(entry.get("template") or 0)),
        tags=parse_tags(str(entry.get("tags") or "")),
        pool=str(entry["pool"]) if entry.get("pool") else None,
        lock=str(entry["lock"]) if entry.get("lock") else None,
        maxmem=int(entry.get("maxmem") or 0),
        maxcpu=int(float(entry.get("maxcpu") or entry.get("cpus") or 0)),
        uptime=max(0, int(entry.get("uptime") or 0)),
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


def parse_tags(text: str) -> frozenset[str]:
    """Take a VM's tags apart. Their order means nothing; Proxmox stores them in lower case."""
    return frozenset(tag.lower() for tag in text.replace(",", ";").replace(" ", ";").split(";") if tag)
