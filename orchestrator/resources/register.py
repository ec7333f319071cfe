"""The register of a site's addresses: whatever any guest of the cluster is configured with is taken, ours or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from orchestrator.proxmox import VmSummary, read_container
from orchestrator.resources.machine_reading import reader_of, unreadable_nodes
from orchestrator.resources.static_addresses import addresses_in, addresses_of_container
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedMachine, ObservedSite


def register_of(
    machines: Iterable[ObservedMachine], unreadable: Iterable[Unreadable]
) -> dict[IPv4Address, str]:
    """Who has which address, of what was read: the machine for people, by address."""
    named = [
        *((f"{item.subject}, which could not be read,", item.addresses or ()) for item in unreadable),
        *((f"{item.summary.name} (VM {item.summary.vmid})", item.addresses) for item in machines),
    ]
    return {address: name for name, addresses in named for address in addresses}


def with_register(cluster: Cluster, observed: ObservedSite) -> ObservedSite:
    """Read the addresses of the machines that are not ours too, and of containers: one call for each of them.

    What cannot be read joins :attr:`ObservedSite.unreadable`: its addresses are not known, so none is surely free
    (:func:`orchestrator.resources.observed.addresses_unknown`).

    Raises:
        ProxmoxError: the site does not answer.
    """
    reader = reader_of(cluster, observed.state, observed.silent).with_files(observed.strangers)
    troubles: list[Unreadable] = []

    def look(guest: VmSummary, *, container: bool) -> tuple[str, list[IPv4Address]] | None:
        if container:
            guest, config = reader.find(guest, lambda node: read_container(cluster, node, guest.vmid))
        else:
            guest, config = reader.configuration(guest)
        if isinstance(config, str):
            if guest.node not in reader.silent:
                with reader.guard:
                    troubles.append(replace(reader.unread(guest, config), client=None, also=None))
            return None
        if config is None:
            return None
        kind = "container" if container else "VM"
        addresses = addresses_of_container(config) if container else addresses_in(config)
        return f"{guest.name} ({kind} {guest.vmid})", addresses

    guests = [
        *reader.each(lambda vm: look(vm, container=False), observed.strangers),
        *reader.each(lambda vm: look(vm, container=True), observed.state.containers),
    ]
    register = {address: name for name, found in guests for address in found}
    fresh = {node: reason for node, reason in reader.silent.items() if node not in observed.silent}
    return replace(
        observed,
        register={**register, **observed.register},
        unreadable=(
            *observed.unreadable,
            *unreadable_nodes(observed.site, fresh),
            *sorted(troubles, key=lambda item: item.vmid or 0),
        ),
        silent=reader.silent,
    )


def needs_register(desired: Iterable[DesiredMachine], site: ObservedSite) -> bool:
    """Whether the addresses of machines that are not ours must be known before planning this site."""
    current = {
        (machine.mark.client, machine.mark.machine): machine.address
        for machine in site.machines
        if machine.mark
    }

    def gets_one(machine: DesiredMachine) -> bool:
        has = current.get(machine.key)
        if machine.address:
            return has != machine.address
        return has is None or has not in machine.network.subnet

    return any(machine.site == site.site and gets_one(machine) for machine in desired)
