"""What a cluster's lists say, in bulk: its VMs, nodes, storages and pools, and what of them could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orchestrator.proxmox.privileges import Held
from orchestrator.proxmox.storage_types import storage_type

_STATES = frozenset({"running", "stopped"})
"""What the cluster's list says of a VM that it knows; all else is to be asked about."""


@dataclass(frozen=True, kw_only=True)
class VmSummary:
    """A VM as the cluster's list shows it.

    Attributes:
        name: "VM 110" if it is not known, or there is none.
        status: ``running``, ``stopped`` or, where nobody could tell, ``unknown``: that is never to be taken for
            ``stopped``. Up to ten seconds old in the cluster's list (:func:`read_state`).
        lock: the mark of a task that holds it (``clone``, ``backup``, …).
        maxmem: memory in bytes.
        maxcpu: virtual CPUs.
        uptime: seconds since it was started; 0 if it does not run. Up to ten seconds old in the cluster's list.
        ha: whether the HA manager minds it.
    """

    vmid: int
    name: str
    node: str
    status: str
    template: bool
    tags: frozenset[str]
    pool: str | None
    lock: str | None
    maxmem: int
    maxcpu: int
    uptime: int = 0
    ha: bool = False

    @property
    def named(self) -> bool:
        """Whether its name is known. A real one has no space."""
        return self.name != f"VM {self.vmid}"

    @property
    def vague(self) -> bool:
        """Whether the cluster's list does not know its name or its state, and its node is to be asked."""
        return not self.named or self.status not in _STATES

    @property
    def on(self) -> bool | None:
        """Whether it is switched on, be it paused; None if nobody knows."""
        return None if self.status == "unknown" else self.status != "stopped"


@dataclass(frozen=True, kw_only=True)
class NodeSummary:
    """A node of the cluster. Right after its boot the figures are 0 (pvestatd has not measured yet).

    Attributes:
        maxmem, mem: memory it has and uses, bytes.
        maxcpu: processors.
        off: whether the cluster says that it is off. One that is neither online nor off keeps its figures to
            itself (its statistics daemon hangs), and answers.
    """

    name: str
    online: bool
    maxmem: int
    mem: int
    maxcpu: int
    off: bool = field(default=False, compare=False)

    @property
    def mute(self) -> bool:
        """Whether it answers and keeps its figures to itself: it is to be asked, as one that is online."""
        return not self.online and not self.off


@dataclass(frozen=True, kw_only=True)
class StorageSummary:
    """A storage on one node (a shared one is listed once a node).

    Attributes:
        status: ``available``, or anything else if it cannot be used there.
        content: what it takes: ``images``, ``backup``, ``import``, …
        kind: Proxmox's type of it: ``dir``, ``lvmthin``, …; empty if it was not told.
        maxdisk, disk: its size and what is used of it, bytes.
        mute: whether its node answers and keeps its figures to itself (:attr:`NodeSummary.mute`), those of its
            storages included.
    """

    name: str
    node: str
    shared: bool
    status: str
    content: frozenset[str]
    maxdisk: int
    disk: int
    kind: str = ""
    mute: bool = field(default=False, compare=False)

    @property
    def usable(self) -> bool:
        """Whether it can be used on its node, as far as is known: of one whose node is mute, only trying tells."""
        return self.status == "available" or (self.mute and self.status == "unknown")

    @property
    def deduplicates(self) -> bool:
        """Whether equal pieces of backups are stored once: an archive's size says nothing of the room it takes."""
        return storage_type(self.kind).deduplicates


@dataclass(frozen=True, kw_only=True)
class BadEntry:
    """An entry of the cluster's lists that could not be read. It is there, whatever it is: it is not absent.

    What stands here was checked as in a sound entry, and is safe to show.

    Attributes:
        kind: what it is.
        name: the machine's, node's, storage's or pool's; if that cannot be read, what is known instead ("VM 101").
        reason: what is wrong with it.
        vmid: of a machine; None if it cannot be read.
        node: where a machine or storage is; None if it cannot be read.
        pool, tags: of a machine, as far as they can be read.
    """

    kind: Literal["machine", "node", "storage", "pool"]
    name: str
    reason: str
    vmid: int | None = None
    node: str | None = None
    pool: str | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """Everything the cluster lists.

    Attributes:
        version: of Proxmox VE, such as ``8.4.1``.
        pools: names of pools.
        frozen: who stopped every change, and why: the comment of the pool :data:`FREEZE_POOL`; empty if nobody did.
        containers: never ours; they have addresses.
        bad_entries: entries that could not be read; they are in none of the other lists.
        told: nodes whose own lists were read: the states of their VMs are not ten seconds old.
        held: what the token may do (:func:`read_lists`).
    """

    site: str
    version: str
    vms: tuple[VmSummary, ...]
    nodes: tuple[NodeSummary, ...]
    storages: tuple[StorageSummary, ...]
    pools: frozenset[str]
    frozen: str = ""
    containers: tuple[VmSummary, ...] = ()
    bad_entries: tuple[BadEntry, ...] = ()
    told: frozenset[str] = field(default=frozenset(), compare=False)
    held: Held = field(default_factory=dict, compare=False)

    @property
    def nodes_off(self) -> frozenset[str]:
        """Nodes that the cluster says are off: a call to one of them takes twelve seconds and fails."""
        return frozenset(node.name for node in self.nodes if node.off)
