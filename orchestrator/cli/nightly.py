"""``orchestrator nightly``: the night's work at every site, and its report."""

from __future__ import annotations

import datetime as dt
import re
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from orchestrator.cli import session
from orchestrator.counting import counted
from orchestrator.operations import computer, inputs
from orchestrator.operations import inventory as sites_file
from orchestrator.operations import run as running
from orchestrator.operations.run import Events

if TYPE_CHECKING:
    from orchestrator.guests import SshSettings
    from orchestrator.history import History
    from orchestrator.nightly.context import Tell
    from orchestrator.nightly.result import NightReport
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


_FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
FORMS: tuple[Literal["md", "html"], ...] = ("md", "html")


def nightly(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this site; may be repeated.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin at this time (22:00, or 2026-11-23T22:00, Europe/Paris)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the night would do now, or at --at; change nothing.")
    ] = False,
    in_working_hours: Annotated[
        bool,
        typer.Option(
            "--in-working-hours",
            help="Run also Monday to Friday from 08:00 to 18:00 (article 3.5 says outside).",
        ),
    ] = False,
    report_dir: Annotated[
        Path | None,
        typer.Option(help="Where the report goes, as Markdown and HTML.  [default: state directory]"),
    ] = None,
    client_reports: Annotated[
        Path | None,
        typer.Option(help="Also one report for each client, with nothing of others in it, into this folder."),
    ] = None,
    language: Annotated[session.Language, typer.Option(help="The report's language.")] = session.Language.FR,
    metrics_file: Annotated[
        Path | None, typer.Option(help="For Prometheus' node exporter: a .prom file in its textfile folder.")
    ] = None,
    ping_url: Annotated[
        str | None,
        typer.Option(
            envvar="ORCHESTRATOR_PING_URL",
            help="Dead man's switch: called when the night went well, /fail if not.",
        ),
    ] = None,
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a restored machine may take to boot.")
    ] = 600.0,
    history: session.HistoryPath = None,
) -> None:
    """Snapshots, backups, retention, restore tests, and a report. Start it again after a kill: nothing is done twice.

    Exit code 0: all went well; 1: something failed, or the night could not begin.
    """
    from orchestrator.applying.lock import Held
    from orchestrator.cli.night_events import events

    provider = sites_file.open_provider(inventory)
    sites = _sites(provider, site)
    begin = _begin(at)
    _check_hours(begin, allowed=in_working_hours or dry_run)
    desired, file_problems = _desired(paths, provider)
    if at is not None and not dry_run:
        _wait_until(begin)
    outlets = Outlets(
        folder=report_dir or computer.state_directory() / "reports",
        clients=client_reports,
        metrics=metrics_file,
        ping=ping_url,
        language=language.value,
    )
    tell: Tell = _nothing
    run: running.Run | None = None
    with ExitStack() as held:
        try:
            if not dry_run:
                run = held.enter_context(
                    running.open_run(
                        provider, "the night", only=sites, events=Events(notice=session.complain)
                    )
                )
                run.locks.night()
                run.begin()
            tell = held.enter_context(events())
            clusters = (
                run.clusters if run else held.enter_context(running.open_clusters(provider, only=sites))
            )
            opened = held.enter_context(_open_history(history))
            from orchestrator.contract.calendar import night_of, window_closes
            from orchestrator.nightly.context import Night, nobody_else
            from orchestrator.nightly.run import carry_out, plan_night

            started = begin if dry_run else dt.datetime.now(dt.UTC)
            ssh = _ssh(provider, desired, file_problems)
            night = Night(
                provider=provider,
                desired={machine.key: machine for machine in desired},
                clusters=clusters,
                journal=running.journal(
                    opened,
                    f"night of {night_of(started)}",
                    lambda client, machine, text: tell("action", client=client, machine=machine, text=text),
                    clusters,
                    run=run,
                ),
                clock=(lambda: started) if dry_run else _now,
                wall_clock=_now,
                tell=_quietly(tell),
                closes_at=window_closes(started),
                file_problems=tuple(file_problems),
                boot_seconds=boot_timeout,
                ssh=ssh,
                changing=run.locks.changing if run else nobody_else,
            )
            plan = plan_night(night, opened)
            if dry_run:
                from orchestrator.nightly.preview import render_night_plan

                for line in render_night_plan(plan, night.closes_at):
                    session.console().print(line)
                raise typer.Exit(1 if plan.problems else 0)
            report = carry_out(plan)
        except Held as error:  # that run writes the report
            session.fail(str(error))
        except Exception as error:
            if dry_run:
                if isinstance(error, typer.Exit):
                    raise
                session.fail(_why(error))
            report = _aborted(error, sites)
        well = _publish(report, outlets, tell)
    if run is not None:
        session.end_if(run.interrupted)
    if not well:
        raise typer.Exit(1)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _nothing(event: str, **fields: Any) -> None:
    """Where nobody listens yet."""


