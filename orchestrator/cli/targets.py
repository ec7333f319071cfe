"""``orchestrator targets``: the supervised machines, as Prometheus' file-based discovery reads them (article 3.8.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS


def targets(
    inventory: session.Inventory = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write this file, whole or not at all, instead of printing."),
    ] = None,
) -> None:
    """Print the supervised machines for Prometheus (file_sd).

    Each with its address and labels. A machine is listed from the apply that installed its node exporter until the one
    that disabled it, and while its file wants it to run. The alert rules in templates/prometheus expect the job name
    "machines". A machine that cannot be read now stays as the file of --output has it, and the exit code is 1.
    """
    from orchestrator.operations.supervised import supervised  # not for `--help`

    found = supervised(inventory, output, EVENTS)
    if output is None:
        session.echo_json(found.text)
    for item in found.unread:
        session.complain(f"{item.site}: {item.subject} could not be read: {item.reason}")
    if found.unread:
        raise typer.Exit(1)
