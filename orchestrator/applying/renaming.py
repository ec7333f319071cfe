"""Giving a machine another name, in place: the name in Proxmox, the tags and the mark are one write.

Before it the machine is what it was, after it what its file says; a kill leaves nothing in between. A client's new name
has its pool as well: the pool is made before its machines are renamed, each machine joins it afterwards, and where a
kill comes between the two, the file still says what the client was (:mod:`orchestrator.resources.renaming`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.applying.in_place import interrupted_copy
from orchestrator.applying.marking import own_mark
from orchestrator.applying.settle import settle
from orchestrator.applying.stopped import Stopped
from orchestrator.history.renames import RENAME
from orchestrator.proxmox import ProxmoxError, VmConfig, read_pool_members, read_vm
from orchestrator.resources.desired import pool_of
from orchestrator.resources.notes import read_mark, renamed_notes
from orchestrator.resources.renaming import renaming_params

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.applying.machine_work import MachineWork, Surroundings
    from orchestrator.applying.vm import Vm
    from orchestrator.planning.plan import MachinePlan
    from orchestrator.proxmox import VmSummary
    from orchestrator.resources.observed import ObservedMachine


def rename(work: MachineWork, observed: ObservedMachine) -> None:
    """Give a machine the name that its file has for it. Nothing is done if it has it by now.

    Args:
        work: the machine's work, under its new name.
        observed: the machine as it was planned, with the mark that it has (``renaming``).

    Raises:
        Stopped: its notes say neither that it is the machine under its old name nor under its new one; or a restore
            into it was interrupted.
        ProxmoxError: the hypervisor refused.
    """
    old = observed.renaming
    assert old is not None  # noqa: S101  (only what is to be renamed)
    vm = work.vm(observed)
    before = replace(vm, client=old.client, machine=old.machine)
    _assure_whole(before, work.around.states[observed.site].vms)

    def act(config: VmConfig) -> bool:
        found = read_mark(config.effective("description") or "")
        if found is not None and found.key == work.plan.key:
            own_mark(vm, config)
            return False
        mark = own_mark(before, config)
        after = mark.renamed(*work.plan.key).with_(vmid=vm.vmid)
        notes = renamed_notes(mark, after, config.effective("description") or "")
        params = renaming_params(config, mark, work.plan.key)
        with (
            work.around.limits.write(observed.site, observed.summary.node),
            work.step(RENAME, was={"client": mark.client, "machine": mark.machine}, vmid=vm.vmid),
        ):
            work.cluster.put(
                f"{vm.path}/config", params={**params, "description": notes, "digest": config.digest}
            )
        return True

    def look(_: VmConfig | None = None) -> VmConfig:
        return read_vm(work.cluster, vm.node, vm.vmid)

    settle(look(), act, look, pause=work.around.pause, what="its notes", where="its task list in Proxmox")
    if old.client != work.plan.client and work.plan.desired is not None:
        work.join(work.plan.desired, observed)


def _assure_whole(vm: Vm, vms: Iterable[VmSummary]) -> None:
    """Make sure that no restore into a machine is to be finished: its copy is found by the machine's name."""
    if copy := interrupted_copy(vm, vms):
        target = f"{vm.client}/{vm.machine}"
        raise Stopped(
            f"a restore of {copy.mark.volid} into {target} was interrupted, and its copy, VM {copy.vmid}, knows the "
            f"machine by that name: finish it first (orchestrator rescue {target}, restore), then apply again"
        )


def remove_empty_pools(plans: Iterable[MachinePlan], around: Surroundings) -> None:
    """Remove the pools that clients had under their former names, once nothing is in them.

    One that is not empty, or that Proxmox does not let go, stays: it is nobody's any more, and harms nobody.
    """
    left = sorted(
        {
            (plan.site, plan.desired.client_was, plan.client)
            for plan in plans
            if plan.desired is not None and plan.desired.client_was is not None
        }
    )
    for site, was, client in left:
        pool, cluster = pool_of(was), around.clusters[site]
        if pool not in around.states[site].pools:
            continue
        with suppress(ProxmoxError):
            if read_pool_members(cluster, pool):
                continue
            with around.journal.step(client, None, site, "remove pool", pool=pool):
                cluster.delete(f"/pools/{pool}")
