"""How much of a site a plan has to know: first the machines that were asked for, and more only where those do not do.

A machine that exists and keeps its address is judged by itself. One that was not found may stand anywhere under any
name, and one that gets an address may get nobody else's: then everybody's machines are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from orchestrator.planning.addresses import needs_register
from orchestrator.resources.scope import EVERYBODY, Scope

if TYPE_CHECKING:
    from orchestrator.planning.plan import Selection
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite


def scopes(desired: Collection[DesiredMachine], selection: Selection) -> tuple[Scope, ...]:
    """What may be read for a plan, the least first: the machine, its client's machines, everybody's.

    For one machine its client's VMs of other names are passed over as far as those are names of its file: what bears a
    name that no file has may be any machine.

    Args:
        desired: all machines of all files.
        selection: the machines to plan for.
    """
    if selection.client is None:
        return Scope(clients=frozenset(machine.client for machine in desired)), EVERYBODY
    client = Scope.of(selection.client)
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
) -> bool:
    """Whether a plan can be made of what was read: whatever else there is would change nothing of it.

    Args:
        scope: what was read.
        desired: all machines of all files.
        observed: the sites that could be read, as far as the scope goes.
        selection: the machines to plan for.
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
    return not any(needs_register(selected, site) for site in observed.values())
