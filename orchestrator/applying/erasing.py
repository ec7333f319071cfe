"""Erasing what a contract that ended leaves (article 10). Called by the nights alone; nothing else erases a machine."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.marking import own_mark
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.proxmox import (
    NotFound,
    TaskFailed,
    Uncertain,
    is_ha_managed,
    read_pool_members,
    read_vm,
    where_is,
)
from orchestrator.resources.desired import pool_of
from orchestrator.resources.machine_archives import read_archive_mark

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.holdings import SiteReading

ERASE = "erase"
"""How the history calls it."""

_STOP_SECONDS = 600.0
_ERASE_SECONDS = 3600.0
_COPIES_SECONDS = 600.0
"""Proxmox looks at replication jobs once a minute."""
_POLL_SECONDS = 2.0


def erase_machine(vm: Vm, *, contract: str) -> None:
    """Switch a machine off and erase it with its disks and snapshots, after another look at whose it is.

    Args:
        vm: the machine.
        contract: the reference of the contract that ended: the machine's own notes must name it now.

    Raises:
        Stopped: mark, tags and pool no longer say that it is this machine, of this contract: nothing is done to it.
        ProxmoxError: the hypervisor refused.
    """
    path = f"/nodes/{vm.node}/qemu/{vm.vmid}"
    with vm.step(ERASE, contract=contract) as step:
        try:
            config = read_vm(vm.cluster, vm.node, vm.vmid)
        except NotFound:
            _must_be_gone(vm)
            step.message = "it was gone already"
            return
        if (marked := own_mark(vm, config).contract) != contract:
            raise Stopped(
                f"VM {vm.vmid} on {vm.node} carries the contract {marked} now, not {contract}: it was skipped; "
                "check its notes"
            )
        if vm.vmid not in _members(vm):
            raise Stopped(
                f"VM {vm.vmid} on {vm.node} is not in the pool {pool_of(vm.client)} any more, so it is not erased: if "
                f"it is {vm.client}'s, `pvesh set /pools/{pool_of(vm.client)} --vms {vm.vmid}` puts it back, and the "
                "next night erases it"
            )
        status = vm.cluster.get(f"{path}/status/current")
        if status["status"] != "stopped":
            with kept_aside(vm.cluster, vm.node, vm.vmid, managed=is_ha_managed(status)):
                vm.cluster.run_task("POST", f"{path}/status/stop", timeout_seconds=_STOP_SECONDS)
        _end_copies(vm)
        if (config.effective("protection") or "0") != "0":
            vm.cluster.put(f"{path}/config", protection=0)
        params = {"purge": 1, "destroy-unreferenced-disks": 1}
        try:
            step.ended(vm.cluster.run_task("DELETE", path, params=params, timeout_seconds=_ERASE_SECONDS))
        except (Uncertain, TaskFailed, NotFound):
            with suppress(NotFound):
                vm.cluster.get(f"{path}/config")
                raise
            _must_be_gone(vm)


def _must_be_gone(vm: Vm) -> None:
    """Make sure that a machine which its node does not have is nowhere else: its contract's data would stay there."""
    if (node := where_is(vm.cluster, vm.vmid)) is not None:
        raise Stopped(
            f"VM {vm.vmid} moved from {vm.node} to {node} meanwhile: the next night erases it there"
        )


def _members(vm: Vm) -> frozenset[int]:
    try:
        return read_pool_members(vm.cluster, pool_of(vm.client))
    except NotFound:
        return frozenset()


def _end_copies(vm: Vm) -> None:
    """Have the replicated copies of its disks removed, and wait until they are.

    Proxmox forgets a machine's replication jobs when it erases the machine, and with them the copies on other nodes:
    data of the contract would stay there for ever (``purge`` in PVE::ReplicationConfig::remove_vmid_jobs).

    Raises:
        Stopped: they are not gone yet: the machine is kept, and the next night goes on.
    """
    deadline = time.monotonic() + _COPIES_SECONDS
    while jobs := [
        job for job in vm.cluster.get("/cluster/replication") if str(job["guest"]) == str(vm.vmid)
    ]:
        for job in jobs:
            if not job.get("remove_job"):
                with suppress(NotFound):
                    vm.cluster.delete(f"/cluster/replication/{job['id']}")
        if time.monotonic() > deadline:
            nodes = ", ".join(sorted(str(job["target"]) for job in jobs))
            raise Stopped(
                f"the replicated copies of its disks on {nodes} are not removed yet, so the machine is kept: the next "
                "night continues; see Datacenter > Replication if they stay"
            )
        vm.pause(_POLL_SECONDS)


def leftovers_of(client: str, reading: SiteReading) -> list[str]:
    """What still bears a client's name at a site, whoever made it, human-readable.

    Machines in its pool, with its tag or with a mark that names it, and archives whose notes name it although they are
    not believed.
    """
    name = pool_of(client)
    site = reading.observed.site
    found = [vm for vm in reading.observed.state.vms if vm.pool == name or name in vm.tags]
    machines = [
        f"VM {vm.vmid} {vm.name} on {vm.node} ({site}) in the client's pool or with its tag" for vm in found
    ]
    named = {vm.vmid for vm in found}
    machines += [
        f"{item.subject} ({site}), whose notes name the client"
        for item in reading.observed.unreadable
        if item.kind == "machine" and item.client == client and item.vmid not in named
    ]
    archives = [
        f"the archive {item.stored.volid} ({item.reason})"
        for item in reading.holdings.disbelieved
        if (mark := read_archive_mark(item.stored.notes)) and mark.client == client
    ]
    return machines + archives


def unlisted_places(reading: SiteReading) -> list[str]:
    """Where archives may be that were not listed, and why, human-readable."""
    storages = [f"{name} could not be read: {why}" for name, why in sorted(reading.unread.items())]
    return storages + [f"the node {node} is off" for node in sorted(reading.observed.silent)]


def remove_pool(cluster: Cluster, state: ClusterState, client: str) -> None:
    """Remove a client's pool, which holds nothing any more.

    Raises:
        ProxmoxError: the hypervisor refused: something is in it.
    """
    if pool_of(client) in state.pools:
        with suppress(NotFound):
            cluster.delete(f"/pools/{pool_of(client)}")
