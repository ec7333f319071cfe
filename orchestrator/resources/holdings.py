"""The archives that a site's backup storages hold, read and given to the machines that they belong to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.contract.retention import dated_later
from orchestrator.proxmox import ProxmoxError, StoredArchive, list_archives, newest_archives
from orchestrator.resources.desired import pool_of
from orchestrator.resources.machine_archives import (
    Archive,
    Holdings,
    attribute,
    claimed_owner,
    listed_at,
    names_before,
    owner_of,
)
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.observed import ObservedSite

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


_POOL = pool_of("")

NOTHING = Holdings(owned={}, foreign=())
"""No archives."""


@dataclass(frozen=True, kw_only=True)
class SiteReading:
    """One site with its archives, as far as they were asked for.

    Attributes:
        observed: machines with their snapshots and archives.
        holdings: the archives of its backup storages.
        unread: backup storages that could not be listed, and why.
        bad_archives: what is wrong with each archive that is listed and cannot be read. It belongs to nobody here: it
            is neither counted nor removed.
    """

    observed: ObservedSite
    holdings: Holdings = NOTHING
    unread: Mapping[str, str] = field(default_factory=dict)
    bad_archives: tuple[str, ...] = ()


def with_archives(
    cluster: Cluster, observed: ObservedSite, storages: Iterable[str], known: Iterable[tuple[str, str]]
) -> SiteReading:
    """Read the archives of a site's backup storages: one call a storage, however many there are.

    Args:
        cluster: the API.
        observed: the site.
        storages: the names of its backup storages.
        known: clients and machines of the files.
    """
    wanted = list(storages)
    unread: dict[str, str] = {}
    bad: list[tuple[int | None, str]] = []

    def listed(node: str, storage: str) -> Iterator[StoredArchive]:
        listing = list_archives(cluster, node, storage)
        bad.extend(listing.bad)
        yield from listing.archives

    marks = {machine.summary.vmid: machine.mark for machine in observed.machines if machine.mark}
    holdings = attribute(
        _listed(observed, wanted, listed, unread), observed.site, marks, known, holders=_holders(observed)
    )
    return _reading(observed, holdings.owned, unread, bad, holdings)


def with_newest_archives(
    cluster: Cluster,
    observed: ObservedSite,
    storages: Iterable[str],
    known: Iterable[tuple[str, str]],
    now: dt.datetime,
) -> SiteReading:
    """Read each machine's newest archive that can be counted on, and no other: one call a storage.

    The others are passed over by a glance at their notes. ``holdings`` stays empty.

    Args:
        cluster: the API.
        observed: the site.
        storages: the names of its backup storages.
        known: clients and machines of the files.
        now: the time, aware: what is dated later cannot be counted on.
    """
    wanted = list(storages)
    unread: dict[str, str] = {}
    bad: list[tuple[int | None, str]] = []
    newest: dict[tuple[str, str], Archive] = {}
    made: dict[tuple[str, str], int] = {}

    def passed_over(notes: str, made_at: int) -> bool:
        key = claimed_owner(notes)
        return key is not None and made.get(key, -1) >= made_at

    def listed(node: str, storage: str) -> Iterator[StoredArchive]:
        return newest_archives(cluster, node, storage, passed_over=passed_over, bad=bad)

    marks = {machine.summary.vmid: machine.mark for machine in observed.machines if machine.mark}
    keys = {(mark.client, mark.machine) for mark in marks.values()} | set(known)
    holders, renamed = _holders(observed), names_before(marks, keys)
    for item in _listed(observed, wanted, listed, unread):
        try:
            mark = owner_of(item, marks, keys, holders, renamed)
        except UnreadableMark:  # the night tells of it
            continue
        if mark is None or (key := (mark.client, mark.machine)) not in keys:
            continue
        archive = Archive(stored=replace(item, notes=""), mark=mark, site=observed.site)
        at = int(item.taken_at.timestamp())
        if archive.good and not dated_later(archive, now) and at > made.get(key, -1):
            newest[key], made[key] = archive, at
    return _reading(observed, {key: (archive,) for key, archive in newest.items()}, unread, bad, NOTHING)


def _listed(
    observed: ObservedSite,
    wanted: list[str],
    listed: Callable[[str, str], Iterator[StoredArchive]],
    unread: dict[str, str],
) -> Iterator[StoredArchive]:
    """One storage after the other, so that only one list is held: each may have tens of thousands."""
    reached = listed_at(observed.state, wanted)
    for node, storage in reached:
        try:
            yield from listed(node, storage)
        except ProxmoxError as error:
            unread[storage] = str(error)
    for name in wanted:
        if name not in {storage for _, storage in reached}:
            unread[name] = _why_not(observed, name)


def _reading(
    observed: ObservedSite,
    owned: Mapping[tuple[str, str], tuple[Archive, ...]],
    unread: Mapping[str, str],
    bad: Iterable[tuple[int | None, str]],
    holdings: Holdings,
) -> SiteReading:
    """The site with the archives of its machines."""
    machines = tuple(
        replace(machine, archives=owned.get((machine.mark.client, machine.mark.machine), ()))
        for machine in observed.machines
        if machine.mark
    )
    return SiteReading(
        observed=replace(observed, machines=machines),
        holdings=holdings,
        unread=unread,
        bad_archives=tuple(told if vmid is None else f"VM {vmid}: {told}" for vmid, told in bad),
    )


def _holders(observed: ObservedSite) -> dict[int, frozenset[str]]:
    """The clients that each VM of a site seems to belong to, whoever made it: by its pool, its tags, or a bad mark."""
    holders: dict[int, set[str]] = {}
    for vm in observed.state.vms:
        names = {name.removeprefix(_POOL) for name in (vm.pool or "", *vm.tags) if name.startswith(_POOL)}
        if names:
            holders[vm.vmid] = names
    for unreadable in observed.unreadable:
        if unreadable.vmid is not None and unreadable.client is not None:
            holders.setdefault(unreadable.vmid, set()).add(unreadable.client)
    return {vmid: frozenset(names) for vmid, names in holders.items()}


def without_archives(observed: ObservedSite) -> ObservedSite:
    """The site as if its archives had not been read."""
    machines = tuple(replace(machine, archives=None) for machine in observed.machines)
    return replace(observed, machines=machines)


def _why_not(observed: ObservedSite, name: str) -> str:
    listed = [storage for storage in observed.state.storages if storage.name == name]
    if not listed:
        return f"the cluster has no storage {name}: correct backup_storages of the site, or add it in Proxmox"
    return f"its state is {listed[0].status}: see Datacenter > Storage in Proxmox, and the network to it"
