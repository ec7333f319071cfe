"""Reading single machines of a cluster, wherever they are by now; one that cannot be read is that machine's trouble.

Nothing is asked of a node that is off: every call to it would take twelve seconds and fail. What answers are understood
with is imported where it is first needed, so that it is loaded while machines are read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from orchestrator.proxmox import (
    NotFound,
    ProxmoxError,
    TlsRefused,
    TokenRefused,
    Unreachable,
    VmSummary,
    read_node,
    read_snapshots,
    read_state,
    read_vm,
    read_vm_later,
    side_by_side,
    understood_beside,
    where_is,
)
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.ownership import claimed, client_of
from orchestrator.resources.tags import RETIRED_TAG
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, VmConfig, VmSnapshot
    from orchestrator.proxmox.configuration_file import ConfigurationFile
    from orchestrator.resources.marks import UnreadableMark
    from orchestrator.resources.notes import Mark

T = TypeVar("T")
G = TypeVar("G", bound=VmSummary)

_LOOKS = 3
"""How often a machine is looked for that its node does not have: it may be migrated again meanwhile."""

_ABOUT_A_NODE = frozenset({595, 596, 597, 599})
"""Statuses by which one node says that another does not answer."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found where a machine was looked for.

    Attributes:
        machine: with its mark, whatever that is worth; None if it could not be read, or not be understood.
        trouble: why nothing may be done to it; None if it is to be judged by its mark.
    """

    machine: ObservedMachine | None
    trouble: Unreadable | None = None


@dataclass(frozen=True, kw_only=True)
class MachineReader:
    """Reads machines of one cluster; what they share stands here.

    Attributes:
        nodes: every node of the cluster.
        silent: nodes that are off, or did not answer when they were asked, and why. Nothing more is asked of them.
        told: nodes that told the states of their VMs with the cluster's list.
        files: configurations that were read from the nodes' files already, by VM id.
        lists: the own lists of other nodes that were read since.
    """

    cluster: Cluster
    site: str
    storage_types: dict[str, str]
    nodes: frozenset[str]
    silent: dict[str, str]
    told: frozenset[str]
    files: Mapping[int, ConfigurationFile] = field(default_factory=dict)
    lists: dict[str, Mapping[int, VmSummary]] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, node: str, read: Callable[[], T]) -> T | str | None:
        """Read something of a machine: what was read; None if its node does not have it; a text that says why it
        cannot be read.

        Raises:
            ProxmoxError: the site does not answer, or does not know us: that is not the machine's trouble.
        """
        with self.guard:
            if node in self.silent:
                return self.silent[node]
        try:
            return read()
        except NotFound:  # removed since the list was read, or moved
            return None
        except Unreachable as error:
            if error.status not in _ABOUT_A_NODE:
                raise
            reason = f"its node {node} does not answer ({error.text}): bring it back, then run this again"
            with self.guard:
                return self.silent.setdefault(node, reason)
        except (TlsRefused, TokenRefused):
            raise
        except ProxmoxError as error:
            return str(error)

    def find(self, guest: VmSummary, read: Callable[[str], T]) -> tuple[VmSummary, T | str | None]:
        """Read something of a machine wherever it is by now: it may have been migrated since the list was read.

        That its node does not have it is no proof that it is gone: only the cluster's list says so.

        Returns:
            The machine with its node, and as :meth:`ask`; None only if the cluster does not list it any more.
        """
        for _ in range(_LOOKS):
            node = guest.node
            found = self.ask(node, lambda node=node: read(node))  # type: ignore[misc]
            if found is not None:
                return guest, found
            now = where_is(self.cluster, guest.vmid)
            if now is None:
                return guest, None
            if now == node or now not in self.nodes:
                break
            guest = replace(guest, node=now)
        return guest, (
            f"the cluster lists it, and its node {guest.node} does not have it (is it being migrated or removed?): run "
            "this again"
        )

    def each(self, read: Callable[[G], T | None], guests: Collection[G]) -> list[T]:
        """Do something for each of some guests, two at a time at each address; what gives None is left out."""
        found = side_by_side(self.cluster, guests, lambda guest: guest.node, read)
        return [item for item in found if item is not None]

    def with_files(self, vms: Collection[VmSummary]) -> MachineReader:
        """A reader that has the configurations of these VMs from the nodes' files, where the site has a bulk reader."""
        bulk_reader = self.cluster.bulk_reader
        if bulk_reader is None:
            return self
        asked = [vm for vm in vms if vm.node not in self.silent]
        return replace(self, files=bulk_reader.for_machines(self.cluster, asked))

    def configuration(self, vm: VmSummary) -> tuple[VmSummary, VmConfig | str | None]:
        """The configuration of a VM, from the files if they tell it."""
        if known := self.files.get(vm.vmid):
            return vm, known.config
        return self.find(vm, lambda node: read_vm(self.cluster, node, vm.vmid, odd=True))

    def _answer(self, vm: VmSummary) -> tuple[VmSummary, Callable[[], VmConfig] | str | None]:
        """As :meth:`configuration`, but not parsed yet."""
        if known := self.files.get(vm.vmid):
            return vm, lambda: known.config
        return self.find(vm, lambda node: read_vm_later(self.cluster, node, vm.vmid))

    def listed_snapshots(self, vm: VmSummary) -> tuple[VmSummary, tuple[VmSnapshot, ...] | str | None]:
        """The snapshots of a VM, from the files if they tell them."""
        if known := self.files.get(vm.vmid):
            return vm, known.snapshots
        return self.find(vm, lambda node: read_snapshots(self.cluster, node, vm.vmid))

    def read(
        self,
        vms: Collection[VmSummary],
        *,
        all_snapshots: Callable[[str, str], bool],
        before: Callable[[], None] = lambda: None,
    ) -> dict[int, Found | None]:
        """Read machines, by VM id; None is one that is gone.

        They are understood while others are read: hypervisors take longer than we do.

        Args:
            vms: the machines.
            all_snapshots: whether a client's machine's snapshots are listed although its configuration names none.
            before: called before each machine; what it raises ends the reading.
        """

        def answer(vm: VmSummary) -> tuple[VmSummary, Callable[[], VmConfig] | str | None]:
            before()
            return self._answer(vm)

        def understood(
            _: VmSummary, found: tuple[VmSummary, Callable[[], VmConfig] | str | None]
        ) -> Found | ObservedMachine | None:
            summary, config = found
            machine = self._understood(
                summary, self.ask(summary.node, config) if callable(config) else config
            )
            if not isinstance(machine, ObservedMachine):
                return machine
            known = self._state_is_known(machine.summary, machine.mark)
            return machine if not known or _has_snapshots(machine, all_snapshots) else self._complete(machine)

        found: dict[int, Found | None] = {}
        more: dict[int, ObservedMachine] = {}
        results = understood_beside(self.cluster, vms, lambda vm: vm.node, answer, understood)
        for vm, result in zip(vms, results, strict=True):
            if isinstance(result, ObservedMachine):
                more[vm.vmid] = result
            else:
                found[vm.vmid] = result

        def complete(machine: ObservedMachine) -> Found | None:
            before()
            sure = self._with_its_state(machine)
            if not isinstance(sure, ObservedMachine):
                return sure
            return self._with_snapshots(sure) if _has_snapshots(sure, all_snapshots) else self._complete(sure)

        completed = side_by_side(self.cluster, more.values(), lambda machine: machine.summary.node, complete)
        return found | dict(zip(more, completed, strict=True))

    def _understood(
        self, summary: VmSummary, config: VmConfig | str | None
    ) -> Found | ObservedMachine | None:
        """A machine as its configuration says, with its mark; why it cannot be; None if it is gone."""
        from orchestrator.resources.marks import UnreadableMark
        from orchestrator.resources.notes import parse_mark

        if config is None:
            return None
        if isinstance(config, str):
            return Found(machine=None, trouble=self.unread(summary, config))
        machine = ObservedMachine(
            site=self.site, summary=summary, config=config, mark=None, storage_types=self.storage_types
        )
        try:
            mark = parse_mark(config.effective("description") or "")
        except UnreadableMark as error:
            return Found(machine=machine, trouble=self.damaged(machine, error))
        return replace(machine, mark=mark)

    def _with_its_state(self, machine: ObservedMachine) -> Found | ObservedMachine | None:
        """A machine with the state that its node says it is in; as :meth:`_understood`."""
        summary = self.with_state(machine.summary, machine.mark)
        if summary is None:
            return None
        if isinstance(summary, str):
            reason = f"whether it runs is not known: {summary}"
            return Found(machine=None, trouble=self.unread(machine.summary, reason))
        return replace(machine, summary=summary)

    def _complete(self, machine: ObservedMachine) -> Found:
        """A machine of which all is known."""
        from orchestrator.resources.oddity import oddity

        if machine.mark is not None and (why := oddity(machine.config)):
            reason = f"its configuration cannot be understood: {why}; correct it in Proxmox"
            return Found(machine=None, trouble=claimed(machine, machine.mark, reason))
        return Found(machine=machine)

    def _with_snapshots(self, machine: ObservedMachine) -> Found | None:
        """A machine with its mark and its snapshots, which are listed now; None if it is gone."""
        mark, found = machine.mark, self._complete(machine)
        if found.machine is None or mark is None:
            return found
        summary, snapshots = self.listed_snapshots(machine.summary)
        machine = replace(machine, summary=summary)
        if snapshots is None:
            return None
        if isinstance(snapshots, str):
            reason = f"its snapshots could not be read: {snapshots}"
            return Found(machine=None, trouble=claimed(machine, mark, reason))
        return Found(machine=replace(machine, snapshots=snapshots))

    def with_state(self, summary: VmSummary, mark: Mark | None) -> VmSummary | str | None:
        """A machine with the state that its node says it is in, where the cluster's list does not know it.

        Or may be wrong: for ten seconds after a start the list says ``stopped``. What is there as it was left is not
        asked about; where something differs, its node is asked for all its machines at once.

        Returns:
            None if it is gone; a text that says why its state is not known.
        """
        if self._state_is_known(summary, mark):
            return summary
        listed = self.ask(summary.node, lambda: self.list_of(summary.node))
        told = listed.get(summary.vmid) if isinstance(listed, Mapping) else None
        if told is not None:
            return replace(summary, status=told.status, uptime=told.uptime, lock=told.lock)
        where, found = self.find(summary, lambda node: read_state(self.cluster, replace(summary, node=node)))
        return replace(found, node=where.node) if isinstance(found, VmSummary) else found

    def _state_is_known(self, summary: VmSummary, mark: Mark | None) -> bool:
        as_left = None if mark is None else mark.power_left
        return (
            summary.status == (as_left or summary.status) in ("running", "stopped")
            or summary.node in self.told
        )

    def list_of(self, node: str) -> Mapping[int, VmSummary]:
        """A node's own list of its VMs, read once."""
        with self.guard:  # held while it is read: who else needs it waits, instead of asking again
            if node not in self.lists:
                self.lists[node] = read_node(self.cluster, node)
            return self.lists[node]

    def unread(self, summary: VmSummary, reason: str) -> Unreadable:
        """A machine of which only the cluster's list tells: pool and tags say whose it is, its name may say which."""
        named = summary.named
        return Unreadable(
            site=self.site,
            kind="machine",
            name=summary.name,
            node=summary.node,
            vmid=summary.vmid,
            reason=reason,
            client=client_of(summary),
            also=client_of(summary),
            machine=summary.name if named else None,
            guessed=named and RETIRED_TAG not in summary.tags,
        )

    def damaged(self, machine: ObservedMachine, error: UnreadableMark) -> Unreadable:
        """A machine whose mark cannot be read: its pool and tags count for more than what is left of the mark."""
        summary = machine.summary
        static = (*machine.addresses, *([error.address] if error.address else []))
        reason = (
            f"our mark in its notes cannot be read: {error}. Put its notes back as they were (its archives and "
            f"snapshots have earlier ones), or write `adopt: {summary.vmid}` to the machine in its file to have it "
            "marked anew"
        )
        trouble = replace(self.unread(summary, reason), addresses=static if static or error.whole else None)
        if error.client and error.machine:
            return replace(trouble, client=error.client, machine=error.machine, guessed=False)
        return trouble


