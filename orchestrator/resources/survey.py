"""A survey of the sites: the one function by which every operation reads them, as far as it asks.

Every site is read at once. What only some operations or machines need (archives, free addresses, templates, redundancy)
is read for those alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.desired import owners_of
from orchestrator.resources.holdings import SiteReading, with_archives, with_newest_archives
from orchestrator.resources.image import with_templates
from orchestrator.resources.kinds import with_kinds, with_shared
from orchestrator.resources.observing import SiteLook, without_doubles
from orchestrator.resources.register import needs_register, with_register
from orchestrator.resources.renaming import clients_before, with_renames
from orchestrator.resources.scope import EVERYBODY, EVERYTHING, Scope, Selection, scopes, suffices
from orchestrator.resources.unfinished_clones import await_clones, unfinished_clones

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredClient, DesiredMachine
    from orchestrator.resources.observed import ObservedSite


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an operation has to know of the sites. What is read follows from it.

    Attributes:
        desired: all machines of all files; none if the operation reads no files. An interrupted clone has its name
            before its tags, so what bears a name of the files is read, too, and so is what they want to take over.
        selection: the machines that it is about.
        everybody: everybody's machines are read in any case: whoever is sent something must have host keys of its own.
        adopting: VM ids of strangers to be read besides those that the files want to take over.
        snapshots: the snapshots of the machines that it is about are listed although their configurations name none as
            their parent. Only a tree of snapshots whose current branch was deleted looks like that.
        archives: the backup storages whose archives are listed, by site.
        newest_at: read only each machine's newest archive that can be counted on at this time (aware); None: read all.
        plan: a plan is made of it, see :func:`read_for_plan`.
        settle_seconds: how long to wait for clones that an earlier, killed run asked for.
        least: nothing is read besides the machines of the clients of ``desired``: one that is not found there is not
            looked for among everybody's.
    """

    desired: Collection[DesiredMachine] = ()
    selection: Selection = EVERYTHING
    everybody: bool = False
    adopting: Collection[int] = ()
    snapshots: bool = False
    archives: Mapping[str, Collection[str]] = field(default_factory=dict)
    newest_at: dt.datetime | None = None
    plan: bool = False
    settle_seconds: float = 0.0
    least: bool = False

    @property
    def selected(self) -> list[DesiredMachine]:
        """The machines of the files that it is about."""
        return [machine for machine in self.desired if self.selection.includes(*machine.key)]

    @property
    def owners(self) -> list[DesiredClient]:
        """The clients of the files that it is about."""
        return owners_of(item for item in self.desired if self.selection.client in (None, item.client))


OURS = Asked(everybody=True)
"""All machines of ours, whoever's they are."""


@dataclass(frozen=True, kw_only=True)
class SitesRead:
    """The sites as far as an operation asked for them.

    Attributes:
        readings: those that could be read; without archives where none were asked for.
        failures: why each of the others could not be read, human-readable.
    """

    readings: Mapping[str, SiteReading]
    failures: Mapping[str, str]

    @property
    def observed(self) -> dict[str, ObservedSite]:
        """The sites without what is known of their storages."""
        return {name: reading.observed for name, reading in self.readings.items()}


def observe_sites(
    clusters: Mapping[str, Cluster], asked: Asked, ahead: Callable[[str], SiteLook] | None = None
) -> SitesRead:
    """Read the sites, all at once: four calls each, one for each machine that was asked for, and everybody's machines
    only where one is not found or gets an address.

    One that cannot be read, or where the token may not see everything, is a failure of that site alone.

    Args:
        clusters: by site.
        asked: what is needed.
        ahead: gives the look at a site that was begun before it was known what is needed; raises ProxmoxError.
    """
    sites = {name: _Site(name, cluster, asked, ahead) for name, cluster in clusters.items()}
    read: dict[str, SiteReading] = {}
    failures: dict[str, str] = {}

    def of(name: str, step: Callable[[_Site], SiteReading]) -> SiteReading | str:
        try:
            return step(sites[name])
        except ProxmoxError as error:
            return str(error)

    with ThreadPoolExecutor(max(len(sites), 1), thread_name_prefix="site") as pool:

        def each(step: Callable[[_Site], SiteReading]) -> None:
            there = [name for name in sites if name not in failures]
            for name, result in zip(there, pool.map(lambda name: of(name, step), there), strict=True):
                if isinstance(result, str):
                    failures[name] = result
                    read.pop(name, None)
                else:
                    read[name] = result

        for scope in (EVERYBODY,) if asked.everybody else scopes(asked.desired, asked.selection):
            each(lambda site, scope=scope: SiteReading(observed=site.look(scope)))  # type: ignore[misc]
            observed = {name: reading.observed for name, reading in read.items()}
            if asked.plan:
                observed = with_renames(observed, asked.desired)
                read = {name: replace(read[name], observed=site) for name, site in observed.items()}
            if asked.least or suffices(scope, asked.desired, observed, asked.selection, addresses=asked.plan):
                break
        if asked.archives:
            each(lambda site: site.with_archives(read[site.name].observed))
        single = without_doubles({name: reading.observed for name, reading in read.items()})
        read = {name: replace(reading, observed=single[name]) for name, reading in read.items()}
        if asked.plan:
            each(lambda site: site.for_plan(read[site.name]))
    return SitesRead(
        readings={name: read[name] for name in sites if name in read},
        failures={name: failures[name] for name in sites if name in failures},
    )


