"""Restoring an archive beside the original: a copy with a number of its own that sends nothing on the wire.

Its network interfaces are unplugged (``link_down=1``) before it can be started, so a copy never answers for the
original's address. It does not start with its host, and it may be removed: only the original is protected.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.applying.restore_task import ask_for_restore, remove_shell
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import TASK_SECONDS
from orchestrator.errors import Reason
from orchestrator.proxmox import (
    NotFound,
    PropertyString,
    TaskFailed,
    Uncertain,
    parse_upid,
    where_is,
)
from orchestrator.resources.copies import COPY_TAG, CopyMark, copy_notes, read_copy_mark
from orchestrator.resources.desired import pool_of

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.machine_archives import Archive

_NIC = re.compile(r"net\d+")
_STOP_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy that was restored.

    Attributes:
        node, vmid: where it is.
        mark: what its notes say.
    """

    cluster: Cluster
    journal: Journal
    site: str
    node: str
    vmid: int
    mark: CopyMark
    pause: Callable[[float], None] = time.sleep

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/nodes/{self.node}/qemu/{self.vmid}"


def choose_node(
    state: ClusterState, storage: str, archive_storage: str, archive_node: str
) -> tuple[str | None, str]:
    """The node with the most free memory that can restore an archive, and why others cannot.

    Args:
        state: the cluster.
        storage: where the disks go.
        archive_storage: where the archive is.
        archive_node: by which node it was listed.

    Returns:
        The node, None if none can; and what keeps each other node from it, human-readable.
    """
    reasons = {
        node.name: reason
        for node in state.nodes
        if (reason := cannot_restore(state, node.name, storage, archive_storage, archive_node))
    }
    able = [node for node in state.nodes if node.name not in reasons]
    told = "; ".join(f"{name}: {reason}" for name, reason in sorted(reasons.items()))
    if not able:
        return None, told
    return min(able, key=lambda node: (node.mute, node.mem - node.maxmem, node.name)).name, told


def cannot_restore(
    state: ClusterState, name: str, storage: str, archive_storage: str, archive_node: str
) -> Reason | None:
    """Why a node cannot restore an archive: it is away, or lacks a storage. None if it can. As :func:`choose_node`."""
    if not any(node.name == name and not node.off for node in state.nodes):
        return "it is not online"
    there = {item.name: item for item in state.storages if item.node == name}
    for wanted in (storage, archive_storage):
        if wanted not in there:
            return f"it has no storage {wanted} (not there, disabled, or restricted to other nodes)"
        if not there[wanted].usable:
            return f"its storage {wanted} cannot be used now ({there[wanted].status})"
    if "images" not in there[storage].content:
        return f"its storage {storage} does not take machines' disks"
    if name != archive_node and not there[archive_storage].shared:
        return (
            f"the archive is on {archive_node}'s own storage {archive_storage}, which no other node can read"
        )
    return None


def restore_copy(
    cluster: Cluster,
    journal: Journal,
    archive: Archive,
    mark: CopyMark,
    *,
    node: str,
    storage: str,
    name: str | None,
    unique: bool,
    pause: Callable[[float], None] = time.sleep,
) -> Copy:
    """Restore an archive into a new VM, and unplug it.

    Args:
        cluster: the API.
        journal: where it is written down.
        archive: which.
        mark: what the copy's notes shall say.
        node: where it is made.
        storage: where its disks are made.
        name: its name; that of the original if None.
        unique: whether it gets MAC addresses of its own.
        pause: waits that many seconds.

    Raises:
        Stopped: it cannot be made; the text says why and what to do.
        TaskFailed: the archive could not be restored; what it left of the VM was removed.
        ProxmoxError: the hypervisor refused.
    """
    params: dict[str, str | int] = {
        "archive": archive.stored.volid,
        "storage": storage,
        "unique": int(unique),
        "pool": pool_of(mark.client),
        "tags": COPY_TAG,
        "onboot": 0,
        "protection": 0,
    }
    if name is not None:
        params["name"] = name
    with journal.step(
        mark.client, mark.machine, archive.site, "restore", archive=archive.stored.volid, purpose=mark.purpose
    ) as step:
        vmid = ask_for_restore(
            cluster,
            node,
            params,
            lambda vmid: {"description": copy_notes(replace(mark, vmid=vmid))},
            step,
            pause=pause,
        )
    own = replace(mark, vmid=vmid)
    copy = Copy(
        cluster=cluster, journal=journal, site=archive.site, node=node, vmid=vmid, mark=own, pause=pause
    )
    _unplug(copy)
    return copy


def _unplug(copy: Copy) -> None:
    """Unplug every network interface, whatever the archive's configuration has.

    Raises:
        Stopped: the VM is not the copy that was asked for: somebody else was given its number.
        ProxmoxError: the hypervisor refused.
    """
    config = copy.cluster.get(f"{copy.path}/config")
    if read_copy_mark(str(config.get("description") or "")) != copy.mark:
        raise Stopped(
            f"VM {copy.vmid} on {copy.node} is not the copy that was asked for: it was skipped; check its notes"
        )
    cards = {key: PropertyString.parse(str(value)) for key, value in config.items() if _NIC.fullmatch(key)}
    plugged = {
        key: str(card.with_("link_down", "1")) for key, card in cards.items() if not card.is_on("link_down")
    }
    if plugged:
        copy.cluster.put(f"{copy.path}/config", params={**plugged, "digest": config.get("digest", "")})


