"""Reading the sites: one function for every operation, which reads what was asked for and nothing more.

Reading is bulk first: one list of everything in the cluster, then one call for each machine that is asked for
(:mod:`orchestrator.resources.scope`) and ours, or might be. Which of them are ours
:mod:`orchestrator.resources.ownership` says. A machine that cannot be read, or not understood, is that machine's
trouble: it is named (:mod:`orchestrator.resources.unreadable`), and the rest is read on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.proxmox import ProxmoxError, check_privileges, read_cluster
from orchestrator.resources.holdings import SiteReading, with_archives
from orchestrator.resources.image import with_templates
from orchestrator.resources.judging import judged, unlisted, unlisted_places, without_twins
from orchestrator.resources.machine_reading import (
    Found,
    reader_of,
    silent_nodes,
    unreadable_nodes,
)
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.oddity import oddity
from orchestrator.resources.ownership import claimed
from orchestrator.resources.redundancy import with_redundancy
from orchestrator.resources.register import needs_register, register_of, with_register
from orchestrator.resources.scope import (
    EVERYBODY,
    EVERYTHING,
    Scope,
    Selection,
    looks_ours,
    namesakes,
    scopes,
    suffices,
)
from orchestrator.resources.unfinished_clones import await_clones, unfinished_clones

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, VmSummary
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.reading_ahead import ReadingAhead


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
        plan: a plan is made of it, see :func:`read_for_plan`.
        settle_seconds: how long to wait for clones that an earlier, killed run asked for.
    """

    desired: Collection[DesiredMachine] = ()
    selection: Selection = EVERYTHING
    everybody: bool = False
    adopting: Collection[int] = ()
    snapshots: bool = False
    archives: Mapping[str, Collection[str]] = field(default_factory=dict)
    plan: bool = False
    settle_seconds: float = 0.0

    @property
    def selected(self) -> list[DesiredMachine]:
        """The machines of the files that it is about."""
        return [machine for machine in self.desired if self.selection.includes(*machine.key)]

    @property
    def names(self) -> frozenset[str]:
        """The names of all machines of the files."""
        return frozenset(machine.name for machine in self.desired)

    def adopting_at(self, site: str) -> frozenset[int]:
        """The VM ids of strangers to be read at a site."""
        named = (machine.adopt for machine in self.desired if machine.adopt and machine.site == site)
        return frozenset((*self.adopting, *named))

    def all_snapshots(self, client: str, machine: str) -> bool:
        """Whether a machine's snapshots are listed although its configuration names none."""
        return self.snapshots and self.selection.includes(client, machine)


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
    clusters: Mapping[str, Cluster], asked: Asked, ahead: ReadingAhead | None = None
) -> SitesRead:
    """Read the sites, all at once: four calls each, one for each machine that was asked for, and everybody's machines
    only where one is not found or gets an address.

    One that cannot be read, or where the token may not see everything, is a failure of that site alone.

    Args:
        clusters: by site.
        asked: what is needed.
        ahead: what was begun to be read before it was known what is needed.
    """
    sites = {name: _Site(name, cluster, asked, ahead) for name, cluster in clusters.items()}
    read: dict[str, SiteReading] = {}
    failures: dict[str, str] = {}

    def of(name: str, step: Callable[[_Site], SiteReading]) -> SiteReading | str:
        try:
            return step(sites[name])
        except ProxmoxError as error:
            text = str(error)
            return text if not error.remedy or error.remedy in text else f"{text}: {error.remedy}"

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
            if suffices(scope, asked.desired, observed, asked.selection, addresses=asked.plan):
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


def observe(cluster: Cluster, site: str, asked: Asked = OURS) -> ObservedSite:
    """Read everybody's machines of one cluster.

    Raises:
        ProxmoxError: the cluster cannot be read, or the token may not see everything (an absence could
            not be trusted then).
    """
    return SiteLook(cluster, site).at(EVERYBODY, asked)


def read_for_plan(
    cluster: Cluster, observed: ObservedSite, selected: Collection[DesiredMachine]
) -> ObservedSite:
    """Read what a plan needs besides, of the machines that have or get it: the addresses that are taken, templates,
    redundancy, and the archives where a retention changed, for the plan says which of them will go.

    Raises:
        ProxmoxError: the site does not answer.
    """
    if needs_register(selected, observed):
        observed = with_register(cluster, observed)
    observed = with_templates(cluster, observed, selected)
    observed = with_redundancy(cluster, observed, selected)
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

    def __init__(self, name: str, cluster: Cluster, asked: Asked, ahead: ReadingAhead | None) -> None:
        self.name = name
        self._ahead = ahead
        self._cluster = cluster
        self._asked = asked
        self._settle_seconds = asked.settle_seconds
        self._look: SiteLook | None = None

    def look(self, scope: Scope) -> ObservedSite:
        """Read the machines of a scope."""
        if self._look is None:
            self._look = self._ahead.look_at(self.name) if self._ahead else SiteLook(self._cluster, self.name)
        found = self._look.at(scope, self._asked)
        if self._settle_seconds and (nodes := unfinished_clones(found)):
            await_clones(self._cluster, nodes, seconds=self._settle_seconds)
            self._settle_seconds = 0.0
            self._look = SiteLook(self._cluster, self.name)
            found = self._look.at(scope, self._asked)
        return found

    def with_archives(self, observed: ObservedSite) -> SiteReading:
        """List the archives of the storages that were asked for."""
        known = [machine.key for machine in self._asked.desired]
        return with_archives(self._cluster, observed, self._asked.archives.get(self.name, ()), known)

    def for_plan(self, reading: SiteReading) -> SiteReading:
        """Read what a plan needs besides."""
        return replace(reading, observed=read_for_plan(self._cluster, reading.observed, self._asked.selected))


