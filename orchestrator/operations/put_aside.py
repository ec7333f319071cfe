"""Putting aside what was a machine before it was restored at another site: its own site was lost, and came back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.machine_power import SHUTDOWN_SECONDS
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import TASK_SECONDS, Vm
from orchestrator.errors import RequestRefused, about
from orchestrator.operations.inputs import selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import MachineRequest
from orchestrator.operations.run import SILENT, Events, Run, open_run
from orchestrator.proxmox import TaskFailed, is_ha_managed, read_vm
from orchestrator.resources.notes import read_mark, without_marks
from orchestrator.resources.ownership import tags_of
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.resources.tags import CLIENT_POOL, OWNER_TAG

if TYPE_CHECKING:
    from orchestrator.applying.journal import Step
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.unreadable import Unreadable


def superseded(target: str, sites: Mapping[str, ObservedSite]) -> tuple[Unreadable, ...]:
    """The VMs that were a machine before it was restored at another site, because theirs was lost.

    Args:
        target: ``CLIENT/MACHINE``.
        sites: as they were read.
    """
    client, _, name = target.partition("/")
    marks = [machine.mark for site in sites.values() for machine in site.machines if machine.mark]
    lost = {site for mark in marks if (mark.client, mark.machine) == (client, name) for site in mark.replaces}
    return tuple(
        item
        for site in sorted(lost & sites.keys())
        for item in sites[site].unreadable
        if item.copy and (item.client, item.machine) == (client, name)
    )


def put_aside(request: MachineRequest, events: Events = SILENT) -> str:
    """Switch off what was a machine before it was restored at another site, and take our mark and tags off it.

    It stays in its client's pool with its disks: nothing that only it has is lost.

    Returns:
        What it was, human-readable.

    Raises:
        OrchestratorError: there is none, or it could not be done.
    """
    provider = open_provider(request.inventory)
    with (
        open_run(provider, "a rescue", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        read = observe_sites(run.clusters, Asked(selection=selection(request.target)))
        found = superseded(request.target, read.observed)
        if len(found) != 1:
            raise RequestRefused("no site has an old machine of it that was replaced by one at another site")
        if reason := read.observed[found[0].site].state.frozen:
            raise Frozen(found[0].site, reason)
        run.begin()
        _put_aside(_vm_of(request, found[0], run))
        return f"{found[0].subject}, {found[0].site}"


def _vm_of(request: MachineRequest, old: Unreadable, run: Run) -> Vm:
    assert old.node is not None and old.vmid is not None  # noqa: S101  (it is a VM)
    client, _, machine = request.target.partition("/")
    return Vm(
        cluster=run.clusters[old.site],
        journal=run.journal(request.reason, known=[old.site]),
        site=old.site,
        client=client,
        machine=machine,
        node=old.node,
        vmid=old.vmid,
        pause=run.stopping.pause,
    )


def _put_aside(vm: Vm) -> None:
    with vm.step("put aside", vmid=vm.vmid) as step:
        config = read_vm(vm.cluster, vm.node, vm.vmid)
        notes = config.effective("description") or ""
        mark = read_mark(notes)
        if mark is None or (mark.client, mark.machine, mark.vmid) != (vm.client, vm.machine, vm.vmid):
            raise Stopped(f"VM {vm.vmid} on {vm.node} is not what it was: look at its notes")
        _switch_off(vm, step)
        kept = {tag for tag in tags_of(config) if tag != OWNER_TAG and not tag.startswith(CLIENT_POOL)}
        told = f"Old {vm.client} / {vm.machine}: restored at another site since, and put aside."
        params: dict[str, str | int] = {
            "description": f"{told}\n\n{without_marks(notes)}".strip(),
            "onboot": 0,
            **({"tags": ";".join(sorted(kept))} if kept else {"delete": "tags"}),
        }
        vm.cluster.put(f"{vm.path}/config", params=params)


def _switch_off(vm: Vm, step: Step) -> None:
    status = vm.cluster.get(f"{vm.path}/status/current")
    if status["status"] == "stopped":
        return
    with kept_aside(vm.cluster, vm.node, vm.vmid, managed=is_ha_managed(status)):
        try:
            params: dict[str, str | int] = {"timeout": SHUTDOWN_SECONDS}
            path = f"{vm.path}/status/shutdown"
            step.ended(vm.cluster.run_task("POST", path, params=params, timeout_seconds=TASK_SECONDS))
        except TaskFailed:
            step.ended(vm.cluster.run_task("POST", f"{vm.path}/status/stop", timeout_seconds=TASK_SECONDS))
