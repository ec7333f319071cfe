"""``orchestrator plan``: show what would change, and change nothing."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.operations.plan_request import PlanRequest

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan

RestartNow = Annotated[
    bool, typer.Option("--restart-now", help="Restart machines also outside their maintenance window.")
]
Order = Annotated[
    str | None,
    typer.Option(
        metavar="REFERENCE", help="The order or amendment that asks for more, fewer or larger machines."
    ),
]
Catalogue = Annotated[
    str | None,
    typer.Option(
        metavar="REFERENCE",
        help="The catalogue's reference that charged changes are billed by (article 3.8.4).",
    ),
]
Quote = Annotated[
    str | None,
    typer.Option(
        metavar="REFERENCE",
        help="The accepted quote of the file that covers charged changes (article 3.8.4).",
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="CLIENT/MACHINE=CLASS",
        help="Override the class of a machine's changes; recorded in the history. May be repeated.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RISK:WHERE", help="Allow exactly this risk above the safety limits. May be repeated."
    ),
]


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
    restart_now: RestartNow = False,
    guests: Annotated[
        bool,
        typer.Option(
            "--guests", help="Also inspect the machines by SSH: rules, keys and packages changed by hand."
        ),
    ] = False,
    order: Order = None,
    catalogue: Catalogue = None,
    quote: Quote = None,
    classes: Classes = None,
    allow: Allow = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the plan, for `apply --plan FILE`.")
    ] = None,
    upload: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="File the saved plan (--out) in the Interface, for a second person. Needs ORCHESTRATOR_TOKEN.",
        ),
    ] = None,
    author: Annotated[
        str, typer.Option(help="With --upload: who made the change, and cannot approve it.")
    ] = "",
    link: Annotated[str, typer.Option(metavar="URL", help="With --upload: the merge request.")] = "",
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
    """Show what would change. Changes nothing.

    Compares the files with what the hypervisors have, and shows every difference.
    """
    if upload and out is None:
        session.fail("--upload files a saved plan: save it with --out FILE as well")
    if upload and not author.strip():
        session.fail("--upload needs --author: who made the change, and so cannot approve it")
    if (author or link) and not upload:
        session.fail("--author and --link go with --upload: leave them out, or say where the plan is filed")
    request = PlanRequest(
        inventory=inventory,
        paths=tuple(paths or ()),
        only=only,
        restart_now=restart_now,
        guests=guests,
        order=order,
        catalogue=catalogue,
        quote=quote,
        classes=tuple(classes or ()),
        allow=tuple(allow or ()),
        history=history,
        save_to=out,
    )
    from orchestrator.cli.progress import EVENTS
    from orchestrator.operations import plan as operation  # not loaded for `--help`

    made = operation.plan(request, EVENTS)
    _print(made, format, show_unmanaged=show_unmanaged)
    if upload and out is not None and made.has_changes:
        _upload(out, upload, author, link)
    if made.has_errors:
        raise typer.Exit(1)
    if detailed_exitcode and made.has_changes:
        raise typer.Exit(2)


def _upload(plan: Path, url: str, author: str, link: str) -> None:
    from orchestrator.operations.plan_upload import Upload, upload_plan  # few plans are filed

    address = upload_plan(Upload(plan=plan, url=url, author=author, link=link))
    session.console(stderr=True).print(f"filed: {address}")


def _print(made: Plan, format: PlanFormat, *, show_unmanaged: bool) -> None:
    if format is PlanFormat.TEXT:
        print_plan(made, show_unmanaged=show_unmanaged)
        return
    # As what makes the plan, loaded while the sites answer.
    from orchestrator.planning.document import to_document
    from orchestrator.planning.review import render_html, render_markdown

    document = to_document(made)
    if format is PlanFormat.JSON:
        session.echo_json(document.model_dump_json(indent=2))
    else:
        session.echo(render_markdown(document) if format is PlanFormat.MARKDOWN else render_html(document))


def print_plan(plan: Plan, *, show_unmanaged: bool = False) -> None:
    """Print a plan for people."""
    from orchestrator.planning.text import render_plan  # loaded while the sites answer

    out = session.console()
    for line in render_plan(plan, show_unmanaged=show_unmanaged):
        out.print(line)
