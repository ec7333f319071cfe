"""What the hypervisors have: read from their API and from nowhere else.

Reading is bulk first: one list of everything in the cluster, then one call for each machine that is ours
or might be. A machine is ours if its notes carry our mark (:mod:`orchestrator.resources.notes`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.proxmox import NotFound, check_privileges, read_cluster, read_vm
from orchestrator.resources.desired import OWNER_TAG
from orchestrator.resources.notes import Mark, read_mark

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, VmConfig, VmSummary

_READERS = 2
"""Requests at a time: Proxmox serves three (pvedaemon's workers); the fourth hides the client's own work."""

_IP = re.compile(r"(?:^|,)ip=(\d+\.\d+\.\d+\.\d+)(?:/\d+)?")


@dataclass(frozen=True, kw_only=True)
class ObservedMachine:
    """A machine in a cluster with its configuration and, if it is ours, its mark."""

    site: str
    summary: VmSummary
    config: VmConfig
    mark: Mark | None

    @cached_property
    def address(self) -> IPv4Address | None:
        """The static IPv4 address that cloud-init gives it; None if there is none."""
        return next(iter(_addresses(self.config)), None)

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self.summary.status == "running"


@dataclass(frozen=True, kw_only=True)
class ObservedSite:
    """One cluster.

    Attributes:
        machines: ours, by their mark.
        strangers: everything else but templates: shown, never touched.
        register: which machine has which address (name of the machine by address). Complete only after
            :func:`with_register`, because it costs a call for each stranger.
    """

    site: str
    state: ClusterState
    machines: tuple[ObservedMachine, ...]
    strangers: tuple[VmSummary, ...]
    register: dict[IPv4Address, str]


def _addresses(config: VmConfig) -> list[IPv4Address]:
    texts = [value for n in range(8) if (value := config.effective(f"ipconfig{n}"))]
    return [IPv4Address(match[1]) for text in texts if (match := _IP.search(text))]


def _read(cluster: Cluster, site: str, summary: VmSummary) -> ObservedMachine | None:
    try:
        config = read_vm(cluster, summary.node, summary.vmid)
    except NotFound:  # removed since the list was read
        return None
    return ObservedMachine(
        site=site, summary=summary, config=config, mark=read_mark(config.effective("description") or "")
    )


def _read_all(cluster: Cluster, site: str, summaries: Collection[VmSummary]) -> list[ObservedMachine]:
    if not summaries:
        return []
    with ThreadPoolExecutor(min(_READERS, len(summaries)), thread_name_prefix=f"read-{site}") as pool:
        return [machine for machine in pool.map(lambda vm: _read(cluster, site, vm), summaries) if machine]


def observe(cluster: Cluster, site: str, *, names: Collection[str]) -> ObservedSite:
    """Read one cluster: three calls, and one for each machine that is ours or bears a desired name.

    Args:
        cluster: the API.
        site: the site's name.
        names: names of the desired machines: an interrupted clone has its name before its tags.

    Raises:
        ProxmoxError: the cluster cannot be read, or the token may not see everything (an absence could
            not be trusted then).
    """
    check_privileges(cluster)
    state = read_cluster(cluster)
    wanted = frozenset(names)
    guests = [vm for vm in state.vms if not vm.template]
    candidates = [
        vm
        for vm in guests
        if OWNER_TAG in vm.tags or (vm.pool or "").startswith("client-") or vm.name in wanted
    ]
    read = _read_all(cluster, site, candidates)
    ours = tuple(machine for machine in read if machine.mark)
    our_ids = {machine.summary.vmid for machine in ours}
    others = tuple(vm for vm in guests if vm.vmid not in our_ids)
    return ObservedSite(site=site, state=state, machines=ours, strangers=others, register=_register(read))


def with_register(cluster: Cluster, observed: ObservedSite) -> ObservedSite:
    """Read the addresses of the machines that are not ours too: one call for each of them."""
    strangers = _read_all(cluster, observed.site, observed.strangers)
    return replace(observed, register=_register([*observed.machines, *strangers]))


def _register(machines: Iterable[ObservedMachine]) -> dict[IPv4Address, str]:
    return {
        address: f"{machine.summary.name} (VM {machine.summary.vmid})"
        for machine in machines
        for address in _addresses(machine.config)
    }
