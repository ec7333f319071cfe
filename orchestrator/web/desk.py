"""What the pages work with: the settings, the database, the history and the clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.history import History
from orchestrator.history.database import Database
from orchestrator.interface.database import make_tables, open_interface
from orchestrator.web.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the pages work with. Safe to be used from several threads.

    Attributes:
        database: of the history, with the Interface's tables beside it.
        history: in that database.
    """

    settings: Settings
    database: Database
    history: History

    def now(self) -> dt.datetime:
        """The time, aware."""
        return dt.datetime.now(dt.UTC)


@contextmanager
def open_desk(settings: Settings) -> Iterator[Desk]:
    """Open the database, and close it in the end.

    Raises:
        HistoryUnavailable: it cannot be used.
    """
    database = open_interface(settings.history)
    try:
        make_tables(database)
        yield Desk(settings=settings, database=database, history=History(database))
    finally:
        database.close()
