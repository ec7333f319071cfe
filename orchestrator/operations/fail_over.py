"""A replica brought into service after its machine's node, or a whole data centre, is lost; and back again."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.applying.failing_over import LostConfiguration, last_sync, move_configuration, read_lost
from orchestrator.applying.freezing import Frozen
from orchestrator.applying.restarting import await_guest, bring_up
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.errors import Reason, RequestRefused, about
from orchestrator.operations.client_file import file_says
from orchestrator.operations.inputs import selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, as_it_is_now, find_machine, vm_of
from orchestrator.operations.run import SILENT, Events, Run, open_run
from orchestrator.operations.start import not_to_start
from orchestrator.proxmox import read_redundancy, where_is
from orchestrator.resources.adoption import disk_slots
from orchestrator.resources.attributes import BY_NAME
from orchestrator.resources.notes import read_mark
from orchestrator.resources.survey import Asked, observe_sites

if TYPE_CHECKING:
    from orchestrator.operations.client_file import FileSays
    from orchestrator.proxmox import Cluster, ReplicationJob
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.unreadable import Unreadable
    from orchestrator.sites.model import NodeAccess, Provider

_APPEARS_SECONDS = 60.0
_MIGRATION_SECONDS = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class FailOverRequest(MachineRequest):
    """A machine whose node is lost.

    Attributes:
        lost_node: the node, named by somebody who knows that it is switched off.
        files: subscription files or folders: whether the machine may run.
        boot_seconds: how long the guest may take to answer.
    """

    lost_node: str | None = None
    files: tuple[Path, ...] = ()
    boot_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Replica:
    """What a lost machine can be brought back with.

    Attributes:
        lost: the node that is off.
        node: that has the copies of the machine's disks.
        synced_at: when they were last brought up to date (aware): what was written later is lost.
    """

    site: str
    vmid: int
    lost: str
    node: str
    job: str
    synced_at: dt.datetime
    configuration: LostConfiguration
    mark: Mark


@dataclass(frozen=True, kw_only=True)
class FailedOver:
    """Where the machine runs now.

    Attributes:
        problem: what is wrong with its guest; None if it answers.
    """

    vmid: int
    node: str
    problem: str | None


def fail_over(
    request: FailOverRequest, agree: Callable[[Replica], bool], events: Events = SILENT
) -> FailedOver | None:
    """Start a machine whose node is lost from its newest replica. An interrupted one is finished.

    Args:
        request: which.
        agree: asked before anything is changed.
        events: who is told what.

    Returns:
        Where it runs; None if nobody agreed.

    Raises:
        OrchestratorError: its node is not surely off, there is no replica, or it could not be done.
    """
    provider = open_provider(request.inventory)
    says = file_says(request.target, request.files, provider)
    with (
        open_run(provider, "a fail-over", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        lost = _lost(request, run)
        if isinstance(lost, Found):
            return _started(request, lost, says, run)
        item, site = lost
        if request.lost_node != item.node:
            raise RequestRefused(not_sure(str(item.node)))
        replica = newest_replica(request.target, item, site, run.clusters[item.site], provider, says)
        if not agree(replica):
            return None
        run.begin()
        access = _access(provider, item.site)
        vm = _vm(request, replica, run)
        with vm.step("fail over", lost=replica.lost, to=replica.node, synced=replica.synced_at.isoformat()):
            move_configuration(access, replica.node, replica.lost, replica.vmid, replica.configuration.digest)
        return _started(request, _appeared(request, replica, run), says, run)


def _lost(request: FailOverRequest, run: Run) -> Found | tuple[Unreadable, ObservedSite]:
    """The machine on a node that is off; or what an interrupted fail-over left: stopped on another one."""
    read = observe_sites(run.clusters, Asked(selection=selection(request.target)))
    lost = on_lost_node(request.target, read.observed.values())
    if lost is not None:
        if frozen := lost[1].state.frozen:
            raise Frozen(lost[1].site, frozen)
        return lost
    found = as_it_is_now(find_machine(request.target, run.clusters, snapshots=False))
    summary = found.machine.summary
    if found.machine.running:
        raise RequestRefused(f"it runs on {summary.node}: there is nothing to fail over")
    jobs = read_redundancy(found.cluster, found.site.state.version).jobs_of(summary.vmid)
    if not any(job.target in {summary.node, *found.site.state.nodes_off} for job in jobs):
        raise RequestRefused(
            f"its node {summary.node} is not off by the cluster's word: what is only out of reach from here is not "
            "failed over"
        )
    return found


def on_lost_node(target: str, sites: Iterable[ObservedSite]) -> tuple[Unreadable, ObservedSite] | None:
    """The machine if it is on a node that is off by its cluster's word, with its site; None if it is not."""
    client, _, name = target.partition("/")
    for site in sites:
        for item in site.unreadable:
            if (
                (item.client, item.machine) == (client, name)
                and item.node in site.state.nodes_off
                and item.vmid is not None
            ):
                return item, site
    return None


