"""Lists that are filtered, sorted and paged on the server: what an address asks for, and the addresses beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from orchestrator.web.visit import Visit

PAGE_SIZE = 50
"""Rows of one page of a list."""

_LONGEST_FILTER = 200
_LAST_PAGE = 100_000


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, as ``parts.table`` draws it.

    Attributes:
        key: what the template is asked for in this column, and what the address sorts by.
        heading: what stands above it, and before the value on a phone.
        sort: whether its heading is a link that sorts the list.
        figures: right-aligned.
        quiet: left out on a phone, where the page of the row has it.
    """

    key: str
    heading: str
    sort: bool = False
    figures: bool = False
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the address of a list asks for. Values that no link of ours has are as if they were not there.

    Attributes:
        path: of the list.
        filters: those that are not empty, by name.
        sort: the column.
        descending: from the largest to the smallest.
        page: from 1.
        size: rows of a page.
        usual: the column that is sorted by where nothing is asked for.
    """

    path: str
    sort: str
    usual: str
    filters: Mapping[str, str] = field(default_factory=dict)
    descending: bool = False
    page: int = 1
    size: int = PAGE_SIZE

    @classmethod
    def of(
        cls, visit: Visit, *, sorts: Collection[str], filters: Collection[str] = (), size: int = PAGE_SIZE
    ) -> Asked:
        """Read an address.

        Args:
            visit: the request.
            sorts: columns that the list can be sorted by; the first is the usual one. ``-name`` in the address, or
                here, is from the largest to the smallest.
            filters: names in the address that filter the list.
            size: rows of a page.
        """
        (usual, *_) = sorts
        names = {name.removeprefix("-") for name in sorts}
        asked = visit.query.get("sort", usual)
        if asked.removeprefix("-") not in names:
            asked = usual
        page = visit.query.get("page", "1")
        found = {name: visit.query.get(name, "").strip()[:_LONGEST_FILTER] for name in filters}
        return cls(
            path=visit.request.url.path,
            sort=asked.removeprefix("-"),
            descending=asked.startswith("-"),
            usual=usual,
            filters={name: value for name, value in found.items() if value},
            page=min(max(int(page), 1), _LAST_PAGE)
            if page.isascii() and page.isdigit() and len(page) < 9
            else 1,
            size=size,
        )

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.size

    def pages(self, total: int) -> int:
        """How many pages there are of so many rows; one at least."""
        return max(-(-total // self.size), 1)

    @property
    def by_choice(self) -> str:
        """What the list is sorted by, as an address has it; empty if it is the usual."""
        sort = ("-" if self.descending else "") + self.sort
        return "" if sort == self.usual else sort

    @property
    def address(self) -> str:
        """Where this page of the list is."""
        query = {
            **self.filters,
            **({"sort": self.by_choice} if self.by_choice else {}),
            **({"page": str(self.page)} if self.page > 1 else {}),
        }
        return self.path + (f"?{urlencode(query)}" if query else "")

    def at(self, page: int) -> str:
        """Where another page is."""
        return replace(self, page=page).address

    def by(self, column: str) -> str:
        """Where the list is sorted by a column: the other way round, if it is already."""
        turned = not self.descending if column == self.sort else self.usual == f"-{column}"
        return replace(self, sort=column, descending=turned, page=1).address

    def direction(self, column: str) -> str:
        """How the list is sorted by a column, as ``aria-sort`` has it."""
        if column != self.sort:
            return "none"
        return "descending" if self.descending else "ascending"

    def having(self, **filters: str) -> str:
        """Where the list has these filters besides; an empty one takes a filter away."""
        wanted = {name: value for name, value in {**self.filters, **filters}.items() if value}
        return replace(self, filters=wanted, page=1).address
