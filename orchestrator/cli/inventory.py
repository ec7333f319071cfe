"""``orchestrator inventory``: a dynamic inventory for Ansible, from what the hypervisors have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session

if TYPE_CHECKING:
    from orchestrator.guests import InventoryHost
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.sites.model import Provider


def inventory(
    list_: Annotated[bool, typer.Option("--list", help="Everything (what Ansible asks for).")] = False,
    host: Annotated[
        str | None, typer.Option("--host", help="One machine's variables (MACHINE.CLIENT).")
    ] = None,
    inventory: session.Inventory = None,
) -> None:
    """Print our machines as a dynamic inventory for Ansible, with the host keys that are to be trusted.

    Machines whose firewall was never loaded, retired ones and those that do not run are left out.
    """
    from orchestrator.applying.host_keys import key_holders, key_objection
    from orchestrator.guests import dynamic_inventory, write_known_hosts
    from orchestrator.resources.survey import OURS, observe_sites

    if list_ == (host is not None):
        session.fail("ask for --list, or for one --host")
    provider = session.open_provider(inventory)
    hosts: list[InventoryHost] = []
    with session.open_clusters(provider) as clusters:
        read = observe_sites(clusters, OURS)
    seen, unread = list(read.observed.values()), list(read.failures.values())
    if not seen:
        session.fail("; ".join(unread) or "no site can be read: nothing is listed")
    holders = key_holders(seen)
    for machine in (machine for observed in seen for machine in observed.machines):
        try:
            found = _host(machine, provider)
            if found and (objection := key_objection(found.target.client, found.target.host_keys, holders)):
                raise ValueError(objection)
        except ValueError as error:  # whoever wrote its notes or settings, the others are listed
            session.complain(f"VM {machine.summary.vmid} at {machine.site} is left out: {error}")
        else:
            hosts += [found] if found else []
    for item in (item for observed in seen for item in observed.unreadable):
        if item.kind == "machine" and item.holds_up:
            session.complain(f"{item.site}: {item.subject} could not be read: {item.reason}")
    for reason in unread:
        session.complain(f"a site is left out: {reason}")
    known_hosts = session.state_directory() / f"known_hosts-{session.provider_name(provider)}"
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    write_known_hosts(known_hosts, [item.target for item in hosts])
    document = dynamic_inventory(hosts, ssh=session.ssh_settings(provider), known_hosts=known_hosts)
    session.echo_json(
        json.dumps(document if host is None else document["_meta"]["hostvars"].get(host, {}), indent=2)
    )


def _host(machine: ObservedMachine, provider: Provider) -> InventoryHost | None:
    from orchestrator.guests import GuestTarget, InventoryHost
    from orchestrator.guests.rules import policy_from_data

    mark = machine.mark
    if (
        mark is None
        or mark.firewall is None
        or mark.retired
        or not machine.running
        or machine.address is None
    ):
        return None
    target = GuestTarget(
        client=mark.client,
        machine=mark.machine,
        address=str(machine.address),
        user=machine.config.effective("ciuser") or provider.management.user,
        host_keys=mark.host_keys,
        policy=policy_from_data(mark.firewall),
        supervised=mark.supervised,
        supervised_before=mark.supervised,
        exclude=mark.applied.update_exclude if mark.applied else (),
    )
    return InventoryHost(target=target, site=machine.site, offer=mark.offer)
