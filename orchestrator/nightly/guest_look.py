"""Looking into the managed machines at the beginning of a night: what is due there (articles 3.8.1 and 3.8.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.applying.looking import look_into_guests
from orchestrator.applying.machine_update import Updatable
from orchestrator.contract.calendar import working_hours_between
from orchestrator.counting import counted
from orchestrator.errors import Reason, told
from orchestrator.guests.alerts import FirewallAlerts, since_last
from orchestrator.guests.inside import SUPERVISION, InsideReading
from orchestrator.guests.packages import DueUpdates
from orchestrator.history.delays import SEEN, Delays, delays, due_details, first_seen
from orchestrator.history.details import same_as_recorded
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.update_round import UpdateLine

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading

_ALERTS = "firewall alerts"
"""The action under which a night records what a firewall counted."""

_LOOK_SECONDS = 2.75 * 3600.0
"""How long the look may take in all. The night waits a little longer for it: what was seen until then counts."""

DELAY_DAYS = 90
"""Over how many days the average delay of updates is told."""

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class GuestLine(LineOfMachine):
    """What was seen in one managed machine tonight.

    Attributes:
        automatic: whether its updates are installed automatically.
        security, others: updates that are due, after tonight's.
        staying: updates that stay away: held in the machine, excluded by the file, kept back.
        waiting_hours: working hours since the oldest of those due was first seen; None if none is known.
        held_since: since when it is held back from automatic updates; None if it is not.
        reboot: why it has to be restarted; None if it has not.
        dropped: packets that its firewall dropped since the last night; None if that could not be read.
        refused_ssh: new SSH connections that it refused since then, from addresses that may not.
        top: what was dropped most: how often in a sample, and who wanted what (``203.0.113.9 tcp 3389``).
        refused_out: outgoing packets that it refused since then; None where all may go out, or that is not known.
        top_out: as ``top``, where those were to go.
        problem: why it could not be looked at; empty if it was.
        stopped: it could not be looked at because somebody shut it down: told, and no failure.
        unsupervised: why it is not supervised although it should be; empty if it is, or that could not be seen.
    """

    automatic: bool
    security: int = 0
    others: int = 0
    staying: int = 0
    waiting_hours: float | None = None
    held_since: dt.datetime | None = None
    reboot: str | None = None
    dropped: int | None = None
    refused_ssh: int | None = None
    top: tuple[tuple[int, str], ...] = ()
    refused_out: int | None = None
    top_out: tuple[tuple[int, str], ...] = ()
    problem: str = ""
    stopped: bool = False
    unsupervised: str = ""

    @property
    def unseen(self) -> bool:
        """Whether it should have been looked at and could not be."""
        return bool(self.problem) and not self.stopped

    @property
    def failures(self) -> int:
        """How many things went wrong."""
        return self.unseen + bool(self.unsupervised)


@dataclass(frozen=True, kw_only=True)
class UpdateDelay(Line):
    """How long updates took in the last days (article 3.8.3: 72 working hours on average).

    Attributes:
        days: how many days are counted.
        packages: how many were installed.
        average_hours: working hours from publication, or from the client's request, over the updates that were
            installed and those that wait; None if there are none, or none whose beginning is known.
        updates: how many updates that were: what is installed in a machine in one go is one.
    """

    days: int
    packages: int
    average_hours: float | None
    updates: int = 0


@dataclass(frozen=True, kw_only=True)
class WaitingUpdate(LineOfMachine):
    """An update that was asked for, or published for a machine with automatic updates, and is not installed yet.

    Attributes:
        since: the client's request, or when a night saw it first.
        on_request: whether it is the client's request.
        hours: its age so far in working hours.
        over_at: when the contract's 72 working hours are over.
    """

    since: dt.datetime
    on_request: bool
    hours: float
    over_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class GuestsSeen:
    """What was seen in the managed machines.

    Attributes:
        machines: those that were inspected.
        inside: what was seen in each.
        alerts: what their firewalls dropped since the last night; none where that could not be read.
    """

    machines: tuple[Updatable, ...] = ()
    inside: Mapping[Key, InsideReading] = field(default_factory=dict)
    alerts: Mapping[Key, FirewallAlerts] = field(default_factory=dict)

    def of(self, key: Key) -> InsideReading:
        """What was seen in a machine."""
        return self.inside.get(key) or InsideReading(problem="not inspected")

    @property
    def due(self) -> dict[Key, DueUpdates | str]:
        """What is due in each machine, or why that could not be seen."""
        return {
            key: seen.due if seen.due is not None else seen.problem or "its packages could not be looked at"
            for key, seen in self.inside.items()
        }


def look(
    night: Night, readings: Mapping[str, SiteReading], machines: tuple[Updatable, ...], history: History
) -> GuestsSeen:
    """Look into the managed machines; record what is newly due, and what was dropped."""
    if night.ssh is None:
        return GuestsSeen()
    inside = look_into_guests(
        [machine.desired for machine in machines],
        {name: reading.observed for name, reading in readings.items()},
        night.ssh,
        refresh=True,
        run_seconds=_LOOK_SECONDS,
    )
    found = GuestsSeen(machines=machines, inside=inside)
    _record(history, night, machines, found.due)
    return replace(found, alerts=_alerts(history, night, found))


def _alerts(history: History, night: Night, found: GuestsSeen) -> dict[Key, FirewallAlerts]:
    """What came since the last night. The readings themselves are kept in the history, to be compared with."""
    known = history.latest_details(_ALERTS)
    new = {}
    for machine in found.machines:
        now = found.of(machine.key).alerts
        if now is None:
            continue
        try:
            before = FirewallAlerts.from_details(known[machine.key]) if machine.key in known else None
        except (ValueError, KeyError, TypeError):  # altered by somebody: nothing to compare with
            before = None
        new[machine.key] = alerts = since_last(now, before)
        out = "" if alerts.refused_out is None else f", {alerts.refused_out} outgoing ones refused"
        night.journal.record(
            *machine.key,
            machine.observed.site,
            _ALERTS,
            result="ok",
            message=f"{alerts.dropped} packets dropped since the last night{out}",
            seconds=0.0,
            details=now.to_data(),
        )
    return new


def _record(
    history: History, night: Night, machines: Iterable[Updatable], due: Mapping[Key, DueUpdates | str]
) -> None:
    """Note in the history what is due, where that has changed: since when an update waits is read from there."""
    latest = history.latest(SEEN)
    known, seen = {(entry.client, str(entry.machine)): entry.details for entry in latest}, first_seen(latest)
    for machine in machines:
        found = due.get(machine.key, "")
        if isinstance(found, str):
            continue
        versions = {package.name: package.new for package in found.ready}
        if not same_as_recorded(known.get(machine.key, '{"due": {}}'), "due", versions):
            night.journal.record(
                *machine.key,
                machine.observed.site,
                SEEN,
                result="ok",
                message=counted(len(versions), "package") if versions else "up to date",
                seconds=0.0,
                details=due_details(versions, machine.key, seen, night.clock()),
            )


def guest_lines(
    night: Night, seen: GuestsSeen, updates: Iterable[UpdateLine], history: History
) -> list[GuestLine | UpdateDelay | WaitingUpdate]:
    """Where every managed machine stands after the night's updates, the delay of the last days, and what waits."""
    now = night.clock()
    automatic = {
        machine.key
        for machine in night.desired.values()
        if machine.updates == "automatic"
        and machine.power == "running"
        and not night.out_of_service(machine.client)
    }
    measured = delays(history, now, days=DELAY_DAYS, automatic=automatic)
    ended = {(line.client, line.machine): line for line in updates}
    due = seen.due
    lines: list[GuestLine | UpdateDelay | WaitingUpdate] = []
    for machine in seen.machines:
        found = due.get(machine.key, "not inspected")
        try:
            line = _line(machine, found, ended.get(machine.key), measured, now)
        except Exception as error:  # one machine's odd answer takes no other's line away
            line = _bare(machine, told(error))
        line = replace(line, unsupervised=_unsupervised(machine, seen.of(machine.key)))
        lines.append(_with_alerts(line, seen.alerts.get(machine.key)))
    lines += [
        WaitingUpdate(
            client=item.client,
            machine=item.machine,
            site=desired.site,
            since=item.since,
            on_request=item.on_request,
            hours=item.hours,
            over_at=item.due,
        )
        for item in measured.waiting
        if (desired := night.desired.get((item.client, item.machine))) is not None
    ]
    delay = UpdateDelay(
        days=DELAY_DAYS,
        packages=measured.packages,
        average_hours=measured.average_hours,
        updates=len(measured.installed),
    )
    return [*lines, delay]


