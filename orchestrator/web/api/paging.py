"""Lists of the API: a page of them, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from orchestrator.interface.looks import LARGEST_PAGE

Item = TypeVar("Item")
Row = TypeVar("Row")

PageNumber = Annotated[int, Query(ge=1, le=1_000_000, description="from 1")]
PageSize = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="items of a page")]
Name = Annotated[str, Query(max_length=200)]


class Listed(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    total: int = Field(description="items of all pages")
    page: int = Field(description="from 1")
    pages: int = Field(description="1 at least")


def portion(rows: Sequence[Row], shown: Callable[[Row], Item], *, page: int, size: int) -> Listed[Item]:
    """A page of rows that are all there; behind the last one there is nothing."""
    first = (page - 1) * size
    return Listed(
        items=[shown(row) for row in rows[first : first + size]],
        total=len(rows),
        page=page,
        pages=max(-(-len(rows) // size), 1),
    )