def _has_snapshots(machine: ObservedMachine, all_snapshots: Callable[[str, str], bool]) -> bool:
    mark = machine.mark
    if mark is None or machine.summary.template:
        return False
    return "parent" in machine.config.current or all_snapshots(mark.client, mark.machine)


def reader_of(cluster: Cluster, state: ClusterState, silent: Mapping[str, str]) -> MachineReader:
    """A reader of the machines of a cluster that asks nothing of the silent nodes."""
    types = {storage.name: storage.kind for storage in state.storages}
    nodes = frozenset(node.name for node in state.nodes)
    return MachineReader(
        cluster=cluster,
        site=state.site,
        storage_types=types,
        nodes=nodes,
        silent=dict(silent),
        told=state.told,
    )


def silent_nodes(state: ClusterState) -> dict[str, str]:
    """Nodes that the cluster says are off. One that is ``unknown`` only keeps its figures to itself, and is asked."""
    return {
        node.name: f"its node {node.name} is off: bring it back, then run this again"
        for node in state.nodes
        if node.off
    }


def unreadable_nodes(site: str, silent: Mapping[str, str]) -> list[Unreadable]:
    """Silent nodes, as what could not be read."""
    return [
        Unreadable(site=site, kind="node", name=node, reason=reason.replace(f"its node {node}", "it", 1))
        for node, reason in sorted(silent.items())
    ]