def _bare(machine: Updatable, problem: str) -> GuestLine:
    return GuestLine(
        client=machine.desired.client,
        machine=machine.desired.name,
        site=machine.observed.site,
        automatic=machine.desired.updates == "automatic",
        problem=problem,
    )


def _unsupervised(machine: Updatable, inside: InsideReading) -> Reason:
    """Why a machine that should be supervised is not; empty if it is, or need not be, or nobody could look."""
    if not machine.desired.supervised or inside.problem:
        return ""
    if not machine.mark.supervised:
        return "the node exporter was never installed in it: orchestrator apply brings it there"
    return "; ".join(inside.differs.get(SUPERVISION, ()))


def _with_alerts(line: GuestLine, alerts: FirewallAlerts | None) -> GuestLine:
    if alerts is None:
        return line
    return replace(
        line,
        dropped=alerts.dropped,
        refused_ssh=alerts.refused_ssh,
        top=alerts.top,
        refused_out=alerts.refused_out,
        top_out=alerts.top_out,
    )


def _line(
    machine: Updatable, due: DueUpdates | str, ended: UpdateLine | None, measured: Delays, now: dt.datetime
) -> GuestLine:
    line = GuestLine(
        client=machine.desired.client,
        machine=machine.desired.name,
        site=machine.observed.site,
        automatic=machine.desired.updates == "automatic",
        held_since=machine.held.since if machine.held else None,
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
