"""A report as sections, tables and cells, in words but in no form yet: Markdown and HTML are made from the same."""

from __future__ import annotations

import base64
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
class Picture:
    """A picture: it stands in the HTML page; the Markdown names its file, which is written beside it.

    Attributes:
        caption: what it shows.
        name: of its file, without that of the report before it: letters, digits, hyphens.
        png: the picture.
    """

    caption: str
    name: str
    png: bytes

    @property
    def data(self) -> str:
        """Its address in a page that needs nothing else: markup, for it is longer than any text that is shown."""
        from markupsafe import Markup

        return Markup(f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}")  # noqa: S704  (base64)


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    Attributes:
        empty: the one line that is said if there are no tables.
        pictures: below the tables.
        note: a line at the end; empty if there is none.
    """

    title: str
    empty: str
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A whole report.

    Attributes:
        verdict: whether the night was good, in a few words.
        culprits: what went wrong, named; empty if nothing did.
        facts: what is looked for first, with its name.
        footer: when it was drawn up.
        file: the report's name without its ending: how the names of its pictures' files begin.
    """

    language: str
    title: str
    well: bool
    verdict: str
    culprits: tuple[str, ...]
    facts: tuple[tuple[str, Cell], ...]
    sections: tuple[Section, ...]
    footer: str
    file: str

    def file_of(self, picture: Picture) -> str:
        """The name of a picture's file."""
        return f"{self.file}-{picture.name}.png"

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All of them."""
        return tuple(picture for section in self.sections for picture in section.pictures)


Row = Sequence[Cell | str]
"""What stands in a row; a text is a plain cell."""


def table_of(
    caption: str,
    columns: Sequence[Column | str],
    rows: Sequence[Row],
    *,
    total: Row | None = None,
    note: str = "",
) -> tuple[Table, ...]:
    """Return one table, or none if it would have no rows.

    Args:
        caption: what it shows.
        columns: their headings; a text is a column of texts.
        rows: the first cell of each names it.
        total: the last row, set apart.
        note: a line below it.
    """
    if not rows:
        return ()
    headings = tuple(Column(column) if isinstance(column, str) else column for column in columns)
    return (
        Table(
            caption=caption,
            columns=headings,
            rows=tuple(_cells(row) for row in rows),
            total=None if total is None else _cells(total),
            note=note,
        ),
    )


def _cells(row: Row) -> tuple[Cell, ...]:
    return tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row)
