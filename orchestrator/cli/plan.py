"""``orchestrator plan``: show what would change, and change nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import session

RestartNow = Annotated[
    bool, typer.Option("--restart-now", help="Restart machines also outside their maintenance window.")
]


def plan(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    only: session.Only = None,
    restart_now: RestartNow = False,
    guests: Annotated[
        bool,
        typer.Option(
            "--guests", help="Also look into the machines by SSH: rules, keys and packages changed by hand."
        ),
    ] = False,
    show_unmanaged: Annotated[
        bool, typer.Option("--show-unmanaged", help="List the machines that are not ours.")
    ] = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 0: nothing to change, 2: changes, 1: error.")
    ] = False,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Compare the files with the hypervisors and show every difference. Changes nothing."""
    provider = session.open_provider(inventory)
    desired = session.open_desired(paths, provider)
    chosen = session.selection(only)
    session.check_selection(chosen, desired)
    with session.open_clusters(provider) as clusters:
        prepared = session.prepare(
            desired,
            clusters,
            chosen,
            restart_now=restart_now,
            look_inside=session.ssh_settings(provider) if guests else None,
        )
    if format is session.OutputFormat.JSON:
        from orchestrator.planning.document import to_document

        typer.echo(to_document(prepared.plan).model_dump_json(indent=2))
    else:
        session.print_plan(prepared.plan, show_unmanaged=show_unmanaged)
    if prepared.plan.has_errors:
        raise typer.Exit(1)
    if detailed_exitcode and prepared.plan.has_changes:
        raise typer.Exit(2)
