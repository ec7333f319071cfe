"""Opening a history. What stands behind it (SQLAlchemy, a third of a second) is loaded only if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.history.errors import missing_at

if TYPE_CHECKING:
    from orchestrator.history.store import History


def open_history(where: str | Path, *, create: bool = True) -> History:
    """Open a history.

    Args:
        where: a file, or a database URL (``postgresql+psycopg://…``).
        create: make it if there is none.

    Raises:
        HistoryMissing: there is none, and none is to be made.
        HistoryUnavailable: it cannot be opened, or is something else.
    """
    if not create and "://" not in str(where):
        _look_for(Path(where))
    from orchestrator.history.database import Database
    from orchestrator.history.store import History

    return History(Database(where, create=create))


def _look_for(path: Path) -> None:
    try:
        missing = not path.expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return  # a path that cannot be used: the database says why
    if missing:
        raise missing_at(str(path.expanduser()))
