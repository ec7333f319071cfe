"""A whole night: reading, drift, snapshots, expiry, backups, retention, restore tests, storages, report, in this order,
and beside it from the backups on the automatic updates, each in its machine's window.

One failed machine never stops the night, nor does one failed step. Everything is decided from what the hypervisors
have, so a run that was killed is resumed by starting it again: what is done is seen, and not done twice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.limits import Limits
from orchestrator.applying.lock import Held
from orchestrator.applying.vm import Stopped
from orchestrator.contract.calendar import night_of
from orchestrator.contract.retention import Verdict
from orchestrator.history import HistoryUnavailable
from orchestrator.nightly import retention, snapshots
from orchestrator.nightly.backups import BackupRun
from orchestrator.nightly.due import BackupPlan, plan_backups
from orchestrator.nightly.endings import Endings
from orchestrator.nightly.guests import GuestsSeen, drift_inside, guest_lines, look
from orchestrator.nightly.reading import read_sites
from orchestrator.nightly.restore_tests import Candidate, RestoreTests, choose_tests, last_sound_test
from orchestrator.nightly.result import (
    BackupLine,
    ContractLine,
    DriftLine,
    GuestLine,
    MachineLine,
    NightReport,
    RestoreTestLine,
    RetentionLine,
    SnapshotLine,
    StorageLine,
    UpdateDelay,
    UpdateLine,
)
from orchestrator.nightly.storages import storage_lines
from orchestrator.nightly.updates import UpdatePlan, UpdateRound, plan_updates
from orchestrator.planning.plan import SiteFailure, make_plan
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.backup import Archive, newest_good
from orchestrator.resources.change import Change, Kind
from orchestrator.resources.holdings import NOTHING, SiteReading, with_archives, without_archives
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.snapshot import expired

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NightPlan:
    """What a night would do: shown by ``--dry-run``, carried out otherwise.

    Attributes:
        readings: the sites as they were read; read anew by the run, in their place.
        problems: sites and storages that could not be read, in words.
        due: machines with the snapshots declared for tonight.
        expiring: how many snapshots of ours have lived their seven days.
        over: archives whose days are over now, with what retention says; decided again after the backups.
        tests: the restore tests of tonight.
        updates: the machines whose automatic updates are tonight's.
    """

    started_at: dt.datetime
    readings: dict[str, SiteReading]
    problems: tuple[str, ...]
    drift: tuple[DriftLine, ...]
    due: tuple[tuple[ObservedMachine, list[Change]], ...]
    expiring: tuple[tuple[ObservedMachine, str], ...]
    backups: BackupPlan
    over: tuple[tuple[tuple[str, str], Verdict[Archive]], ...]
    tests: tuple[Candidate, ...]
    updates: UpdatePlan

    @property
    def night(self) -> dt.date:
        """The night it belongs to."""
        return night_of(self.started_at)


def plan_night(night: Night, history: History) -> NightPlan:
    """Read every site and decide what this night has to do. Changes nothing."""
    started = night.clock()
    readings, failures = read_sites(night)
    problems = list(night.file_problems)
    problems += [
        f"site {site} could not be read, nothing is done there: {why}" for site, why in failures.items()
    ]
    for site, reading in readings.items():
        if who := reading.observed.state.frozen:
            problems.append(f"{Frozen(site, who)}: this night changes nothing anywhere, and makes no backup")
        problems += [
            f"backup storage {storage} of {site} could not be listed: {why}"
            for storage, why in reading.unread.items()
        ]
    return NightPlan(
        started_at=started,
        readings=readings,
        problems=tuple(problems),
        drift=tuple(_drift(night, readings, failures, started)),
        due=tuple(snapshots.due_snapshots(night, readings.values())),
        expiring=tuple(_expiring(night, readings.values(), started)),
        backups=plan_backups(night, readings, history.last_seconds("backup")),
        over=tuple(item for reading in readings.values() for item in retention.over(night, reading)),
        tests=tuple(choose_tests(night, readings, night_of(started))),
        updates=plan_updates(night, readings),
    )


def _drift(
    night: Night, readings: Mapping[str, SiteReading], failures: Mapping[str, str], now: dt.datetime
) -> Iterable[DriftLine]:
    here = [machine for machine in night.desired.values() if machine.site in readings]
    plan = make_plan(
        here,
        {site: reading.observed for site, reading in readings.items()},
        now,
        failures=[SiteFailure(site=site, reason=why) for site, why in failures.items()],
    )
    for machine in plan.machines:
        for change in machine.changes:
            if change.drift or change.kind in (Kind.NOTICE, Kind.REFUSED):
                yield DriftLine(
                    client=machine.client,
                    machine=machine.machine,
                    site=machine.site,
                    what=change.what,
                    before=change.before,
                    after=change.after,
                    why=change.why,
                )


def _expiring(
    night: Night, readings: Iterable[SiteReading], now: dt.datetime
) -> Iterable[tuple[ObservedMachine, str]]:
    for reading in readings:
        for machine in reading.observed.machines:
            if machine.mark and night.out_of_service(machine.mark.client, machine.mark):
                continue
            for item in expired(machine.snapshots, now):
                yield machine, item.snapshot.name


class NightRun:
    """Carrying a night's plan out."""

    def __init__(self, night: Night, plan: NightPlan, history: History) -> None:
        self._night = night
        self._plan = plan
        self._history = history
        self._readings = plan.readings
        self._problems = list(plan.problems)
        self._frozen = any(reading.observed.state.frozen for reading in plan.readings.values())

    def run(self) -> NightReport:
        """Do it all, and say what became of it."""
        night, plan = self._night, self._plan
        limits = Limits()
        forecast = plan.backups.forecast
        night.tell(
            "night-started",
            night=str(plan.night),
            sites=sorted(self._readings),
            backups=forecast.backups if forecast else 0,
            ends_at=forecast.ends_at.isoformat() if forecast else None,
            closes_at=night.closes_at.isoformat(),
            fits=forecast.fits if forecast else True,
        )
        lines: list[SnapshotLine] = []
        lines += self._change(
            "snapshots", lambda: snapshots.note_taken(night, self._readings.values(), limits)
        )
        lines += self._change("snapshots", lambda: snapshots.take_declared(night, list(plan.due), limits))
        lines += self._change("expiry", lambda: self._expire(limits, lines))
        seen = self._look_into_guests()
        updating = self._begin_updates(seen)
        backups: list[BackupLine] = self._change("backups", lambda: BackupRun(night, plan.backups).run())
        self._step("reading archives", self._read_archives)
        removed: list[RetentionLine] = self._change(
            "retention", lambda: retention.carry_out(night, self._readings.values())
        )
        tests: list[RestoreTestLine] = self._change("restore tests", self._test)
        updates: list[UpdateLine] = self._step("updates", updating)
        # What came of age while the night ran goes with it: else it would live a day too long.
        lines += self._change("expiry", lambda: self._expire(limits, lines))
        self._step("reading archives", self._read_archives)
        storages: list[StorageLine] = self._step(
            "storages", lambda: storage_lines(night, self._readings, plan.night)
        )
        lines += snapshots.foreign_snapshots(self._readings.values())
        contracts: list[ContractLine] = self._change(
            "ends of contracts", lambda: Endings(night, self._history).carry_out(self._readings)
        )
        guests, delay = self._guests(seen, updates)
        inside = self._step("drift inside machines", lambda: drift_inside(seen))
        report = NightReport(
            night=plan.night,
            run=night.journal.run,
            started_at=plan.started_at,
            ended_at=night.clock(),
            sites=tuple(sorted(night.clusters)),
            forecast=forecast,
            problems=tuple(self._problems),
            drift=(*plan.drift, *inside),
            snapshots=tuple(lines),
            backups=tuple(backups),
            retention=tuple(removed),
            tests=tuple(tests),
            storages=tuple(storages),
            machines=tuple(self._machines()),
            foreign=tuple(retention.foreign(self._readings.values())),
            updates=tuple(updates),
            guests=tuple(guests),
            delay=delay,
            contracts=tuple(contracts),
        )
        night.tell("night-ended", failures=report.failures, seconds=_seconds(report))
        return report

    def _step(self, name: str, work: Callable[[], list[T]]) -> list[T]:
        """Run one step. Whatever it stumbles over is reported, and the night goes on with the next one."""
        self._night.tell("step", name=name)
        try:
            return work()
        except Exception as error:
            why = str(error)
            if not isinstance(error, ProxmoxError | Stopped | HistoryUnavailable | Held):
                why = f"{type(error).__name__}: {error}: this is a mistake of the program, please report it"
            self._problems.append(f"{name}: the step broke off: {why}")
            self._night.tell("step-failed", name=name, reason=str(error))
            return []

    def _change(self, name: str, work: Callable[[], list[T]]) -> list[T]:
        """Run one step that changes something: none does while changes are stopped."""
        return [] if self._frozen else self._step(name, work)

    def _look_into_guests(self) -> GuestsSeen:
        seen = self._step(
            "guests", lambda: [look(self._night, self._readings, self._plan.updates.managed, self._history)]
        )
        return seen[0] if seen else GuestsSeen()

    def _guests(
        self, seen: GuestsSeen, updates: list[UpdateLine]
    ) -> tuple[list[GuestLine], UpdateDelay | None]:
        if not seen.machines:
            return [], None
        told = self._step(
            "guests in the morning", lambda: [guest_lines(self._night, seen, updates, self._history)]
        )
        return told[0] if told else ([], None)

    def _begin_updates(self, seen: GuestsSeen) -> Callable[[], list[UpdateLine]]:
        """Let the updates begin beside the other work. Return what waits for their end."""
        if (
            self._frozen
            or self._night.ssh is None
            or not (self._plan.updates.planned or self._plan.updates.held)
        ):
            return list
        return UpdateRound(self._night, self._plan.updates, self._night.ssh, seen.due).join

    def _expire(self, limits: Limits, lines: list[SnapshotLine]) -> list[SnapshotLine]:
        done = {(line.client, line.machine, line.snapshot) for line in lines}
        return snapshots.expire(self._night, self._readings.values(), limits, done=done)

    def _read_archives(self) -> list[None]:
        """List the archives anew: one call a storage."""
        night = self._night
        for site in list(self._readings):
            known, bare = self._readings[site].unread, without_archives(self._readings[site].observed)
            # What was listed before goes before the new list comes: there may be tens of thousands.
            self._readings[site] = SiteReading(observed=bare, holdings=NOTHING, unread=known)
            storages = [storage.name for storage in night.provider.sites[site].backup_storages]
            fresh = self._readings[site] = with_archives(night.clusters[site], bare, storages, night.desired)
            self._problems += [
                f"backup storage {storage} of {site} went away during the night: {why}"
                for storage, why in fresh.unread.items()
                if storage not in known
            ]
        return []

    def _test(self) -> list[RestoreTestLine]:
        tests = RestoreTests(self._night, self._readings)
        try:
            tests.remove_leftovers()
            tests.note_earlier()
            return tests.run(choose_tests(self._night, self._readings, self._plan.night))
        finally:
            self._problems += tests.problems

    def _machines(self) -> Iterable[MachineLine]:
        """Where every machine stands that has a backup, or archives of an earlier time."""
        for reading in self._readings.values():
            for machine in reading.observed.machines:
                mark, archives = machine.mark, machine.archives or ()
                days = self._night.backup_days(mark) if mark else None
                if mark is None or (days is None and not archives):
                    continue
                good = newest_good(archives)
                yield MachineLine(
                    client=mark.client,
                    machine=mark.machine,
                    contract=mark.contract,
                    site=machine.site,
                    retention_days=days,
                    newest_good=good.taken_at if good else None,
                    archives=len(archives),
                    size=sum(archive.stored.size for archive in archives),
                    tested_on=last_sound_test(archives, mark.tested),
                )


def _seconds(report: NightReport) -> float:
    return round((report.ended_at - report.started_at).total_seconds(), 1)