def read_for_plan(
    cluster: Cluster,
    observed: ObservedSite,
    selected: Collection[DesiredMachine],
    owners: Sequence[DesiredClient] | None = None,
) -> ObservedSite:
    """Read what a plan needs besides, of the machines that have or get it: the addresses that are taken, templates,
    redundancy, and the archives where a retention changed, for the plan says which of them will go.

    Args:
        cluster: the API.
        observed: the site as it was read so far.
        selected: the machines that the plan is about.
        owners: the clients whose other things it is about; None: those of the machines.

    Raises:
        ProxmoxError: the site does not answer.
    """
    if needs_register(selected, observed):
        observed = with_register(cluster, observed)
    observed = with_templates(cluster, observed, selected)
    observed = with_kinds(cluster, observed, selected)
    observed = with_shared(cluster, observed, owners_of(selected) if owners is None else owners)
    here = {machine.key: machine for machine in selected if machine.site == observed.site}
    changed = [
        here[key].backup_storages
        for machine in observed.machines
        if machine.mark
        and (key := (machine.mark.client, machine.mark.machine)) in here
        and machine.archives is None
        and machine.mark.applied
        and machine.mark.backup_days != here[key].backup_days
    ]
    if not changed:
        return observed
    names = {storage.name for storages in changed for storage in storages}
    reading = with_archives(cluster, observed, names, here)
    # Of a storage that is away the plan says nothing; the night reports it.
    return observed if reading.unread else reading.observed


class _Site:
    """One site while it is read."""

    def __init__(
        self, name: str, cluster: Cluster, asked: Asked, ahead: Callable[[str], SiteLook] | None
    ) -> None:
        self.name = name
        self._cluster = cluster
        self._asked = asked
        self._names = frozenset(
            name for machine in asked.desired for name in (machine.name, machine.was) if name is not None
        )
        self._before = clients_before(asked.desired)
        named = (machine.adopt for machine in asked.desired if machine.adopt and machine.site == name)
        self._adopting = frozenset((*asked.adopting, *named))
        self._settle_seconds = asked.settle_seconds
        self._ahead = ahead
        self._look: SiteLook | None = None

    def look(self, scope: Scope) -> ObservedSite:
        """Read the machines of a scope."""
        if self._look is None:
            self._look = self._ahead(self.name) if self._ahead else self._fresh()
        found = self._at(self._look, scope)
        if self._settle_seconds and (nodes := unfinished_clones(found)):
            await_clones(self._cluster, nodes, seconds=self._settle_seconds)
            self._settle_seconds = 0.0
            self._look = self._fresh()
            found = self._at(self._look, scope)
        return found

    def _fresh(self) -> SiteLook:
        return SiteLook(self._cluster, self.name, all_snapshots=self._all_snapshots)

    def _at(self, look: SiteLook, scope: Scope) -> ObservedSite:
        marked_anew = self._asked.plan or bool(self._asked.adopting)
        return look.at(
            scope, names=self._names, adopting=self._adopting, marked_anew=marked_anew, before=self._before
        )

    def _all_snapshots(self, client: str, machine: str) -> bool:
        return self._asked.snapshots and self._asked.selection.includes(client, machine)

    def with_archives(self, observed: ObservedSite) -> SiteReading:
        """List the archives of the storages that were asked for."""
        known = [machine.key for machine in self._asked.desired]
        storages, now = self._asked.archives.get(self.name, ()), self._asked.newest_at
        if now is not None:
            return with_newest_archives(self._cluster, observed, storages, known, now)
        return with_archives(self._cluster, observed, storages, known)

    def for_plan(self, reading: SiteReading) -> SiteReading:
        """Read what a plan needs besides."""
        observed = read_for_plan(self._cluster, reading.observed, self._asked.selected, self._asked.owners)
        return replace(reading, observed=observed)
