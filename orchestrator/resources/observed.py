"""What the hypervisors have, as it was read from their API and from nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from orchestrator.counting import counted
from orchestrator.resources.static_addresses import addresses_in

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState, VmConfig, VmSnapshot, VmSummary
    from orchestrator.resources.machine_archives import Archive
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.unreadable import Unreadable


@dataclass(frozen=True, kw_only=True)
class ObservedMachine:
    """A machine in a cluster with its configuration and, if it is ours, its mark.

    Attributes:
        snapshots: the oldest first; read where the plan needs them (:mod:`orchestrator.resources.observing`).
        archives: its backups, the oldest first; None if they were not read (:mod:`orchestrator.resources.holdings`).
        storage_types: Proxmox's type of each storage of the cluster.
        renaming: the mark that is in its notes, where a file gives it another name: all else is told as it
            will be then (:mod:`orchestrator.resources.renaming`). None: it is not to be renamed.
        kinds: what was read of each kind of thing that belongs to it, by the kind's name; nothing of a kind that it has
            none of, and shall have none (:func:`orchestrator.resources.kinds.with_kinds`).
    """

    site: str
    summary: VmSummary
    config: VmConfig
    mark: Mark | None
    snapshots: tuple[VmSnapshot, ...] = ()
    archives: tuple[Archive, ...] | None = None
    renaming: Mark | None = None
    storage_types: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    kinds: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def address(self) -> IPv4Address | None:
        """The static IPv4 address that cloud-init gives it, or that it was taken over with; None if there is none."""
        return next(iter(self.addresses), None)

    @cached_property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """Every static IPv4 address that it is configured with, and the one that it was taken over with."""
        adopted = [self.mark.adopted] if self.mark and self.mark.adopted else []
        return (*addresses_in(self.config), *adopted)

    @property
    def running(self) -> bool:
        """Whether it is switched on. Of one of ours that is known: else it is unreadable."""
        return self.summary.on is True


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template as it was read.

    Attributes:
        summary: as the cluster lists it.
        config: its configuration; None if it could not be read.
        problem: why it could not be, and what to do; empty if it was.
    """

    summary: VmSummary
    config: VmConfig | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ObservedSite:
    """One cluster.

    Attributes:
        machines: ours (:mod:`orchestrator.resources.ownership`), as far as they were asked for.
        others: what looks ours and was not asked for, and so not read (:mod:`orchestrator.resources.scope`).
        strangers: everything else but templates and what is in ``unreadable``: shown, never touched.
        register: which machine has which address (name of the machine by address). Complete only where nothing is in
            ``others``, and after :func:`orchestrator.resources.register.with_register`, which costs a call for each
            stranger.
        adoptable: machines that are not ours and that a file wants to take over, by their VM id.
        templates: the templates of the machines that are to be made; None if they were not read
            (:func:`orchestrator.resources.image.with_templates`).
        unreadable: what could not be read. Nothing is concluded of it: not that it is there, nor that it is not.
        silent: nodes that nothing is asked of, for they are off or did not answer, with the reason.
        kinds: what was read of each kind of thing that clients have here, by the kind's name.
        unread: why another of these kinds could not be read, by its name.
    """

    site: str
    state: ClusterState
    machines: tuple[ObservedMachine, ...]
    strangers: tuple[VmSummary, ...]
    register: dict[IPv4Address, str]
    others: tuple[VmSummary, ...] = ()
    adoptable: Mapping[int, ObservedMachine] = field(default_factory=dict)
    templates: tuple[Template, ...] | None = None
    unreadable: tuple[Unreadable, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, Any] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)


def addresses_unknown(site: ObservedSite) -> list[str]:
    """What has addresses that nobody knows, for people: as long as there is any, no address is known to be free."""
    guests = [vm for vm in (*site.state.vms, *site.state.containers) if not vm.template]
    found = []
    for node in sorted(site.silent):
        count = sum(guest.node == node for guest in guests)
        if count:
            found.append(f"{counted(count, 'machine')} on the node {node}")
    return found + [
        item.subject
        for item in site.unreadable
        if item.kind == "machine" and item.addresses is None and item.node not in site.silent
    ]
