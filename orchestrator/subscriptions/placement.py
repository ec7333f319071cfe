"""Rules between a subscription and the provider's sites: does what the file names exist, and does it fit?"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from orchestrator.subscriptions.model import Machine, Subscription
from orchestrator.subscriptions.offers import machines_with_path
from orchestrator.yaml_reader.checking import Finding
from orchestrator.yaml_reader.places import YamlPath

if TYPE_CHECKING:
    from orchestrator.sites.model import Provider, Site, SiteNetwork

_SITE: YamlPath = ("contract", "site")


def check_placement(subscription: Subscription, provider: Provider) -> Iterator[Finding]:
    """Yield every name of the file that the provider does not have, and every address that does not fit.

    Args:
        subscription: one client's file.
        provider: the inventory that the client's machines run on.
    """
    site = provider.sites.get(subscription.contract.site)
    if site is None:
        yield _unknown(_SITE, "site", subscription.contract.site, provider.sites)
    else:
        yield from _data_centre_is_named(subscription, site)
    for path, machine in machines_with_path(subscription):
        if site is not None:
            yield from _second_site(path, machine, subscription.contract.site, site)
            yield from _image(path, machine, site)
            yield from _network_and_address(path, machine, site)
            yield from _backup_storage(path, machine, subscription.contract.site, site)
            yield from _second_copy(path, machine, subscription.contract.site, site)
            yield from _backup_at_second_site(path, machine, subscription.contract.site, site)


def _data_centre_is_named(subscription: Subscription, site: Site) -> Iterator[Finding]:
    """3.3: the machines of Essential are in one single data centre, which the client is told."""
    for number, service in enumerate(subscription.services):
        if not service.offer.terms.redundancy and site.data_centre is None:
            yield Finding(
                ("services", number, "offer"),
                f"machines of {service.offer} are in one single data centre, and site {subscription.contract.site} "
                "does not name it",
                "say data_centre: NAME in the site file: clients are told where their machines are",
                "3.3",
                severity="warning",
                relies_on=(_SITE,),
            )


def _second_site(path: YamlPath, machine: Machine, name: str, site: Site) -> Iterator[Finding]:
    """3.2: disks are replicated inside one cluster, so a second site is nodes of it that stand elsewhere."""
    second = machine.redundancy.second_site if machine.redundancy is not None else None
    if second is None or second == name or second in site.second_sites:
        return
    where = (*path, "redundancy", "second_site")
    if site.second_sites:
        yield _unknown(where, "second site", second, site.second_sites, article="3.2", relies_on=(_SITE,))
        return
    yield Finding(
        where,
        f"site {name} has no second site",
        f"Proxmox replicates inside one cluster: name the nodes of {name}'s that are at {second} in the site "
        f"file, second_sites: {{ {second}: {{ nodes: [NODE] }} }}, or take the option out; backups go to another data "
        "centre in any case",
        "3.2",
        relies_on=(_SITE,),
    )


def _image(path: YamlPath, machine: Machine, site: Site) -> Iterator[Finding]:
    if machine.image not in site.images:
        yield _unknown((*path, "image"), "image", machine.image, site.images, relies_on=(_SITE,))


def _network_and_address(path: YamlPath, machine: Machine, site: Site) -> Iterator[Finding]:
    names = [network.name for network in site.networks]
    if machine.network is not None and machine.network not in names:
        yield _unknown((*path, "network"), "network", machine.network, names, relies_on=(_SITE,))
        return
    network = site.networks[0 if machine.network is None else names.index(machine.network)]
    if machine.address != "auto" and (reason := _unfit(machine, network)) is not None:
        yield Finding(
            (*path, "address"),
            f"{machine.address} {reason}",
            f"an address of network {network.name}, {network.subnet}, that no machine has, or address: auto",
            relies_on=(_SITE, (*path, "network")),
        )


def _unfit(machine: Machine, network: SiteNetwork) -> str | None:
    address, subnet = machine.address, network.subnet
    if address == "auto":
        return None
    if address not in subnet:
        return f"is not in the subnet of network {network.name}"
    if address == network.gateway:
        return f"is the gateway of network {network.name}"
    if address in network.nameservers:
        return f"is a name server of network {network.name}"
    if subnet.prefixlen < 31 and address == subnet.network_address:
        return f"is the address of the subnet {subnet} itself"
    if subnet.prefixlen < 31 and address == subnet.broadcast_address:
        return f"is the broadcast address of the subnet {subnet}"
    return None


def _backup_storage(path: YamlPath, machine: Machine, name: str, site: Site) -> Iterator[Finding]:
    """3.5: backups are stored in another data centre than the machine's."""
    if machine.backup is not None and not any(storage.site != name for storage in site.backup_storages):
        yield Finding(
            (*path, "backup"),
            f"site {name} has no storage for backups at another site",
            "add one to the site's backup_storages: backups are stored in another data centre",
            "3.5",
            relies_on=(_SITE,),
        )


def _second_copy(path: YamlPath, machine: Machine, name: str, site: Site) -> Iterator[Finding]:
    """3.2: redundancy of the backup at one site: two storages there."""
    if machine.backup is None or machine.backup.copies == 1:
        return
    elsewhere = [storage.site for storage in site.backup_storages if storage.site != name]
    if elsewhere and not any(elsewhere.count(other) > 1 for other in elsewhere):
        yield Finding(
            (*path, "backup", "copies"),
            f"site {name} has no two backup storages at one other site",
            "add a second storage to the site's backup_storages, at the site of the first: two copies are redundancy "
            "of the backup at one site",
            "3.2",
            relies_on=(_SITE,),
        )


def _backup_at_second_site(path: YamlPath, machine: Machine, name: str, site: Site) -> Iterator[Finding]:
    """3.5: machine and backups stand in different data centres; after a fail-over to the second site, too."""
    second = machine.redundancy.second_site if machine.redundancy is not None else None
    if machine.backup is None or second is None:
        return
    elsewhere = [storage for storage in site.backup_storages if storage.site != name]
    if elsewhere and all(storage.site == second for storage in elsewhere):
        yield Finding(
            (*path, "redundancy", "second_site"),
            f"every backup storage of site {name} is at {second}, where the disks are replicated to: after a fail-over "
            "the machine and its backups stand in one data centre",
            "add a backup storage at a third site to the site's backup_storages (it is then used), or choose another "
            "second site",
            "3.5",
            severity="warning",
            relies_on=(_SITE, (*path, "backup")),
        )


def _unknown(
    path: YamlPath,
    thing: str,
    name: str,
    known: Collection[str],
    *,
    article: str | None = None,
    relies_on: tuple[YamlPath, ...] = (),
) -> Finding:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    allowed = f"{hint}the inventory has: {', '.join(sorted(known))}"
    return Finding(path, f"there is no {thing} {name}", allowed, article, relies_on=relies_on)
