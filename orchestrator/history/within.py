"""A part of the history that a reader looks at."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from orchestrator.history.database import ENTRIES


@dataclass(frozen=True, kw_only=True)
class Within:
    """A part of the history: the numbers ``first`` to ``last``, of one person or result if that is given."""

    first: int
    last: int
    who: str | None = None
    result: str | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Which entries are in it."""
        found: list[sa.ColumnElement[bool]] = [ENTRIES.c.sequence.between(self.first, self.last)]
        if self.who is not None:
            found.append(ENTRIES.c.who == self.who)
        if self.result is not None:
            found.append(ENTRIES.c.result == self.result)
        return found
