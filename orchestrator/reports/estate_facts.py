"""What the estate consists of, from what was read: pure, the time is given."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.planning.machine import waits_for_start
from orchestrator.proxmox import parse_disk
from orchestrator.reports.estate import (
    LATE,
    Estate,
    EstateClient,
    EstateMachine,
    EstateSite,
    State,
)
from orchestrator.reports.estate_capacity import Promised, nodes_of, storages_of
from orchestrator.resources.attributes import memory_of, vcpus_of
from orchestrator.resources.machine_archives import newest_good
from orchestrator.resources.restart_hold import held_for, hold_of
from orchestrator.resources.unreadable import holding_up
from orchestrator.resources.without_file import without_file

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.notes import Mark, RestartNote, UpdateNote
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.survey import SitesRead
    from orchestrator.resources.unreadable import Unreadable
    from orchestrator.sites.model import Provider

Key = tuple[str, str]

_GIB = 1024**3
_MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the subscription files say.

    Attributes:
        desired: the machines of the files without errors.
        clients: of the files without errors, with their sites.
        faulty: clients whose files seem to have errors.
        everybody: whether the files are meant to be all there are: a folder of them was given.
    """

    desired: Mapping[Key, DesiredMachine]
    clients: Mapping[str, str]
    faulty: frozenset[str] = frozenset()
    everybody: bool = True

    def have(self, key: Key) -> bool | None:
        """Whether a file has a machine; None if a file may have it that was not given, or could not be used."""
        if key in self.desired:
            return True
        told = key[0] in self.clients or (self.everybody and key[0] not in self.faulty)
        return False if told else None


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the history knows of machines, by client and machine.

    Attributes:
        updates: how many packages are due, of those that a night has looked into.
        written: when the settings were written that wait for a restart (aware).
    """

    updates: Mapping[Key, int] = field(default_factory=dict)
    written: Mapping[Key, dt.datetime] = field(default_factory=dict)


def waiting_settings(read: SitesRead, now: dt.datetime) -> dict[Key, Mapping[str, str]]:
    """The settings that Proxmox keeps pending until machines start, by client and machine."""
    return {
        (mark.client, mark.machine): waiting
        for reading in read.readings.values()
        for machine in reading.observed.machines
        if (mark := machine.mark) and (waiting := waits_for_start(machine, mark, now))
    }


def estate_of(
    provider: Provider,
    files: Files | None,
    read: SitesRead,
    known: Known,
    now: dt.datetime,
    problems: Iterable[str] = (),
) -> Estate:
    """Put the estate together.

    Args:
        provider: the sites, all of them.
        files: what the files say; None if none were read.
        read: the sites that were read, with their archives.
        known: what the history knows.
        now: the time, aware.
        problems: what could not be read already.
    """
    made = _Making(files, known, now)
    for reading in read.readings.values():
        made.add_site(reading)
    made.add_missing(read)
    before = tuple(problems)
    missing = (
        without_file(
            {name: reading.observed.state for name, reading in read.readings.items()},
            tuple(files.desired.values()),
            everybody=files.everybody,
            others=files.faulty,
        )
        if files
        else ()
    )
    sites = [
        EstateSite(site=name, version=reading.observed.state.version)
        for name, reading in read.readings.items()
    ] + [EstateSite(site=name, problem=why) for name, why in read.failures.items()]
    return Estate(
        at=now,
        files=files is not None,
        sites=tuple(sorted(sites, key=lambda site: site.site)),
        nodes=tuple(nodes_of(read, made.rows, made.promised)),
        storages=tuple(storages_of(provider, read, made.promised)),
        clients=tuple(_clients(made.rows, files, now, whole=len(sites) == len(provider.sites))),
        machines=tuple(made.rows),
        without_file=missing,
        problems=(*before, *made.problems),
        incomplete=bool(before or read.failures) or made.incomplete,
    )


class _Making:
    """An estate while it is put together."""

    def __init__(
        self,
        files: Files | None,
        known: Known,
        now: dt.datetime,
    ) -> None:
        self.rows: list[EstateMachine] = []
        self.problems: list[str] = []
        self.incomplete = False
        self._files = files
        self._desired = files.desired if files else {}
        self._known = known
        self._now = now
        self._there: set[Key] = set()
        self.promised = Promised()

    def add_site(self, reading: SiteReading) -> None:
        """The machines of a site that are there."""
        observed = reading.observed
        shared = {storage.name for storage in observed.state.storages if storage.shared}
        for machine in observed.machines:
            if machine.mark is not None:
                self._add_machine(machine, machine.mark, shared, known=not reading.unread)
        vms = {vm.vmid: vm for vm in observed.state.vms}
        for item in observed.unreadable:
            if item.claims:
                self.problems.append(f"{item.subject}, {item.site}: {item.reason}")
                self.incomplete |= item.holds_up
            if item.kind == "machine" and item.client is not None and not item.copy:
                self._add_unreadable(item, vms.get(item.vmid or 0))
        self.problems += [
            f"backup storage {name}, {observed.site}: {why}" for name, why in reading.unread.items()
        ]
        self.problems += [f"{observed.site}: {text}" for text in reading.bad_archives]
        self.incomplete |= bool(reading.unread or reading.bad_archives)

    def add_missing(self, read: SitesRead) -> None:
        """The machines of the files that are not there."""
        for key, desired in self._desired.items():
            if key in self._there or desired.site not in {*read.readings, *read.failures}:
                continue
            state, why = self._whereabouts(desired, read)
            here = read.readings.get(desired.site)
            adopted = here.observed.adoptable.get(desired.adopt or 0) if here else None
            row = EstateMachine(
                client=key[0],
                machine=key[1],
                site=desired.site,
                node=adopted.summary.node if adopted else None,
                vmid=adopted.summary.vmid if adopted else None,
                contract=desired.contract,
                offer=str(desired.offer),
                state=state,
                in_file=True,
                vcpus=desired.file.vcpus,
                memory_mib=desired.file.memory,
                disk_gib=sum(size for _, size in desired.disks),
                backup_days=desired.backup_days,
                problem=why,
            )
            size = sum(size for _, size in desired.disks) * _GIB
            self._put(row, {} if adopted else {(desired.storage, ""): size})

    def _whereabouts(self, desired: DesiredMachine, read: SitesRead) -> tuple[State, str]:
        if desired.site in read.failures:
            return State.UNKNOWN, f"the site could not be read: {read.failures[desired.site]}"
        here = read.readings.get(desired.site)
        known = [name for client, name in self._desired if client == desired.client]
        items = here.observed.unreadable if here else ()
        found = holding_up(items, desired.client, desired.name, vmid=desired.adopt, known=known)
        return (State.UNREADABLE, f"{found.subject}: {found.reason}") if found else (State.MISSING, "")

    def _add_machine(
        self, machine: ObservedMachine, mark: Mark, shared: Collection[str], *, known: bool
    ) -> None:
        key = (mark.client, mark.machine)
        desired = self._desired.get(key)
        newest = newest_good(machine.archives or (), self._now)
        disks = _disks(machine, mark, desired, shared)
        waiting = waits_for_start(machine, mark, self._now)
        held = _hold(machine, mark, desired, waiting)
        row = EstateMachine(
            client=mark.client,
            machine=mark.machine,
            site=machine.site,
            node=machine.summary.node,
            vmid=machine.summary.vmid,
            contract=desired.contract if desired else mark.contract,
            offer=str(desired.offer) if desired else mark.offer,
            state=_state(machine, mark),
            running=machine.running,
            in_file=self._files.have(key) if self._files else None,
            vcpus=desired.file.vcpus if desired else 0 if mark.retired else vcpus_of(machine.config),
            memory_mib=desired.file.memory if desired else 0 if mark.retired else memory_of(machine.config),
            disk_gib=round(sum(disks.values()) / _GIB, 2),
            backup_days=desired.backup_days if desired else mark.backup_days,
            last_backup=newest.taken_at if newest else None,
            backups_known=known,
            tested=mark.tested,
            restart=() if waiting is None else tuple(waiting) or ("cloud-init",),
            restart_since=None if waiting is None else self._known.written.get(key, _due_since(mark)),
            updates_due=self._known.updates.get(key),
            held=held[1].reason if held else None,
            held_from=held[0] if held else None,
            held_since=held[1].since if held else None,
        )
        self._put(row, disks)

    def _add_unreadable(self, item: Unreadable, vm: VmSummary | None) -> None:
        client, name = key = item.client or "", item.machine or item.name
        desired = self._desired.get(key)
        row = EstateMachine(
            client=client,
            machine=name,
            site=item.site,
            node=item.node,
            vmid=item.vmid,
            contract=desired.contract if desired else "",
            offer=str(desired.offer) if desired else "",
            state=State.UNREADABLE,
            running=vm.on if vm else None,
            in_file=self._files.have(key) if self._files else None,
            vcpus=desired.file.vcpus if desired else vm.maxcpu if vm else 0,
            memory_mib=desired.file.memory if desired else vm.maxmem // _MIB if vm else 0,
            disk_gib=sum(size for _, size in desired.disks) if desired else 0.0,
            backup_days=desired.backup_days if desired else None,
            backups_known=False,
            problem=item.reason,
        )
        self._put(row, {})

    def _put(self, row: EstateMachine, disks: Mapping[tuple[str, str], int]) -> None:
        self._there.add((row.client, row.machine))
        self.rows.append(row)
        self.promised.add(row, disks)


def _state(machine: ObservedMachine, mark: Mark) -> State:
    if mark.retired:
        return State.RETIRED
    if not mark.ready:
        return State.UNFINISHED
    if mark.suspended:
        return State.SUSPENDED
    return State.RUNNING if machine.running else State.STOPPED


def _due_since(mark: Mark) -> dt.datetime | None:
    """When settings of cloud-init were last written that a running guest takes up at its next start."""
    return None if mark.restart_due is None else dt.datetime.fromtimestamp(mark.restart_due, dt.UTC)


def _hold(
    machine: ObservedMachine,
    mark: Mark,
    desired: DesiredMachine | None,
    waiting: Mapping[str, str] | None,
) -> tuple[Literal["updates", "restart"], UpdateNote | RestartNote] | None:
    """What a machine is held back from, before somebody has looked; None if it is not."""
    if mark.update and mark.update.state == "held":
        return "updates", mark.update
    if desired is not None:
        note = hold_of(desired, machine, mark, waiting)
    else:  # whether its file still asks for what was taken back is not known
        note = mark.restart if waiting is None else held_for(mark, waiting)
    return ("restart", note) if note and note.state == "held" else None


def _disks(
    machine: ObservedMachine, mark: Mark, desired: DesiredMachine | None, shared: Collection[str]
) -> dict[tuple[str, str], int]:
    """Bytes of its disks by storage, and by node where the storage is not shared: what its file says of each, if it
    does.
    """
    wanted = dict(desired.disks) if desired else {}
    found: dict[tuple[str, str], int] = defaultdict(int)

    def add(storage: str, size: int) -> None:
        found[storage, "" if storage in shared else machine.summary.node] += size

    for name, slot in mark.slots.items():
        if value := machine.config.effective(slot):
            drive = parse_disk(value)
            size = wanted.pop(name, 0) * _GIB
            add(drive.storage or "", size or drive.size_bytes)
    if desired:
        for size in wanted.values():
            add(desired.storage, size * _GIB)
    return found


def _clients(
    rows: Iterable[EstateMachine], files: Files | None, now: dt.datetime, *, whole: bool
) -> Iterator[EstateClient]:
    """Everybody who has machines, or a file if all sites were asked for, by name."""
    of_client: dict[str, list[EstateMachine]] = defaultdict(list)
    for row in rows:
        of_client[row.client].append(row)
    for client in files.clients.keys() | files.faulty if files and whole else ():
        of_client[client]  # a file without machines
    for client, own in sorted(of_client.items()):
        yield EstateClient(
            client=client,
            contracts=tuple(sorted({row.contract for row in own if row.contract})),
            file=_file_of(client, files),
            machines=len(own),
            running=sum(row.running is True for row in own),
            vcpus=sum(row.vcpus for row in own),
            memory_mib=sum(row.memory_mib for row in own),
            disk_gib=round(sum(row.disk_gib for row in own), 2),
            missing=sum(row.state is State.MISSING for row in own),
            restarts_due=sum(bool(row.restart) for row in own),
            updates_due=sum(bool(row.updates_due) for row in own),
            held=sum(row.held is not None for row in own),
            without_backup=sum(row.without_backup(now, LATE) for row in own),
        )


def _file_of(client: str, files: Files | None) -> Literal["yes", "errors", "none"] | None:
    if files is None:
        return None
    if client in files.faulty:
        return "errors"
    if client in files.clients:
        return "yes"
    return "none" if files.everybody else None