def _quietly(tell: Tell) -> Tell:
    """Tell of events as long as somebody can hear them: a log that is full or gone ends no night."""

    def told(event: str, **fields: Any) -> None:
        with suppress(OSError, ValueError):
            tell(event, **fields)

    return told


def _desired(paths: list[Path] | None, provider: Provider) -> tuple[tuple[DesiredMachine, ...], list[str]]:
    """What the sound files ask for, and what is wrong with the others.

    A folder that is not there, or cannot be read, takes nobody's backup away: machines are cared for as last applied.
    """
    missing = [path for path in paths or [sites_file.DEFAULT_FOLDER] if not path.exists()]
    told = [
        f"{path} does not exist, so no file was read: machines are cared for as last applied"
        for path in missing
    ]
    there = [path for path in paths or [sites_file.DEFAULT_FOLDER] if path.exists()]
    if not there:
        return (), told
    try:
        desired, problems = inputs.open_sound_desired(there, provider, session.tell_problems)
    except (OSError, ValueError, RecursionError) as error:
        return (), [
            *told,
            f"the files could not be read, machines are cared for as last applied: {_why(error)}",
        ]
    return desired, [*told, *problems]


def _open_history(path: str | None) -> History:
    """Open the history.

    Raises:
        HistoryUnavailable: it cannot be used.
    """
    from orchestrator.history import open_history

    return open_history(path or computer.state_directory() / "history.db")


def _why(error: BaseException) -> str:
    """Why a night could not go on, for people."""
    from orchestrator.applying.lock import LocksUnavailable
    from orchestrator.nightly.fence import reason

    if isinstance(error, typer.Exit):
        return "see the message of the run"
    return str(error) if isinstance(error, LocksUnavailable) else reason(error)


