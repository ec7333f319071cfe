"""From what a hypervisor measured to the graphs of articles 3.2 and 3.8.1: vCPU, RAM, storage and network. Pure.

What was not measured is a gap, never 0. A machine that was stopped is a gap that says so. A rate whose counter fell has
no value there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.contract.calendar import PARIS
from orchestrator.proxmox.measurements import Timeframe

if TYPE_CHECKING:
    from orchestrator.proxmox.measurements import Consolidation, Measurement

State = Literal["measured", "stopped", "no data"]
GraphName = Literal["vcpu", "memory", "storage", "disk", "network"]
LineName = Literal["used", "read", "written", "in", "out"]
Unit = Literal["percent", "bytes", "bytes_per_second", "bits_per_second"]

SECONDS: dict[Timeframe, int] = {
    "hour": 3600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 360 * 86_400,
}
"""How far back a timeframe goes, at least."""

_LONGEST_STEP: dict[Timeframe, int] = {
    "hour": 60,
    "day": 1800,
    "week": 10_800,
    "month": 43_200,
    "year": 604_800,
}
"""Seconds between two rows at most, on 8.x; 9.x has finer ones. What is further apart has rows missing."""

_FINEST_STEP = 60


@dataclass(frozen=True, kw_only=True)
class Slot:
    """An interval of the graphs, half-open, in UTC."""

    start: dt.datetime
    end: dt.datetime
    state: State

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A time of which there are no figures, half-open, in UTC, and why."""

    start: dt.datetime
    end: dt.datetime
    reason: Literal["stopped", "no data"]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """The smallest, the mean (by time) and the largest value of a line."""

    least: float
    mean: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a graph.

    Attributes:
        values: one of each slot; None: not known.
    """

    name: LineName
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What is drawn in one frame.

    Attributes:
        lines: one or two.
        capacity: what there is in each slot, where the lines say how much of it is used; empty: no such thing.
    """

    name: GraphName
    unit: Unit
    lines: tuple[Line, ...]
    capacity: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DiskSize:
    """A disk as the hypervisor knows it.

    Attributes:
        size: bytes.
        allocated: bytes that it takes on its storage; None where the storage does not tell. What its file systems hold
            is known inside the machine alone.
    """

    name: str
    size: int
    allocated: int | None


