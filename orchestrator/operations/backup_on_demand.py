"""Backups of machines on demand (article 3.5): make one, list them, verify one by restoring it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.applying.archive_tasks import make_backup
from orchestrator.applying.clock import clock_of
from orchestrator.applying.stopped import Stopped
from orchestrator.contract.retention import Verdict
from orchestrator.errors import RequestRefused, about
from orchestrator.nightly.context import Night
from orchestrator.nightly.restore_testing import Candidate, RestoreTestLine, RestoreTests, last_sound_test
from orchestrator.operations.inputs import open_sound_desired, selection
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, find_machine, vm_of
from orchestrator.operations.names_seen import remember_readings
from orchestrator.operations.run import SILENT, Events, Run, open_clusters, open_run
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.holdings import SiteReading, with_archives
from orchestrator.resources.machine_archives import Archive, ArchiveMark, newest_good, verdicts
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, observe_sites
from orchestrator.resources.unreadable import Unreadable
from orchestrator.sites.model import Provider


def now(request: MachineRequest, events: Events = SILENT) -> tuple[Archive, ...]:
    """Back a machine up now, to the storage at another site with the most free room. A running guest goes on.

    Returns:
        The archive; two, if its backup has two copies.

    Raises:
        OrchestratorError: no archive was made, or the second copy was not.
    """
    provider = open_provider(request.inventory)
    with open_run(provider, "a backup", history=request.history, events=events) as run:
        run.locks.clients([request.client])
        found = find_machine(request.target, run.clusters)
        with about(request.target):
            days = found.mark.backup_days
            if days is None:
                raise RequestRefused(
                    "its backup is off; it is made on the client's request, machine by machine (art. 3.5): set backup "
                    "in its file and apply"
                )
            mark = ArchiveMark(
                client=found.mark.client, machine=found.mark.machine, contract=found.mark.contract, days=days
            )
            storages = _storages_for(found, provider)
            vm = vm_of(found, run, request.reason)
            run.begin()
            clock = clock_of(found.cluster, lambda: dt.datetime.now(dt.UTC))
            made: list[Archive] = []
            for storage in storages:
                try:
                    made.append(make_backup(vm, storage, mark, clock=clock))
                except (Stopped, ProxmoxError) as error:
                    if not made:
                        raise
                    raise Stopped(
                        f"{made[0].stored.volid} was made, its second copy on {storage} was not: {error}"
                    ) from error
            return tuple(made)


def _storages_for(found: Found, provider: Provider) -> list[str]:
    """Where a backup goes now: to the storage with the most free room that the machine's node reaches; its second copy
    to the one with the most room of the others at the same site (article 3.2).
    """
    there = {storage.name: storage.site for storage in provider.sites[found.machine.site].backup_storages}
    wanted = there
    if (copies := found.mark.backup_copies) > 1:
        sites = list(there.values())
        wanted = {name: site for name, site in there.items() if sites.count(site) > 1}
    reached = [
        storage
        for storage in found.site.state.storages
        if storage.name in wanted and storage.node == found.machine.summary.node and storage.usable
    ]
    if not reached:
        raise RequestRefused(
            f"no backup storage of {found.machine.site} can be used on {found.machine.summary.node}"
        )
    reached.sort(key=lambda storage: storage.disk - storage.maxdisk)
    names = [item.name for item in reached if there[item.name] == there[reached[0].name]]
    if len(names) < copies:
        raise RequestRefused(
            f"its backup has {copies} copies, and {found.machine.summary.node} reaches only {', '.join(names)} of the "
            "storages of that site: bring another one back (art. 3.2)"
        )
    return names[:copies]


@dataclass(frozen=True, kw_only=True)
class VerifyRequest(MachineRequest):
    """Which archive to test by restoring it.

    Attributes:
        volid: the archive; None: the newest good one.
        files: subscription files or folders, which may have a check; ./subscriptions if there are none and it is there.
        boot_seconds: how long the restored machine may take to boot.
        check_seconds: how long the check of its file may take in it, all its runs together.
    """

    volid: str | None = None
    files: tuple[Path, ...] = ()
    boot_seconds: float = 600.0
    check_seconds: float = 180.0


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How a restore test ended.

    Attributes:
        line: as the night reports it.
        problems: what else went wrong: a copy that could not be erased.
        interrupted: somebody asked for the end.
    """

    line: RestoreTestLine
    problems: tuple[str, ...]
    interrupted: bool

    @property
    def sound(self) -> bool:
        """Whether the archive restores and boots."""
        return self.line.result == "sound"


def verify(request: VerifyRequest, events: Events = SILENT) -> Verified:
    """Restore an archive into an unplugged copy, boot it, look at it, and erase the copy: a restore test now.

    Raises:
        OrchestratorError: it could not be begun.
    """
    provider = open_provider(request.inventory)
    desired = _checks(request, provider, events)
    with open_run(provider, "a restore test", history=request.history, events=events) as run:
        run.locks.clients([request.client])
        found = find_machine(request.target, run.clusters)
        reading = archives_at(found, provider)
        chosen = choose(request.target, found, reading, request.volid)
        candidate = Candidate(
            machine=found.machine,
            archive=chosen,
            tested_on=last_sound_test((chosen,), found.mark.tested),
        )
        tests = RestoreTests(_night(provider, run, request, desired), {found.machine.site: reading})
        run.begin()
        line = tests.test(candidate)
        return Verified(line=line, problems=tuple(tests.problems), interrupted=run.interrupted)


