"""Addresses that a run gives: taken for the run alone, and looked at once more before the first of them is given.

Two runs on two clients may plan at the same time, and both find the same address free. So each takes the lock of
every address that it will give, and then looks for machines that came into being since it planned: an address that
one of them has by now is not given again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.proxmox import NotFound, ProxmoxError, read_cluster, read_vm
from orchestrator.resources.notes import read_mark
from orchestrator.resources.observed import addresses_in

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from orchestrator.applying.lock import RunLocks
    from orchestrator.planning.plan import MachinePlan
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.observed import ObservedSite


def reserve_addresses(
    todo: Iterable[MachinePlan],
    clusters: Mapping[str, Cluster],
    observed: Mapping[str, ObservedSite],
    locks: RunLocks,
) -> dict[tuple[str, str], str]:
    """Take the addresses of a plan. One call a site that gives some, and one for each machine made since.

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
        for machine, address in wanted:
            if other := locks.address(site, address):
                problems[machine.key] = (
                    f"{address} is being given by {other}: plan again when that run has ended"
                )
        try:
            taken = _taken_since(clusters[site], observed[site])
        except ProxmoxError as error:
            problems |= {machine.key: str(error) for machine, _ in wanted}
            continue
        for machine, address in wanted:
            owner = taken.get(address)
            if owner and owner[1] != machine.key:
                problems[machine.key] = f"{owner[0]} was given {address} meanwhile: plan again"
    return problems


def _has(machine: MachinePlan) -> IPv4Address | None:
    return machine.observed.address if machine.observed else None


def _taken_since(
    cluster: Cluster, before: ObservedSite
) -> dict[IPv4Address, tuple[str, tuple[str, str] | None]]:
    """The addresses of machines made since a site was read: what the machine is called, and whose of ours it is."""
    known = {vm.vmid for vm in before.state.vms}
    found: dict[IPv4Address, tuple[str, tuple[str, str] | None]] = {}
    for vm in read_cluster(cluster).vms:
        if vm.vmid in known or vm.template:
            continue
        try:
            config = read_vm(cluster, vm.node, vm.vmid)
        except NotFound:
            continue
        mark = read_mark(config.effective("description") or "")
        for address in addresses_in(config):
            found[address] = (f"VM {vm.vmid} ({vm.name})", (mark.client, mark.machine) if mark else None)
    return found
