"""The kinds of things that belong to machines, and reading them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.proxmox import ProxmoxError, TlsRefused, TokenRefused, Unreachable
from orchestrator.resources.change import ALL, SNAPSHOT, THINGS, Address
from orchestrator.resources.desired import owners_of
from orchestrator.resources.guest_firewall import GUEST_FIREWALL
from orchestrator.resources.node_exporter import SUPERVISION
from orchestrator.resources.ownership import claimed
from orchestrator.resources.pool import POOL
from orchestrator.resources.redundancy import REDUNDANCY
from orchestrator.resources.ssh_keys import SSH_KEYS

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, Need
    from orchestrator.resources.change import Asked
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.kind import Call, ClientKind, GuestKind, ResourceKind
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine, ObservedSite

KINDS: tuple[ResourceKind[Any], ...] = (REDUNDANCY,)
"""In the order in which they are made."""

CLIENT_KINDS: tuple[ClientKind[Any], ...] = (POOL,)
"""In the order in which they are made."""

GUEST_KINDS: tuple[GuestKind, ...] = (GUEST_FIREWALL, SSH_KEYS, SUPERVISION)
"""In the order of the playbook."""

PARTS = tuple(kind.part for kind in GUEST_KINDS)
"""Of the playbook, in its order."""

APART = (SNAPSHOT, *(kind.name for kind in KINDS))
"""What can be applied without the rest of its machine."""

EVERY_THING = (*THINGS, *(kind.name for kind in GUEST_KINDS), *(kind.name for kind in KINDS))
"""Every kind of thing of a machine that a change can be made to."""


def pool_calls(client: str, state: ClusterState) -> Sequence[Call]:
    """What makes the pool of a client, where it is not there: a machine can be made again for one without a file."""
    return POOL.missing(client, state.pools)


def shared_kinds() -> tuple[str, ...]:
    """The kinds of things that a client has for its machines and that can be applied alone."""
    return tuple(kind.name for kind in CLIENT_KINDS if kind.by_itself)


def asked_of_kinds(desired: DesiredMachine) -> dict[str, Asked]:
    """What a file asks of each kind, by the kind's name."""
    return {kind.name: asked for kind in KINDS if (asked := kind.asked(desired))}


def asked_inside(mark: Mark, desired: DesiredMachine | None = None) -> dict[str, Mapping[str, Any]]:
    """The variables of what is asked of each part inside a machine, by the part's name.

    Args:
        mark: what is known to have been brought into it.
        desired: the file's side; None: it is to stay as it was brought.
    """
    pairs = (
        (kind, kind.asked(desired) if desired else kind.brought(mark), kind.brought(mark))
        for kind in GUEST_KINDS
    )
    return {kind.part.name: kind.variables(asked, before) for kind, asked, before in pairs if asked or before}


def needs_of_kinds(desired: Iterable[DesiredMachine]) -> tuple[Need, ...]:
    """The privileges that are needed for what files ask of each kind, for machines and for their clients."""
    machines = tuple(desired)
    every = [need for machine in machines for kind in KINDS for need in kind.needed(machine)]
    every += [need for owner in owners_of(machines) for kind in CLIENT_KINDS for need in kind.needed(owner)]
    return tuple(dict.fromkeys(every))


def shown_things(cluster: Cluster, observed: ObservedSite, client: str) -> Iterator[tuple[Address, str]]:
    """What a client has at a site for its machines, each with what there is to say of it; what cannot be read says so.

    Raises:
        ProxmoxError: the site does not answer.
    """
    for kind in CLIENT_KINDS:
        if not kind.by_itself:
            continue
        try:
            found = kind.read(cluster, observed.state, ())
            things = list(kind.shown(client, found))
        except (Unreachable, TlsRefused, TokenRefused):
            raise
        except ProxmoxError as error:
            things = [(ALL, f"could not be read: {error}")]
        for name, words in things:
            yield Address(client=client, kind=kind.name, name=name), words


def with_shared(cluster: Cluster, observed: ObservedSite, clients: Sequence[DesiredClient]) -> ObservedSite:
    """Read what a site has of each kind that clients have there for their machines, as far as it concerns some.

    Where that cannot be read, nothing of that kind is made; everything else goes on.

    Raises:
        ProxmoxError: the site does not answer.
    """
    kinds, unread = dict(observed.kinds), dict(observed.unread)
    for kind in CLIENT_KINDS:
        concerned = [client for client in clients if client.site == observed.site and kind.concerns(client)]
        if not concerned or kind.listed(observed.state) is not None:
            continue
        try:
            kinds[kind.name] = kind.read(cluster, observed.state, concerned)
        except (Unreachable, TlsRefused, TokenRefused):
            raise
        except ProxmoxError as error:
            unread[kind.name] = str(error)
    return replace(observed, kinds=kinds, unread=unread)


def with_kinds(cluster: Cluster, observed: ObservedSite, desired: Iterable[DesiredMachine]) -> ObservedSite:
    """Read what a site has of each kind, where a machine has some, or is to have some.

    Where that cannot be read, those machines cannot be judged; the others go on.

    Raises:
        ProxmoxError: the site does not answer.
    """
    here = {machine.key: machine for machine in desired if machine.site == observed.site}
    for kind in KINDS:
        concerned = [
            (machine, found)
            for machine in observed.machines
            if machine.mark
            and (found := here.get((machine.mark.client, machine.mark.machine)))
            and kind.concerns(machine, found)
        ]
        if not concerned:
            continue
        try:
            read = kind.read(cluster, observed.state, concerned)
        except (Unreachable, TlsRefused, TokenRefused):
            raise
        except ProxmoxError as error:
            vmids = {machine.summary.vmid for machine, _ in concerned}
            observed = _without(observed, vmids, f"its {kind.name} could not be read: {error}")
            continue

        def with_it(machine: ObservedMachine) -> ObservedMachine:
            found = read.get(machine.summary.vmid)  # noqa: B023  (called at once)
            kinds = {**machine.kinds, kind.name: found}  # noqa: B023
            return machine if found is None else replace(machine, kinds=kinds)

        observed = replace(observed, machines=tuple(with_it(machine) for machine in observed.machines))
    return observed


def _without(observed: ObservedSite, vmids: Collection[int], reason: str) -> ObservedSite:
    """The site with some machines told as unreadable."""
    unread = tuple(
        claimed(machine, machine.mark, reason)
        for machine in observed.machines
        if machine.mark and machine.summary.vmid in vmids
    )
    kept = tuple(machine for machine in observed.machines if machine.summary.vmid not in vmids)
    return replace(observed, machines=kept, unreadable=(*observed.unreadable, *unread))
