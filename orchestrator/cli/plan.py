"""``orchestrator plan``: show what would change, and change nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import planning, session

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan


class PlanFormat(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


def plan(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    only: session.Only = None,
    restart_now: planning.RestartNow = False,
    guests: Annotated[
        bool,
        typer.Option(
            "--guests", help="Also look into the machines by SSH: rules, keys and packages changed by hand."
        ),
    ] = False,
    quote: planning.Quote = None,
    classes: planning.Classes = None,
    allow: planning.Allow = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the plan, for `apply --plan FILE`.")
    ] = None,
    show_unmanaged: Annotated[
        bool, typer.Option("--show-unmanaged", help="List the machines that are not ours.")
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 0: nothing to change, 2: changes, 1: error.")
    ] = False,
    format: Annotated[
        PlanFormat, typer.Option(help="For people, for programs, or for merge requests.")
    ] = PlanFormat.TEXT,
    history: session.HistoryPath = None,
) -> None:
    """Compare the files with the hypervisors and show every difference. Changes nothing."""
    provider = session.open_provider(inventory)
    with (
        session.open_clusters(provider) as clusters,
        planning.reading_ahead(clusters, paths, only) as ahead,
    ):
        chosen = planning.options(
            paths,
            only=only,
            restart_now=restart_now,
            guests=guests,
            quote=quote,
            classes=classes,
            allow=allow,
        )
        asked = planning.request(provider, chosen)
        used = planning.used_changes(history, asked.desired)
        made = planning.prepare(asked, clusters, used, ahead).plan
    if out is not None:
        planning.save(out, chosen, provider, inventory or "", made)
    _print(made, format, show_unmanaged=show_unmanaged)
    if made.has_errors:
        raise typer.Exit(1)
    if detailed_exitcode and made.has_changes:
        raise typer.Exit(2)


def _print(made: Plan, format: PlanFormat, *, show_unmanaged: bool) -> None:
    if format is PlanFormat.TEXT:
        planning.print_plan(made, show_unmanaged=show_unmanaged)
        return
    from orchestrator.planning.document import to_document

    document = to_document(made)
    if format is PlanFormat.JSON:
        session.echo_json(document.model_dump_json(indent=2))
        return
    from orchestrator.planning.review import render_html, render_markdown

    session.echo(render_markdown(document) if format is PlanFormat.MARKDOWN else render_html(document))
