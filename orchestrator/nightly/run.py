"""A whole night: reading, drift, snapshots, expiry, backups, retention, restore tests, storages, report, in this order,
and beside it from the backups on the look into the managed machines and their updates, each in its machine's window.

One failed machine never stops the night, nor does one failed step: a night ends with a report, whatever happens.
Everything is decided from what the hypervisors have, so a run that was killed is resumed by starting it again: what is
done is seen, and not done twice. Nothing is removed where the clocks disagree (:mod:`orchestrator.nightly.clocks`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.applying.freezing import Frozen
from orchestrator.applying.limits import Limits
from orchestrator.contract.calendar import night_of
from orchestrator.contract.retention import Verdict
from orchestrator.nightly import retention, snapshots
from orchestrator.nightly.backups import BackupRun
from orchestrator.nightly.beside import GuestWork
from orchestrator.nightly.drift import drift_lines
from orchestrator.nightly.due import BackupPlan, plan_backups
from orchestrator.nightly.endings import Endings
from orchestrator.nightly.fence import reason
from orchestrator.nightly.guests import GuestsSeen, drift_inside, guest_lines
from orchestrator.nightly.missing import (
    Whereabouts,
    missing_backups,
    missing_of_broken_files,
    uninspected,
    unread_machines,
)
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
from orchestrator.nightly.updates import UpdatePlan, plan_updates
from orchestrator.resources.backup import Archive, newest_good
from orchestrator.resources.change import Change
from orchestrator.resources.holdings import SiteReading, with_archives, without_archives
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.snapshot import expired
from orchestrator.resources.survey import Asked, SitesRead, observe_sites

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.unreadable import Unreadable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NightPlan:
    """What a night would do: shown by ``--dry-run``, carried out otherwise.

    Attributes:
        readings: the sites as they were read; read anew by the run, in their place.
        failures: the sites that could not be read, and why.
        backed_up: machines that the history knows a backup of.
        problems: what could not be read or decided, human-readable.
        due: machines with the snapshots declared for tonight.
        expiring: how many snapshots of ours have lived their seven days.
        over: archives whose days are over now, with what retention says; decided again after the backups.
        tests: the restore tests of tonight.
        updates: the machines whose automatic updates are tonight's.
    """

    started_at: dt.datetime
    readings: dict[str, SiteReading]
    failures: Mapping[str, str]
    backed_up: frozenset[tuple[str, str]]
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


def _told_nowhere_else(night: Night, item: Unreadable) -> bool:
    """Whether a machine that claims to be ours is in no file: of others the report tells why they have no backup."""
    if item.copy:
        return True
    clients = {client for client, _ in night.desired}
    return item.client in clients and (item.client, item.machine or "") not in night.desired


def plan_night(night: Night, history: History) -> NightPlan:
    """Read every site and decide what this night has to do. Changes nothing.

    What cannot be decided is a problem of the plan: the rest is decided all the same.
    """
    started = night.clock()
    problems = list(night.file_problems)

    def decided(name: str, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except Exception as error:
            problems.append(f"{name}: the step was aborted: {reason(error)}")
            return otherwise

    asked = Asked(
        desired=tuple(night.desired.values()),
        everybody=True,
        snapshots=True,
        archives=night.provider.backup_storage_names,
    )
    nothing = SitesRead(readings={}, failures=dict.fromkeys(night.clusters, "reading it was aborted"))
    read = decided("reading", lambda: observe_sites(night.clusters, asked), nothing)
    readings, failures = dict(read.readings), read.failures
    problems += [
        f"site {site} could not be read, nothing is done there: {why}"
        for site, why in sorted(failures.items())
    ]
    for site, reading in readings.items():
        if who := reading.observed.state.frozen:
            problems.append(f"{Frozen(site, who)}: this night changes nothing anywhere, and makes no backup")
        problems += [
            f"backup storage {storage} of {site} could not be listed: {why}"
            for storage, why in reading.unread.items()
        ]
        problems += [f"{site}: {told}" for told in reading.bad_archives]
        problems += [
            f"{item.kind} {item.name} of {site} could not be read: {item.reason}"
            for item in reading.observed.unreadable
            if item.kind != "machine"
        ]
        problems += [
            f"{item.subject} at {site} is not touched: {item.reason}"
            for item in reading.observed.unreadable
            if item.kind == "machine" and _told_nowhere_else(night, item)
        ]
    wall = night.wall_clock or night.clock
    problems += decided("clocks", lambda: night.clocks.compare_with_history(history, wall()), [])
    problems += decided("clocks", lambda: night.look_at_clocks(list(readings)), [])
    seconds: dict[tuple[str, str], float] = decided("history", lambda: history.last_seconds("backup"), {})
    going: list[tuple[tuple[str, str], Verdict[Archive]]] = []
    for reading in readings.values():
        going += decided("retention", partial(retention.over, night, reading), [])
    no_backups = BackupPlan(due={}, settled=(), slots={}, free={}, forecast=None)
    return NightPlan(
        started_at=started,
        readings=readings,
        failures=failures,
        backed_up=frozenset(seconds),
        drift=tuple(decided("drift", lambda: drift_lines(night, readings, failures, started, problems), [])),
        due=tuple(decided("snapshots", lambda: snapshots.due_snapshots(night, readings.values()), [])),
        expiring=tuple(decided("expiry", lambda: list(_expiring(night, readings.values(), started)), [])),
        backups=decided("backups", lambda: plan_backups(night, readings, seconds), no_backups),
        over=tuple(going),
        tests=tuple(decided("restore tests", lambda: choose_tests(night, readings, night_of(started)), [])),
        updates=decided("updates", lambda: plan_updates(night, readings), UpdatePlan()),
        problems=tuple(problems),
    )


def _expiring(
    night: Night, readings: Iterable[SiteReading], now: dt.datetime
) -> Iterable[tuple[ObservedMachine, str]]:
    for reading in readings:
        for machine in reading.observed.machines:
            if machine.mark and night.out_of_service(machine.mark.client, machine.mark):
                continue
            if night.clocks.objection(machine.site):
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
        beside = self._begin_guests()
        backing_up = self._back_up()
        self._step("reading archives", self._read_archives)
        self._look_at_clocks()
        removed: list[RetentionLine] = self._change(
            "retention", lambda: retention.carry_out(night, self._readings.values())
        )
        tests: list[RestoreTestLine] = self._change("restore tests", self._test)
        # The machines whose updates went on when their turn came: their guests hold up nothing but themselves.
        if backing_up is not None:
            self._step("backups after updates", backing_up.run_rest)
        seen, updates = self._end_guests(beside)
        self._look_at_clocks()
        # What came of age while the night ran goes with it: else it would live a day too long.
        lines += self._change("expiry", lambda: self._expire(limits, lines))
        self._step("reading archives", self._read_archives)
        storages: list[StorageLine] = self._step(
            "storages", lambda: storage_lines(night, self._readings, plan.night)
        )
        lines += self._step("snapshots", lambda: snapshots.foreign_snapshots(self._readings.values()))
        contracts: list[ContractLine] = self._change(
            "ends of contracts", lambda: Endings(night, self._history).carry_out(self._readings)
        )
        backups = backing_up.lines if backing_up is not None else []
        backups += self._step("missing backups", lambda: self._missing(backups))
        guests, delay = self._guests(seen, updates)
        found = seen if isinstance(seen, GuestsSeen) else GuestsSeen()
        inside = self._step("drift inside machines", lambda: drift_inside(found))
        machines = self._step("machines", lambda: list(self._machines()))
        foreign = self._step("foreign archives", lambda: retention.foreign(self._readings.values()))
        unbelieved = self._step("foreign archives", lambda: retention.unbelieved(self._readings.values()))
        self._problems += self._step(
            "machines", lambda: list(unread_machines(self._readings, [*backups, *guests]))
        )
        report = NightReport(
            night=plan.night,
            run=night.journal.run,
            started_at=plan.started_at,
            ended_at=night.clock(),
            sites=night.sites,
            forecast=forecast,
            problems=tuple(self._problems),
            drift=(*plan.drift, *inside),
            snapshots=tuple(lines),
            backups=tuple(backups),
            retention=tuple(removed),
            tests=tuple(tests),
            storages=tuple(storages),
            machines=tuple(machines),
            foreign=tuple(foreign),
            unbelieved=tuple(unbelieved),
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
            self._problems.append(f"{name}: the step was aborted: {reason(error)}")
            self._night.tell("step-failed", name=name, reason=reason(error))
            return []

    def _change(self, name: str, work: Callable[[], list[T]]) -> list[T]:
        """Run one step that changes something: none does while changes are stopped."""
        return [] if self._frozen else self._step(name, work)

    def _look_at_clocks(self) -> None:
        """Look at the clocks again before something is removed: hours have passed."""
        self._problems += self._step("clocks", lambda: self._night.look_at_clocks(list(self._readings)))

    def _back_up(self) -> BackupRun | None:
        """Make the backups that wait for no update; None while changes are stopped."""
        if self._frozen:
            return None
        run = BackupRun(self._night, self._plan.backups)
        self._step("backups", run.run)
        return run

    def _missing(self, told: list[BackupLine]) -> list[BackupLine]:
        """The machines that should have been backed up and of which no line tells."""
        where = self._whereabouts()
        why = "changes are stopped (frozen), so no backup was made" if self._frozen else ""
        missing = list(missing_backups(self._night, where, told, why=why))
        return [*missing, *missing_of_broken_files(self._night, self._readings, [*told, *missing])]

    def _whereabouts(self) -> Whereabouts:
        return Whereabouts(self._night, self._readings, self._plan.failures, self._plan.backed_up)

    def _begin_guests(self) -> GuestWork | None:
        """Let the look into the machines, and their updates, begin beside the other work."""
        night, updates = self._night, self._plan.updates
        if night.ssh is None:
            return None
        begun = self._step(
            "guests",
            lambda: [GuestWork(night, self._readings, updates, self._history, updating=not self._frozen)],
        )
        return begun[0] if begun else None

    def _end_guests(self, beside: GuestWork | None) -> tuple[GuestsSeen | str, list[UpdateLine]]:
        """Wait for what went on beside the backups, for a limited time."""
        if beside is None:
            return "the machines could not be reached by SSH: see the problems of the night", []
        ended = self._step("updates", lambda: [beside.results()])
        if not ended:
            return "the step was aborted", []
        seen, updates, problems = ended[0]
        self._problems += problems
        return seen, updates

    def _guests(
        self, seen: GuestsSeen | str, updates: list[UpdateLine]
    ) -> tuple[list[GuestLine], UpdateDelay | None]:
        found = seen if isinstance(seen, GuestsSeen) else GuestsSeen()
        told: list[tuple[list[GuestLine], UpdateDelay]] = []
        if found.machines:
            told = self._step(
                "guests in the morning", lambda: [guest_lines(self._night, found, updates, self._history)]
            )
        lines, delay = told[0] if told else ([], None)
        missing = self._step(
            "guests in the morning",
            lambda: list(
                uninspected(
                    self._night,
                    self._whereabouts(),
                    self._plan.updates.objections,
                    lines,
                    why=seen if isinstance(seen, str) else "",
                )
            ),
        )
        return [*lines, *missing], delay

    def _expire(self, limits: Limits, lines: list[SnapshotLine]) -> list[SnapshotLine]:
        done = {(line.client, line.machine, line.snapshot) for line in lines}
        return snapshots.expire(self._night, self._readings.values(), limits, done=done)

    def _read_archives(self) -> list[None]:
        """List the archives anew: one call a storage."""
        night = self._night
        for site in list(self._readings):
            known, bare = self._readings[site].unread, without_archives(self._readings[site].observed)
            # What was listed before goes before the new list comes: there may be tens of thousands.
            self._readings[site] = SiteReading(observed=bare, unread=known)
            storages = night.provider.backup_storage_names[site]
            try:
                fresh = with_archives(night.clusters[site], bare, storages, night.desired)
            except Exception as error:  # nothing of that site is known then, and nothing is removed there
                fresh = SiteReading(observed=bare, unread=dict.fromkeys(storages, reason(error)))
            self._readings[site] = fresh
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
        """Where every machine stands that has a backup, or should have, or has archives of an earlier time."""
        told = set()
        for reading in self._readings.values():
            for machine in reading.observed.machines:
                if (mark := machine.mark) is None:
                    continue
                told.add((mark.client, mark.machine))
                days, archives = self._night.backup_days(mark), machine.archives or ()
                if days is not None or archives:
                    yield self._machine_line(
                        mark.client, mark.machine, mark.contract, machine.site, days, archives, mark.tested
                    )
        for key, desired in sorted(self._night.desired.items()):
            if key in told or (reading_there := self._readings.get(desired.site)) is None:
                continue
            archives = reading_there.holdings.owned.get(key, ())
            if archives or (desired.backup_days is not None and key in self._plan.backed_up):
                yield self._machine_line(
                    *key, desired.contract, desired.site, desired.backup_days, archives, None
                )

    def _machine_line(
        self,
        client: str,
        machine: str,
        contract: str,
        site: str,
        days: int | None,
        archives: tuple[Archive, ...],
        tested: dt.date | None,
    ) -> MachineLine:
        good = newest_good(archives, self._night.clock())
        return MachineLine(
            client=client,
            machine=machine,
            contract=contract,
            site=site,
            retention_days=days,
            newest_good=good.taken_at if good else None,
            archives=len(archives),
            size=sum(archive.stored.size for archive in archives),
            tested_on=last_sound_test(archives, tested),
        )


def _seconds(report: NightReport) -> float:
    return round((report.ended_at - report.started_at).total_seconds(), 1)
