"""Addresses that a run gives: taken for the run alone, and looked at once more before the first of them is given.

Two runs on two clients may plan at the same time, and both find the same address free. So each takes the lock of
every address that it will give, and then looks again at every machine that a run may have given an address since it
planned: the new ones, those whose creation was under way, and all of ours. What one of them has by now is not given
again.

A VM that is being cloned has neither name nor mark before its clone ends. One whose clone began before this run planned
may be a machine that a killed run was making: its end is waited for, so that it is not made a second time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.applying.cloning import is_being_cloned
from orchestrator.applying.settle import PAUSE_SECONDS
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import OrchestratorError
from orchestrator.proxmox import NotFound, read_cluster, read_vm, side_by_side, where_is
from orchestrator.resources.notes import read_mark
from orchestrator.resources.ownership import CLONING
from orchestrator.resources.scope import looks_ours
from orchestrator.resources.static_addresses import addresses_in

if TYPE_CHECKING:
    from orchestrator.applying.lock import RunLocks
    from orchestrator.planning.plan import MachinePlan
    from orchestrator.proxmox import Cluster, VmConfig, VmSummary
    from orchestrator.resources.observed import ObservedSite

_CLONE_SECONDS = 3600.0
"""As long as a clone of one's own is waited for."""


def reserve_addresses(
    todo: Iterable[MachinePlan],
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, ObservedSite],
    locks: RunLocks,
) -> dict[tuple[str, str], str]:
    """Take the addresses of a plan.

    At a site that gives some: three calls for the lock, two for its lists, and one call for each machine of ours.

    Args:
        todo: the machines that are worked on.
        clusters: by site.
        observed: what the plan was made from.
        locks: of this run.

    Returns:
        The reason for each machine that cannot have its address, by client and machine.
    """
    giving: dict[str, list[tuple[MachinePlan, IPv4Address]]] = defaultdict(list)
    for machine in todo:
        if machine.desired and machine.address and machine.address != _has(machine):
            giving[machine.site].append((machine, machine.address))
    problems: dict[tuple[str, str], str] = {}
    for site, wanted in giving.items():
        try:
            others = locks.addresses(site, [address for _, address in wanted])
            for machine, address in wanted:
                if other := others.get(address):
                    problems[machine.key] = (
                        f"{address} is being given by {other}: plan again when that run has ended"
                    )
            if any(machine.observed is None for machine, _ in wanted):
                _await_clones(clusters[site], observed[site])
            taken, made = _since(clusters[site], observed[site])
        except OrchestratorError as error:
            problems |= {machine.key: str(error) for machine, _ in wanted}
            continue
        for machine, address in wanted:
            if machine.observed is None and (vmid := made.get(machine.key)):
                problems[machine.key] = f"VM {vmid} was made for it meanwhile by another run: plan again"
            elif owner := next((owner for owner in taken[address] if owner.key != machine.key), None):
                problems[machine.key] = f"{owner.name} was given {address} meanwhile: plan again"
    return problems


def _has(machine: MachinePlan) -> IPv4Address | None:
    return machine.observed.address if machine.observed else None


@dataclass(frozen=True)
class _Owner:
    """Who has an address: what people call the machine, and client and machine if it is ours."""

    name: str
    key: tuple[str, str] | None


def _since(
    cluster: Cluster, before: ObservedSite
) -> tuple[Mapping[IPv4Address, list[_Owner]], Mapping[tuple[str, str], int]]:
    """Who was given which address since a site was read, and the VMs of our machines by client and machine.

    What had its address then, the plan has judged.
    """
    known = before.register.keys() | {address for machine in before.machines for address in machine.addresses}
    unread = {item.vmid for item in before.unreadable if item.kind == "machine" and item.addresses is None}
    found: dict[IPv4Address, list[_Owner]] = defaultdict(list)
    # What the plan could not read it has judged, too: nothing but an address that a file names is given beside it.
    again = [
        vm
        for vm in read_cluster(cluster, version=before.state.version).vms
        if not vm.template
        and vm.vmid not in unread
        and vm.node not in before.silent
        and not _left_alone(vm, before)
    ]
    made: dict[tuple[str, str], int] = {}
    configs = side_by_side(cluster, again, lambda vm: vm.node, lambda vm: _config(cluster, vm))
    for vm, config in zip(again, configs, strict=True):
        if config is None:
            continue
        mark = read_mark(config.effective("description") or "")
        if mark is not None:
            made[mark.client, mark.machine] = vm.vmid
        owner = _Owner(f"VM {vm.vmid} ({vm.name})", (mark.client, mark.machine) if mark else None)
        has = {*addresses_in(config), *([mark.adopted] if mark and mark.adopted else [])}
        for address in has - known:
            found[address].append(owner)
    return found, made


def _await_clones(cluster: Cluster, before: ObservedSite) -> None:
    """Wait for the clones that were under way when a site was read. Costs nothing where there were none.

    One that a crash left locked is not waited for.

    Raises:
        Stopped: one does not end.
        ProxmoxError: the node could not be asked.
    """
    unknown = [
        vm for vm in before.state.vms if vm.lock in CLONING and not vm.named and vm.node not in before.silent
    ]
    deadline = time.monotonic() + _CLONE_SECONDS
    for vm in unknown:
        while is_being_cloned(cluster, vm.vmid):
            if time.monotonic() > deadline:
                raise Stopped(
                    f"VM {vm.vmid} on {vm.node} is still being cloned, and may be one of these machines: see its task "
                    "in Proxmox, then apply again"
                )
            time.sleep(PAUSE_SECONDS)


def _left_alone(vm: VmSummary, before: ObservedSite) -> bool:
    """Whether no run of this program can have given a machine an address: somebody else's, and finished before."""
    return not looks_ours(vm) and any(
        stranger.vmid == vm.vmid and not stranger.lock for stranger in before.strangers
    )


def _config(cluster: Cluster, vm: VmSummary) -> VmConfig | None:
    """A machine's configuration, where it is now; None if it was removed since the list was read."""
    try:
        return read_vm(cluster, vm.node, vm.vmid, odd=True)
    except NotFound:
        node = where_is(cluster, vm.vmid)
        return None if node is None else read_vm(cluster, node, vm.vmid, odd=True)
