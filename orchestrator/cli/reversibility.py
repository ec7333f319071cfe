"""``orchestrator reversibility``: the plan that a client gets at the end of its contract (article 10)."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.nightly import Language

if TYPE_CHECKING:
    from ipaddress import IPv4Address


class DocumentFormat(StrEnum):
    """How a document for a client is written."""

    MARKDOWN = "markdown"
    HTML = "html"


def reversibility(
    client: Annotated[str, typer.Argument(help="Whose contract ends.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--files", help="Subscription files or folders.  [default: ./subscriptions]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where it goes.  [default: printed]")
    ] = None,
    language: Annotated[Language, typer.Option(help="The plan's language.")] = Language.FR,
    format: Annotated[DocumentFormat, typer.Option(help="How it is written.")] = DocumentFormat.MARKDOWN,
    inventory: session.Inventory = None,
) -> None:
    """Write the reversibility plan of a client whose contract ends: dates, machines, how to copy the data."""
    from orchestrator.contract.calendar import PARIS
    from orchestrator.reports.reversibility import NoReversibility, as_html, render_reversibility

    provider = session.open_provider(inventory)
    desired = session.open_desired(files, provider)
    chosen = session.selection(client)
    session.check_selection(chosen, desired)
    machines = [machine for machine in desired if machine.client == client]
    if not machines:
        session.fail(f"name one client, not {client!r}")
    addresses: dict[tuple[str, str], IPv4Address | None] = {}
    with session.open_clusters(provider, only={machine.site for machine in machines}) as clusters:
        from orchestrator.proxmox import ProxmoxError
        from orchestrator.resources.observed import observe

        for site, cluster in clusters.items():
            try:
                observed = observe(cluster, site, names=(), client=client)
            except ProxmoxError as error:
                session.fail(f"site {site}: {error}")
            addresses |= {
                (machine.mark.client, machine.mark.machine): machine.address
                for machine in observed.machines
                if machine.mark
            }
    tongue: Literal["fr", "en"] = "fr" if language is Language.FR else "en"
    try:
        text = render_reversibility(
            machines,
            addresses,
            dt.datetime.now(PARIS),
            language=tongue,
            managed_fully=not machines[0].direct_access,
        )
    except NoReversibility as error:
        session.fail(str(error))
    if format is DocumentFormat.HTML:
        text = as_html(text, tongue)
    if out is None:
        typer.echo(text)
        return
    try:
        session.replace_file(out, text)
    except OSError as error:
        session.fail(f"the plan cannot be written: {error}")
    session.console().print(f"{out} written", markup=False)