def not_sure(node: str) -> Reason:
    """Why nothing is started elsewhere until somebody has said that a node is switched off."""
    return (
        f"its node {node} is off by the cluster's word. A node that is only cut off goes on running its "
        f"machines, and two of one identity would run: have it switched off, then say so: --lost-node {node}"
    )


def newest_replica(
    target: str,
    item: Unreadable,
    site: ObservedSite,
    cluster: Cluster,
    provider: Provider,
    says: FileSays,
) -> Replica:
    """The newest copy of a machine whose node is off, once everything is as it must be. Changes nothing.

    Raises:
        OrchestratorError: there is none, or the machine is not to be started from it.
    """
    assert item.node is not None and item.vmid is not None  # noqa: S101  (it is a VM)
    _check_cluster(cluster, item.node)
    settings = read_redundancy(cluster, site.state.version)
    resource = settings.resources.get(item.vmid)
    if resource is not None and resource.state != "ignored":
        raise RequestRefused(
            "the HA manager minds it, and starts it by itself where it may run. To a node where it may not, first as "
            f"root on a node: ha-manager set vm:{item.vmid} --state ignored"
        )
    jobs = [
        job
        for job in settings.jobs_of(item.vmid)
        if job.target not in site.state.nodes_off | {item.node} and not job.leaving
    ]
    if not jobs:
        raise RequestRefused(
            f"no replication job sends its disks to a node that is left: restore an archive at another site "
            f"(orchestrator rescue {target})"
        )
    access = _access(provider, item.site)
    configuration = read_lost(access, jobs[0].target, item.node, item.vmid)
    mark = read_mark(configuration.config.effective("description") or "")
    if mark is None or (f"{mark.client}/{mark.machine}", mark.vmid) != (target, item.vmid):
        raise RequestRefused(f"VM {item.vmid} does not carry its mark: look at its notes")
    if mark.retired or (says.life and says.life.why(dt.datetime.now(dt.UTC))):
        raise RequestRefused(
            "it is retired, or its contract is out of service: it is not started (art. 9, 10)"
        )
    job, synced_at = _newest(jobs, access, configuration)
    return Replica(
        site=item.site,
        vmid=item.vmid,
        lost=item.node,
        node=job.target,
        job=job.name,
        synced_at=synced_at,
        configuration=configuration,
        mark=mark,
    )


def _newest(
    jobs: list[ReplicationJob], access: NodeAccess, configuration: LostConfiguration
) -> tuple[ReplicationJob, dt.datetime]:
    volumes = [slot.disk.volume for slot in disk_slots(configuration.config)]
    found: list[tuple[dt.datetime, ReplicationJob]] = []
    trouble: list[str] = []
    for job in jobs:
        try:
            found.append((last_sync(access, job.target, job.name, volumes), job))
        except Stopped as error:
            trouble.append(str(error))
    if not found:
        raise RequestRefused(f"it has no whole copy: {'; '.join(trouble)}")
    synced_at, job = max(found, key=lambda pair: pair[0])
    return job, synced_at


def _check_cluster(cluster: Cluster, node: str) -> None:
    """Whether the part of the cluster that answers has quorum, and says that a node is off."""
    entries: list[dict[str, Any]] = cluster.get("/cluster/status")
    whole: dict[str, Any] = next((entry for entry in entries if entry.get("type") == "cluster"), {})
    if not int(whole.get("quorate") or 0):
        raise RequestRefused("the part of the cluster that answers has no quorum: it may be the lost one")
    state: dict[str, Any] = next(
        (entry for entry in entries if (entry.get("type"), entry.get("name")) == ("node", node)), {}
    )
    if str(state.get("online")) != "0":
        raise RequestRefused(f"the cluster does not say that {node} is off")


