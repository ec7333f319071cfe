"""Reading every site at the beginning of a night: machines, snapshots, archives; what cannot be read is reported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.holdings import SiteReading, with_archives
from orchestrator.resources.observing import observe, without_doubles

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night


def read_sites(night: Night) -> tuple[dict[str, SiteReading], dict[str, str]]:
    """Read every site of the night at once.

    Returns:
        The sites, and the reason for each that could not be read.
    """
    names = {machine.name for machine in night.desired.values()}

    def read(site: str) -> SiteReading | str:
        cluster = night.clusters[site]
        try:
            observed = observe(cluster, site, names=names, all_snapshots=lambda *_: True)
        except ProxmoxError as error:
            return str(error)
        storages = [storage.name for storage in night.provider.sites[site].backup_storages]
        return with_archives(cluster, observed, storages, night.desired)

    with ThreadPoolExecutor(max(len(night.clusters), 1), thread_name_prefix="site") as pool:
        results = dict(zip(night.clusters, pool.map(read, night.clusters), strict=True))
    read_ones = {site: result for site, result in results.items() if isinstance(result, SiteReading)}
    sites = without_doubles({site: reading.observed for site, reading in read_ones.items()})
    read_ones = {site: replace(reading, observed=sites[site]) for site, reading in read_ones.items()}
    return read_ones, {site: result for site, result in results.items() if isinstance(result, str)}
