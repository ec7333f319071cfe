"""What operations on the Interface's own tables work with, and how what they do is recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.history import BEGUN
from orchestrator.operations.computer import state_directory
from orchestrator.operations.run import run_name

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.history.database import Database


class InterfaceDesk(Protocol):
    """The database with the Interface's tables, the history in it, and the clock."""

    @property
    def database(self) -> Database:
        """Of the history, with the Interface's tables beside it."""

    @property
    def history(self) -> History:
        """In that database."""

    def now(self) -> dt.datetime:
        """The time, aware."""


@dataclass(frozen=True, kw_only=True)
class _CommandsDesk:
    database: Database
    history: History

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


@contextmanager
def open_interface_desk(history: str | None) -> Iterator[InterfaceDesk]:
    """Open the database for a command, and close it in the end.

    Args:
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: it cannot be used.
    """
    from orchestrator.history.store import History
    from orchestrator.interface.database import open_interface

    where: str | Path = history or state_directory() / "history.db"
    database = open_interface(where)
    try:
        yield _CommandsDesk(database=database, history=History(database))
    finally:
        database.close()


@contextmanager
def recorded(
    desk: InterfaceDesk,
    *,
    who: str,
    action: str,
    why: str,
    client: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Record an act before and after it: one that was begun is never missing.

    Args:
        who: the account's name, or whoever runs the command.
        action: ``account added``.
        why: the reason that the history keeps.
        client: whom it is about, if it is about one client.
        details: what was asked; no secret.

    Raises:
        HistoryUnavailable: it could not be recorded; the act was not begun, or how it ended is not recorded.
    """
    entry = {"who": who, "action": action, "why": why, "client": client or "", "site": "", "details": details}
    entry["run"] = run_name(desk.now())
    begun = desk.history.append(**entry, result=BEGUN)  # type: ignore[arg-type]
    try:
        yield
    except BaseException as error:
        desk.history.append(**entry, result="failed", message=str(error), began=begun.sequence)  # type: ignore[arg-type]
        raise
    desk.history.append(**entry, result="ok", began=begun.sequence)  # type: ignore[arg-type]
