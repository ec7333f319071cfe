"""``orchestrator nightly``: the night's work at every site, and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import PROGRESS
from orchestrator.cli.shared_options import Procedures, Rules
from orchestrator.operations.computer import state_directory


def nightly(
    paths: session.Paths = None,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
    site: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this site; may be repeated.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Start at this time (22:00, or 2026-11-23T22:00, Europe/Paris)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done now, or at --at; change nothing.")
    ] = False,
    in_working_hours: Annotated[
        bool,
        typer.Option(
            "--in-working-hours",
            help="Also run Monday to Friday, 08:00 to 18:00 (article 3.5 asks for other hours).",
        ),
    ] = False,
    report_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for the report, in Markdown and HTML.  [default: state directory]"),
    ] = None,
    client_reports: Annotated[
        Path | None,
        typer.Option(help="Also write a report per client, without other clients' data, to this folder."),
    ] = None,
    language: Annotated[session.Language, typer.Option(help="The report's language.")] = session.Language.FR,
    metrics_file: Annotated[
        Path | None, typer.Option(help="A .prom file in the textfile folder of Prometheus' node exporter.")
    ] = None,
    ping_url: Annotated[
        str | None,
        typer.Option(
            envvar="ORCHESTRATOR_PING_URL",
            help="Dead man's switch: called on success, with /fail appended on failure.",
        ),
    ] = None,
    boot_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds that a restored machine may take to boot.")
    ] = 600.0,
    rules: Rules = None,
    procedures: Procedures = None,
    history: session.HistoryPath = None,
) -> None:
    """Run the nightly backups, updates, restore tests and report.

    It may be started again after it was killed: nothing is done twice.

    Exit code 0: everything succeeded; 1: something failed, or the nightly jobs could not start.
    """
    session.use_wording(wording)
    from orchestrator.operations import night as operation  # not for `--help`
    from orchestrator.operations.night import NightRequest

    request = NightRequest(
        inventory=inventory,
        paths=tuple(paths or ()),
        sites=tuple(site or ()),
        at=at,
        in_working_hours=in_working_hours,
        boot_seconds=boot_timeout,
        history=history,
        rules=tuple(rules or ()),
        procedures=tuple(procedures or ()),
    )
    if dry_run:
        from orchestrator.nightly.preview import render_night_plan

        work = operation.preview(request, PROGRESS)
        for line in render_night_plan(work):
            session.console().print(line)
        raise typer.Exit(1 if work.problems else 0)
    from orchestrator.cli.night_events import events
    from orchestrator.operations.publishing import Outlets

    outlets = Outlets(
        folder=report_dir or state_directory() / "reports",
        clients=client_reports,
        metrics=metrics_file,
        ping=ping_url,
        language=language.value,
    )
    ended = operation.run(request, outlets, PROGRESS, events, shares=session.console().is_terminal)
    session.end_if(ended.interrupted)
    if not ended.report.well:
        raise typer.Exit(1)
