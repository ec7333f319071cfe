"""The night: its work at every site, and its report. Started again after a kill, it does nothing twice."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.applying.lock import Held
from orchestrator.contract.calendar import in_working_hours, night_of, paris_time, window_closes
from orchestrator.errors import RequestRefused, told
from orchestrator.guests import SshSettings
from orchestrator.nightly.context import Night, Tell, nobody_else
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.run import carry_out, plan_night
from orchestrator.operations.computer import home_path, state_directory
from orchestrator.operations.inputs import open_sound_desired, ssh_settings
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.night_reports import Outlets, publish
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
from orchestrator.proxmox import Cluster
from orchestrator.resources.desired import DesiredMachine
from orchestrator.sites.model import Provider

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.nightly.step import Work

Telling = Callable[[], AbstractContextManager[Tell]]
"""Entered when there is something to tell; gives what is called with every event."""


@dataclass(frozen=True, kw_only=True)
class NightRequest:
    """Which night.

    Attributes:
        inventory: where the sites' file is.
        paths: subscription files or folders.
        sites: only these; all if there are none.
        begin: when it begins (aware); None: now.
        in_working_hours: also in working hours (article 3.5 says outside).
        reports: a folder for the report; None: in the state directory.
        client_reports: a folder for one report per client; None: none are written.
        language: the reports'.
        metrics: a file for Prometheus' node exporter; None: none is written.
        ping: the address of a dead man's switch; None: none is called.
        boot_seconds: how long a restored machine may take to boot.
        history: a file or URL; None: the usual one.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    sites: tuple[str, ...] = ()
    begin: dt.datetime | None = None
    in_working_hours: bool = False
    reports: Path | None = None
    client_reports: Path | None = None
    language: Literal["fr", "en"] = "fr"
    metrics: Path | None = None
    ping: str | None = None
    boot_seconds: float = 600.0
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a night would do.

    Attributes:
        closes_at: when its window closes.
    """

    plan: Work
    closes_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class NightEnd:
    """How a night ended.

    Attributes:
        report: with what went wrong when it was written.
        interrupted: somebody asked for the end.
    """

    report: NightReport
    interrupted: bool


def preview(request: NightRequest, telling: Telling, events: Events = SILENT) -> Preview:
    """Say what a night would do that began now, or at the time that was asked for. Nothing is changed.

    Raises:
        OrchestratorError: that cannot be known.
    """
    provider = open_provider(request.inventory)
    sites = _sites(provider, request.sites)
    desired, problems = _desired(request.paths, provider, events)
    started = request.begin or _now()
    with (
        telling() as tell,
        open_clusters(provider, only=sites, notice=events.notice) as clusters,
        open_history(request.history) as history,
    ):
        planned = _night(request, provider, desired, problems, tell, clusters, history, started)
        return Preview(plan=plan_night(planned, history), closes_at=planned.closes_at)


def night(request: NightRequest, telling: Telling, events: Events = SILENT) -> NightEnd:
    """Do a night's work, and write its report: a night ends with a report, whatever happens.

    Args:
        request: which.
        telling: told of what is done, while it is.
        events: who is told what else.

    Raises:
        OrchestratorError: it was not begun: it is in working hours, another one is running, the sites' file is wrong.
    """
    provider = open_provider(request.inventory)
    sites = _sites(provider, request.sites)
    _check_hours(request.begin or _now(), allowed=request.in_working_hours)
    desired, problems = _desired(request.paths, provider, events)
    if request.begin is not None:
        _wait_until(request.begin)
    outlets = Outlets(
        folder=request.reports or state_directory() / "reports",
        clients=request.client_reports,
        metrics=request.metrics,
        ping=request.ping,
        language=request.language,
    )
    tell: Tell = _nothing
    with ExitStack() as held:
        run: Run | None = None
        try:
            opening = open_run(
                provider,
                "the night",
                only=sites,
                history=request.history,
                events=Events(notice=events.notice),
            )
            run = held.enter_context(opening)
            run.locks.night()
            run.begin()
            tell = _quietly(held.enter_context(telling()))
            begun = _night(request, provider, desired, problems, tell, run.clusters, run.history, None, run)
            report = carry_out(plan_night(begun, run.history))
        except Held:  # that run writes the report
            raise
        except Exception as error:
            report = _aborted(error, sites, events)
        report = publish(report, outlets, tell=tell, notice=events.notice)
        return NightEnd(report=report, interrupted=run is not None and run.interrupted)


def _night(
    request: NightRequest,
    provider: Provider,
    desired: tuple[DesiredMachine, ...],
    problems: list[str],
    tell: Tell,
    clusters: Mapping[str, Cluster],
    history: History,
    frozen_at: dt.datetime | None,
    run: Run | None = None,
) -> Night:
    """The night as its steps have it.

    Args:
        frozen_at: the moment that a preview is about; None: time passes.
    """
    started = frozen_at or _now()
    ssh = _ssh(provider, desired, problems)
    return Night(
        provider=provider,
        desired={machine.key: machine for machine in desired},
        clusters=dict(clusters),
        journal=journal(
            history,
            f"night of {night_of(started)}",
            lambda client, machine, text: tell("action", client=client, machine=machine, text=text),
            clusters,
            run=run,
        ),
        clock=(lambda: started) if frozen_at else _now,
        wall_clock=_now,
        tell=tell,
        closes_at=window_closes(started),
        file_problems=tuple(problems),
        boot_seconds=request.boot_seconds,
        ssh=ssh,
        changing=run.locks.changing if run else nobody_else,
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _nothing(event: str, **fields: Any) -> None:
    """Where nobody listens yet."""


def _quietly(tell: Tell) -> Tell:
    """Tell of events as long as somebody can hear them: a log that is full or gone ends no night."""

    def quietly(event: str, **fields: Any) -> None:
        with suppress(OSError, ValueError):
            tell(event, **fields)

    return quietly


def _desired(
    paths: tuple[Path, ...], provider: Provider, events: Events
) -> tuple[tuple[DesiredMachine, ...], list[str]]:
    """What the sound files ask for, and what is wrong with the others.

    A folder that is not there, or cannot be read, takes nobody's backup away: machines are cared for as last applied.
    """
    missing = [path for path in paths or (DEFAULT_FOLDER,) if not path.exists()]
    missed = [
        f"{path} does not exist, so no file was read: machines are cared for as last applied"
        for path in missing
    ]
    there = [path for path in paths or (DEFAULT_FOLDER,) if path.exists()]
    if not there:
        return (), missed
    try:
        desired, problems = open_sound_desired(there, provider, events.problems)
    except Exception as error:
        return (), [
            *missed,
            f"the files could not be read, machines are cared for as last applied: {told(error)}",
        ]
    return desired, [*missed, *problems]


def _aborted(error: BaseException, sites: list[str], events: Events) -> NightReport:
    """The report of a night that could not begin or was aborted: a night ends with a report, whatever happens."""
    now = _now()
    why = f"the night was aborted, so no backup may have been made: {told(error)}"
    events.notice(why)
    return NightReport(
        night=night_of(now),
        run=run_name(now),
        started_at=now,
        ended_at=now,
        sites=tuple(sorted(sites)),
        problems=(why,),
    )


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
        f"the provider's SSH key {key} does not exist, so no machine is looked into or updated: correct "
        "management.ssh_private_key in the sites' file"
    )
    return None


def _sites(provider: Provider, chosen: tuple[str, ...]) -> list[str]:
    unknown = [name for name in chosen if name not in provider.sites]
    if unknown:
        raise RequestRefused(
            f"there is no site {', '.join(unknown)}: the inventory has {', '.join(provider.sites)}"
        )
    return list(dict.fromkeys(chosen)) if chosen else list(provider.sites)


def _check_hours(begin: dt.datetime, *, allowed: bool) -> None:
    if in_working_hours(begin) and not allowed:
        raise RequestRefused(
            f"{paris_time(begin, weekday=True)} is in working hours (Monday to Friday 08:00-18:00, French public "
            "holidays excepted): backups are made outside them (art. 3.5). Run it tonight, or give --in-working-hours"
        )


def _wait_until(begin: dt.datetime) -> None:
    while (left := (begin - dt.datetime.now(dt.UTC)).total_seconds()) > 0:
        time.sleep(
            min(left, 30.0)
        )  # short sleeps: the clock may be set meanwhile, the machine may have slept
