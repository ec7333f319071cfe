"""What sites have, and what is promised on it: nodes and storages of the estate. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.reports.estate import EstateMachine, EstateNode, EstateStorage

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.survey import SitesRead
    from orchestrator.sites.model import Provider

_MIB = 1024**2


@dataclass(kw_only=True, slots=True)
class _Promise:
    """What is promised somewhere; memory in MiB."""

    machines: int = 0
    vcpus: int = 0
    memory: int = 0


class Promised:
    """What machines were promised, by place.

    Attributes:
        nodes: by site and node; an empty node has the machines that are not made yet.
        disks: bytes by site, storage and node; the node is empty where several share the storage.
    """

    def __init__(self) -> None:
        self.nodes: defaultdict[tuple[str, str], _Promise] = defaultdict(_Promise)
        self.disks: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    def add(self, row: EstateMachine, disks: Mapping[tuple[str, str], int]) -> None:
        """Count a machine, with the bytes of its disks by storage and node."""
        there = self.nodes[row.site, row.node or ""]
        there.machines += 1
        there.vcpus += row.vcpus
        there.memory += row.memory_mib
        for (storage, node), size in disks.items():
            self.disks[row.site, storage, node] += size


def nodes_of(read: SitesRead, rows: Iterable[EstateMachine], promised: Promised) -> Iterator[EstateNode]:
    """The nodes of the sites, each site with what is not made yet at its end."""
    ours: defaultdict[str, set[int | None]] = defaultdict(set)
    for row in rows:
        ours[row.site].add(row.vmid)
    for site, reading in sorted(read.readings.items()):
        state = reading.observed.state
        others = _others(state, ours[site])
        for node in sorted(state.nodes, key=lambda node: node.name):
            status = "online" if node.online else "off" if node.off else "silent"
            has = (node.maxcpu, node.maxmem // _MIB)
            yield _node(site, node.name, status, promised.nodes[site, node.name], others[node.name], has)
        if (site, "") in promised.nodes:
            yield _node(site, "", "", promised.nodes[site, ""], _Promise(), (0, 0))


def storages_of(provider: Provider, read: SitesRead, promised: Promised) -> Iterator[EstateStorage]:
    """The storages of the sites: those of the disks, then those of the backups."""
    for site, reading in sorted(read.readings.items()):
        here = {(name, node): size for (where, name, node), size in promised.disks.items() if where == site}
        used = {provider.sites[site].storage} | {name for name, _ in here}
        yield from _machine_storages(site, reading.observed.state, used, here)
        for name in sorted({storage.name for storage in provider.sites[site].backup_storages} - used):
            yield from _backup_storages(site, reading.observed.state, name)


def _others(state: ClusterState, ours: Collection[int | None]) -> defaultdict[str, _Promise]:
    """What runs on the nodes and is not ours. A stopped guest takes nothing."""
    found: defaultdict[str, _Promise] = defaultdict(_Promise)
    for guest in (*state.vms, *state.containers):
        if not guest.template and guest.on is not False and guest.vmid not in ours:
            there = found[guest.node]
            there.vcpus += guest.maxcpu
            there.memory += guest.maxmem // _MIB
    return found


def _node(
    site: str, name: str, state: str, promised: _Promise, others: _Promise, has: tuple[int, int]
) -> EstateNode:
    vcpus, memory = has
    return EstateNode(
        site=site,
        node=name,
        state=state,
        machines=promised.machines,
        vcpus=vcpus,
        vcpus_promised=promised.vcpus,
        vcpus_others=others.vcpus,
        vcpus_over_promised=0 < vcpus < promised.vcpus + others.vcpus,
        memory_mib=memory,
        memory_mib_promised=promised.memory,
        memory_mib_others=others.memory,
        memory_over_promised=0 < memory < promised.memory + others.memory,
    )


def _machine_storages(
    site: str, state: ClusterState, used: Collection[str], promised: Mapping[tuple[str, str], int]
) -> Iterator[EstateStorage]:
    left = dict(promised)
    seen = set()
    for storage in sorted(state.storages, key=lambda item: (item.name, item.node)):
        node = "" if storage.shared else storage.node
        if storage.name not in used or (storage.name, node) in seen:
            continue
        seen.add((storage.name, node))
        size = left.pop((storage.name, node), 0)
        yield EstateStorage(
            site=site,
            storage=storage.name,
            node=node,
            purpose="machines",
            status=storage.status,
            size_bytes=storage.maxdisk,
            used_bytes=storage.disk,
            promised_bytes=size,
            over_promised=0 < storage.maxdisk < size,
        )
    for (name, node), size in sorted(left.items()):
        yield EstateStorage(
            site=site,
            storage=name,
            node=node,
            purpose="machines",
            status="",
            size_bytes=0,
            used_bytes=0,
            promised_bytes=size,
            over_promised=False,
        )


def _backup_storages(site: str, state: ClusterState, name: str) -> Iterator[EstateStorage]:
    entries = sorted((item for item in state.storages if item.name == name), key=lambda item: item.node)
    for item in entries[:1] if entries and entries[0].shared else entries:
        yield EstateStorage(
            site=site,
            storage=name,
            node="" if item.shared else item.node,
            purpose="backups",
            status=item.status,
            size_bytes=item.maxdisk,
            used_bytes=item.disk,
            promised_bytes=None,
            over_promised=False,
        )
