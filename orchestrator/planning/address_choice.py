"""Which address a machine gets. The hypervisor's own records are the register of addresses.

A machine that could not be read has an address all the same. So while there is one at a site, ``address: auto`` gets
nothing new there: no address is known to be free. An address that a file names is another matter: a person chose it.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from orchestrator.planning.machine import cloud_init_waits
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.observed import ObservedSite, addresses_unknown
from orchestrator.sites.unused_addresses import free_addresses


def choose_addresses(
    desired: Iterable[DesiredMachine], observed: Mapping[str, ObservedSite]
) -> dict[tuple[str, str], IPv4Address]:
    """Give each machine its address: the file's, the one it has, or a free one of the site's range.

    The hypervisor's own records are the register: whatever any machine of the cluster is configured with
    is taken, ours or not. Machines that find no surely free address are missing from the answer.
    """
    wanted = list(desired)
    current = {
        (machine.mark.client, machine.mark.machine): machine
        for site in observed.values()
        for machine in site.machines
        if machine.mark
    }
    taken: dict[str, set[IPv4Address]] = defaultdict(set)
    for name, site in observed.items():
        taken[name] |= site.register.keys() | {
            machine.address for machine in site.machines if machine.address
        }
    for machine in wanted:
        if machine.address:
            taken[machine.site].add(machine.address)
    unsure = {name for name, site in observed.items() if addresses_unknown(site)}
    chosen: dict[tuple[str, str], IPv4Address] = {}
    # By site and network; each goes on where it stopped, and passes over what is taken by then.
    free: dict[tuple[str, str], Iterator[IPv4Address]] = {}
    for machine in wanted:
        has = current[machine.key].address if machine.key in current else None
        if machine.address:
            chosen[machine.key] = machine.address
        elif has and has in machine.network.subnet:
            chosen[machine.key] = has
        elif machine.site in unsure:
            continue
        else:
            place = machine.site, machine.network.name
            if place not in free:
                free[place] = free_addresses(machine.network, taken[machine.site])
            if found := next(free[place], None):
                chosen[machine.key] = found
                taken[machine.site].add(found)
    return chosen


def with_leaving(site: ObservedSite, now: dt.datetime) -> ObservedSite:
    """The site whose register also has the addresses that guests still use although they were given other ones.

    Proxmox forgets such an address at once; the guest takes up its new one at its next start.
    """
    still = {
        machine.mark.leaving: f"{machine.summary.name} (VM {machine.summary.vmid}), until its restart,"
        for machine in site.machines
        if machine.mark and machine.mark.leaving and cloud_init_waits(machine, machine.mark, now)
    }
    return replace(site, register={**still, **site.register}) if still else site
