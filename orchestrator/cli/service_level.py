"""``orchestrator service-level``: what was promised, what was kept, and what is owed in a month (article 6)."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files
from orchestrator.contract.moments import read_moment


class LevelFormat(StrEnum):
    """The form of a service level."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"
    PDF = "pdf"


Month = Annotated[str, typer.Option(metavar="YEAR-MONTH", help="The calendar month, such as 2026-11.")]


def service_level(
    client: Annotated[str, typer.Argument(help="The client.")],
    month: Month,
    files: Files = None,
    format: Annotated[
        LevelFormat, typer.Option(help="For people, for programs, or for the client.")
    ] = LevelFormat.TEXT,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, whole or not at all, instead of printing."),
    ] = None,
    language: Annotated[session.Language, typer.Option(help="The client's language.")] = session.Language.FR,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Compute as at this time, Paris; what goes on counts up to it."),
    ] = None,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Show a client's service level of a month, with every outage.

    Each outage is shown with the part that counts and why the rest does not, and the credits of the month (article 6).
    A month that is not over is provisional. Changes nothing.
    """
    session.use_wording(wording)
    from orchestrator.operations import service_level as operation  # not for `--help`
    from orchestrator.operations.service_level import ServiceLevelRequest

    request = ServiceLevelRequest(
        client=client, month=month, inventory=inventory, files=tuple(files or ()), history=history
    )
    if format is LevelFormat.PDF and output is None:
        session.fail("a PDF is written to a file: name it with --output")
    found = operation.service_level_of(request, EVENTS, now=_moment(at))
    made = operation.rendered(found, format.value, language=language.value, output=output)
    if output is not None:
        session.console().print(f"{output} written")
    elif format is LevelFormat.JSON:
        session.echo_json(str(made))
    else:
        session.echo(str(made))


def _moment(at: str | None) -> dt.datetime | None:
    if at is None:
        return None
    try:
        return read_moment(at)
    except ValueError as error:
        session.fail(f"--at {at}: {error}")