def _access(provider: Provider, site: str) -> NodeAccess:
    access = provider.sites[site].node_access
    if access is None:
        raise RequestRefused(
            f"no call of Proxmox moves a machine off a lost node: the site file needs node_access for {site}"
        )
    return access


def _vm(request: FailOverRequest, replica: Replica, run: Run) -> Vm:
    return Vm(
        cluster=run.clusters[replica.site],
        journal=run.journal(request.reason, known=[replica.site]),
        site=replica.site,
        client=replica.mark.client,
        machine=replica.mark.machine,
        node=replica.lost,
        vmid=replica.vmid,
        pause=run.stopping.pause,
    )


def _appeared(request: FailOverRequest, replica: Replica, run: Run) -> Found:
    """The machine on its new node."""
    until = time.monotonic() + _APPEARS_SECONDS
    while where_is(run.clusters[replica.site], replica.vmid) != replica.node:
        if time.monotonic() >= until:
            raise Stopped(
                f"it was moved to {replica.node}, which does not show it: run the same command again"
            )
        run.stopping.pause(1.0)
    return as_it_is_now(find_machine(request.target, run.clusters, snapshots=False))


def _started(request: FailOverRequest, found: Found, says: FileSays, run: Run) -> FailedOver:
    summary = found.machine.summary
    if why := not_to_start(found.machine, found.mark, says, dt.datetime.now(dt.UTC)):
        raise RequestRefused(f"it is on {summary.node} and is not started: {why}")
    run.begin()
    vm = vm_of(found, run, request.reason)
    with run.stopping.finishing(f"{request.target}: start"):
        bring_up(vm, managed=summary.ha)
    agent = bool(BY_NAME["guest agent"].read(found.machine.config))
    problem = await_guest(vm, agent=agent, boot_seconds=request.boot_seconds)
    return FailedOver(vmid=summary.vmid, node=summary.node, problem=problem)


@dataclass(frozen=True, kw_only=True)
class WayBack:
    """Where a machine goes back to.

    Attributes:
        synced_at: when its disks were last sent there (aware).
    """

    vmid: int
    node: str
    target: str
    running: bool
    synced_at: dt.datetime


def back(
    request: MachineRequest, agree: Callable[[WayBack], bool], events: Events = SILENT
) -> WayBack | None:
    """Migrate a machine back to the node that was lost, once its disks were sent there again. It goes on running.

    Raises:
        OrchestratorError: that node is not back, nothing was sent to it since, or it could not be done.
    """
    provider = open_provider(request.inventory)
    with (
        open_run(provider, "a way back", history=request.history, events=events) as run,
        about(request.target),
    ):
        run.locks.clients([request.client])
        found = as_it_is_now(find_machine(request.target, run.clusters, snapshots=False))
        way = _way_back(found)
        if not agree(way):
            return None
        run.begin()
        vm = vm_of(found, run, request.reason)
        params: dict[str, str | int] = {"target": way.target, "with-local-disks": 1}
        if way.running:
            params["online"] = 1
        with vm.step("migrate back", to=way.target) as step:
            vm.task(
                step,
                "POST",
                f"{vm.path}/migrate",
                params,
                done=lambda: where_is(vm.cluster, vm.vmid) == way.target,
                timeout_seconds=_MIGRATION_SECONDS,
            )
        return way


def _way_back(found: Found) -> WayBack:
    summary, state = found.machine.summary, found.site.state
    jobs = [
        job for job in read_redundancy(found.cluster, state.version).jobs_of(summary.vmid) if not job.leaving
    ]
    if not jobs:
        raise RequestRefused(
            "it has no replication job, so its disks are nowhere else: migrate it in Proxmox"
        )
    home = [job for job in jobs if job.target not in state.nodes_off]
    if not home:
        raise RequestRefused(f"{jobs[0].target} is off still: bring it back first")
    for job in home:
        status = found.cluster.get(f"/nodes/{summary.node}/replication/{job.name}/status")
        last = int(status.get("last_sync") or 0)
        if last and not int(status.get("fail_count") or 0):
            return WayBack(
                vmid=summary.vmid,
                node=summary.node,
                target=job.target,
                running=found.machine.running,
                synced_at=dt.datetime.fromtimestamp(last, dt.UTC),
            )
    raise RequestRefused(
        f"nothing was sent from {summary.node} to {home[0].target} yet, or the last run failed: wait for the "
        f"replication job {home[0].name}, or run it (Replication > Schedule now)"
    )
