"""High availability and storage replication as a cluster has them configured.

Proxmox VE 8 says by *groups* on which nodes an HA resource may run, 9 by *node-affinity rules*; both read alike here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox.errors import NotFound
from orchestrator.proxmox.privileges import major

if TYPE_CHECKING:
    from orchestrator.proxmox.calls import Calls

RULES_SINCE = 9
"""The major version that has HA rules instead of groups."""


@dataclass(frozen=True, kw_only=True)
class HaResource:
    """A VM under the HA manager.

    Attributes:
        state: what is asked of the manager: ``started``, ``stopped``, ``disabled`` or ``ignored``.
        group: the group it is in (Proxmox VE 8).
    """

    vmid: int
    state: str
    comment: str = ""
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Affinity:
    """On which nodes VMs may run: a group of Proxmox VE 8, a node-affinity rule of 9.

    Attributes:
        nodes: the nodes; their priorities are left out.
        weighted: whether some have another priority than others.
        strict: whether they may run nowhere else.
        vmids: the VMs of a rule; of a group its resources tell.
        in_force: false for a disabled rule, and for one that keeps VMs away from its nodes.
    """

    name: str
    nodes: frozenset[str]
    weighted: bool
    strict: bool
    vmids: frozenset[int] = frozenset()
    in_force: bool = True


@dataclass(frozen=True, kw_only=True)
class ReplicationJob:
    """A replication job of a VM: its disks are sent to another node of the cluster, again and again.

    Attributes:
        number: its number among the VM's jobs.
        schedule: a calendar event, as systemd's.
        rate: megabytes a second at most; None: no limit.
        leaving: whether it is marked for removal, and goes at its next run.
    """

    vmid: int
    number: int
    target: str
    schedule: str
    rate: float | None
    comment: str
    disabled: bool = False
    leaving: bool = False

    @property
    def name(self) -> str:
        """Its id in Proxmox."""
        return f"{self.vmid}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class RedundancySettings:
    """Everything that a cluster has configured of both.

    Attributes:
        release: its major version.
        affinities: by name.
    """

    release: int
    resources: Mapping[int, HaResource] = field(default_factory=dict)
    affinities: Mapping[str, Affinity] = field(default_factory=dict)
    jobs: tuple[ReplicationJob, ...] = ()

    @property
    def has_rules(self) -> bool:
        """Whether HA rules say where a VM may run, and not groups."""
        return self.release >= RULES_SINCE

    def affinity_of(self, vmid: int) -> Affinity | None:
        """What says where a VM may run; None if nothing does."""
        if self.has_rules:
            return self._rules.get(vmid)
        resource = self.resources.get(vmid)
        return self.affinities.get(resource.group) if resource and resource.group else None

    def jobs_of(self, vmid: int) -> tuple[ReplicationJob, ...]:
        """A VM's replication jobs."""
        return self._jobs.get(vmid, ())

    # A plan asks for each of thousands of machines: both are looked up, not searched.

    @cached_property
    def _rules(self) -> dict[int, Affinity]:
        return {vmid: rule for rule in self.affinities.values() for vmid in rule.vmids}

    @cached_property
    def _jobs(self) -> dict[int, tuple[ReplicationJob, ...]]:
        found: dict[int, tuple[ReplicationJob, ...]] = {}
        for job in self.jobs:
            found[job.vmid] = (*found.get(job.vmid, ()), job)
        return found


def read_redundancy(cluster: Calls, version: str) -> RedundancySettings:
    """Read HA resources, groups or rules, and replication jobs: three calls.

    Args:
        cluster: the API.
        version: of Proxmox VE, such as ``8.4.1``.

    Raises:
        ProxmoxError: they could not be read.
    """
    release = major(version)
    resources = (_resource(entry) for entry in cluster.get("/cluster/ha/resources", type="vm"))
    if release >= RULES_SINCE:
        entries = cluster.get("/cluster/ha/rules", type="node-affinity")
        affinities = [_rule(entry) for entry in entries]
    else:
        affinities = [_group(entry) for entry in cluster.get("/cluster/ha/groups")]
    return RedundancySettings(
        release=release,
        resources={resource.vmid: resource for resource in resources},
        affinities={affinity.name: affinity for affinity in affinities},
        jobs=tuple(_job(entry) for entry in cluster.get("/cluster/replication")),
    )


def is_ha_managed(status: Mapping[str, Any]) -> bool:
    """Whether the HA manager minds a VM, by an answer of ``status/current``; not one that it is told to ignore."""
    return bool(int((status.get("ha") or {}).get("managed") or 0))


def set_ha_state(cluster: Calls, vmid: int, state: str) -> None:
    """Tell the HA manager what it is to do with a VM. One that it does not know any more needs nothing.

    Raises:
        ProxmoxError: it could not be told.
    """
    try:
        cluster.put(f"/cluster/ha/resources/vm:{vmid}", state=state)
    except NotFound:
        return


def _vmid(sid: str) -> int:
    return int(sid.rpartition(":")[2])


def _resource(entry: Mapping[str, Any]) -> HaResource:
    return HaResource(
        vmid=_vmid(str(entry["sid"])),
        state=str(entry.get("state") or "started").replace("enabled", "started"),
        comment=str(entry.get("comment") or ""),
        group=str(entry["group"]) if entry.get("group") else None,
    )


def _nodes(text: str) -> tuple[frozenset[str], bool]:
    pairs = [item.partition(":")[::2] for item in text.split(",") if item]
    return frozenset(name for name, _ in pairs), len({priority or "0" for _, priority in pairs}) > 1


def _group(entry: Mapping[str, Any]) -> Affinity:
    nodes, weighted = _nodes(str(entry.get("nodes") or ""))
    strict = bool(int(entry.get("restricted") or 0))
    return Affinity(name=str(entry["group"]), nodes=nodes, weighted=weighted, strict=strict)


def _rule(entry: Mapping[str, Any]) -> Affinity:
    nodes, weighted = _nodes(str(entry.get("nodes") or ""))
    resources = [
        item for item in str(entry.get("resources") or "").split(",") if item.strip().startswith("vm:")
    ]
    enabled = not int(entry.get("disable") or 0)
    return Affinity(
        name=str(entry["rule"]),
        nodes=nodes,
        weighted=weighted,
        strict=bool(int(entry.get("strict") or 0)),
        vmids=frozenset(_vmid(sid) for sid in resources),
        in_force=enabled and entry.get("affinity", "positive") == "positive",
    )


def _job(entry: Mapping[str, Any]) -> ReplicationJob:
    vmid, _, number = str(entry["id"]).partition("-")
    return ReplicationJob(
        vmid=int(vmid),
        number=int(number),
        target=str(entry["target"]),
        schedule=str(entry.get("schedule") or "*/15"),
        rate=float(entry["rate"]) if entry.get("rate") else None,
        comment=str(entry.get("comment") or ""),
        disabled=bool(int(entry.get("disable") or 0)),
        leaving=bool(entry.get("remove_job")),
    )
