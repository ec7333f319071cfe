"""The figures of graphs as tables, for whoever reads figures better than lines, or cannot see them. Pure."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from orchestrator.contract.calendar import PARIS
from orchestrator.reports.graph_words import GraphWords, figure
from orchestrator.reports.language import Speech
from orchestrator.reports.page import Cell, Column, Table, table_of
from orchestrator.reports.series import Gap, MachineGraphs, Slot
from orchestrator.reports.spelling import Language

_MOST_GAPS = 40


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
        caption=words.figures_statistics_caption,
        columns=(
            Column(words.figures_graph_column),
            *(
                Column(name, figures=True)
                for name in (
                    words.figures_least,
                    words.figures_mean,
                    words.figures_most,
                    words.figures_there_is,
                )
            ),
        ),
        rows=tuple(rows),
    )


def periods_table(graphs: MachineGraphs, language: Language) -> Table:
    """The mean of each line in some twenty periods that begin at round times; a gap says why it is one."""
    words, speech = GraphWords(language), Speech(language)
    edges = _edges(graphs)
    columns = [Column(words.figures_period_begins)]
    lines = []
    for graph in graphs.graphs:
        for line in graph.lines:
            name = words.graph(graph.name)
            columns.append(
                Column(f"{name}, {words.line(line.name)}" if len(graph.lines) > 1 else name, figures=True)
            )
            lines.append((graph.unit, _means(graphs.slots, line.values, edges)))
    rows = []
    for number, (start, end) in enumerate(pairwise(edges)):
        gap = words.gap(_reason(graphs.gaps, start, end))
        values = [(unit, values[number]) for unit, values in lines]
        cells = [Cell(gap if value is None else figure(value, unit, language)) for unit, value in values]
        rows.append((Cell(speech.moment(start)), *cells))
    return Table(caption=words.figures_periods_caption, columns=tuple(columns), rows=tuple(rows))


def gaps_table(graphs: MachineGraphs, language: Language) -> tuple[Table, ...]:
    """When there are no figures, why, and for how long; the latest first. None if there are all."""
    words, speech = GraphWords(language), Speech(language)
    gaps = graphs.gaps[::-1]
    rows = [
        (
            speech.moment(gap.start),
            speech.moment(gap.end),
            words.gap(gap.reason),
            Cell(speech.duration((gap.end - gap.start).total_seconds())),
        )
        for gap in gaps[:_MOST_GAPS]
    ]
    columns = (
        words.figures_period_begins,
        words.figures_period_ends,
        words.figures_gap_reason,
        Column(words.figures_gap_lasts, figures=True),
    )
    more = words.figures_gaps_more.format(n=len(gaps) - _MOST_GAPS) if len(gaps) > _MOST_GAPS else ""
    return table_of(words.figures_gaps_caption, columns, rows, note=more)


def _edges(graphs: MachineGraphs) -> list[dt.datetime]:
    """Where the periods of a timeframe begin and end, in Paris: five minutes, an hour, six hours, a day, a month."""
    if not graphs.slots:
        return []
    start, end = graphs.slots[0].start, graphs.slots[-1].end
    step = 300 if graphs.timeframe == "hour" else 3600
    begins: Callable[[dt.datetime], bool] = {
        "hour": lambda _: True,
        "day": lambda _: True,
        "week": lambda local: local.hour % 6 == 0,
        "month": lambda local: local.hour == 0,
        "year": lambda local: local.hour == 0 and local.day == 1,
    }[graphs.timeframe]
    first, last = (int(moment.timestamp()) // step + 1 for moment in (start, end))
    between = (dt.datetime.fromtimestamp(number * step, dt.UTC) for number in range(first, last))
    return [start, *(edge for edge in between if edge < end and begins(edge.astimezone(PARIS))), end]


def _means(
    slots: Sequence[Slot], values: Sequence[float | None], edges: Sequence[dt.datetime]
) -> list[float | None]:
    """The mean by time of what is known in each period; None where nothing is."""
    sums, times = [0.0] * len(edges), [0.0] * len(edges)
    for slot, value in zip(slots, values, strict=True):
        if value is None:
            continue
        period = bisect_right(edges, slot.start) - 1
        while period < len(edges) - 1 and edges[period] < slot.end:
            part = (min(slot.end, edges[period + 1]) - max(slot.start, edges[period])).total_seconds()
            sums[period] += part * value
            times[period] += part
            period += 1
    return [total / time if time else None for total, time in zip(sums, times, strict=True)]


def _reason(gaps: tuple[Gap, ...], start: dt.datetime, end: dt.datetime) -> Literal["stopped", "no data"]:
    """Why nothing is known of a period: stopped, if it was for some of it."""
    stopped = any(gap.reason == "stopped" and gap.start < end and gap.end > start for gap in gaps)
    return "stopped" if stopped else "no data"
