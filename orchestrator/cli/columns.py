"""Tables for people in lines of a limited width: columns as wide as what stands in them, long names cut visibly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len, set_cell_size

from orchestrator.shown import visible

WIDTH = 100
"""Columns of a terminal that a table has room in."""

_BETWEEN = "  "
_CUT = "…"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Attributes:
        title: what stands above it.
        right: whether its values end at the right: figures.
        least: how narrow it may get, its values cut; None: they are never cut.
        cut: where: a name keeps its beginning and its end, a list its beginning.
    """

    title: str
    right: bool = False
    least: int | None = None
    cut: Literal["middle", "end"] = "middle"


def lines_of(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int = WIDTH) -> Iterator[str]:
    """The title and a line for each row, none wider than ``width`` if the columns that may be cut allow it.

    Args:
        columns: one for each value of a row.
        rows: texts from anywhere.
        width: in cells of a terminal.
    """
    shown = [[visible(value) for value in row] for row in (tuple(column.title for column in columns), *rows)]
    widths = [max(map(cell_len, values)) for values in zip(*shown, strict=True)]
    _narrow(columns, widths, width)
    for row in shown:
        cells = (_cell(value, size, column) for value, size, column in zip(row, widths, columns, strict=True))
        yield _BETWEEN.join(cells).rstrip()


def _narrow(columns: Sequence[Column], widths: list[int], width: int) -> None:
    """Take from the widest of the columns that may be cut, until they fit."""
    excess = sum(widths) + len(_BETWEEN) * (len(widths) - 1) - width
    while excess > 0:
        able = [
            index
            for index, column in enumerate(columns)
            if column.least is not None and widths[index] > column.least
        ]
        if not able:
            return
        widths[max(able, key=lambda index: widths[index])] -= 1
        excess -= 1


def _cell(value: str, size: int, column: Column) -> str:
    length = cell_len(value)
    if length > size:
        value, length = _shortened(value, size, column.cut), size
    blank = " " * (size - length)
    return blank + value if column.right else value + blank


def _shortened(value: str, size: int, cut: Literal["middle", "end"]) -> str:
    """A text of exactly so many cells, which shows that something is left out."""
    if cut == "end":
        return set_cell_size(value, size - 1) + _CUT
    end = (size - 1) // 2
    tail = value[-end:] if end else ""
    while cell_len(tail) > end:
        tail = tail[1:]
    return set_cell_size(value, size - 1 - cell_len(tail)) + _CUT + tail
