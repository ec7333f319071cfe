"""The Interface's tables, in the database that holds the history."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from orchestrator.history.database import Database

METADATA = sa.MetaData()
"""Every table of the Interface; their names begin with ``interface_``."""

_MODULES: tuple[str, ...] = (
    "accounts",
    "attempts",
    "console_tickets",
    "jobs",
    "look_tables",
    "plans",
    "provider_logins",
    "second_factors",
    "sessions",
    "tokens",
)
"""Where the tables are declared, below :mod:`orchestrator.interface`."""


def open_interface(where: str | Path) -> Database:
    """Open the database of the history with the tables of the Interface; what is missing is made.

    Args:
        where: a file, or a database URL (``postgresql+psycopg://…``).

    Raises:
        HistoryUnavailable: it cannot be used.
    """
    from orchestrator.history.database import Database

    database = Database(where, create=True)
    try:
        make_tables(database)
    except BaseException:
        database.close()
        raise
    return database


def make_tables(database: Database) -> None:
    """Make those of the Interface's tables that are missing in a database that is open."""
    for module in _MODULES:
        import_module(f"orchestrator.interface.{module}")
    database.make_missing(METADATA)