@dataclass(frozen=True, kw_only=True)
class MachineGraphs:
    """The graphs of a machine over a time.

    Attributes:
        consolidation: the average of each slot, or the largest value in it.
        slots: the oldest first, without a hole between them; none if nothing was ever measured.
        disks: as they are now; empty where nobody asked for them.
    """

    client: str
    machine: str
    timeframe: Timeframe
    consolidation: Consolidation
    slots: tuple[Slot, ...]
    graphs: tuple[Graph, ...]
    disks: tuple[DiskSize, ...] = ()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The times without figures, each as long as it lasted."""
        found: list[Gap] = []
        for slot in self.slots:
            if slot.state == "measured":
                continue
            if found and found[-1].end == slot.start and found[-1].reason == slot.state:
                found[-1] = Gap(start=found[-1].start, end=slot.end, reason=slot.state)
            else:
                found.append(Gap(start=slot.start, end=slot.end, reason=slot.state))
        return tuple(found)

    def statistics(self, line: Line) -> Statistics | None:
        """What a line says in three figures; None if nothing is known."""
        return _statistics(self.slots, line.values)

    def share(self, graph: Graph, line: Line) -> Statistics | None:
        """How much of what there is was used, in per cent; None if there is no such thing, or nothing is known."""
        if not graph.capacity:
            return None
        shares = [
            None if used is None or not there else used / there * 100
            for used, there in zip(line.values, graph.capacity, strict=True)
        ]
        return _statistics(self.slots, shares)


def graphs_of(
    measurements: Sequence[Measurement],
    *,
    client: str,
    machine: str,
    timeframe: Timeframe,
    consolidation: Consolidation = "AVERAGE",
    disks: Sequence[DiskSize] = (),
) -> MachineGraphs:
    """Make the graphs of a machine.

    Args:
        measurements: the oldest first.
        client, machine: whose.
        timeframe: what they were asked for.
        consolidation: likewise.
        disks: as they are now.
    """
    placed = list(_placed(measurements, _LONGEST_STEP[timeframe]))
    if placed and not placed[-1][1] and placed[-1][0].seconds <= _FINEST_STEP:
        placed.pop()  # the minute that has just ended: it is not written yet
    slots = tuple(slot for slot, _ in placed)
    rows = [values for _, values in placed]

    def line(name: LineName, field: str, factor: float = 1.0) -> Line:
        return Line(name=name, values=_scaled(slots, rows, field, factor))

    graphs = [
        Graph(name="vcpu", unit="percent", lines=(line("used", "cpu", 100.0),)),
        Graph(
            name="memory",
            unit="bytes",
            lines=(line("used", "mem"),),
            capacity=_scaled(slots, rows, "maxmem"),
        ),
    ]
    if any(values.get("disk") for values in rows):  # of QEMU's machines the hypervisor knows it never
        graphs.append(
            Graph(
                name="storage",
                unit="bytes",
                lines=(line("used", "disk"),),
                capacity=_scaled(slots, rows, "maxdisk"),
            )
        )
    graphs += [
        Graph(
            name="disk",
            unit="bytes_per_second",
            lines=(line("read", "diskread"), line("written", "diskwrite")),
        ),
        Graph(
            name="network",
            unit="bits_per_second",
            lines=(line("in", "netin", 8.0), line("out", "netout", 8.0)),
        ),
    ]
    return MachineGraphs(
        client=client,
        machine=machine,
        timeframe=timeframe,
        consolidation=consolidation,
        slots=slots,
        graphs=tuple(graphs),
        disks=tuple(disks),
    )


def within(graphs: MachineGraphs, start: dt.datetime, end: dt.datetime) -> MachineGraphs:
    """The part of graphs that lies in a time, such as a calendar month: what the axis spans is then that of a month.

    A slot over one of the borders belongs to where most of it lies.
    """
    kept = [
        number
        for number, slot in enumerate(graphs.slots)
        if start <= slot.start + (slot.end - slot.start) / 2 < end
    ]
    first, last = (kept[0], kept[-1] + 1) if kept else (0, 0)

    def cut(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        return values[first:last]

    return replace(
        graphs,
        timeframe="month",
        slots=graphs.slots[first:last],
        graphs=tuple(
            replace(
                graph,
                lines=tuple(replace(line, values=cut(line.values)) for line in graph.lines),
                capacity=cut(graph.capacity),
            )
            for graph in graphs.graphs
        ),
    )


def to_data(graphs: MachineGraphs) -> dict[str, Any]:
    """The graphs as JSON, for pages and programs. Times are seconds since 1970; null is a gap."""
    return {
        "client": graphs.client,
        "machine": graphs.machine,
        "timeframe": graphs.timeframe,
        "consolidation": graphs.consolidation.lower(),
        "time_zone": str(PARIS),
        "starts": [int(slot.start.timestamp()) for slot in graphs.slots],
        "ends": [int(slot.end.timestamp()) for slot in graphs.slots],
        "gaps": [
            {"from": gap.start.isoformat(), "to": gap.end.isoformat(), "reason": gap.reason}
            for gap in graphs.gaps
        ],
        "graphs": [_graph_data(graphs, graph) for graph in graphs.graphs],
        "disks": [
            {"name": disk.name, "size_bytes": disk.size, "allocated_bytes": disk.allocated}
            for disk in graphs.disks
        ],
    }


def _graph_data(graphs: MachineGraphs, graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "unit": graph.unit,
        "lines": [
            {
                "name": line.name,
                "values": list(line.values),
                "statistics": _statistics_data(graphs.statistics(line)),
                "percent_of_capacity": _statistics_data(graphs.share(graph, line)),
            }
            for line in graph.lines
        ],
        "capacity": list(graph.capacity) or None,
    }


def _statistics_data(found: Statistics | None) -> dict[str, float] | None:
    return None if found is None else {"min": found.least, "mean": found.mean, "max": found.most}


def _placed(measurements: Sequence[Measurement], longest: int) -> Iterator[tuple[Slot, dict[str, float]]]:
    """Each measurement with its interval. Rows that are missing between two are intervals without data."""
    if not measurements:
        return
    ends = [measurement.ends for measurement in measurements]
    first = min(ends[1] - ends[0], longest) if len(ends) > 1 else _FINEST_STEP
    for before, measurement in zip([ends[0] - first, *ends], measurements, strict=False):
        start = before
        if measurement.ends - before > longest:
            start = measurement.ends - longest
            yield _slot(before, start, {}), {}
        values = dict(measurement.values)
        yield _slot(start, measurement.ends, values), values


def _slot(start: int, end: int, values: dict[str, float]) -> Slot:
    return Slot(
        start=dt.datetime.fromtimestamp(start, dt.UTC),
        end=dt.datetime.fromtimestamp(end, dt.UTC),
        state=_state(values),
    )


def _state(values: dict[str, float]) -> State:
    """Of a stopped machine pvestatd tells how large it is, and not what it uses."""
    if "cpu" in values or "mem" in values:
        return "measured"
    return "stopped" if values else "no data"


def _scaled(
    slots: Sequence[Slot], rows: Sequence[dict[str, float]], field: str, factor: float = 1.0
) -> tuple[float | None, ...]:
    return tuple(
        values[field] * factor if field in values and slot.state == "measured" else None
        for slot, values in zip(slots, rows, strict=True)
    )


def _statistics(slots: Iterable[Slot], values: Iterable[float | None]) -> Statistics | None:
    known = [(slot.seconds, value) for slot, value in zip(slots, values, strict=True) if value is not None]
    time = sum(seconds for seconds, _ in known)
    if not time:
        return None
    return Statistics(
        least=min(value for _, value in known),
        mean=sum(seconds * value for seconds, value in known) / time,
        most=max(value for _, value in known),
    )


_MINUTES_OF_AN_HOUR = 10
_HOURS_OF_A_DAY = 3
_DAYS_OF_A_MONTH = (1, 5, 10, 15, 20, 25)


def ticks(timeframe: Timeframe, start: dt.datetime, end: dt.datetime) -> tuple[dt.datetime, ...]:
    """Where the axis has its labels: round times of Paris, the same hours on both sides of a clock change.

    Args:
        timeframe: what the axis spans.
        start, end: of the axis, aware.
    """
    step = dt.timedelta(minutes=_MINUTES_OF_AN_HOUR if timeframe == "hour" else 60)
    wanted: Callable[[dt.datetime], bool] = {
        "hour": lambda local: local.minute % _MINUTES_OF_AN_HOUR == 0,
        "day": lambda local: local.hour % _HOURS_OF_A_DAY == 0,
        "week": lambda local: local.hour == 0,
        "month": lambda local: local.hour == 0 and local.day in _DAYS_OF_A_MONTH,
        "year": lambda local: local.hour == 0 and local.day == 1,
    }[timeframe]
    moment = dt.datetime.fromtimestamp(
        -(-int(start.timestamp()) // int(step.total_seconds())) * int(step.total_seconds()), dt.UTC
    )
    found = []
    while moment <= end:
        if wanted(moment.astimezone(PARIS)):
            found.append(moment)
        moment += step
    return tuple(found)


def condensed(
    slots: Sequence[Slot], values: Sequence[float | None], columns: int
) -> tuple[float | None, ...]:
    """A line in so many columns of equal time at most: the mean of what is known in each; None where nothing is."""
    if not slots:
        return ()
    start, span = slots[0].start, (slots[-1].end - slots[0].start).total_seconds()
    columns = min(columns, len(slots))
    sums, times = [0.0] * columns, [0.0] * columns
    width = span / columns
    for slot, value in zip(slots, values, strict=True):
        if value is None:
            continue
        begins = (slot.start - start).total_seconds() / width
        ends = (slot.end - start).total_seconds() / width
        borders = [begins, *range(int(begins) + 1, min(int(ends), columns - 1) + 1), ends]
        for left, right in pairwise(borders):
            column = min(int(left), columns - 1)
            sums[column] += value * (right - left)
            times[column] += right - left
    least = 1e-9
    return tuple(total / time if time > least else None for total, time in zip(sums, times, strict=True))
