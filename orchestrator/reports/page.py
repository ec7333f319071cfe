"""A report as sections, tables and cells, in words but in no form yet: Markdown and HTML are made from the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "good", "warn", "bad"]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A part of a whole, to be drawn.

    Attributes:
        percent: 0 to 100.
    """

    percent: int

    @property
    def blocks(self) -> str:
        """Ten signs, as many of them dark as there are tenths begun."""
        dark = -(-self.percent // 10)
        return "█" * dark + "░" * (10 - dark)


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        tone: how it is coloured; the text alone must say it too.
        bar: drawn before the text.
    """

    text: str
    tone: Tone = "plain"
    bar: Bar | None = None


@dataclass(frozen=True)
class Column:
    """A column's heading; figures stand on the right."""

    heading: str
    figures: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table. The first cell of a row names the row.

    Attributes:
        total: the last row, set apart; None if there is none.
        note: a line below it; empty if there is none.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    Attributes:
        empty: the one line that is said if there are no tables.
    """

    title: str
    empty: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Attributes:
        verdict: whether the night was good, in a few words.
        culprits: what went wrong, named; empty if nothing did.
        facts: what is looked for first, with its name.
        footer: when it was drawn up.
    """

    language: str
    title: str
    well: bool
    verdict: str
    culprits: tuple[str, ...]
    facts: tuple[tuple[str, Cell], ...]
    sections: tuple[Section, ...]
    footer: str


def table_of(
    caption: str, columns: tuple[Column, ...], rows: Sequence[tuple[Cell, ...]], *, note: str = ""
) -> tuple[Table, ...]:
    """Return one table, or none if it would have no rows."""
    return (Table(caption=caption, columns=columns, rows=tuple(rows), note=note),) if rows else ()
