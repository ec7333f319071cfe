"""Looking into the managed machines at the beginning of a night: what is due there (articles 3.8.1 and 3.8.3)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.applying.update_candidates import candidates
from orchestrator.applying.updates import Updatable
from orchestrator.contract.calendar import working_hours_between
from orchestrator.guests.updates import DueUpdates, look_for_updates
from orchestrator.history.delays import SEEN, Delays, delays
from orchestrator.nightly.result import GuestLine, UpdateDelay, UpdateLine

if TYPE_CHECKING:
    from orchestrator.applying.vm import Vm
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

DELAY_DAYS = 90
"""Over how many days the average delay of updates is told."""

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class GuestsSeen:
    """What was seen in the managed machines.

    Attributes:
        machines: those that were looked into.
        due: what is due in each, or why that could not be seen.
    """

    machines: tuple[Updatable, ...] = ()
    due: Mapping[Key, DueUpdates | str] = field(default_factory=dict)


def look_into_guests(night: Night, readings: Mapping[str, SiteReading], history: History) -> GuestsSeen:
    """Look into every managed machine that runs and is in service; record what is newly due."""
    if night.ssh is None:
        return GuestsSeen()
    machines = managed(night, readings)
    due = look_for_updates([machine.target() for machine in machines], night.ssh)
    _record(history, night, machines, due)
    return GuestsSeen(machines=tuple(machines), due=due)


def managed(night: Night, readings: Mapping[str, SiteReading]) -> list[Updatable]:
    """The managed machines that run and are in service, held back or not."""
    sites = {name: reading.observed for name, reading in readings.items()}
    wanted = [
        machine
        for machine in night.desired.values()
        if machine.site in sites and machine.updates is not None and machine.power == "running"
    ]

    def vm(machine: ObservedMachine, mark: Mark) -> Vm:
        return night.vm(machine.site, mark.client, mark.machine, machine.summary)

    found, _ = candidates(wanted, sites, vm, may_reboot=lambda machine: False, released=True)
    return [machine for machine in found if machine.observed.running]


def _record(
    history: History,
    night: Night,
    machines: Iterable[Updatable],
    due: Mapping[Key, DueUpdates | str],
) -> None:
    """Note in the history what is due, where that has changed: since when an update waits is read from there."""
    known = history.latest_details(SEEN)
    for machine in machines:
        found = due[machine.key]
        if isinstance(found, str):
            continue
        versions = {package.name: package.new for package in found.ready}
        if json.loads(known.get(machine.key, '{"due": {}}')).get("due") != versions:
            night.journal.record(
                *machine.key,
                machine.vm.site,
                SEEN,
                result="ok",
                message=f"{len(versions)} packages" if versions else "up to date",
                seconds=0.0,
                details={"due": versions},
            )


def guest_lines(
    night: Night, seen: GuestsSeen, updates: Iterable[UpdateLine], history: History
) -> tuple[list[GuestLine], UpdateDelay]:
    """Where every managed machine stands after the night's updates, and the delay of the last days."""
    now = night.clock()
    measured = delays(history, now, days=DELAY_DAYS)
    ended = {(line.client, line.machine): line for line in updates}
    lines = [
        _line(machine, seen.due[machine.key], ended.get(machine.key), measured, now)
        for machine in seen.machines
    ]
    hours = measured.average_hours
    return lines, UpdateDelay(days=DELAY_DAYS, packages=len(measured.installed), average_hours=hours)


def _line(
    machine: Updatable,
    due: DueUpdates | str,
    ended: UpdateLine | None,
    measured: Delays,
    now: dt.datetime,
) -> GuestLine:
    note = machine.mark.update
    line = GuestLine(
        client=machine.desired.client,
        machine=machine.desired.name,
        site=machine.vm.site,
        automatic=machine.desired.updates == "automatic",
        held_since=note.since if note is not None and note.state == "held" else None,
    )
    if ended is not None and ended.result in ("rolled-back", "broken"):
        line = replace(line, held_since=now)
    if isinstance(due, str):
        return replace(line, problem=due)
    done = {package.name for package in ended.installed} if ended else set()
    ready = [package for package in due.ready if package.name not in done]
    since = [
        at
        for package in ready
        if (at := measured.seen.get((*machine.key, package.name, package.new))) is not None
    ]
    security = sum(package.security for package in ready)
    reboot = due.reboot if ended is None else ended.reboot
    return replace(
        line,
        security=security,
        others=len(ready) - security,
        staying=len(due.packages) - len(due.ready),
        waiting_hours=working_hours_between(min(since), now) if since else None,
        reboot=None if ended is not None and ended.restarted else reboot,
    )
