"""A night at every site, or at some: what it would do, and doing it. It ends with a report, whatever happens."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.applying.site_lock import Held
from orchestrator.contract.calendar import PARIS, in_working_hours, night_of, paris_time, window_closes
from orchestrator.doctor.certificate import shake_hands
from orchestrator.errors import RequestRefused, told
from orchestrator.nightly.bare_rule import BareRule
from orchestrator.nightly.context import Night, Tell
from orchestrator.nightly.night_run import carry_out, plan_night
from orchestrator.nightly.result import NightReport
from orchestrator.operations.computer import home_path
from orchestrator.operations.inputs import open_sound_desired, ssh_settings
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider, site_of
from orchestrator.operations.names_seen import remember_readings
from orchestrator.operations.publishing import Outlets, publish
from orchestrator.operations.run import (
    SILENT,
    Events,
    Run,
    journal,
    open_clusters,
    open_history,
    open_run,
    run_name,
)
from orchestrator.progress import Progress
from orchestrator.subscriptions.glance import clients_named

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.guests import SshSettings
    from orchestrator.nightly.step import Work
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider

_HANDSHAKE_SECONDS = 10.0
_LONGEST_SLEEP = 30.0
"""Seconds: the clock may be set while a night waits to begin, the computer may have slept."""


@dataclass(frozen=True, kw_only=True)
class NightRequest:
    """What a night is asked for.

    Attributes:
        inventory: where the site file is.
        paths: subscription files or folders; the usual folder if there are none.
        sites: only these; all if there are none.
        at: when it begins, ``22:00`` or ``2026-11-23T22:00`` in Paris; None: now.
        in_working_hours: whether it may run Monday to Friday from 08:00 to 18:00 (article 3.5 says outside).
        boot_seconds: how long a restored machine may take to boot.
        history: a file or URL; None: the usual one.
        rules, procedures: files of alert rules and folders of procedures, as ``orchestrator alarms rules`` takes them.
            With neither, rules without a procedure are not listed.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    sites: tuple[str, ...] = ()
    at: str | None = None
    in_working_hours: bool = False
    boot_seconds: float = 600.0
    history: str | None = None
    rules: tuple[Path, ...] = ()
    procedures: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NightEnded:
    """How a night ended.

    Attributes:
        report: of all that was done, with what could not be written among its problems.
        interrupted: whether somebody asked for its end.
    """

    report: NightReport
    interrupted: bool


def preview(request: NightRequest, events: Events = SILENT) -> Work:
    """Read every site and decide what a night would do. Changes nothing.

    Raises:
        OrchestratorError: it cannot be decided: see the text.
    """
    asked = _Asked.of(request, events, at_any_time=True)
    with (
        open_clusters(asked.provider, only=asked.sites, notice=events.notice) as clusters,
        open_history(request.history) as history,
    ):
        steps = journal(history, f"night of {night_of(asked.begin)}", Progress(), clusters)
        work = plan_night(replace(asked.night(clusters, steps), clock=lambda: asked.begin), history)
    remember_readings(work.readings)
    return work


def run(
    request: NightRequest,
    outlets: Outlets,
    events: Events = SILENT,
    log: Callable[[], AbstractContextManager[Tell]] = lambda: nullcontext(_nothing),
    *,
    shares: bool = False,
) -> NightEnded:
    """Do a night's work, and publish its report. What a run that was killed has done is not done twice.

    Args:
        request: what it is asked for.
        outlets: where the report goes.
        events: who is told what.
        log: entered once the night has begun; gives what is told of every event of it.
        shares: whether somebody watches how much of each task is done: it costs a call at each look at one.

    Raises:
        OrchestratorError: the request cannot be fulfilled, or another night is at work: that one writes the report.
    """
    asked = _Asked.of(request, events)
    if request.at is not None:
        _wait_until(asked.begin)
    begun: Run | None = None
    tell: Tell = _nothing
    with ExitStack() as held:
        try:
            only, place = asked.sites, request.history
            begun = held.enter_context(
                open_run(asked.provider, "the night", only=only, history=place, events=events)
            )
            begun.locks.night()
            begun.begin()
            tell = _quietly(held.enter_context(log()))
            report = _carry_out(asked, begun, tell, shares=shares)
            if outlets.clients is not None and not begun.interrupted:
                report = _with_monthly_reports(report, asked, request, outlets, events)
        except Held:
            raise
        except Exception as error:
            report = _aborted(error, asked.sites)
            events.notice(report.problems[0])
        report = publish(report, outlets, tell, events.notice)
    return NightEnded(report=report, interrupted=begun is not None and begun.interrupted)


