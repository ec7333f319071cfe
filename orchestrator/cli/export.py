"""``orchestrator export``: a client's disks as qcow2 files with their checksums (article 10)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS


def export(
    target: Annotated[str, typer.Argument(metavar="CLIENT[/MACHINE]", help="Whose disks.")],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--files", help="Subscription files or folders.  [default: ./subscriptions]"),
    ] = None,
    quote: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            help="The accepted quote of the file (article 10).  [default: any that covers the machine]",
        ),
    ] = None,
    inventory: session.Inventory = None,
    reason: Annotated[str, typer.Option(help="Why: recorded in the history.")] = "export of disks on request",
    history: session.HistoryPath = None,
) -> None:
    """Copy the disks of stopped machines as qcow2 files.

    With SHA256SUMS beside them. Changes nothing in Proxmox. It connects to the nodes by SSH (node_access in the site
    file), for the API does not export disks. May be repeated.
    """
    from orchestrator.operations import export as operation  # not for `--help`
    from orchestrator.operations.export import ExportRequest

    request = ExportRequest(
        target=target,
        folder=to,
        inventory=inventory,
        files=tuple(files or ()),
        quote=quote,
        reason=reason,
        history=history,
    )
    out = session.console()
    ends = operation.export(
        request,
        lambda one: out.print(f"{one.client}/{one.machine} {one.disk}: {one.message}"),
        EVENTS,
    )
    if not all(one.done for one in ends):
        raise typer.Exit(1)
