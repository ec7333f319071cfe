"""Looking into the guests of a plan's machines, to show what was changed there by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from orchestrator.applying.guest_of_machine import guest_of
from orchestrator.applying.host_keys import key_holders, key_objection
from orchestrator.guests import Guest, SshSettings, look_into_machines
from orchestrator.guests.inside import InsideReading
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kinds import PARTS
from orchestrator.resources.observed import ObservedSite


def look_into_guests(
    desired: Iterable[DesiredMachine],
    observed: Mapping[str, ObservedSite],
    ssh: SshSettings,
    *,
    includes: Callable[[str, str], bool] = lambda client, machine: True,
    refresh: bool = False,
    run_seconds: float | None = None,
) -> dict[tuple[str, str], InsideReading]:
    """Look into every machine that runs and is in service, in one Ansible run. Changes nothing.

    Args:
        desired: the files' machines.
        observed: the clusters.
        ssh: how guests are reached.
        includes: whether a machine (client, name) is asked for.
        refresh: fetch the package lists first.
        run_seconds: how long all may take; None: as long as they may one by one.

    Returns:
        What was seen, or why a machine could not be looked at. Machines that do not run, or are not in service, are
        left out.
    """
    machines = {
        (machine.mark.client, machine.mark.machine): machine
        for site in observed.values()
        for machine in site.machines
        if machine.mark and machine.mark.ready and not machine.mark.retired and machine.running
    }
    holders = key_holders(observed.values())
    guests: list[Guest] = []
    seen: dict[tuple[str, str], InsideReading] = {}
    for item in desired:
        machine = machines.get(item.key)
        if machine is None or machine.mark is None or machine.address is None or not includes(*item.key):
            continue
        if objection := key_objection(item.client, machine.mark.host_keys, holders):
            seen[item.key] = InsideReading(problem=f"{item.client}/{item.name}: {objection}")
            continue
        try:
            guests.append(
                guest_of(
                    item,
                    machine,
                    machine.mark,
                    address=str(machine.address),
                    host_keys=machine.mark.host_keys,
                )
            )
        except ValueError as error:  # one machine's damaged mark or settings are that machine's alone
            seen[item.key] = InsideReading(problem=f"{item.client}/{item.name}: {error}")
    return seen | look_into_machines(guests, ssh, PARTS, refresh=refresh, run_seconds=run_seconds)
