"""What a provider's sites must be like as a whole, each rule with its article and its words."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.sites.model import Provider, SiteNetwork
from orchestrator.yaml_reader.checking import Finding
from orchestrator.yaml_reader.places import YamlPath


def check_sites(provider: Provider) -> Iterator[Finding]:
    """Yield everything in an inventory that breaks a rule."""
    yield from sites_are_different_clusters(provider)
    yield from backups_are_stored_elsewhere(provider)
    yield from networks_have_names_of_their_own(provider)
    yield from subnets_do_not_overlap(provider)
    yield from ranges_hold_an_address(provider)
    yield from second_sites_are_elsewhere(provider)


def sites_are_different_clusters(provider: Provider) -> Iterator[Finding]:
    """Every machine of a cluster with two names would seem to be there twice."""
    first: dict[str, str] = {}
    for name, site in provider.sites.items():
        earlier = first.setdefault(site.api.url, name)
        if earlier != name:
            yield Finding(
                ("sites", name, "api", "url"),
                f"{name} has the url of {earlier}",
                "one cluster is one site: give its own url to each, or take one of the two out",
                relies_on=(("sites", earlier, "api", "url"),),
            )


def backups_are_stored_elsewhere(provider: Provider) -> Iterator[Finding]:
    """3.5: backups stand in another data centre than the machines."""
    for name, site in provider.sites.items():
        for index, storage in enumerate(site.backup_storages):
            if storage.site == name:
                yield Finding(
                    ("sites", name, "backup_storages", index, "site"),
                    f"the backup storage {storage.name} is at {name}, where the machines are",
                    "name a storage at another site: backups are stored in another data centre",
                    "3.5",
                )


def networks_have_names_of_their_own(provider: Provider) -> Iterator[Finding]:
    """A subscription chooses a network of its site by name."""
    for path, network, earlier in _pairs(provider):
        for other_path, other in earlier:
            if other.name == network.name:
                yield Finding(
                    (*path, "name"),
                    f"two networks are named {network.name}",
                    "the networks of a site have different names",
                    relies_on=((*other_path, "name"),),
                )
                break


def subnets_do_not_overlap(provider: Provider) -> Iterator[Finding]:
    """One address on one site is one machine."""
    for path, network, earlier in _pairs(provider):
        for other_path, other in earlier:
            if other.subnet.overlaps(network.subnet):
                yield Finding(
                    (*path, "subnet"),
                    f"{network.subnet} overlaps {other.subnet} of network {other.name}",
                    "the networks of a site have different addresses",
                    relies_on=((*other_path, "subnet"),),
                )


def ranges_hold_an_address(provider: Provider) -> Iterator[Finding]:
    """A gateway in the middle of a range is passed over; a range of nothing else is a mistake."""
    for path, network, _ in _pairs(provider):
        first, last = network.range
        if first == last == network.gateway:
            yield Finding(
                (*path, "range"),
                f"the range holds nothing but the gateway {first}",
                "name addresses for machines",
                relies_on=((*path, "gateway"),),
            )


def second_sites_are_elsewhere(provider: Provider) -> Iterator[Finding]:
    """3.2: geographic redundancy is on two distinct sites, and a node stands in one of them."""
    for name, site in provider.sites.items():
        seen: dict[str, str] = {}
        for second, nodes in site.second_sites.items():
            path = ("sites", name, "second_sites", second)
            if second == name:
                found = f"the second site of {name} is {name} itself"
                yield Finding(path, found, "name another data centre", "3.2", key=True)
            for index, node in enumerate(nodes.nodes):
                if node in seen:
                    found = f"the node {node} is already at {seen[node]}"
                    yield Finding((*path, "nodes", index), found, "a node is at one site only", "3.2")
                seen.setdefault(node, second)


_Placed = tuple[YamlPath, SiteNetwork]


def _pairs(provider: Provider) -> Iterator[tuple[YamlPath, SiteNetwork, list[_Placed]]]:
    """Yield each network with its path and the networks before it at the same site."""
    for name, site in provider.sites.items():
        placed: list[_Placed] = [
            (("sites", name, "networks", index), net) for index, net in enumerate(site.networks)
        ]
        for index, (path, network) in enumerate(placed):
            yield path, network, placed[:index]
