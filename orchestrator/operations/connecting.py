"""Connecting to the sites' APIs, as the site file says. Little is loaded for it: a plan begins
to read the sites early.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.operations.events import SILENT
from orchestrator.proxmox import Cluster, UnusableCluster
from orchestrator.sites.secrets import SecretUnavailable, resolve

if TYPE_CHECKING:
    from orchestrator.proxmox.bulk_reader import BulkReader
    from orchestrator.sites.model import Api, Provider, Site


@contextmanager
def open_clusters(
    provider: Provider, *, only: Collection[str] | None = None, notice: Callable[[str], None] = SILENT.notice
) -> Iterator[dict[str, Cluster]]:
    """Connect to every site's API, or to those of some sites only (nothing is sent yet).

    A site whose token, or whose address, cannot be used is there as well, as an
    :class:`orchestrator.proxmox.UnusableCluster`: every call of it raises a ``ProxmoxError``, so it is one of the sites
    that cannot be read, and the others go on.
    """
    clusters: dict[str, Cluster] = {}
    try:
        for name, site in provider.sites.items():
            if only is None or name in only:
                clusters[name] = _connect_or_say_why(name, site)
        yield clusters
    finally:
        for cluster in clusters.values():
            cluster.close()
            for text in cluster.bulk_reader.notices if cluster.bulk_reader else ():
                notice(text)


def _connect_or_say_why(name: str, site: Site) -> Cluster:
    try:
        return connect(name, site, resolve(site.api.token_secret))
    except SecretUnavailable as error:
        reason = f"the API token could not be read: {error}"
    except ValueError as error:
        reason = str(error)
    return UnusableCluster(site=name, url=site.api.url, token_id=site.api.token_id, reason=reason)


def connect(name: str, site: Site, secret: str, **other: Any) -> Cluster:
    """A client of a site's API (nothing is sent yet).

    Args:
        name: of the site.
        site: what the site file says of it.
        secret: the token's.
        other: what is not as the site file says: ``token_id``, ``patience``.

    Raises:
        ValueError: ``token_id`` is none.
    """
    cluster = connect_api(name, site.api, secret, **{"vmids": site.vmids, **other})
    cluster.bulk_reader = _bulk_reader(site)
    return cluster


def connect_api(name: str, api: Api, secret: str, **other: Any) -> Cluster:
    """As :func:`connect`, for a site of which only its API is known."""
    usual: dict[str, Any] = {
        "url": api.url,
        "nodes": api.nodes,
        "token_id": api.token_id,
        "ca_file": api.ca_file,
        "verify_tls": api.verify_tls,
        "timeout_seconds": api.timeout_seconds,
    }
    return Cluster(site=name, token_secret=secret, **{**usual, **other})


def _bulk_reader(site: Site) -> BulkReader | None:
    """What reads the configurations of a site's machines at once; None if the site file names nothing."""
    chosen = site.bulk_reading
    if chosen is None:
        return None
    from orchestrator.proxmox.bulk_reader import BulkReader  # few sites have one

    return BulkReader(
        user=chosen.user,
        private_key=chosen.ssh_private_key,
        known_hosts=chosen.ssh_known_hosts,
        addresses=chosen.addresses,
    )
