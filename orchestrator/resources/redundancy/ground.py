"""What a machine's file asks for and what its cluster could give it: both sides of its redundancy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import Reason
from orchestrator.proxmox import (
    RedundancySettings,
    storage_type,
)
from orchestrator.resources.change import Change, Effect
from orchestrator.resources.desired import Redundancy

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.desired import DesiredMachine

HARDWARE = "redundant hardware"
SECOND_SITE = "second site"
"""How plans name them."""


OURS = "orchestrator: "
"""How the comments of what is ours begin."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a cluster offers a machine.

    Attributes:
        home: nodes of the machine's own site that have its storage.
        elsewhere: nodes of the second site that have it.
        shared: whether all of them see the same disks.
        kind: Proxmox's type of the storage.
    """

    site: str
    storage: str
    home: tuple[str, ...]
    elsewhere: tuple[str, ...]
    shared: bool
    kind: str

    @property
    def replicable(self) -> bool:
        """Whether Proxmox can replicate its disks."""
        return storage_type(self.kind).replicates and not self.shared


@dataclass(frozen=True, kw_only=True)
class ObservedRedundancy:
    """What there is of a machine's redundancy, and what its cluster could give it."""

    ground: Ground
    settings: RedundancySettings


def ground_of(desired: DesiredMachine, state: ClusterState) -> Ground:
    """What a cluster offers a machine of a file."""
    wanted = desired.redundancy
    entries = [storage for storage in state.storages if storage.name == desired.storage]
    nodes = sorted({storage.node for storage in entries})
    return Ground(
        site=desired.site,
        storage=desired.storage,
        home=tuple(node for node in nodes if node not in desired.foreign_nodes),
        elsewhere=tuple(node for node in nodes if node in wanted.second_nodes),
        shared=any(storage.shared for storage in entries),
        kind=entries[0].kind if entries else "",
    )


def obstacles(wanted: Redundancy, ground: Ground) -> Iterator[tuple[str, Reason]]:
    """Yield what cannot be had here: its name, and the reason with the way out."""
    if wanted.hardware:
        if not ground.shared and not ground.replicable:
            yield (
                HARDWARE,
                f"the storage {ground.storage} of {ground.site} is local ({ground.kind or 'of unknown type'}): when a "
                "node fails, its disks are gone with it. Use a shared storage or ZFS there, or take "
                "redundancy.hardware out of the file",
            )
        elif len(ground.home) < 2:
            yield (
                HARDWARE,
                f"{', '.join(ground.home) or 'no node'} alone has the storage {ground.storage} at {ground.site}: add "
                "another node, or take redundancy.hardware out of the file",
            )
    if wanted.second_site:
        if not ground.replicable:
            yield (
                SECOND_SITE,
                f"Proxmox replicates local ZFS storages only, and the storage {ground.storage} of {ground.site} is "
                f"{'shared' if ground.shared else 'local'} ({ground.kind or 'of unknown type'}): use one, or take "
                "redundancy.second_site out of the file; backups go to another data centre in any case",
            )
        elif not ground.elsewhere:
            nodes = ", ".join(wanted.second_nodes) or "none"
            yield (
                SECOND_SITE,
                f"no node at {wanted.second_site} (second_sites of {ground.site} names {nodes}) has the storage "
                f"{ground.storage}: add it there under the same name, or correct second_sites",
            )


def possible(wanted: Redundancy, ground: Ground) -> bool:
    """Whether something of what is asked for can be had."""
    asked = {HARDWARE: wanted.hardware, SECOND_SITE: wanted.second_site is not None}
    barred = dict(obstacles(wanted, ground))
    return any(is_asked and what not in barred for what, is_asked in asked.items())


def nowhere(site: str) -> Ground:
    """What a machine without a file is offered: nothing."""
    return Ground(site=site, storage="", home=(), elsewhere=(), shared=False, kind="")


NOT_REDUNDANT = "off"
"""The side of a change on which there is no redundancy: that it comes or goes is seen in the plan."""


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Both sides of one machine's redundancy.

    Attributes:
        barred: what is asked for and cannot be had here, with the reason.
        drift: whether a difference is drift.
    """

    wanted: Redundancy
    ground: Ground
    settings: RedundancySettings
    vmid: int
    node: str
    running: bool
    drift: bool
    barred: Mapping[str, str]

    @property
    def sid(self) -> str:
        """Its id in the HA manager."""
        return f"vm:{self.vmid}"

    @property
    def own_name(self) -> str:
        """How its group or rule is called, where it is ours."""
        return f"orchestrator-{self.vmid}"

    def has(self, what: str) -> bool:
        """Whether the file asks for it, and the cluster can."""
        asked = self.wanted.hardware if what == HARDWARE else self.wanted.second_site is not None
        return asked and what not in self.barred

    def update(
        self,
        what: str,
        before: str | None,
        after: str | None,
        *,
        erases: bool = False,
        why: str | None = None,
    ) -> Change:
        """A change from one state to another; None: not redundant."""
        return Change(
            effect=Effect.UPDATE,
            what=what,
            before=before or NOT_REDUNDANT,
            after=after or NOT_REDUNDANT,
            drift=self.drift,
            erases=erases,
            why=why,
        )
