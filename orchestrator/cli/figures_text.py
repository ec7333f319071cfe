"""What a machine used, for people: lines with the least, the mean and the largest value, and a spark line."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.contract.calendar import paris_time
from orchestrator.reports.graph_words import figure
from orchestrator.reports.language import Speech
from orchestrator.reports.series import Graph, Line, MachineGraphs, condensed

_SPARKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 40
_GAP = " "
_MOST_GAPS = 20


def lines_of(graphs: MachineGraphs) -> list[str]:
    """The graphs in lines of 100 columns at most."""
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
