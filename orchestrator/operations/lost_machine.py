"""A machine that no site has any more: making sure of that, and finding its archives by their marks alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.errors import Reason, RequestRefused
from orchestrator.history.renames import Renames
from orchestrator.operations.inputs import selection
from orchestrator.planning.identity import not_the_same
from orchestrator.proxmox import Cluster, ProxmoxError, StoredArchive, VmConfig, list_archives
from orchestrator.resources.machine_archives import (
    Archive,
    listed_at,
    newest_good,
    parse_archive_mark,
    read_archive_mark,
)
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.observed import ObservedSite
from orchestrator.resources.survey import Asked, SitesRead, observe_sites
from orchestrator.resources.unreadable import holding_up
from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class LostArchives:
    """The archives of a machine that one site can read.

    Attributes:
        names: clients and names that the machine has had, as the history has them, today's first.
        owned: those that are the machine's by their marks, the oldest first.
        others: what every other archive is, by its volume.
        unread: backup storages that could not be listed, and why.
        renamed: why archives made under the machine's name are another's that was renamed since; empty: there are none.
    """

    site: str
    names: tuple[tuple[str, str], ...]
    owned: tuple[Archive, ...]
    others: Mapping[str, str]
    unread: Mapping[str, str]
    renamed: Reason = ""

    def choose(self, target: str, volid: str | None) -> Archive:
        """The archive that was named, or the newest good one.

        Raises:
            RequestRefused: there is none, or it is another machine's.
        """
        unread = "".join(f"; {name} could not be listed: {why}" for name, why in self.unread.items())
        if volid is None:
            newest = newest_good(self.owned, dt.datetime.now(dt.UTC))
            if newest is None:
                why = f": {self.renamed}" if self.renamed else ""
                raise RequestRefused(f"{self.site} sees no good archive of {target}{why}{unread}")
            return newest
        named = next((archive for archive in self.owned if archive.stored.volid == volid), None)
        if named is None:
            what = self.others.get(volid, f"{self.site} sees no such archive{unread}")
            raise RequestRefused(f"{volid} is no archive of {target}: {what}")
        return named


def read_lost(target: str, clusters: Mapping[str, Cluster], given_up: Collection[str]) -> SitesRead:
    """Read the sites, and make sure that none of them has a machine, nor may have it.

    Args:
        target: ``CLIENT/MACHINE``.
        clusters: the API of each site.
        given_up: sites that may be away: somebody decided that the machine is not to run there again.

    Raises:
        RequestRefused: the machine is there, or may be.
    """
    chosen = selection(target)
    if chosen.client is None or chosen.machine is None:
        raise RequestRefused(f"name one machine, CLIENT/MACHINE, not {target!r}")
    if unknown := sorted(set(given_up) - clusters.keys()):
        raise RequestRefused(f"there is no site {unknown[0]}: there are {', '.join(sorted(clusters))}")
    read = observe_sites(clusters, Asked(selection=chosen))
    for site, observed in read.observed.items():
        for machine in observed.machines:
            if machine.mark and chosen.includes(machine.mark.client, machine.mark.machine):
                raise RequestRefused(
                    f"{target} exists: VM {machine.summary.vmid} on {machine.summary.node}, {site}: restore into it "
                    "(--in-place) or beside it (--as NAME)"
                )
        if item := holding_up(observed.unreadable, chosen.client, chosen.machine):
            raise RequestRefused(
                f"{item.subject} at {site} may be {target}, so it is not made again beside it: {item.reason}"
            )
    for site, why in read.failures.items():
        if site not in given_up:
            raise RequestRefused(
                f"{site} could not be read, and {target} may be there: {why}. If that site is lost, and its machine is "
                f"not to run again, say so: --lost-site {site}"
            )
    if known := sorted(set(given_up) & read.observed.keys()):
        raise RequestRefused(f"{known[0]} answers, so it is not lost: leave out --lost-site {known[0]}")
    return read


def refuse_twins(inside: VmConfig, archive: Archive, sites: Iterable[ObservedSite]) -> None:
    """Make sure that the machine in an archive is not there under another name.

    Args:
        inside: the configuration in the archive.
        archive: the archive.
        sites: as they were read.

    Raises:
        RequestRefused: a machine of ours has the identifier and a MAC address of the one in the archive.
    """
    for site in sites:
        for machine in site.machines:
            if machine.mark and not not_the_same(machine.config, inside):
                raise RequestRefused(
                    f"the machine in {archive.stored.volid} exists: it is {'/'.join(machine.mark.key)}, VM "
                    f"{machine.summary.vmid} on {machine.summary.node}, {site.site} (the same identifier and MAC "
                    "address): restore into that one (--in-place) or beside it (--as NAME)"
                )


def lost_archives(
    target: str, cluster: Cluster, observed: ObservedSite, provider: Provider, renames: Renames
) -> LostArchives:
    """The archives of a machine on every backup storage of the site file that a site sees: one call for each.

    Which VM has the number today says nothing here: what is restored is made sure of by what the archive holds. But an
    archive that a machine made before it was renamed is that one's, whoever has the name now.

    Args:
        target: ``CLIENT/MACHINE``.
        cluster: the API.
        observed: the site, with the machines that are ours.
        provider: the sites.
        renames: what the history says; nothing, where it cannot be read.
    """
    client, _, name = target.partition("/")
    whose = _Whose((client, name), renames, observed)
    wanted = {storage for names in provider.backup_storage_names.values() for storage in names}
    owned: list[Archive] = []
    others: dict[str, str] = {}
    unread: dict[str, str] = {}
    for node, storage in listed_at(observed.state, sorted(wanted)):
        try:
            listing = list_archives(cluster, node, storage)
        except ProxmoxError as error:
            unread[storage] = str(error)
            continue
        for stored in listing.archives:
            why = whose.objection(stored)
            mark = read_archive_mark(stored.notes)
            if why or mark is None:
                others[stored.volid] = why
            else:
                owned.append(Archive(stored=stored, mark=mark, site=observed.site))
    reached = {storage.name for storage in observed.state.storages if storage.usable}
    for storage in provider.backup_storage_names[observed.site]:
        if storage not in reached:
            unread.setdefault(storage, "no node of the site can use it now")
    owned.sort(key=lambda archive: archive.taken_at)
    return LostArchives(
        site=observed.site,
        names=tuple(dict.fromkeys(era.key for era in whose.eras)),
        owned=tuple(owned),
        others=others,
        unread=unread,
        renamed=whose.renamed,
    )


class _Whose:
    """Says which archives are a machine's, by their notes and by the names that machines have had."""

    def __init__(self, key: tuple[str, str], renames: Renames, observed: ObservedSite) -> None:
        self._key = key
        self._renames = renames
        self.eras = tuple(renames.eras(key))
        self.renamed: Reason = ""
        self._former = {
            machine.summary.vmid: machine.mark
            for machine in observed.machines
            if machine.mark and machine.mark.former
        }

    def objection(self, stored: StoredArchive) -> Reason:
        """Why an archive is not the machine's; empty if it is."""
        try:
            mark = parse_archive_mark(stored.notes)
        except UnreadableMark as error:
            return f"its mark cannot be read: {error}"
        if mark is None:
            return "its notes carry no mark of ours"
        if why := mark.objection(stored):
            return why
        claimed = (mark.client, mark.machine)
        eras = [era for era in self.eras if era.key == claimed]
        if not eras and claimed != self._key:
            return f"its notes say {mark.client}/{mark.machine}"
        now = self._key
        there = self._former.get(stored.vmid)
        if there is not None and claimed in there.former:
            now = there.key
        elif not any(era.includes(stored.taken_at) for era in eras):
            now = self._renames.called_at(claimed, stored.taken_at)
        if now == self._key:
            return ""
        why = f"{'/'.join(claimed)} was renamed to {'/'.join(now)} after it was made"
        if claimed == self._key:
            self.renamed = f"{'/'.join(claimed)} was renamed to {'/'.join(now)}, whose archives they are"
        return why