def remove_copy(copy: Copy) -> None:
    """Stop and erase a copy, after another look at what it is.

    Raises:
        Stopped: its notes and tags no longer say that it is this copy: nothing is done to it.
        ProxmoxError: the hypervisor refused.
    """
    cluster, mark = copy.cluster, copy.mark
    with copy.journal.step(
        mark.client, mark.machine, copy.site, "remove copy", vmid=copy.vmid, purpose=mark.purpose
    ) as step:
        found = config_of(cluster, copy.node, copy.vmid)
        if found is None:
            step.message = "it was gone already"
            return
        node, config = found
        copy = replace(copy, node=node)
        now = read_copy_mark(str(config.get("description") or ""))
        tags = re.split(r"[;, ]+", str(config.get("tags") or ""))
        if now != mark or now.purpose == "restored" or COPY_TAG not in tags:
            raise Stopped(
                f"VM {copy.vmid} on {copy.node} is not the copy that it was: it was skipped; check its notes"
            )
        if cluster.get(f"{copy.path}/status/current")["status"] != "stopped":
            cluster.run_task("POST", f"{copy.path}/status/stop", timeout_seconds=_STOP_SECONDS)
        if str(config.get("protection", "0")) != "0":
            cluster.put(f"{copy.path}/config", protection=0)
        params = {"purge": 1, "destroy-unreferenced-disks": 1}
        try:
            step.ended(cluster.run_task("DELETE", copy.path, params=params, timeout_seconds=TASK_SECONDS))
        except (Uncertain, TaskFailed, NotFound):
            if where_is(cluster, copy.vmid) is not None:
                raise


def config_of(cluster: Cluster, node: str, vmid: int) -> tuple[str, dict[str, Any]] | None:
    """A VM's configuration, and the node that has it now; None if the cluster has no VM of that number.

    A node that does not have it proves nothing: it may have been migrated, or recovered by HA.

    Args:
        cluster: the API.
        node: where it was last seen.
        vmid: its number.

    Raises:
        ProxmoxError: it could not be read.
    """
    try:
        return node, cluster.get(f"/nodes/{node}/qemu/{vmid}/config")
    except NotFound:
        now = where_is(cluster, vmid)
        return None if now is None else (now, cluster.get(f"/nodes/{now}/qemu/{vmid}/config"))


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """Copies for restore tests that no run is using.

    Attributes:
        copies: those that a killed run left behind.
        doubtful: VMs whose notes say so and which are not what they say, human-readable: they are kept.
    """

    copies: tuple[Copy, ...]
    doubtful: tuple[str, ...]


def leftovers(
    cluster: Cluster, journal: Journal, state: ClusterState, *, running: frozenset[int]
) -> Leftovers:
    """Copies for restore tests that a killed run left behind.

    Args:
        cluster: the API.
        journal: for their removal.
        state: the cluster as it was read; what stands on a node that is off is left for a later night.
        running: VM ids of copies of this run.

    Raises:
        ProxmoxError: one could not be read.
    """
    copies, doubtful = [], []
    for vm in state.vms:
        if COPY_TAG not in vm.tags or vm.vmid in running or vm.node in state.nodes_off:
            continue
        found = config_of(cluster, vm.node, vm.vmid)
        if found is None:
            continue
        node, config = found
        mark = read_copy_mark(str(config.get("description") or ""))
        if mark is None or mark.purpose != "restore-test":
            continue
        if why := mark.objection(vm):
            doubtful.append(
                f"VM {vm.vmid} on {vm.node} claims to be the copy of a restore test and is kept: {why}; if it is one, "
                "remove it in Proxmox, else take that mark out of its notes"
            )
            continue
        copies.append(
            Copy(cluster=cluster, journal=journal, site=state.site, node=node, vmid=vm.vmid, mark=mark)
        )
    return Leftovers(copies=tuple(copies), doubtful=tuple(doubtful))


def remove_shells(cluster: Cluster, state: ClusterState) -> None:
    """Erase VMs without a single setting that failed restores of ours left, when nobody was there to do it at once.

    Which numbers those are, the nodes' lists of failed tasks say: one call a node that has an unnamed, stopped VM.

    Raises:
        ProxmoxError: a node could not be asked.
    """
    bare = {
        vm.vmid: vm.node
        for vm in state.vms
        if not vm.named
        and not vm.tags
        and vm.status == "stopped"
        and not vm.lock
        and vm.node not in state.nodes_off
    }
    for node in sorted(set(bare.values())):
        failed = cluster.get(f"/nodes/{node}/tasks", source="archive", typefilter="qmrestore", errors=1)
        for entry in failed:
            task = parse_upid(entry["upid"])
            if not task or not task.subject.isdigit() or task.user != cluster.token_id:
                continue
            if bare.get(int(task.subject)) == node:
                remove_shell(cluster, f"/nodes/{node}/qemu/{task.subject}")
