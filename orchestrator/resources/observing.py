"""Observing a site: everything that the cluster lists, and the configurations of the machines that were asked for.

Reading is bulk first: one list of everything in the cluster, then one call for each machine that is asked for
(:mod:`orchestrator.resources.scope`) and ours, or might be. Which of them are ours
:mod:`orchestrator.resources.ownership` says. A machine that cannot be read, or not understood, is that machine's
trouble: it is named (:mod:`orchestrator.resources.unreadable`), and the rest is read on. What judges them is imported
where it is needed, so that it is loaded while they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from orchestrator.proxmox import read_lists
from orchestrator.resources.machine_reading import (
    Found,
    reader_of,
    silent_nodes,
    unreadable_nodes,
)
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.ownership import claimed
from orchestrator.resources.privileges import check_privileges
from orchestrator.resources.scope import EVERYBODY, Scope, looks_ours, namesakes

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, VmSummary
    from orchestrator.resources.notes import Mark


def observe(cluster: Cluster, site: str, *, names: Collection[str] = ()) -> ObservedSite:
    """Read everybody's machines of one cluster.

    Args:
        cluster: the API.
        site: the site's name.
        names: as in :meth:`SiteLook.at`.

    Raises:
        ProxmoxError: the cluster cannot be read, or the token may not see everything (an absence could
            not be trusted then).
    """
    return SiteLook(cluster, site).at(EVERYBODY, names=names)


class SiteLook:
    """A look at one cluster: its lists, and what was read of its machines so far. A wider look reads what it lacks."""

    def __init__(
        self,
        cluster: Cluster,
        site: str,
        *,
        lists: ClusterState | None = None,
        all_snapshots: Callable[[str, str], bool] = lambda client, machine: False,
    ) -> None:
        """Read the cluster's lists: four calls.

        Args:
            cluster: the API.
            site: the site's name.
            lists: what they say (:func:`read_lists`), if they were read just now.
            all_snapshots: whether the snapshots of a client's machine are listed although its configuration names none
                as its parent. Only a tree of snapshots whose current branch was deleted looks like that.

        Raises:
            ProxmoxError: the cluster cannot be read, or the token may not see everything.
        """
        self.site = site
        self.state = lists or read_lists(cluster)
        check_privileges(self.state, site=cluster.site)
        self._namesakes = namesakes(self.state.vms)
        self._all_snapshots = all_snapshots
        self._reader = reader_of(cluster, self.state, silent_nodes(self.state))
        self._found: dict[int, Found | None] = {}

    def read(
        self,
        scope: Scope,
        *,
        names: Collection[str] = (),
        adopting: Collection[int] = (),
        before: Callable[[], None] = lambda: None,
    ) -> list[VmSummary]:
        """Read the machines of a scope that were not read yet: one call for each, and one more for each that has
        snapshots.

        Args:
            scope: the machines.
            names: as in :meth:`at`.
            adopting: as in :meth:`at`.
            before: called before each machine; what it raises ends the reading.

        Returns:
            The machines of the scope.

        Raises:
            ProxmoxError: the site does not answer.
        """
        candidates = [
            vm
            for vm in self.state.vms
            if (looks_ours(vm) or vm.vmid in adopting or vm.name in names)
            and scope.includes(vm, self._namesakes)
        ]
        missing = [vm for vm in candidates if vm.vmid not in self._found]
        reader = self._reader.with_files(missing)
        self._found |= reader.read(missing, all_snapshots=self._all_snapshots, before=before)
        return candidates

    def at(
        self,
        scope: Scope,
        *,
        names: Collection[str],
        adopting: Collection[int] = (),
        marked_anew: bool = True,
        before: Mapping[str, str] = MappingProxyType({}),
    ) -> ObservedSite:
        """The site as far as a scope goes; what was not read of it yet is read.

        Args:
            scope: the machines.
            names: names of all machines of the files: an interrupted clone has its name before its tags.
            adopting: VM ids of strangers that files want to take over.
            marked_anew: whether those may be taken over, too, that claim to be ours and cannot be read. Whoever does
                not plan that must be told of them: what may be a client's is kept, with its backups.
            before: what clients were called before, as their files say, by their names of today.

        Raises:
            ProxmoxError: the site does not answer.
        """
        from orchestrator.resources.judging import judged, unlisted, unlisted_places, without_twins
        from orchestrator.resources.register import register_of

        names, adopting = frozenset(names), frozenset(adopting)
        candidates = self.read(scope, names=names, adopting=adopting)
        read = [item for vm in candidates if (item := self._found[vm.vmid])]
        sound = [item.machine for item in read if item.machine and not item.trouble]
        ours, troubles = judged(self._reader, sound, names, before)
        troubles += [item.trouble for item in read if item.trouble]
        troubles += unlisted(self._reader, self.state)
        ours, troubles = without_twins(ours, troubles)
        our_ids = {machine.summary.vmid for machine in ours}
        taken = (
            our_ids if marked_anew else our_ids | {item.vmid for item in troubles if item.vmid is not None}
        )
        adoptable = {
            machine.summary.vmid: replace(machine, mark=None)
            for item in read
            if (machine := item.machine)
            and _may_be_adopted(machine, adopting)
            and machine.summary.vmid not in taken
        }
        troubles = [item for item in troubles if item.vmid not in adoptable]
        strangers = [
            item.machine for item in read if item.machine and item.machine.summary.vmid not in adoptable
        ]
        ids = our_ids | {item.vmid for item in troubles}
        known = ids | {vm.vmid for vm in candidates}
        others = [vm for vm in self.state.vms if looks_ours(vm) and not vm.template and vm.vmid not in known]
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
    from orchestrator.resources.oddity import oddity

    summary = machine.summary
    return summary.vmid in adopting and not summary.template and oddity(machine.config) is None


def without_doubles(sites: Mapping[str, ObservedSite]) -> dict[str, ObservedSite]:
    """The sites without machines that several of them claim to have: a copy at another site may keep its number.

    One that was restored at its site because the others were lost (:attr:`Mark.replaces`) is the machine, whatever
    comes back there.
    """
    where: dict[tuple[str, str], dict[str, Mark]] = {}
    for name, site in sites.items():
        for machine in site.machines:
            if machine.mark:
                where.setdefault((machine.mark.client, machine.mark.machine), {})[name] = machine.mark
    doubles = {key: _Double(marks) for key, marks in where.items() if len(marks) > 1}
    return {name: _parted(site, doubles) if doubles else site for name, site in sites.items()}


class _Double:
    """A machine that several sites have."""

    def __init__(self, marks: Mapping[str, Mark]) -> None:
        self.names = sorted(marks)
        chosen = [name for name, mark in marks.items() if {*marks} - {name} <= {*mark.replaces}]
        self.chosen = chosen[0] if len(chosen) == 1 else None


def _parted(site: ObservedSite, doubles: Mapping[tuple[str, str], _Double]) -> ObservedSite:
    twins = []
    for machine in site.machines:
        mark = machine.mark
        double = doubles.get((mark.client, mark.machine)) if mark else None
        if mark is None or double is None or double.chosen == site.site:
            continue
        name = f"{mark.client}/{mark.machine}"
        if double.chosen is None:
            reason = (
                f"{' and '.join(double.names)} each have a machine marked as {name}: take the mark out of the notes "
                "of the copy, and our tags off it"
            )
        else:
            reason = (
                f"it is the old {name}, which was restored at {double.chosen} when {site.site} was lost: stop it, so "
                f"that two do not run (orchestrator rescue {name} --choose put-aside), and save what only it has"
            )
        twins.append(claimed(machine, mark, reason, copy=double.chosen is not None))
    ids = {item.vmid for item in twins}
    kept = tuple(machine for machine in site.machines if machine.summary.vmid not in ids)
    return replace(site, machines=kept, unreadable=(*site.unreadable, *twins))
