"""What the hypervisors have: read from their API and from nowhere else.

Reading is bulk first: one list of everything in the cluster, then one call for each machine that is ours
or might be. A machine is ours if its notes carry our mark (:mod:`orchestrator.resources.notes`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.proxmox import (
    NotFound,
    check_privileges,
    read_cluster,
    read_snapshots,
    read_vm,
)
from orchestrator.resources.backup import Archive
from orchestrator.resources.desired import OWNER_TAG, pool_of
from orchestrator.resources.notes import Mark, read_mark
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, VmConfig, VmSnapshot, VmSummary
    from orchestrator.resources.image import Template
    from orchestrator.resources.redundancy import ObservedRedundancy

READERS = 2
"""Requests for machines at a time: of the three that Proxmox serves (pvedaemon's workers), one stays for others."""

_IP = re.compile(r"(?:^|,)ip=(\d+\.\d+\.\d+\.\d+)(?:/\d+)?")


@dataclass(frozen=True, kw_only=True)
class ObservedMachine:
    """A machine in a cluster with its configuration and, if it is ours, its mark.

    Attributes:
        snapshots: the oldest first; read where the plan needs them (:func:`observe`).
        archives: its backups, the oldest first; None if they were not read (:mod:`orchestrator.resources.holdings`).
        storage_types: Proxmox's type of each storage of the cluster.
        redundancy: what is configured beside it; None where it was not read, for there is none and shall be none
            (:func:`orchestrator.resources.redundancy.with_redundancy`).
    """

    site: str
    summary: VmSummary
    config: VmConfig
    mark: Mark | None
    snapshots: tuple[VmSnapshot, ...] = ()
    archives: tuple[Archive, ...] | None = None
    storage_types: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    redundancy: ObservedRedundancy | None = None

    @cached_property
    def address(self) -> IPv4Address | None:
        """The static IPv4 address that cloud-init gives it, or that it was taken over with; None if there is none."""
        static = next(iter(addresses_in(self.config)), None)
        return static or (IPv4Address(self.mark.adopted) if self.mark and self.mark.adopted else None)

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
        adoptable: strangers that a file wants to take over, by their VM id.
        templates: the templates of the machines that are to be made; None if they were not read
            (:func:`orchestrator.resources.image.with_templates`).
        unreadable: what could not be read. Nothing is concluded of it: not that it is there, nor that it is not.
    """

    site: str
    state: ClusterState
    machines: tuple[ObservedMachine, ...]
    strangers: tuple[VmSummary, ...]
    register: dict[IPv4Address, str]
    adoptable: Mapping[int, ObservedMachine] = field(default_factory=dict)
    templates: tuple[Template, ...] | None = None
    unreadable: tuple[Unreadable, ...] = ()


def looks_ours(vm: VmSummary) -> bool:
    """Whether a VM bears our tag, or stands in a client's pool. Only its mark says that it is ours."""
    return OWNER_TAG in vm.tags or (vm.pool or "").startswith("client-")


def addresses_in(config: VmConfig) -> list[IPv4Address]:
    """The static IPv4 addresses that cloud-init gives by a configuration."""
    texts = [value for n in range(8) if (value := config.effective(f"ipconfig{n}"))]
    return [IPv4Address(match[1]) for text in texts if (match := _IP.search(text))]


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads machines of one cluster; what they share stands here."""

    cluster: Cluster
    site: str
    storage_types: dict[str, str]
    all_snapshots: bool

    def read(self, summary: VmSummary) -> ObservedMachine | None:
        try:
            config = read_vm(self.cluster, summary.node, summary.vmid)
            mark = read_mark(config.effective("description") or "")
            snapshots: tuple[VmSnapshot, ...] = ()
            if mark and (self.all_snapshots or "parent" in config.current):
                snapshots = read_snapshots(self.cluster, summary.node, summary.vmid)
        except NotFound:  # removed since the list was read
            return None
        return ObservedMachine(
            site=self.site,
            summary=summary,
            config=config,
            mark=mark,
            snapshots=snapshots,
            storage_types=self.storage_types,
        )

    def read_all(self, summaries: Collection[VmSummary]) -> list[ObservedMachine]:
        if not summaries:
            return []
        with ThreadPoolExecutor(min(READERS, len(summaries)), thread_name_prefix=f"read-{self.site}") as pool:
            return [machine for machine in pool.map(self.read, summaries) if machine]


def _reader(cluster: Cluster, state: ClusterState, *, all_snapshots: bool = False) -> _Reader:
    types = {storage.name: storage.kind for storage in state.storages}
    return _Reader(cluster=cluster, site=state.site, storage_types=types, all_snapshots=all_snapshots)


def observe(
    cluster: Cluster,
    site: str,
    *,
    names: Collection[str],
    client: str | None = None,
    all_snapshots: bool = False,
    adopting: Collection[int] = (),
) -> ObservedSite:
    """Read one cluster: three calls, one for each machine that is ours or bears a desired name, and one more for
    each that has snapshots.

    Args:
        cluster: the API.
        site: the site's name.
        names: names of the desired machines: an interrupted clone has its name before its tags.
        client: only this client's machines (all others count as strangers then); everybody's if None.
        adopting: VM ids of strangers that files want to take over.
        all_snapshots: list the snapshots of every machine, also of those whose configuration names no snapshot as
            its parent. Only a tree of snapshots whose current branch was deleted looks like that.

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
        if vm.vmid in adopting
        or (
            (looks_ours(vm) or vm.name in wanted)
            and (client is None or pool_of(client) in (*vm.tags, vm.pool) or vm.name in wanted)
        )
    ]
    read = _reader(cluster, state, all_snapshots=all_snapshots).read_all(candidates)
    ours = tuple(machine for machine in read if machine.mark)
    our_ids = {machine.summary.vmid for machine in ours}
    others = tuple(vm for vm in guests if vm.vmid not in our_ids)
    return ObservedSite(
        site=site,
        state=state,
        machines=ours,
        strangers=others,
        register=_register(read),
        adoptable={
            machine.summary.vmid: machine
            for machine in read
            if machine.mark is None and machine.summary.vmid in adopting
        },
    )


def with_register(cluster: Cluster, observed: ObservedSite) -> ObservedSite:
    """Read the addresses of the machines that are not ours too: one call for each of them."""
    strangers = _reader(cluster, observed.state).read_all(observed.strangers)
    return replace(observed, register=_register([*observed.machines, *strangers]))


def _register(machines: Iterable[ObservedMachine]) -> dict[IPv4Address, str]:
    return {
        address: f"{machine.summary.name} (VM {machine.summary.vmid})"
        for machine in machines
        for address in addresses_in(machine.config)
    }
