"""Which machines an operation is about. What is read of a site follows from it: nobody else's machines are.

The cluster's list has pool, tags and name of every VM for one call. Where pool and tags agree whose a VM is, that
decides whether its configuration is read; where they do not, it is read whatever was asked for, because its notes may
say anything. What was not read proves nothing: a machine that exists and keeps its address is judged by itself, but one
that is not found is looked for among all of them (:func:`scopes`), and all addresses are read before one is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.resources.tags import CLIENT_POOL, OWNER_TAG

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary
    from orchestrator.resources.change import Change
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The machines that a command is about.

    Attributes:
        clients: whose; None: everybody's.
        passed_over: names of their VMs that are not read although they are theirs, for nobody asked for them.
    """

    clients: frozenset[str] | None = None
    passed_over: frozenset[str] = frozenset()

    @classmethod
    def of(cls, client: str | None) -> Scope:
        """One client's machines; everybody's if it is None."""
        return cls(clients=None if client is None else frozenset({client}))

    def includes(self, vm: VmSummary, namesakes: Collection[tuple[str | None, str]] = ()) -> bool:
        """Whether a VM that looks ours may be one of these, by the cluster's list.

        Args:
            vm: the VM.
            namesakes: :func:`namesakes` of all of the cluster: of these at most one is what its name says.
        """
        owner = certain_owner(vm)
        if owner is None or self.clients is None:
            return True
        passed_over = vm.name in self.passed_over and (vm.pool, vm.name) not in namesakes
        return owner in self.clients and not passed_over


EVERYBODY = Scope()
"""Every machine of ours."""


def namesakes(vms: Iterable[VmSummary]) -> frozenset[tuple[str | None, str]]:
    """Pool and name of which there are several VMs."""
    counted = Counter((vm.pool, vm.name) for vm in vms)
    return frozenset(key for key, count in counted.items() if count > 1)


def looks_ours(vm: VmSummary) -> bool:
    """Whether a VM bears our tag, or stands in a client's pool. That alone does not make it ours."""
    return OWNER_TAG in vm.tags or (vm.pool or "").startswith(CLIENT_POOL)


def certain_owner(vm: VmSummary) -> str | None:
    """The client whose a VM is by its pool and by its tags; None if the two do not say the same."""
    tags = [tag for tag in vm.tags if tag.startswith(CLIENT_POOL)]
    return vm.pool.removeprefix(CLIENT_POOL) if vm.pool is not None and tags == [vm.pool] else None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a run is limited to: everything, a client, a machine, or something of one or of a client (``--only``).

    Attributes:
        thing: of which kind the something is; None: all of the machine. Without a machine it is of a kind that a client
            has for all its machines.
        part: which of several; None: all.
    """

    client: str | None = None
    machine: str | None = None
    thing: str | None = None
    part: str | None = None

    @classmethod
    def parse(cls, text: str, things: Collection[str], shared: Collection[str] = ()) -> Selection:
        """Read ``CLIENT``, ``CLIENT/MACHINE`` or ``CLIENT/KIND/NAME``.

        Args:
            text: what somebody wrote.
            things: the kinds of things of machines that there are.
            shared: the kinds of things that clients have for all their machines.

        Raises:
            RequestRefused: it has more parts, or one is missing, or it names no such kind.
        """
        from orchestrator.resources.change import MACHINE  # loaded while the sites answer

        client, *rest = text.split("/")
        if client and all(rest) and len(rest) < 2:
            return cls(client=client, machine=rest[0] if rest else None)
        kind, name = rest if len(rest) == 2 else ("", "")
        if client and name and kind in shared:
            return cls(client=client, thing=kind, part=name)
        machine, _, part = name.partition(":")
        thing = None if kind == MACHINE else kind
        if not client or kind not in things or not machine or (part and thing is None):
            raise RequestRefused(
                f"{text!r} selects nothing: name CLIENT, CLIENT/MACHINE or CLIENT/KIND/NAME, KIND one of "
                f"{', '.join((*things, *shared))}, NAME as the plan's items name it"
            )
        return cls(client=client, machine=machine, thing=thing, part=part or None)

    def includes(self, client: str, machine: str) -> bool:
        """Whether a machine is in the selection."""
        if self.thing is not None and self.machine is None:
            return False
        return self.client in (None, client) and self.machine in (None, machine)

    def covers(self, change: Change) -> bool:
        """Whether a change of a machine that it includes is in the selection."""
        return self.thing in (None, change.thing) and self.part in (None, change.part)


EVERYTHING = Selection()
"""No limit."""


def scopes(desired: Collection[DesiredMachine], selection: Selection) -> tuple[Scope, ...]:
    """What may be read for an operation, the least first: the machine, its client's machines, everybody's.

    For one machine its client's VMs of other names are passed over as far as those are names of its file: what bears a
    name that no file has may be any machine.

    Args:
        desired: all machines of all files; none if no files are read.
        selection: the machines that it is about.
    """
    if selection.client is None and not desired:
        return (EVERYBODY,)
    if selection.client is None:
        clients = (name for machine in desired for name in (machine.client, machine.client_was) if name)
        return Scope(clients=frozenset(clients)), EVERYBODY
    own = {machine.client_was for machine in desired if machine.client == selection.client}
    client = Scope(clients=frozenset({selection.client, *filter(None, own)}))
    if selection.machine is None:
        return client, EVERYBODY
    names = {machine.name for machine in desired if machine.client == selection.client}
    passed_over = frozenset(names - {selection.machine})
    return Scope(clients=client.clients, passed_over=passed_over), client, EVERYBODY


def suffices(
    scope: Scope,
    desired: Collection[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    selection: Selection,
    *,
    addresses: bool = True,
) -> bool:
    """Whether what was read is enough: whatever else there is would change nothing of the answer.

    Args:
        scope: what was read.
        desired: all machines of all files.
        observed: the sites that could be read, as far as the scope goes.
        selection: the machines that the operation is about.
        addresses: whether machines may be given addresses, which nobody else may have.
    """
    if scope.clients is None:
        return True
    own = {
        (machine.mark.client, machine.mark.machine): machine.mark
        for site in observed.values()
        for machine in site.machines
        if machine.mark
    }
    selected = [machine for machine in desired if selection.includes(*machine.key)]
    keys = {machine.key for machine in selected if machine.site in observed}
    if selection.client is not None and selection.machine is not None and not selected:
        keys.add((selection.client, selection.machine))
    for key in keys:
        mark = own.get(key)
        # A mark of version 1 does not say which VM it is for: a copy under another name would count as much.
        if mark is None or (mark.vmid is None and scope.passed_over):
            return False
    from orchestrator.resources.register import needs_register  # loaded while the sites answer

    return not addresses or not any(needs_register(selected, site) for site in observed.values())