def _with_monthly_reports(
    report: NightReport, asked: _Asked, request: NightRequest, outlets: Outlets, events: Events
) -> NightReport:
    """Write last month's reports that are not there yet. One that fails is a problem of the night."""
    from orchestrator.operations.monthly_due import write_due_reports  # once a month, and slow to import

    assert outlets.clients is not None  # noqa: S101  (asked before)
    try:
        problems = write_due_reports(
            asked.provider,
            request.paths,
            outlets.clients,
            language=outlets.language,
            history=request.history,
            now=_now(),
            events=events,
        )
    except Exception as error:
        problems = [f"the monthly reports could not be written: {told(error)}"]
    return replace(report, problems=(*report.problems, *problems))


def _carry_out(asked: _Asked, begun: Run, tell: Tell, *, shares: bool) -> NightReport:
    steps = begun.journal(
        f"night of {night_of(_now())}",
        progress=_Told(tell, shares=shares),
    )
    night = replace(asked.night(begun.clusters, steps), tell=tell, changing=begun.locks.changing)
    work = plan_night(night, begun.history)
    remember_readings(work.readings)
    return carry_out(work)


def _nothing(*_: object, **__: object) -> None:
    """Where nobody listens."""


class _Told(Progress):
    """Each machine's steps, as events of the night.

    Args:
        shares: whether somebody watches how far a task is.
    """

    def __init__(self, tell: Tell, *, shares: bool) -> None:
        self._tell = tell
        self.wants_shares = shares

    def step(self, client: str, machine: str, what: str) -> None:
        self._tell("action", client=client, machine=machine, text=what)

    def share(self, client: str, machine: str, share: float) -> None:
        self._tell("share", client=client, machine=machine, percent=round(share * 100))


def _quietly(tell: Tell) -> Tell:
    """Tell of events as long as somebody can hear them: a log that is full or gone ends no night."""

    def quietly(event: str, **fields: Any) -> None:
        with suppress(OSError, ValueError):
            tell(event, **fields)

    return quietly


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A request, read."""

    provider: Provider
    sites: tuple[str, ...]
    begin: dt.datetime
    desired: tuple[DesiredMachine, ...]
    problems: tuple[str, ...]
    paths: tuple[Path, ...]
    ssh: SshSettings | None
    boot_seconds: float
    bare_rules: Callable[[], tuple[BareRule, ...]]

    @classmethod
    def of(cls, request: NightRequest, events: Events, *, at_any_time: bool = False) -> _Asked:
        provider = open_provider(request.inventory)
        for name in request.sites:
            site_of(provider, name)
        begin = _begin(request.at)
        if in_working_hours(begin) and not (request.in_working_hours or at_any_time):
            raise RequestRefused(
                f"{paris_time(begin, weekday=True)} is in working hours (Monday to Friday 08:00-18:00, French public "
                "holidays excepted): backups are made outside them (art. 3.5). Run it tonight, or give "
                "--in-working-hours"
            )
        desired, problems = _desired(request.paths, provider, events)
        return cls(
            provider=provider,
            sites=tuple(dict.fromkeys(request.sites)) or tuple(provider.sites),
            # A night that is started late closes as one that begins now: its own window may be over.
            begin=begin if at_any_time else max(begin, dt.datetime.now(PARIS)),
            desired=desired,
            ssh=_ssh(provider, desired, problems),
            problems=tuple(problems),
            paths=request.paths or (DEFAULT_FOLDER,),
            boot_seconds=request.boot_seconds,
            bare_rules=partial(_bare_rules, request.rules, request.procedures),
        )

    def night(self, clusters: Mapping[str, Cluster], steps: Journal) -> Night:
        """The night, as it begins now."""
        return Night(
            provider=self.provider,
            desired={machine.key: machine for machine in self.desired},
            clusters=clusters,
            journal=steps,
            clock=_now,
            wall_clock=_now,
            tell=_nothing,
            closes_at=window_closes(self.begin),
            file_problems=self.problems,
            everybody=any(path.is_dir() for path in self.paths),
            unusable_files=_named(self.paths) if self.problems else frozenset(),
            boot_seconds=self.boot_seconds,
            ssh=self.ssh,
            certificates=partial(_certificates, self.provider),
            bare_rules=self.bare_rules,
        )


def _certificates(provider: Provider, sites: Collection[str]) -> dict[str, dt.datetime]:
    """Until when the certificates of some sites' APIs are good: a handshake each. What is refused doctor explains."""
    found = {}
    for site in sites:
        api = provider.sites[site].api
        if api.verify_tls:
            shaken = shake_hands(api.url, api.ca_file, timeout_seconds=_HANDSHAKE_SECONDS)
            if shaken.expires is not None:
                found[site] = shaken.expires
    return found