def _aborted(error: BaseException, sites: list[str]) -> NightReport:
    """The report of a night that could not begin or was aborted: a night ends with a report, whatever happens."""
    from orchestrator.contract.calendar import night_of
    from orchestrator.nightly.result import NightReport

    now = _now()
    why = f"the night was aborted, so no backup may have been made: {_why(error)}"
    session.complain(why, style="red")
    return NightReport(
        night=night_of(now),
        run=running.run_name(now),
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
    key = computer.home_path(provider.management.ssh_private_key)
    if key.is_file():
        return inputs.ssh_settings(provider)
    problems.append(
        f"the provider's SSH key {key} does not exist, so no machine is looked into or updated: correct "
        "management.ssh_private_key in the sites' file"
    )
    return None


def _sites(provider: Provider, chosen: list[str] | None) -> list[str]:
    unknown = [name for name in chosen or () if name not in provider.sites]
    if unknown:
        session.fail(f"there is no site {', '.join(unknown)}: the inventory has {', '.join(provider.sites)}")
    return list(dict.fromkeys(chosen)) if chosen else list(provider.sites)


def _begin(at: str | None) -> dt.datetime:
    from orchestrator.contract.calendar import PARIS

    now = dt.datetime.now(PARIS)
    if at is None:
        return now
    if re.fullmatch(r"\d{1,2}:\d{2}", at):
        try:
            moment = dt.datetime.combine(now.date(), dt.time.fromisoformat(at.zfill(5)), PARIS)
        except ValueError:
            session.fail(f"--at {at} is no time of day: write 22:00")
        return moment if moment >= now else moment + dt.timedelta(days=1)
    try:
        moment = dt.datetime.fromisoformat(at)
    except ValueError:
        session.fail(f"--at {at} is no time: write 22:00, or 2026-11-23T22:00")
    return moment.astimezone(PARIS) if moment.tzinfo else moment.replace(tzinfo=PARIS)


def _check_hours(begin: dt.datetime, *, allowed: bool) -> None:
    from orchestrator.contract.calendar import in_working_hours, paris_time

    if in_working_hours(begin) and not allowed:
        session.fail(
            f"{paris_time(begin, weekday=True)} is in working hours (Monday to Friday 08:00-18:00, French public "
            "holidays excepted): backups are made outside them (art. 3.5). Run it tonight, or give --in-working-hours"
        )


def _wait_until(begin: dt.datetime) -> None:
    while (left := (begin - dt.datetime.now(dt.UTC)).total_seconds()) > 0:
        time.sleep(
            min(left, 30.0)
        )  # short sleeps: the clock may be set meanwhile, the machine may have slept


@dataclass(frozen=True, kw_only=True)
class Outlets:
    """Where a night's result goes.

    Attributes:
        folder: the report, as Markdown and HTML.
        clients: a folder for one report a client; None: none are written.
        metrics: a file for Prometheus' node exporter; None: none is written.
        ping: the dead man's switch; None: none is called.
    """

    folder: Path
    clients: Path | None
    metrics: Path | None
    ping: str | None
    language: Literal["fr", "en"]


def _publish(report: NightReport, outlets: Outlets, tell: Tell) -> bool:
    """Write report and metrics, ping, and tell the summary. What cannot be written is told, and stops nothing else.

    Returns:
        Whether the night was well, and its report and metrics were written.
    """
    from orchestrator.nightly.due import BackupLine
    from orchestrator.nightly.metrics import write_metrics
    from orchestrator.reports.ping import ping

    name = f"night-{report.night}" + ("" if len(report.sites) != 1 else f"-{report.sites[0]}")
    problems = _write_client_reports(report, outlets, name) if outlets.clients is not None else []
    report = _with_problems(report, problems)
    if trouble := _write_report(report, outlets, name):
        problems.append(trouble)
        report = _with_problems(report, [trouble])
    else:
        _quietly(tell)("report-written", file=f"{outlets.folder / name}.html")
    if outlets.metrics is not None:
        try:
            write_metrics(report, outlets.metrics)
        except Exception as error:
            problems.append(f"the metrics could not be written: {_problem(error)}")
            report = _with_problems(report, problems[-1:])
    for problem in problems:
        session.complain(problem)
    if outlets.ping and (unsent := ping(outlets.ping, well=report.well)):
        session.complain(unsent)
    wanted = [line for line in report.of(BackupLine) if line.result != "not-created"]
    done = sum(line.made for line in wanted)
    failures = counted(report.failures, "failure")
    ending = "all went well" if report.well else f"{failures}: see the report"
    _quietly(tell)(
        "summary", text=f"night of {report.night}: {done} of {counted(len(wanted), 'backup')}, {ending}"
    )
    return report.well


def _with_problems(report: NightReport, problems: list[str]) -> NightReport:
    return replace(report, problems=(*report.problems, *problems))


def _problem(error: BaseException) -> str:
    return str(error) if isinstance(error, OSError) else _why(error)


def _write_report(report: NightReport, outlets: Outlets, name: str) -> str:
    """Write the provider's report. If it cannot be made of all that is known, it says so and tells the problems."""
    from orchestrator.nightly.report import render_night

    for form in FORMS:
        path = outlets.folder / f"{name}.{form}"
        try:
            try:
                text = render_night(report, form=form, language=outlets.language)
            except Exception as error:
                why = f"the whole report could not be made ({_problem(error)}): this is what is known of it"
                bare = replace(report, lines=(), problems=(why, *report.problems))
                computer.replace_file(path, render_night(bare, form=form, language=outlets.language))
                return why
            computer.replace_file(path, text)
        except Exception as error:
            return f"the report could not be written: {_problem(error)}"
    return ""


def _write_client_reports(report: NightReport, outlets: Outlets, name: str) -> list[str]:
    """Write one report for each client. One that cannot be written is a problem of its own."""
    from orchestrator.nightly.report import render_night

    assert outlets.clients is not None  # noqa: S101  (asked by the caller)
    problems = []
    for client in sorted(report.clients):
        for form in FORMS:
            path = outlets.clients / client / f"{name}.{form}"
            try:
                if not _FOLDER.fullmatch(client):
                    raise ValueError("this is not the name of a client")
                text = render_night(report, form=form, language=outlets.language, client=client)
                computer.replace_file(path, text)
            except Exception as error:
                problems.append(f"the report for the client {client} could not be written: {_problem(error)}")
                break
    return problems
