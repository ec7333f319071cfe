"""The figures of graphs as tables, for whoever reads figures better than lines, or cannot see them. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Literal

from orchestrator.proxmox.measurements import Timeframe
from orchestrator.reports.graph_words import GraphWords, figure
from orchestrator.reports.language import Speech
from orchestrator.reports.page import Cell, Column, Table
from orchestrator.reports.series import Gap, MachineGraphs, condensed
from orchestrator.reports.spelling import Language

_PERIODS: Mapping[Timeframe, int] = {"hour": 12, "day": 24, "week": 28, "month": 30, "year": 12}
"""Rows of the table of periods: of five minutes, an hour, six hours, a day, a month."""


def statistics_table(graphs: MachineGraphs, language: Language) -> Table:
    """The smallest, the mean and the largest value of each line, and what there is."""
    words = GraphWords(language)
    rows = []
    for graph in graphs.graphs:
        known = [value for value in graph.capacity if value is not None]
        there = figure(known[-1], graph.unit, language) if known else ""
        for line in graph.lines:
            found = graphs.statistics(line)
            values = (found.least, found.mean, found.most) if found else ()
            cells = [Cell(figure(value, graph.unit, language)) for value in values]
            cells += [Cell(words.no_measurements)] * (3 - len(cells))
            name = words.graph(graph.name)
            if len(graph.lines) > 1:
                name += f", {words.line(line.name)}"
            rows.append((Cell(name), *cells, Cell(there)))
    return Table(
        caption=words.statistics_caption,
        columns=(
            Column(words.graph_column),
            *(Column(name, figures=True) for name in (words.least, words.mean, words.most, words.there_is)),
        ),
        rows=tuple(rows),
    )


def periods_table(graphs: MachineGraphs, language: Language) -> Table:
    """The mean of each line in some twenty periods of equal length; a gap says why it is one."""
    words, speech = GraphWords(language), Speech(language)
    columns = [Column(words.period_begins)]
    lines = []
    for graph in graphs.graphs:
        for line in graph.lines:
            name = words.graph(graph.name)
            columns.append(
                Column(f"{name}, {words.line(line.name)}" if len(graph.lines) > 1 else name, figures=True)
            )
            lines.append((graph.unit, condensed(graphs.slots, line.values, _PERIODS[graphs.timeframe])))
    rows = []
    for number, (start, end) in enumerate(_periods(graphs)):
        gap = words.gap(_reason(graphs.gaps, start, end))
        values = [(unit, values[number]) for unit, values in lines]
        cells = [Cell(gap if value is None else figure(value, unit, language)) for unit, value in values]
        rows.append((Cell(speech.moment(start)), *cells))
    return Table(caption=words.periods_caption, columns=tuple(columns), rows=tuple(rows))


def _periods(graphs: MachineGraphs) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """The periods, as :func:`condensed` has them."""
    if not graphs.slots:
        return
    count = min(_PERIODS[graphs.timeframe], len(graphs.slots))
    start = graphs.slots[0].start
    width = (graphs.slots[-1].end - start) / count
    for number in range(count):
        yield start + number * width, start + (number + 1) * width


def _reason(gaps: tuple[Gap, ...], start: dt.datetime, end: dt.datetime) -> Literal["stopped", "no data"]:
    """Why nothing is known of a period: stopped, if it was for some of it."""
    stopped = any(gap.reason == "stopped" and gap.start < end and gap.end > start for gap in gaps)
    return "stopped" if stopped else "no data"
