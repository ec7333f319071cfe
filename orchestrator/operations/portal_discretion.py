"""The names that a client is not shown: read from the site file, the last look, and the accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy as sa

from orchestrator.interface import looks
from orchestrator.interface.accounts import ACCOUNTS
from orchestrator.interface.look_tables import CLIENTS
from orchestrator.reports.discretion import Discretion

if TYPE_CHECKING:
    from orchestrator.history.database import Database
    from orchestrator.interface.looks import SiteRow
    from orchestrator.sites.model import Provider, Site
    from orchestrator.subscriptions.model import Subscription


def provider_names(provider: Provider) -> Iterator[str]:
    """What the site file names that is no client's business."""
    management = provider.management
    yield from (str(network.network_address) for network in management.addresses)
    yield from (str(network.network_address) for network in management.monitoring_addresses)
    for name, site in provider.sites.items():
        yield name
        yield from _site_names(site)


def _site_names(site: Site) -> Iterator[str]:
    yield from (site.storage, site.api.token_id, *site.api.nodes)
    yield from (urlsplit(url).hostname or "" for url in (site.api.url, *site.api.nodes.values()))
    yield from (storage.name for storage in site.backup_storages)
    yield from (network.bridge for network in site.networks)
    for second, nodes in site.second_sites.items():
        yield second
        yield from nodes.nodes
    if site.node_access is not None:
        yield from (
            *site.node_access.addresses,
            *(one.partition(":")[0] for one in site.node_access.addresses.values()),
        )
    if site.bulk_reading is not None:
        yield from (one.partition(":")[0] for one in site.bulk_reading.addresses)


def _looked_names(sites: Iterable[SiteRow]) -> Iterator[str]:
    for site in sites:
        yield site.site
        yield from (node.node for node in site.document.nodes)
        yield from (storage.storage for storage in site.document.storages)


def own_words(client: str, subscription: Subscription | None) -> Iterator[str]:
    """What a client calls its own."""
    yield client
    if subscription is None:
        return
    contract = subscription.contract
    yield from (contract.reference, contract.site)
    yield from (quote.reference for quote in contract.quotes)
    yield from (order.reference for order in (*contract.orders, *contract.catalogue))
    yield from (str(network.network_address) for network in subscription.administration.allowed_from)
    for _, machine in subscription.machines():
        yield machine.name
        yield str(machine.address)
        yield from (disk.name for disk in machine.disks)
        if machine.redundancy is not None and machine.redundancy.second_site:
            yield machine.redundancy.second_site
        rules = (
            *(one for rule in machine.firewall.open for one in rule.sources),
            *(one for rule in machine.firewall.outgoing or () for one in rule.destinations),
        )
        yield from (str(one).partition("/")[0] for one in rules)


def people_of(database: Database, client: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of a client's own accounts, and those of all others: one query.

    Raises:
        HistoryUnavailable: they could not be read.
    """
    with database.reading() as connection:
        rows = connection.execute(sa.select(ACCOUNTS.c.name, ACCOUNTS.c.client)).all()
    return (
        frozenset(row.name for row in rows if row.client == client),
        frozenset(row.name for row in rows if row.client != client),
    )


def discretion_of(
    client: str,
    subscription: Subscription | None,
    provider: Provider,
    database: Database,
    *,
    people: tuple[Collection[str], Collection[str]],
    clients: Collection[str] = (),
    more: Iterable[str] = (),
    own: Iterable[str] = (),
) -> Discretion:
    """What a client may be shown of what was typed: two queries.

    Args:
        client: whose.
        subscription: its file.
        provider: the sites.
        database: of the last look.
        people: as of :func:`people_of`.
        clients: of the files.
        more: other names that it is not shown: whoever did what its history tells.
        own: other words of its own: the addresses of its machines.

    Raises:
        HistoryUnavailable: it could not be read.
    """
    ours, others = people
    with database.reading() as connection:
        known = connection.execute(sa.select(CLIENTS.c.client)).scalars().all()
    return Discretion.of(
        names=(
            *provider_names(provider),
            *_looked_names(looks.site_looks(database)),
            *known,
            *clients,
            *others,
            *(name for name in more if name not in ours),
        ),
        own=(*own_words(client, subscription), *ours, *own),
    )
