"""The graphs of a machine as one SVG picture: for the screen, light or dark, for paper, and for who cannot see it.

Nothing is loaded from elsewhere, and every text is escaped. Lines differ in more than their colour. What was not
measured is a field (grey: stopped; dashed: nobody knows), and never 0.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from orchestrator.reports.graph_words import (
    GraphWords,
    description,
    figure,
    gaps_words,
    span_words,
    statistics_words,
    tick_words,
)
from orchestrator.reports.series import Gap, Graph, MachineGraphs, Statistics, Unit, condensed, ticks
from orchestrator.reports.spelling import Language
from orchestrator.shown import visible

_WIDTH, _LEFT, _RIGHT = 760, 86, 24
_HEAD, _TITLE, _FRAME, _FOOT = 58, 22, 92, 26
_COLUMNS = 330
"""A line has so many values at most: two of its pixels each."""
_TICK_ROOM = 46
"""Pixels that a label of the axis needs."""
_WORD_ROOM = 6.2
"""Pixels of a character."""

_STYLE = """
.gr-back{fill:#fff}.gr-text{fill:#1a1a1a;font:11px sans-serif}.gr-title{font-weight:bold}.gr-grid{stroke:#c8c8c8}
.gr-gap{fill:#e4e4e4}.gr-none{fill:none;stroke:#8a8a8a}.gr-line{fill:none;stroke-width:1.5}.gr-0{stroke:#1f5fa8}.gr-1{stroke:#a34700}
@media screen and (prefers-color-scheme: dark){.gr-back{fill:#1b1b1f}.gr-text{fill:#e6e6e6}.gr-grid{stroke:#4a4a4f}
.gr-gap{fill:#34343a}.gr-0{stroke:#7fb4f0}.gr-1{stroke:#f0a860}}
"""
_FIELDS = {
    "stopped": 'class="gr-gap" fill="#e4e4e4"',
    "no data": 'class="gr-none" fill="none" stroke="#8a8a8a" stroke-dasharray="2 2"',
}
_DASHES = ("", ' stroke-dasharray="5 3"')


def svg(graphs: MachineGraphs, *, language: Language = "fr", prefix: str = "graphs") -> str:
    """Draw the graphs of a machine: one frame for each, one below the other. The same graphs give the same picture.

    Args:
        graphs: what is drawn.
        language: of the words in it.
        prefix: of the ids in it; each picture of a page needs its own. Letters, digits and hyphens.
    """
    words = GraphWords(language)
    height = _HEAD + len(graphs.graphs) * (_TITLE + _FRAME + _FOOT)
    title = words.graphs_title.format(machine=f"{graphs.client}/{graphs.machine}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" lang="{language}" aria-labelledby={quoteattr(f"{prefix}-title {prefix}-desc")}>',
        f"<title id={quoteattr(f'{prefix}-title')}>{_text(title)}</title>",
        f"<desc id={quoteattr(f'{prefix}-desc')}>{_text(description(graphs, language))}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect class="gr-back" width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _label(_LEFT, 16, title, bold=True),
        _label(_LEFT, 32, _subtitle(graphs, language)),
        _label(_LEFT, 48, gaps_words(graphs, language)),
    ]
    for index, graph in enumerate(graphs.graphs):
        top = _HEAD + index * (_TITLE + _FRAME + _FOOT)
        parts += _frame(graphs, graph, top + _TITLE, language)
    return "\n".join([*parts, "</svg>\n"])


def notice_svg(title: str, text: str, *, language: Language = "fr") -> str:
    """A picture of the same width that says why there are no graphs.

    Args:
        title: what would be shown.
        text: why it is not.
        language: of both.
    """
    height = 64
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" lang="{language}"><title>{_text(title)}</title><style>{_STYLE}</style>'
        f'<rect class="gr-back" width="{_WIDTH}" height="{height}" fill="#fff"/>'
        f"{_label(12, 24, title, bold=True)}{_label(12, 44, text)}</svg>\n"
    )


def _subtitle(graphs: MachineGraphs, language: Language) -> str:
    words = GraphWords(language)
    if not graphs.slots:
        return words.no_measurements
    said = span_words(graphs.slots[0].start, graphs.slots[-1].end, language)
    return words.between_parts.join((said, words.largest)) if graphs.consolidation == "MAX" else said


def _frame(graphs: MachineGraphs, graph: Graph, top: int, language: Language) -> Iterator[str]:
    """One graph: its title, its grid, its gaps, its lines."""
    words = GraphWords(language)
    most = _most(graph)
    yield _label(_LEFT, top - 8, words.graph(graph.name), bold=True)
    yield _label(_WIDTH - _RIGHT, top - 8, _summary(graphs, graph, language), anchor="end")
    for part in (0.0, 0.5, 1.0):
        y = top + _FRAME * (1 - part)
        yield (
            f'<line class="gr-grid" x1="{_LEFT}" y1="{y:g}" x2="{_WIDTH - _RIGHT}" y2="{y:g}" stroke="#c8c8c8"/>'
        )
        yield _label(_LEFT - 6, y + 4, figure(most * part, graph.unit, language), anchor="end")
    if not graphs.slots:
        return
    start, end = graphs.slots[0].start, graphs.slots[-1].end
    for gap in graphs.gaps:
        yield from _gap(gap, start, end, top, language)
    last = -math.inf
    for moment in ticks(graphs.timeframe, start, end):
        x = _x(moment, start, end)
        yield (
            f'<line class="gr-grid" x1="{x:.1f}" y1="{top + _FRAME}" x2="{x:.1f}" y2="{top + _FRAME + 4}" '
            'stroke="#c8c8c8"/>'
        )
        if x - last >= _TICK_ROOM:
            yield _label(
                x, top + _FRAME + 16, tick_words(moment, graphs.timeframe, language), anchor="middle"
            )
            last = x
    for number, line in enumerate(graph.lines):
        if path := _path(condensed(graphs.slots, line.values, _COLUMNS), most, top):
            colour = ("#1f5fa8", "#a34700")[number]
            yield (
                f'<path class="gr-line gr-{number}" d="{path}" fill="none" stroke="{colour}" stroke-width="1.5"'
                f"{_DASHES[number]}/>"
            )


def _summary(graphs: MachineGraphs, graph: Graph, language: Language) -> str:
    """What stands above a frame, on the right: which line is which, and their figures."""
    words = GraphWords(language)
    (first, *_) = graph.lines
    found = graphs.statistics(first)
    share = graphs.share(graph, first)
    known = [value for value in graph.capacity if value is not None]
    if found and share and known:
        there = figure(known[-1], graph.unit, language)
        return (
            words.of_capacity.format(mean=figure(found.mean, graph.unit, language), capacity=there)
            + f" ({figure(share.mean, 'percent', language)})"
        )
    if len(graph.lines) == 1:
        return statistics_words(found, graph.unit, language)
    return "   ".join(
        f"{sign} {words.line(line.name)} {_mean_and_most(graphs.statistics(line), graph.unit, language)}"
        for sign, line in zip(("──", "╌╌"), graph.lines, strict=False)
    )


def _mean_and_most(found: Statistics | None, unit: Unit, language: Language) -> str:
    if found is None:
        return GraphWords(language).no_measurements
    mean, most = (figure(value, unit, language) for value in (found.mean, found.most))
    return GraphWords(language).mean_and_most.format(mean=mean, most=most)


def _gap(gap: Gap, start: dt.datetime, end: dt.datetime, top: int, language: Language) -> Iterator[str]:
    left, right = _x(gap.start, start, end), _x(gap.end, start, end)
    said = GraphWords(language).gap(gap.reason)
    yield (
        f'<rect {_FIELDS[gap.reason]} x="{left:.1f}" y="{top}" width="{max(right - left, 0.5):.1f}" height="{_FRAME}">'
        f"<title>{_text(f'{said} {span_words(gap.start, gap.end, language)}')}</title></rect>"
    )
    if right - left > _WORD_ROOM * len(said):
        yield _label((left + right) / 2, top + _FRAME / 2 + 4, said, anchor="middle")


def _path(values: Sequence[float | None], most: float, top: int) -> str:
    """A line as steps, each as wide as its interval; it breaks off where nothing is known."""
    width = (_WIDTH - _RIGHT - _LEFT) / max(len(values), 1)
    drawn: list[str] = []
    joined = False
    for column, value in enumerate(values):
        if value is None:
            joined = False
            continue
        y = top + _FRAME * (1 - min(value / most, 1.0))
        left, right = _LEFT + column * width, _LEFT + (column + 1) * width
        drawn.append(f"V{y:.1f}H{right:.1f}" if joined else f"M{left:.1f} {y:.1f}H{right:.1f}")
        joined = True
    return "".join(drawn)


def _most(graph: Graph) -> float:
    """The top of a frame: what there is, or a round number that all of its values are below."""
    largest = max((value for value in graph.capacity if value), default=0.0)
    largest = max([largest, *(value for line in graph.lines for value in line.values if value is not None)])
    if graph.unit == "percent":
        return max(100.0, 100.0 * math.ceil(largest / 100.0))
    if graph.capacity and largest:
        return largest
    step = 1000.0 if graph.unit == "bits_per_second" else 1024.0
    unit = step ** max(int(math.log(largest, step)), 0) if largest >= 1 else 1.0
    amount = max(largest / unit, 1.0)
    power = 10.0 ** int(math.log10(amount))
    return unit * next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= amount)


def _x(moment: dt.datetime, start: dt.datetime, end: dt.datetime) -> float:
    whole = (end - start).total_seconds() or 1.0
    return _LEFT + (_WIDTH - _RIGHT - _LEFT) * (moment - start).total_seconds() / whole


def _label(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False) -> str:
    kind, weight = ("gr-text gr-title", ' font-weight="bold"') if bold else ("gr-text", "")
    return (
        f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-family="sans-serif" font-size="11" '
        f'fill="#1a1a1a"{weight}>{_text(text)}</text>'
    )


def _text(text: str) -> str:
    return escape(visible(text))
