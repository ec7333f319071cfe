"""``orchestrator figures``: what a machine used over an hour, a day, a week, a month or a year."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Files, Target
from orchestrator.shown import visible

if TYPE_CHECKING:
    from orchestrator.reports.series import Graph, Line, MachineGraphs

_SPARKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 40
_GAP = " "
_MOST_GAPS = 20


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
    session.use_wording(wording)
    from orchestrator.operations import figures as operation  # not for `--help`
    from orchestrator.operations.figures import FiguresRequest

    request = FiguresRequest(
        target=target,
        inventory=inventory,
        files=tuple(files or ()),
        timeframe=timeframe.value,
        largest=largest,
    )
    found = operation.figures(request, EVENTS)
    if format is FiguresFormat.TEXT:
        lines = _lines(found)
        if output is None:
            for line in lines:
                session.console().print(line)
            return
        text = "\n".join(map(visible, lines)) + "\n"
    elif format is FiguresFormat.JSON:
        from orchestrator.reports.series import to_data

        text = json.dumps(to_data(found)) + "\n"
        if output is None:
            session.echo_json(text)
            return
    else:
        from orchestrator.reports.graph_svg import svg

        text = svg(found, language=language.value)
        if output is None:
            session.echo(text)
            return
    operation.write(text, output)
    session.console().print(f"{output} written")


def _lines(graphs: MachineGraphs) -> list[str]:
    """The graphs in lines of 100 columns at most."""
    from orchestrator.contract.calendar import paris_time
    from orchestrator.reports.graph_words import figure
    from orchestrator.reports.language import Speech

    name = f"{graphs.client}/{graphs.machine}"
    if not graphs.slots:
        return [f"{name}: nothing was measured yet"]
    first, last = graphs.slots[0].start, graphs.slots[-1].end
    said = [f"{name}   {paris_time(first)} to {paris_time(last)}"]
    if graphs.consolidation == "MAX":
        said.append("the largest value of each interval")
    said.append(f"{'':12} {'min':>13} {'mean':>13} {'max':>13}")
    for graph in graphs.graphs:
        said += [_line(graphs, graph, line) for line in graph.lines]
        if graph.capacity and (share := graphs.share(graph, graph.lines[0])):
            values = (share.least, share.mean, share.most)
            cells = " ".join(f"{figure(value, 'percent', 'en'):>13}" for value in values)
            there = next(value for value in reversed(graph.capacity) if value is not None)
            said.append(f"{'':12} {cells}  of {figure(there, graph.unit, 'en')}")
    for disk in graphs.disks:
        allocated = f", takes {figure(disk.allocated, 'bytes', 'en')}" if disk.allocated is not None else ""
        said.append(f"disk {disk.name}: {figure(disk.size, 'bytes', 'en')}{allocated}")
    for gap in graphs.gaps[:_MOST_GAPS]:
        lasted = Speech("en").duration((gap.end - gap.start).total_seconds())
        said.append(f"{gap.reason}: {paris_time(gap.start)} to {paris_time(gap.end)} ({lasted})")
    if len(graphs.gaps) > _MOST_GAPS:
        said.append(f"and {len(graphs.gaps) - _MOST_GAPS} more gaps: --format json has them all")
    return said


def _line(graphs: MachineGraphs, graph: Graph, line: Line) -> str:
    from orchestrator.reports.graph_words import figure
    from orchestrator.reports.series import condensed

    label = _LABELS.get((graph.name, line.name), graph.name)
    found = graphs.statistics(line)
    if found is None:
        return f"{label:12} {'no data':>13}"
    cells = " ".join(
        f"{figure(value, graph.unit, 'en'):>13}" for value in (found.least, found.mean, found.most)
    )
    top = 100.0 if graph.unit == "percent" else max((value or 0.0 for value in graph.capacity), default=0.0)
    return f"{label:12} {cells}  {_spark(condensed(graphs.slots, line.values, _COLUMNS), top or found.most)}"


_LABELS = {
    ("vcpu", "used"): "vCPU",
    ("memory", "used"): "RAM",
    ("storage", "used"): "storage",
    ("disk", "read"): "disk read",
    ("disk", "written"): "disk write",
    ("network", "in"): "network in",
    ("network", "out"): "network out",
}


def _spark(values: Sequence[float | None], top: float) -> str:
    """A line of blocks; a gap is a blank."""
    most = len(_SPARKS) - 1
    return "".join(
        _GAP if value is None else _SPARKS[min(round(value / top * most), most) if top else 0]
        for value in values
    ).rstrip()