class SiteLook:
    """A look at one cluster: its lists, and what was read of its machines so far. A wider look reads what it lacks."""

    def __init__(self, cluster: Cluster, site: str) -> None:
        """Read the cluster's lists: four calls.

        Raises:
            ProxmoxError: the cluster cannot be read, or the token may not see everything.
        """
        self.site = site
        self.state = read_cluster(cluster, version=check_privileges(cluster))
        self._namesakes = namesakes(self.state.vms)
        self._reader = reader_of(cluster, self.state, silent_nodes(self.state))
        self._found: dict[int, Found | None] = {}

    def read(self, scope: Scope, asked: Asked, before: Callable[[], None] = lambda: None) -> list[VmSummary]:
        """Read the machines of a scope that were not read yet: one call for each, and one more for each that has
        snapshots.

        Args:
            scope: the machines.
            asked: what is needed to be known.
            before: called before each machine; what it raises ends the reading.

        Returns:
            The machines of the scope.

        Raises:
            ProxmoxError: the site does not answer.
        """
        names, adopting = asked.names, asked.adopting_at(self.site)
        candidates = [
            vm
            for vm in self.state.vms
            if (looks_ours(vm) or vm.vmid in adopting or vm.name in names)
            and scope.includes(vm, self._namesakes)
        ]
        missing = [vm for vm in candidates if vm.vmid not in self._found]
        reader = self._reader.with_files(missing)
        self._found |= reader.read(missing, all_snapshots=asked.all_snapshots, before=before)
        return candidates

    def at(self, scope: Scope, asked: Asked) -> ObservedSite:
        """The site as far as a scope goes; what was not read of it yet is read.

        Raises:
            ProxmoxError: the site does not answer.
        """
        names, adopting = asked.names, asked.adopting_at(self.site)
        candidates = self.read(scope, asked)
        read = [item for vm in candidates if (item := self._found[vm.vmid])]
        sound = [item.machine for item in read if item.machine and not item.trouble]
        ours, troubles = judged(self._reader, sound, names)
        troubles += [item.trouble for item in read if item.trouble]
        troubles += unlisted(self._reader, self.state)
        ours, troubles = without_twins(ours, troubles)
        our_ids = {machine.summary.vmid for machine in ours}
        adoptable = {
            machine.summary.vmid: replace(machine, mark=None)
            for item in read
            if (machine := item.machine)
            and _may_be_adopted(machine, adopting)
            and machine.summary.vmid not in our_ids
        }
        troubles = [item for item in troubles if item.vmid not in adoptable]
        strangers = [
            item.machine for item in read if item.machine and item.machine.summary.vmid not in adoptable
        ]
        ids = our_ids | {item.vmid for item in troubles}
        looked = {vm.vmid for vm in candidates}
        others = [
            vm for vm in self.state.vms if looks_ours(vm) and not vm.template and vm.vmid not in looked | ids
        ]
        ids |= {vm.vmid for vm in others}
        return ObservedSite(
            site=self.site,
            state=self.state,
            machines=tuple(ours),
            strangers=tuple(vm for vm in self.state.vms if not vm.template and vm.vmid not in ids),
            others=tuple(others),
            register=register_of([*ours, *adoptable.values(), *strangers], troubles),
            adoptable=adoptable,
            unreadable=(
                *unreadable_nodes(self.site, self._reader.silent),
                *unlisted_places(self.state),
                *sorted(troubles, key=lambda item: item.vmid or 0),
            ),
            silent=dict(self._reader.silent),
        )


def _may_be_adopted(machine: ObservedMachine, adopting: Collection[int]) -> bool:
    summary = machine.summary
    return summary.vmid in adopting and not summary.template and oddity(machine.config) is None


def without_doubles(sites: Mapping[str, ObservedSite]) -> dict[str, ObservedSite]:
    """The sites without machines that several of them claim to have: a copy at another site may keep its number."""
    where: dict[tuple[str, str], set[str]] = {}
    for name, site in sites.items():
        for machine in site.machines:
            if machine.mark:
                where.setdefault((machine.mark.client, machine.mark.machine), set()).add(name)
    doubles = {key: sorted(names) for key, names in where.items() if len(names) > 1}
    return {name: _parted(site, doubles) if doubles else site for name, site in sites.items()}


def _parted(site: ObservedSite, doubles: Mapping[tuple[str, str], list[str]]) -> ObservedSite:
    twins = [
        claimed(
            machine,
            machine.mark,
            f"{' and '.join(names)} each have a machine marked as {machine.mark.client}/{machine.mark.machine}: take "
            "the mark out of the notes of the copy, and our tags off it",
        )
        for machine in site.machines
        if machine.mark and (names := doubles.get((machine.mark.client, machine.mark.machine)))
    ]
    ids = {item.vmid for item in twins}
    kept = tuple(machine for machine in site.machines if machine.summary.vmid not in ids)
    return replace(site, machines=kept, unreadable=(*site.unreadable, *twins))