def _checks(request: VerifyRequest, provider: Provider, events: Events) -> tuple[DesiredMachine, ...]:
    """What the files without errors ask for: nothing where none were named, and there is no folder of files."""
    if not request.files and not DEFAULT_FOLDER.exists():
        return ()
    desired, _ = open_sound_desired(request.files, provider, events.problems)
    return desired


def _night(provider: Provider, run: Run, request: VerifyRequest, desired: Iterable[DesiredMachine]) -> Night:
    return Night(
        provider=provider,
        desired={machine.key: machine for machine in desired},
        clusters=run.clusters,
        journal=run.journal(request.reason),
        clock=lambda: dt.datetime.now(dt.UTC),
        tell=_nothing,
        closes_at=dt.datetime.now(dt.UTC) + dt.timedelta(days=2),
        boot_seconds=request.boot_seconds,
        check_seconds=request.check_seconds,
    )


def _nothing(event: str, **fields: Any) -> None:
    """The steps are shown by the journal already."""


def archives_at(found: Found, provider: Provider) -> SiteReading:
    """The archives at a machine's site, its own at least."""
    storages = provider.backup_storage_names[found.machine.site]
    return with_archives(found.cluster, found.site, storages, [(found.mark.client, found.mark.machine)])


def choose(target: str, found: Found, reading: SiteReading, volid: str | None) -> Archive:
    """The archive of a machine that was named, or its newest good one.

    Raises:
        RequestRefused: there is none.
    """
    archives = reading.holdings.owned.get((found.mark.client, found.mark.machine), ())
    unread = "".join(f"; {name} could not be listed: {why}" for name, why in reading.unread.items())
    if volid is None:
        newest = newest_good(archives, dt.datetime.now(dt.UTC))
        if newest is None:
            raise RequestRefused(f"{target} has no good archive{unread}")
        return newest
    named = next((archive for archive in archives if archive.stored.volid == volid), None)
    if named is None:
        raise RequestRefused(
            f"{target} has no archive {volid}: see `orchestrator backup list {target}`{unread}"
        )
    return named


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A machine's archives, judged.

    Attributes:
        days: the retention in force; None if its backup is off.
    """

    client: str
    machine: str
    site: str
    days: int | None
    verdicts: tuple[Verdict[Archive], ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(verdict.archive.stored.size for verdict in self.verdicts)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The archives at all sites.

    Attributes:
        kept: those of machines of ours, sorted.
        foreign: how many belong to nobody of ours.
        unread: what could not be read, and why.
    """

    kept: tuple[Kept, ...]
    foreign: int
    unread: tuple[str, ...]


def listed(target: str | None, inventory: str | None, events: Events = SILENT) -> Listed:
    """Every machine's archives at every site.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        inventory: where the site file is.
        events: who is told what.

    Raises:
        OrchestratorError: the site file cannot be used.
    """
    provider = open_provider(inventory)
    chosen = selection(target)
    kept: list[Kept] = []
    foreign = 0
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, Asked(selection=chosen, archives=provider.backup_storage_names))
    remember_readings(read.readings)
    unread = [f"{site}: {why}" for site, why in read.failures.items()]
    for site, reading in read.readings.items():
        # Nobody knows which archives are those of a machine that could not be read.
        unread += [
            f"{site}: {item.subject}: {item.reason}"
            for item in reading.observed.unreadable
            if _asked_for(item, chosen)
        ]
        unread += [f"{site}: {name}: {why}" for name, why in reading.unread.items()]
        foreign += len(reading.holdings.foreign)
        kept += [item for item in _judged(reading) if chosen.includes(item.client, item.machine)]
    kept.sort(key=lambda item: (item.client, item.machine))
    return Listed(kept=tuple(kept), foreign=foreign, unread=tuple(unread))


def _asked_for(item: Unreadable, chosen: Selection) -> bool:
    """Whether something that could not be read is, or may be, a machine whose archives are asked for."""
    if item.kind != "machine" or not item.holds_up:
        return False
    return chosen.client is None or chosen.includes(item.client or "", item.machine or chosen.machine or "")


def _judged(reading: SiteReading) -> Iterable[Kept]:
    moment = dt.datetime.now(dt.UTC)
    marks = {
        (machine.mark.client, machine.mark.machine): machine.mark
        for machine in reading.observed.machines
        if machine.mark
    }
    for (client, name), archives in reading.holdings.owned.items():
        if (mark := marks.get((client, name))) is None:
            continue  # another site claims to have it as well: it is among what could not be read
        days = mark.backup_days
        judged = verdicts(
            archives, moment, days=days, in_file=mark.retired is None, copies=mark.backup_copies
        )
        yield Kept(client=client, machine=name, site=reading.observed.site, days=days, verdicts=judged)
