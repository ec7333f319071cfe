"""``orchestrator report``: what a client receives on its month."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files


class ReportFormat(StrEnum):
    """The form of the report."""

    HTML = "html"
    PDF = "pdf"


def report(
    client: Annotated[str, typer.Argument(help="The client.")],
    month: Annotated[str, typer.Option(metavar="YEAR-MONTH", help="The calendar month, such as 2026-11.")],
    format: Annotated[ReportFormat, typer.Option(help="The report's format.")] = ReportFormat.HTML,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, whole or not at all, instead of printing."),
    ] = None,
    language: Annotated[session.Language, typer.Option(help="The client's language.")] = session.Language.FR,
    graphs: Annotated[
        bool, typer.Option(help="Ask the hypervisors for the machines' figures of the month.")
    ] = True,
    files: Files = None,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
    history: session.HistoryPath = None,
) -> None:
    """Write a client's monthly report (HTML, PDF).

    Service level, changes, updates, backups, snapshots, firewall, alarms with their actions, requests, next dates, and
    a graph per machine. Made twice from the same records it is the same but for its date. Changes nothing.
    """
    session.use_wording(wording)
    from orchestrator.operations import monthly_report as operation

    if format is ReportFormat.PDF and output is None:
        session.fail("a PDF is written to a file: name it with --output")
    request = operation.MonthlyRequest(
        client=client,
        month=month,
        inventory=inventory,
        files=tuple(files or ()),
        history=history,
        graphs=graphs,
    )
    found = operation.monthly_report(request, EVENTS)
    made = operation.rendered(found, _FORMS[format], language=language.value, output=output)
    if output is not None:
        session.console().print(f"{output} written")
    else:
        session.echo(str(made))


_FORMS: dict[ReportFormat, Literal["html", "pdf"]] = {ReportFormat.HTML: "html", ReportFormat.PDF: "pdf"}
