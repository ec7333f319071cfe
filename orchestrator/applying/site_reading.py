"""Reading the sites for a plan, all at once, and no more of them than the plan needs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.applying.settle import await_clones, unfinished_clones
from orchestrator.planning.addresses import needs_register
from orchestrator.planning.plan import SiteFailure
from orchestrator.planning.scopes import scopes, suffices
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.holdings import with_archives
from orchestrator.resources.image import with_templates
from orchestrator.resources.observing import SiteLook
from orchestrator.resources.redundancy import with_redundancy
from orchestrator.resources.register import with_register
from orchestrator.resources.scope import EVERYBODY

if TYPE_CHECKING:
    from orchestrator.planning.plan import Selection
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedSite
    from orchestrator.resources.scope import Scope


@dataclass(frozen=True, kw_only=True)
class SitesRead:
    """The sites as far as a plan needs them.

    Attributes:
        observed: those that could be read.
        failures: the others.
    """

    observed: Mapping[str, ObservedSite]
    failures: tuple[SiteFailure, ...]


def read_sites(
    clusters: Mapping[str, Cluster],
    desired: Collection[DesiredMachine],
    selection: Selection,
    *,
    everybody: bool = False,
    settle_seconds: float = 0.0,
) -> SitesRead:
    """Read the sites for a plan: four calls each, one for each machine that was asked for, and everybody's machines
    only where one is not found or gets an address (:mod:`orchestrator.planning.scopes`).

    Args:
        clusters: by site.
        desired: all machines of all files.
        selection: the machines to plan for.
        everybody: read everybody's machines in any case: whoever is sent something must have host keys of its own.
        settle_seconds: how long to wait for clones that an earlier, killed run asked for.
    """
    sites = [_Site(name, cluster, desired, settle_seconds) for name, cluster in clusters.items()]
    selected = [machine for machine in desired if selection.includes(*machine.key)]
    failures: dict[str, SiteFailure] = {}
    observed: dict[str, ObservedSite] = {}
    with ThreadPoolExecutor(max(len(sites), 1), thread_name_prefix="site") as pool:

        def each(read: Callable[[_Site], ObservedSite]) -> None:
            there = [site for site in sites if site.name not in failures]
            for site, result in zip(
                there, pool.map(lambda site: _or_failure(site, read), there), strict=True
            ):
                if isinstance(result, SiteFailure):
                    failures[site.name] = result
                    observed.pop(site.name, None)
                else:
                    observed[site.name] = result

        for scope in (EVERYBODY,) if everybody else scopes(desired, selection):
            each(lambda site, scope=scope: site.look(scope))  # type: ignore[misc]
            if suffices(scope, desired, observed, selection):
                break
        each(lambda site: _with_the_rest(site.cluster, observed[site.name], selected))
    return SitesRead(
        observed={site.name: observed[site.name] for site in sites if site.name in observed},
        failures=tuple(failures[site.name] for site in sites if site.name in failures),
    )


class _Site:
    """One site while it is read."""

    def __init__(
        self, name: str, cluster: Cluster, desired: Iterable[DesiredMachine], settle_seconds: float
    ) -> None:
        self.name = name
        self.cluster = cluster
        self._settle_seconds = settle_seconds
        machines = list(desired)
        self._names = {machine.name for machine in machines}
        self._adopting = {machine.adopt for machine in machines if machine.adopt and machine.site == name}
        self._look: SiteLook | None = None

    def look(self, scope: Scope) -> ObservedSite:
        """Read the machines of a scope.

        Raises:
            ProxmoxError: the site cannot be read.
        """
        self._look = self._look or self._fresh()
        found = self._look.at(scope)
        if self._settle_seconds and (nodes := unfinished_clones(found)):
            await_clones(self.cluster, nodes, seconds=self._settle_seconds)
            self._settle_seconds = 0.0
            self._look = self._fresh()
            found = self._look.at(scope)
        return found

    def _fresh(self) -> SiteLook:
        return SiteLook(self.cluster, self.name, names=self._names, adopting=self._adopting)


def _or_failure(site: _Site, read: Callable[[_Site], ObservedSite]) -> ObservedSite | SiteFailure:
    try:
        return read(site)
    except ProxmoxError as error:
        reason = str(error) if not error.remedy or error.remedy in str(error) else f"{error}: {error.remedy}"
        return SiteFailure(site=site.name, reason=reason)


def _with_the_rest(
    cluster: Cluster, observed: ObservedSite, selected: Collection[DesiredMachine]
) -> ObservedSite:
    """What only some of the machines need: free addresses, templates, redundancy, archives.

    Raises:
        ProxmoxError: the site cannot be read.
    """
    if needs_register(selected, observed):
        observed = with_register(cluster, observed)
    observed = with_templates(cluster, observed, selected)
    observed = with_redundancy(cluster, observed, selected)
    return _with_archives(cluster, observed, selected)


def _with_archives(
    cluster: Cluster, observed: ObservedSite, selected: Collection[DesiredMachine]
) -> ObservedSite:
    """Read the site's archives if a retention changed: the plan says which of them will go."""
    here = {machine.key: machine for machine in selected if machine.site == observed.site}
    changed = [
        here[key].backup_storages
        for machine in observed.machines
        if machine.mark
        and (key := (machine.mark.client, machine.mark.machine)) in here
        and machine.mark.applied
        and machine.mark.backup_days != here[key].backup_days
    ]
    if not changed:
        return observed
    names = {storage.name for storages in changed for storage in storages}
    reading = with_archives(cluster, observed, names, here)
    # Of a storage that is away the plan says nothing; the night reports it.
    return observed if reading.unread else reading.observed
