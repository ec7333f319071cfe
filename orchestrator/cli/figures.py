"""``orchestrator figures``: what a machine used over an hour, a day, a week, a month or a year."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files, Target
from orchestrator.shown import visible


class Timeframe(StrEnum):
    """How far back."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class FiguresFormat(StrEnum):
    """For people, for programs, or a picture."""

    TEXT = "text"
    JSON = "json"
    SVG = "svg"


def figures(
    target: Target,
    timeframe: Annotated[Timeframe, typer.Option(help="How far back.")] = Timeframe.DAY,
    largest: Annotated[
        bool, typer.Option("--max", help="The largest value of each interval instead of the average.")
    ] = False,
    format: Annotated[
        FiguresFormat, typer.Option(help="For people, for programs, or a picture.")
    ] = FiguresFormat.TEXT,
    language: Annotated[session.Language, typer.Option(help="Of the picture.")] = session.Language.FR,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write this file, whole or not at all, instead of printing."),
    ] = None,
    files: Files = None,
    wording: session.Wording = None,
    inventory: session.Inventory = None,
) -> None:
    """Show graphs of a machine: vCPU, RAM, disks, network.

    From what Proxmox measured; nothing else is stored. A time without data is a gap, and so is one when the machine was
    stopped, which is said. Machines of cloud-vm-essential have graphs only with managed services (article 3.3).
    """
    from orchestrator.cli.figures_text import lines_of  # neither for `--help` nor for a shell that completes
    from orchestrator.operations import figures as operation
    from orchestrator.operations.figures import FiguresRequest
    from orchestrator.reports.graph_svg import svg
    from orchestrator.reports.series import to_data

    session.use_wording(wording)
    request = FiguresRequest(
        target=target,
        inventory=inventory,
        files=tuple(files or ()),
        timeframe=timeframe.value,
        largest=largest,
    )
    found = operation.figures(request, EVENTS)
    if format is FiguresFormat.TEXT:
        lines = lines_of(found)
        if output is None:
            for line in lines:
                session.console().print(line)
            return
        text = "\n".join(map(visible, lines)) + "\n"
    elif format is FiguresFormat.JSON:
        text = json.dumps(to_data(found)) + "\n"
        if output is None:
            session.echo_json(text)
            return
    else:
        text = svg(found, language=language.value)
        if output is None:
            session.echo(text)
            return
    operation.write(text, output)
    session.console().print(f"{output} written")
