"""A dynamic inventory for Ansible, from what the hypervisors have."""

from __future__ import annotations

from typing import Any

from orchestrator.applying.host_keys import key_holders, key_objection
from orchestrator.errors import BadValue, RequestRefused
from orchestrator.guests import (
    Guest,
    InventoryHost,
    dynamic_inventory,
    policy_from_data,
    write_known_hosts,
)
from orchestrator.operations.computer import state_directory
from orchestrator.operations.inputs import ssh_settings
from orchestrator.operations.inventory import open_provider, provider_name
from orchestrator.operations.run import SILENT, Events, open_clusters
from orchestrator.resources.kinds import asked_inside
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.survey import OURS, observe_sites
from orchestrator.sites.model import Provider


def ansible_inventory(inventory: str | None, events: Events = SILENT) -> dict[str, Any]:
    """Our machines with the host keys that are to be trusted, as ``ansible-inventory --list`` prints them.

    Machines whose firewall was never loaded, retired ones and those that do not run are left out.

    Raises:
        OrchestratorError: no site can be read, or the provider's SSH key is not there.
    """
    provider = open_provider(inventory)
    hosts: list[InventoryHost] = []
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, OURS)
    seen, unread = list(read.observed.values()), list(read.failures.values())
    if not seen:
        raise RequestRefused("; ".join(unread) or "no site can be read: nothing is listed")
    holders = key_holders(seen)
    for machine in (machine for observed in seen for machine in observed.machines):
        try:
            found = _host(machine, provider)
            if found and (objection := key_objection(found.guest.client, found.guest.host_keys, holders)):
                raise BadValue(objection)
        except ValueError as error:  # whoever wrote its notes or settings, the others are listed
            events.notice(f"VM {machine.summary.vmid} at {machine.site} is left out: {error}")
        else:
            hosts += [found] if found else []
    for item in (item for observed in seen for item in observed.unreadable):
        if item.kind == "machine" and item.holds_up:
            events.notice(f"{item.site}: {item.subject} could not be read: {item.reason}")
    for reason in unread:
        events.notice(f"a site is left out: {reason}")
    known_hosts = state_directory() / f"known_hosts-{provider_name(provider)}"
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    write_known_hosts(known_hosts, [item.guest for item in hosts])
    return dynamic_inventory(hosts, ssh=ssh_settings(provider), known_hosts=known_hosts)


def _host(machine: ObservedMachine, provider: Provider) -> InventoryHost | None:
    mark = machine.mark
    if (
        mark is None
        or mark.firewall is None
        or mark.retired
        or not machine.running
        or machine.address is None
    ):
        return None
    target = Guest(
        client=mark.client,
        machine=mark.machine,
        address=str(machine.address),
        user=machine.config.effective("ciuser") or provider.management.user,
        host_keys=mark.host_keys,
        policy=policy_from_data(mark.firewall),
        exclude=mark.applied.update_exclude if mark.applied else (),
        asked=asked_inside(mark),
    )
    return InventoryHost(guest=target, site=machine.site, offer=mark.offer)