def _bare_rules(files: tuple[Path, ...], folders: tuple[Path, ...]) -> tuple[BareRule, ...]:
    """The alert rules without a procedure; none where neither rules nor procedures of the provider are named."""
    if not files and not folders:
        return ()
    from orchestrator.alarms.procedures import without_procedure  # once a month
    from orchestrator.operations.alarms import rules

    return tuple(
        BareRule(rule=rule.name, severity=rule.severity, procedure=rule.procedure)
        for rule in without_procedure(rules(files, folders))
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _desired(
    paths: tuple[Path, ...], provider: Provider, events: Events
) -> tuple[tuple[DesiredMachine, ...], list[str]]:
    """What the sound files ask for, and what is wrong with the others.

    A folder that is not there, or cannot be read, takes nobody's backup away: machines are cared for as last applied.
    """
    chosen = paths or (DEFAULT_FOLDER,)
    problems = [
        f"{path} does not exist, so no file was read: machines are cared for as last applied"
        for path in chosen
        if not path.exists()
    ]
    there = [path for path in chosen if path.exists()]
    if not there:
        return (), problems
    try:
        desired, more = open_sound_desired(there, provider, events.problems)
    except (OSError, ValueError, RecursionError) as error:
        why = f"the files could not be read, machines are cared for as last applied: {told(error)}"
        return (), [*problems, why]
    return desired, [*problems, *more]


def _named(paths: tuple[Path, ...]) -> frozenset[str]:
    """The clients that files are about, also those that could not be used; none where that cannot be seen."""
    with suppress(OSError, ValueError, RecursionError):
        return clients_named([path for path in paths if path.exists()])
    return frozenset()


def _ssh(provider: Provider, desired: tuple[DesiredMachine, ...], problems: list[str]) -> SshSettings | None:
    """How guests are reached, if there are any to be looked into: those of managed services.

    A missing key is a problem of the night, and takes nobody's backup away.
    """
    if not any(machine.updates is not None for machine in desired):
        return None
    key = home_path(provider.management.ssh_private_key)
    if key.is_file():
        return ssh_settings(provider)
    problems.append(
        f"the provider's SSH key {key} does not exist, so no machine is inspected or updated: correct "
        "management.ssh_private_key in the site file"
    )
    return None


def _begin(at: str | None) -> dt.datetime:
    now = dt.datetime.now(PARIS)
    if at is None:
        return now
    if re.fullmatch(r"\d{1,2}:\d{2}", at):
        try:
            moment = dt.datetime.combine(now.date(), dt.time.fromisoformat(at.zfill(5)), PARIS)
        except ValueError:
            raise RequestRefused(f"--at {at} is not a valid time of day: write 22:00") from None
        return moment if moment >= now else moment + dt.timedelta(days=1)
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        raise RequestRefused(f"--at {at} is not a valid time: write 22:00, or 2026-11-23T22:00") from None
    return moment.astimezone(PARIS) if moment.tzinfo else moment.replace(tzinfo=PARIS)


def _wait_until(begin: dt.datetime) -> None:
    while (left := (begin - _now()).total_seconds()) > 0:
        time.sleep(min(left, _LONGEST_SLEEP))


def _aborted(error: Exception, sites: tuple[str, ...]) -> NightReport:
    """The report of a night that could not begin or was aborted."""
    now = _now()
    return NightReport(
        night=night_of(now),
        run=run_name(now),
        started_at=now,
        ended_at=now,
        sites=tuple(sorted(sites)),
        problems=(f"the night was aborted, so no backup may have been made: {told(error)}",),
    )
