"""``orchestrator runner``: carries out what is asked for in the Interface."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.shared_options import Files


def runner(
    files: Files = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
    guests: Annotated[
        bool,
        typer.Option("--guests/--no-guests", help="Configure the guests, or only the hypervisor's part."),
    ] = True,
    once: Annotated[bool, typer.Option("--once", help="End as soon as no job waits.")] = False,
    job: Annotated[int | None, typer.Option(hidden=True)] = None,
    taken_by: Annotated[str, typer.Option(hidden=True)] = "",
    beside: Annotated[bool, typer.Option("--beside", hidden=True)] = False,
) -> None:
    """Carry out what is asked for in the Interface.

    These are approved plans, and plans that somebody asks for.

    `serve` starts one beside it. Run it by itself where the Interface's computer must not reach the sites, in the
    folder that plans are made in: saved plans name the clients' files as they were given.

    SIGTERM ends the job that runs in order, as Ctrl-C ends a command.
    """
    from orchestrator.runner import loop

    settings = loop.RunnerSettings(
        inventory=inventory, files=tuple(files or ()), history=history, leave_guests=not guests
    )
    if job is not None:
        loop.carry_out_taken(settings, job, taken_by)
    else:
        loop.run(settings, once=once, beside_another=beside)
