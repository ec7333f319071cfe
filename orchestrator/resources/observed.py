"""What the hypervisors have: read from their API and from nowhere else.

Reading is bulk first: one list of everything in the cluster, then one call for each machine that is ours
or might be. Which of them are ours :mod:`orchestrator.resources.ownership` says. A machine that cannot be read, or not
understood, is that machine's trouble: it is named (:mod:`orchestrator.resources.unreadable`), and the rest is read on.
Nothing is asked of a node that is off: every call to it would take twelve seconds and fail.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, TypeVar

from orchestrator.proxmox import (
    NotFound,
    ProxmoxError,
    TlsRefused,
    TokenRefused,
    Unreachable,
    VmSummary,
    check_privileges,
    read_cluster,
    read_container,
    read_pool_members,
    read_snapshots,
    read_vm,
    where_is,
)
from orchestrator.resources.backup import Archive
from orchestrator.resources.copies import COPY_TAG
from orchestrator.resources.desired import OWNER_TAG, RETIRED_TAG, pool_of
from orchestrator.resources.notes import Mark, UnreadableMark, parse_mark
from orchestrator.resources.oddity import oddity
from orchestrator.resources.ownership import (
    CLIENT_POOL,
    CLONING,
    claimed,
    client_of,
    other_number,
    sort_out,
    tags_of,
)
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState, VmConfig, VmSnapshot
    from orchestrator.proxmox.configuration_file import ConfigurationFile
    from orchestrator.resources.image import Template
    from orchestrator.resources.redundancy import ObservedRedundancy

T = TypeVar("T")
G = TypeVar("G")

READERS = 2
"""Requests for machines at a time: of the three that Proxmox serves (pvedaemon's workers), one stays for others."""

_LOOKS = 3
"""How often a machine is looked for that its node does not have: it may be migrated again meanwhile."""

_IP = re.compile(r"(?:^|,)ip=([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?:/[0-9]+)?(?:,|$)")
_NETWORK_DEVICE = re.compile(r"net[0-9]+")
_ABOUT_A_NODE = frozenset({595, 596, 597, 599})
"""Statuses by which one node says that another does not answer."""


@dataclass(frozen=True, kw_only=True)
class ObservedMachine:
    """A machine in a cluster with its configuration and, if it is ours, its mark.

    Attributes:
        snapshots: the oldest first; read where the plan needs them (:func:`observe`).
        archives: its backups, the oldest first; None if they were not read (:mod:`orchestrator.resources.holdings`).
        storage_types: Proxmox's type of each storage of the cluster.
        redundancy: what is configured beside it; None where it was not read, for there is none and shall be none
            (:func:`orchestrator.resources.redundancy.with_redundancy`).
    """

    site: str
    summary: VmSummary
    config: VmConfig
    mark: Mark | None
    snapshots: tuple[VmSnapshot, ...] = ()
    archives: tuple[Archive, ...] | None = None
    storage_types: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    redundancy: ObservedRedundancy | None = None

    @cached_property
    def address(self) -> IPv4Address | None:
        """The static IPv4 address that cloud-init gives it, or that it was taken over with; None if there is none."""
        return next(iter(self.addresses), None)

    @cached_property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """Every static IPv4 address that it is configured with, and the one that it was taken over with."""
        adopted = [IPv4Address(self.mark.adopted)] if self.mark and self.mark.adopted else []
        return (*addresses_in(self.config), *adopted)

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self.summary.status == "running"


@dataclass(frozen=True, kw_only=True)
class ObservedSite:
    """One cluster.

    Attributes:
        machines: ours (:mod:`orchestrator.resources.ownership`).
        strangers: everything else but templates and what is in ``unreadable``: shown, never touched.
        register: which machine has which address (name of the machine by address). Complete only after
            :func:`with_register`, because it costs a call for each stranger.
        adoptable: machines that are not ours and that a file wants to take over, by their VM id.
        templates: the templates of the machines that are to be made; None if they were not read
            (:func:`orchestrator.resources.image.with_templates`).
        unreadable: what could not be read. Nothing is concluded of it: not that it is there, nor that it is not.
        silent: nodes that nothing is asked of, for they are off or did not answer, with the reason.
    """

    site: str
    state: ClusterState
    machines: tuple[ObservedMachine, ...]
    strangers: tuple[VmSummary, ...]
    register: dict[IPv4Address, str]
    adoptable: Mapping[int, ObservedMachine] = field(default_factory=dict)
    templates: tuple[Template, ...] | None = None
    unreadable: tuple[Unreadable, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


def looks_ours(vm: VmSummary) -> bool:
    """Whether a VM bears our tag, or stands in a client's pool. That alone does not make it ours."""
    return OWNER_TAG in vm.tags or (vm.pool or "").startswith(CLIENT_POOL)


def addresses_in(config: VmConfig) -> list[IPv4Address]:
    """The static IPv4 addresses that cloud-init gives by a configuration. What is no address is nobody's.

    First those that were set last; then those that the running guest keeps until its next start.
    """
    names = [f"ipconfig{n}" for n in range(32)]
    texts = [value for name in names if (value := config.effective(name))]
    texts += [value for name in names if (value := config.current.get(name))]
    return list(dict.fromkeys(address for text in texts if (address := static_address(text))))


def addresses_of_container(config: VmConfig) -> list[IPv4Address]:
    """The static IPv4 addresses of a container, those that it gets at its next start as well."""
    texts = [
        value
        for values in (config.current, config.pending)
        for key, value in values.items()
        if _NETWORK_DEVICE.fullmatch(key)
    ]
    return [address for text in texts if (address := static_address(text))]


def static_address(text: str) -> IPv4Address | None:
    """The address in a value such as ``ip=203.0.113.10/24,gw=…``; None if there is none."""
    found = _IP.search(text)
    if found is None:
        return None
    try:
        return IPv4Address(found[1])
    except AddressValueError:
        return None


def addresses_unknown(site: ObservedSite) -> list[str]:
    """What has addresses that nobody knows, for people: as long as there is any, no address is surely free."""
    guests = [vm for vm in (*site.state.vms, *site.state.containers) if not vm.template]
    found = []
    for node in sorted(site.silent):
        count = sum(guest.node == node for guest in guests)
        if count:
            found.append(f"{count} machine{'s' if count > 1 else ''} on the node {node}")
    return found + [
        item.subject
        for item in site.unreadable
        if item.kind == "machine" and item.addresses is None and item.node not in site.silent
    ]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was found where a machine was looked for.

    Attributes:
        machine: with its mark, whatever that is worth; None if it could not be read, or not be understood.
        trouble: why nothing may be done to it; None if it is to be judged by its mark.
    """

    machine: ObservedMachine | None
    trouble: Unreadable | None = None


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads machines of one cluster; what they share stands here.

    Attributes:
        nodes: every node of the cluster.
        silent: nodes that are off, or did not answer when they were asked, and why. Nothing more is asked of them.
        files: configurations that were read from the nodes' files already, by VM id.
    """

    cluster: Cluster
    site: str
    storage_types: dict[str, str]
    nodes: frozenset[str]
    silent: dict[str, str]
    files: Mapping[int, ConfigurationFile] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, node: str, read: Callable[[], T]) -> T | str | None:
        """Read something of a machine: what was read; None if its node does not have it; a text that says why it
        cannot be read.

        Raises:
            ProxmoxError: the site does not answer, or does not know us: that is not the machine's trouble.
        """
        with self.guard:
            if node in self.silent:
                return self.silent[node]
        try:
            return read()
        except NotFound:  # removed since the list was read, or moved
            return None
        except Unreachable as error:
            if error.status not in _ABOUT_A_NODE:
                raise
            reason = f"its node {node} does not answer ({error.text}): bring it back, then run this again"
            with self.guard:
                return self.silent.setdefault(node, reason)
        except (TlsRefused, TokenRefused):
            raise
        except ProxmoxError as error:
            return str(error)

    def find(self, guest: VmSummary, read: Callable[[str], T]) -> tuple[VmSummary, T | str | None]:
        """Read something of a machine wherever it is by now: it may have been migrated since the list was read.

        That its node does not have it is no proof that it is gone: only the cluster's list says so.

        Returns:
            The machine with its node, and as :meth:`ask`; None only if the cluster does not list it any more.
        """
        for _ in range(_LOOKS):
            node = guest.node
            found = self.ask(node, lambda node=node: read(node))  # type: ignore[misc]
            if found is not None:
                return guest, found
            now = where_is(self.cluster, guest.vmid)
            if now is None:
                return guest, None
            if now == node or now not in self.nodes:
                break
            guest = replace(guest, node=now)
        return guest, (
            f"the cluster lists it, and its node {guest.node} does not have it (is it being migrated or removed?): run "
            "this again"
        )

    def each(self, read: Callable[[G], T | None], guests: Collection[G]) -> list[T]:
        """Do something for each of some guests, two at a time; what gives None is left out."""
        if not guests:
            return []
        with ThreadPoolExecutor(min(READERS, len(guests)), thread_name_prefix=f"read-{self.site}") as pool:
            return [found for found in pool.map(read, guests) if found is not None]

    def configuration(self, vm: VmSummary) -> tuple[VmSummary, VmConfig | str | None]:
        """The configuration of a VM, from the files if they tell it."""
        if known := self.files.get(vm.vmid):
            return vm, known.config
        return self.find(vm, lambda node: read_vm(self.cluster, node, vm.vmid, odd=True))

    def listed_snapshots(self, vm: VmSummary) -> tuple[VmSummary, tuple[VmSnapshot, ...] | str | None]:
        """The snapshots of a VM, from the files if they tell them."""
        if known := self.files.get(vm.vmid):
            return vm, known.snapshots
        return self.find(vm, lambda node: read_snapshots(self.cluster, node, vm.vmid))

    def read(self, summary: VmSummary, *, all_snapshots: bool) -> _Found | None:
        """Read a machine; None if it is gone."""
        summary, config = self.configuration(summary)
        if config is None:
            return None
        if isinstance(config, str):
            return _Found(machine=None, trouble=self.unread(summary, config))
        machine = ObservedMachine(
            site=self.site, summary=summary, config=config, mark=None, storage_types=self.storage_types
        )
        try:
            mark = parse_mark(config.effective("description") or "")
        except UnreadableMark as error:
            return _Found(machine=machine, trouble=self.damaged(machine, error))
        machine = replace(machine, mark=mark)
        if mark is None:
            return _Found(machine=machine)
        if why := oddity(config):
            reason = f"its configuration cannot be understood: {why}; correct it in Proxmox"
            return _Found(machine=None, trouble=claimed(machine, mark, reason))
        if summary.template or not (all_snapshots or "parent" in config.current):
            return _Found(machine=machine)
        summary, snapshots = self.listed_snapshots(summary)
        machine = replace(machine, summary=summary)
        if snapshots is None:
            return None
        if isinstance(snapshots, str):
            reason = f"its snapshots could not be read: {snapshots}"
            return _Found(machine=None, trouble=claimed(machine, mark, reason))
        return _Found(machine=replace(machine, snapshots=snapshots))

    def unread(self, summary: VmSummary, reason: str) -> Unreadable:
        """A machine of which only the cluster's list tells: pool and tags say whose it is, its name may say which."""
        named = summary.name != f"VM {summary.vmid}"
        return Unreadable(
            site=self.site,
            kind="machine",
            name=summary.name,
            node=summary.node,
            vmid=summary.vmid,
            reason=reason,
            client=client_of(summary),
            also=client_of(summary),
            machine=summary.name if named else None,
            guessed=named and RETIRED_TAG not in summary.tags,
        )

    def damaged(self, machine: ObservedMachine, error: UnreadableMark) -> Unreadable:
        """A machine whose mark cannot be read: its pool and tags count for more than what is left of the mark."""
        summary = machine.summary
        static = (*machine.addresses, *([error.address] if error.address else []))
        reason = (
            f"our mark in its notes cannot be read: {error}. Put its notes back as they were (its archives and "
            f"snapshots have earlier ones), or write `adopt: {summary.vmid}` to the machine in its file to have it "
            "marked anew"
        )
        trouble = replace(self.unread(summary, reason), addresses=static if static or error.whole else None)
        if error.client and error.machine:
            return replace(trouble, client=error.client, machine=error.machine, guessed=False)
        return trouble


def _reader(
    cluster: Cluster, state: ClusterState, silent: Mapping[str, str], vms: Collection[VmSummary]
) -> _Reader:
    types = {storage.name: storage.kind for storage in state.storages}
    nodes = frozenset(node.name for node in state.nodes)
    asked = [vm for vm in vms if vm.node not in silent]
    return _Reader(
        cluster=cluster,
        site=state.site,
        storage_types=types,
        nodes=nodes,
        silent=dict(silent),
        files=cluster.bulk_reader.for_machines(cluster, asked) if cluster.bulk_reader else {},
    )


def _off(state: ClusterState) -> dict[str, str]:
    """Nodes that the cluster says are off. One that is ``unknown`` only keeps its figures to itself, and is asked."""
    return {
        node.name: f"its node {node.name} is off: bring it back, then run this again"
        for node in state.nodes
        if node.off
    }


def observe(
    cluster: Cluster,
    site: str,
    *,
    names: Collection[str],
    client: str | None = None,
    all_snapshots: bool = False,
    adopting: Collection[int] = (),
) -> ObservedSite:
    """Read one cluster: three calls, one for each machine that is ours or bears a desired name, and one more for
    each that has snapshots.

    Args:
        cluster: the API.
        site: the site's name.
        names: names of the desired machines: an interrupted clone has its name before its tags.
        client: only this client's machines (all others count as strangers then); everybody's if None.
        adopting: VM ids of strangers that files want to take over.
        all_snapshots: list the snapshots of every machine, also of those whose configuration names no snapshot as
            its parent. Only a tree of snapshots whose current branch was deleted looks like that.

    Raises:
        ProxmoxError: the cluster cannot be read, or the token may not see everything (an absence could
            not be trusted then).
    """
    check_privileges(cluster)
    state = read_cluster(cluster)
    wanted = frozenset(names)

    def concerns(vm: VmSummary) -> bool:
        if vm.vmid in adopting or vm.name in wanted:
            return True
        return looks_ours(vm) and (client is None or pool_of(client) in (*vm.tags, vm.pool))

    candidates = [vm for vm in state.vms if concerns(vm)]
    reader = _reader(cluster, state, _off(state), candidates)
    read = reader.each(lambda vm: reader.read(vm, all_snapshots=all_snapshots), candidates)
    sound = [item.machine for item in read if item.machine and not item.trouble]
    ours, troubles = _judged(reader, sound, wanted)
    troubles += [item.trouble for item in read if item.trouble]
    troubles += _unlisted(reader, state)
    ours, troubles = _without_twins(ours, troubles)
    our_ids = {machine.summary.vmid for machine in ours}
    adoptable = {
        item.machine.summary.vmid: replace(item.machine, mark=None)
        for item in read
        if item.machine
        and _may_be_adopted(item.machine, adopting)
        and item.machine.summary.vmid not in our_ids
    }
    troubles = [item for item in troubles if item.vmid not in adoptable]
    strangers = [item.machine for item in read if item.machine and item.machine.summary.vmid not in adoptable]
    ids = our_ids | {item.vmid for item in troubles}
    return ObservedSite(
        site=site,
        state=state,
        machines=tuple(ours),
        strangers=tuple(vm for vm in state.vms if not vm.template and vm.vmid not in ids),
        register=_register([*ours, *adoptable.values(), *strangers], troubles),
        adoptable=adoptable,
        unreadable=(
            *_nodes(site, reader.silent),
            *_unlisted_places(state),
            *sorted(troubles, key=lambda item: item.vmid or 0),
        ),
        silent=reader.silent,
    )


def _judged(
    reader: _Reader, machines: Iterable[ObservedMachine], wanted: Collection[str]
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """Part machines that can be understood into ours and those that only look it; strangers are left out."""
    troubles: list[Unreadable] = []
    claims: list[ObservedMachine] = []
    for machine in machines:
        mark, summary = machine.mark, machine.summary
        if mark is None:
            if not summary.template and _bears_our_tags(machine):
                why = (
                    "it bears our tags, and its notes carry no mark of ours (were they overwritten?): put the notes "
                    f"back, write `adopt: {summary.vmid}` to the machine in its file to have it marked anew, or take "
                    "our tags off it"
                )
                troubles.append(replace(reader.unread(summary, why), addresses=machine.addresses))
        elif summary.template:
            troubles.append(claimed(machine, mark, _made_a_template(mark, summary)))
        else:
            found = _with_pool(reader, machine, mark)
            if isinstance(found, str):
                reason = f"whether it is in its client's pool could not be read: {found}"
                troubles.append(claimed(machine, mark, reason))
            else:
                claims.append(found)
    ours, others = sort_out(claims, wanted)
    return ours, troubles + others


def _bears_our_tags(machine: ObservedMachine) -> bool:
    tags = tags_of(machine.config)
    return COPY_TAG not in tags and any(tag == OWNER_TAG or tag.startswith(CLIENT_POOL) for tag in tags)


def _made_a_template(mark: Mark, summary: VmSummary) -> str:
    return (
        f"{mark.client}/{mark.machine} was made a template, which cannot be started: `qm clone {summary.vmid} NEWID "
        f"--full 1 --name {mark.machine}` on {summary.node} makes a machine of it again; write `adopt: NEWID` to the "
        "machine in its file, apply, and remove the template in the end"
    )


def _with_pool(reader: _Reader, machine: ObservedMachine, mark: Mark) -> ObservedMachine | str:
    """The machine with its pool. The cluster's list may lack that of a machine made seconds ago: then it is asked."""
    summary = machine.summary
    if summary.pool is not None or summary.lock in CLONING or other_number(mark, summary.vmid):
        return machine
    pool = pool_of(mark.client)
    try:
        members = read_pool_members(reader.cluster, pool)
    except NotFound:
        return machine
    except Unreachable:
        raise
    except ProxmoxError as error:
        return str(error)
    return replace(machine, summary=replace(summary, pool=pool)) if summary.vmid in members else machine


def _may_be_adopted(machine: ObservedMachine, adopting: Collection[int]) -> bool:
    summary = machine.summary
    return summary.vmid in adopting and not summary.template and oddity(machine.config) is None


def _unlisted(reader: _Reader, state: ClusterState) -> list[Unreadable]:
    """Machines of which the cluster's list tells too little.

    One on a silent node that a clone was making has no name, no pool and no tags yet: it may be anybody's. And an entry
    of the list that could not be read is a machine all the same.
    """
    unmade = [
        reader.unread(vm, f"it was being made, and {reader.silent[vm.node]}")
        for vm in state.vms
        if vm.node in reader.silent
        and vm.lock == "clone"
        and vm.name == f"VM {vm.vmid}"
        and not looks_ours(vm)
    ]
    bad = []
    for entry in state.bad_entries:
        if entry.kind != "machine":
            continue
        listed = VmSummary(
            vmid=entry.vmid or 0,
            name=entry.name,
            node=entry.node or "a node that cannot be read",
            status="unknown",
            template=False,
            tags=entry.tags,
            pool=entry.pool,
            lock=None,
            maxmem=0,
            maxcpu=0,
        )
        bad.append(replace(reader.unread(listed, entry.reason), vmid=entry.vmid, node=entry.node))
    return unmade + bad


def _without_twins(
    ours: Iterable[ObservedMachine], troubles: Iterable[Unreadable]
) -> tuple[list[ObservedMachine], list[Unreadable]]:
    """Say of what cannot be read whether the machine that it seems to be is ours.

    A mark of version 1 proves too little for that: if a VM that cannot be read bears the same name in the same
    client's pool, that one may be the original.
    """
    kept: list[ObservedMachine] = []
    found = list(troubles)
    unread = {(item.client, item.machine) for item in found if item.guessed and item.addresses is None}
    for machine in ours:
        mark = machine.mark
        if mark and mark.vmid is None and (mark.client, mark.machine) in unread:
            reason = (
                f"another VM seems to be {mark.client}/{mark.machine} as well and cannot be read now, and the notes of "
                "neither say which is the original: see that both can be read first"
            )
            found.append(claimed(machine, mark, reason))
        else:
            kept.append(machine)
    keys = {(machine.mark.client, machine.mark.machine) for machine in kept if machine.mark}
    return kept, [replace(item, copy=(item.client, item.machine) in keys) for item in found]


def _nodes(site: str, silent: Mapping[str, str]) -> list[Unreadable]:
    return [
        Unreadable(site=site, kind="node", name=node, reason=reason.replace(f"its node {node}", "it", 1))
        for node, reason in sorted(silent.items())
    ]


def _unlisted_places(state: ClusterState) -> list[Unreadable]:
    return [
        Unreadable(site=state.site, kind=entry.kind, name=entry.name, reason=entry.reason)
        for entry in state.bad_entries
        if entry.kind in ("node", "storage")
    ]


def with_register(cluster: Cluster, observed: ObservedSite) -> ObservedSite:
    """Read the addresses of the machines that are not ours too, and of containers: one call for each of them.

    What cannot be read joins :attr:`ObservedSite.unreadable`: its addresses are not known, so none is surely free
    (:func:`addresses_unknown`).

    Raises:
        ProxmoxError: the site does not answer.
    """
    reader = _reader(cluster, observed.state, observed.silent, observed.strangers)
    troubles: list[Unreadable] = []

    def look(guest: VmSummary, *, container: bool) -> tuple[str, list[IPv4Address]] | None:
        if container:
            guest, config = reader.find(guest, lambda node: read_container(cluster, node, guest.vmid))
        else:
            guest, config = reader.configuration(guest)
        if isinstance(config, str):
            if guest.node not in reader.silent:
                with reader.guard:
                    troubles.append(replace(reader.unread(guest, config), client=None, also=None))
            return None
        if config is None:
            return None
        kind = "container" if container else "VM"
        addresses = addresses_of_container(config) if container else addresses_in(config)
        return f"{guest.name} ({kind} {guest.vmid})", addresses

    guests = [
        *reader.each(lambda vm: look(vm, container=False), observed.strangers),
        *reader.each(lambda vm: look(vm, container=True), observed.state.containers),
    ]
    register = {address: name for name, found in guests for address in found}
    fresh = {node: reason for node, reason in reader.silent.items() if node not in observed.silent}
    return replace(
        observed,
        register={**register, **observed.register},
        unreadable=(
            *observed.unreadable,
            *_nodes(observed.site, fresh),
            *sorted(troubles, key=lambda item: item.vmid or 0),
        ),
        silent=reader.silent,
    )


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


def _register(
    machines: Iterable[ObservedMachine], unreadable: Iterable[Unreadable]
) -> dict[IPv4Address, str]:
    named = [
        *((f"{item.subject}, which could not be read,", item.addresses or ()) for item in unreadable),
        *((f"{item.summary.name} (VM {item.summary.vmid})", item.addresses) for item in machines),
    ]
    return {address: name for name, addresses in named for address in addresses}
