"""Where entries are kept: SQLite by default, any database that SQLAlchemy speaks to."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.history.chain import FIRST, Entry, Result, Verification, hash_of, verify

_T = TypeVar("_T")

_BUSY_SECONDS = 60
_SECRET_KEYS = frozenset({"cipassword", "password", "token_secret", "secret", "ticket", "private_key"})

_METADATA = sa.MetaData()
_ENTRIES = sa.Table(
    "entries",
    _METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("who", "why", "client")),
    sa.Column("machine", sa.Text),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("site", "action", "details", "result", "message")
    ),
    sa.Column("upid", sa.Text),
    sa.Column("seconds", sa.Float(53), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("run", "previous", "hash")),
    sa.Index("of_a_machine", "client", "machine", "sequence"),
)
_HEAD = sa.Table(
    "head",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)


class HistoryUnavailable(Exception):
    """The history cannot be opened, read or written. The text says which, why and what to do."""


def open_history(where: str | Path) -> History:
    """Open a history, and make it if there is none.

    Args:
        where: a file, or a database URL (``postgresql+psycopg://…``).

    Raises:
        HistoryUnavailable: it cannot be opened.
    """
    text = str(where)
    if "://" not in text:
        path = Path(text).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise HistoryUnavailable(f"{path}: {error.strerror}: name another file with --history") from error
        text = f"sqlite:///{path}"
    history = History(sa.create_engine(text))
    try:
        history.prepare()
    except SQLAlchemyError as error:
        history.close()
        raise HistoryUnavailable(f"{where}: not a history: {error.__cause__ or error}") from error
    return history


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """Crash-safe, and patient with other processes. Transactions are begun by us (see ``_write_lock``)."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


class History:
    """A history. Appending is safe from several threads and from several processes at once.

    An entry is written when an action has *ended*. An action that a kill interrupts leaves no entry here;
    Proxmox's own task list has it, and the next run finds its effect and goes on from there. Entries for
    beginnings would double the history and say "begun" for everything that went well.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._guard = threading.Lock()
        self._sqlite = engine.dialect.name == "sqlite"
        if self._sqlite:
            sa.event.listen(engine, "connect", _tune_sqlite)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Make the tables and the head if they are missing."""

        def make(connection: sa.Connection) -> None:
            _METADATA.create_all(connection)
            if connection.execute(sa.select(_HEAD.c.id)).first() is None:
                connection.execute(sa.insert(_HEAD).values(id=1, sequence=0, hash=FIRST))

        self._writing(make)

    def _writing(self, action: Callable[[sa.Connection], _T]) -> _T:
        """Run an action in a transaction that holds the write lock from its beginning."""
        with self._guard, self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return action(connection)

    def append(
        self,
        *,
        who: str,
        why: str,
        client: str,
        site: str,
        action: str,
        result: Result | str,
        run: str,
        machine: str | None = None,
        details: Mapping[str, Any] | None = None,
        message: str = "",
        upid: str | None = None,
        seconds: float = 0.0,
        at: dt.datetime | None = None,
    ) -> Entry:
        """Add an entry to the end of the chain. It is on disk when this returns.

        Raises:
            ValueError: the details hold a secret; nothing was written.
            HistoryUnavailable: it could not be written.
        """
        fields: dict[str, Any] = {
            "at": (at or dt.datetime.now(dt.UTC)).astimezone(dt.UTC),
            "who": who,
            "why": why,
            "client": client,
            "machine": machine,
            "site": site,
            "action": action,
            "details": _details(details or {}),
            "result": str(result),
            "message": message,
            "upid": upid,
            "seconds": float(seconds),
            "run": run,
        }

        def write(connection: sa.Connection) -> Entry:
            head = connection.execute(sa.select(_HEAD).with_for_update()).one()
            chained = {**fields, "sequence": head.sequence + 1, "previous": head.hash}
            entry = Entry(**chained, hash=hash_of(chained))
            connection.execute(sa.insert(_ENTRIES).values(**{**asdict(entry), "at": _stamp(entry.at)}))
            connection.execute(sa.update(_HEAD).values(sequence=entry.sequence, hash=entry.hash))
            return entry

        try:
            return self._writing(write)
        except SQLAlchemyError as error:
            raise HistoryUnavailable(
                f"the history could not be written: {error.__cause__ or error}"
            ) from error

    def entries(
        self, *, client: str | None = None, machine: str | None = None, limit: int | None = None
    ) -> list[Entry]:
        """The last entries, the latest first; of one client, of one machine, at most ``limit``."""
        query = sa.select(_ENTRIES).order_by(_ENTRIES.c.sequence.desc()).limit(limit)
        if client is not None:
            query = query.where(_ENTRIES.c.client == client)
        if machine is not None:
            query = query.where(_ENTRIES.c.machine == machine)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]

    def verify(self) -> Verification:
        """Check the whole chain, reading it in small portions."""

        def stream(connection: sa.Connection) -> Iterator[Entry]:
            query = sa.select(_ENTRIES).order_by(_ENTRIES.c.sequence).execution_options(yield_per=1000)
            yield from (_entry(row) for row in connection.execute(query).mappings())

        with self._engine.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")  # head and entries of one moment
            head = connection.execute(sa.select(_HEAD)).first()
            return verify(stream(connection), (head.sequence, head.hash) if head else (0, FIRST))


def _stamp(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(**{**row, "at": _moment(row["at"])})


def _moment(text: str) -> dt.datetime:
    """An altered time must not keep the rest from being read: it verifies as altered."""
    try:
        return dt.datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return dt.datetime.min.replace(tzinfo=dt.UTC)


def _details(details: Mapping[str, Any]) -> str:
    if found := sorted(_keys(details) & _SECRET_KEYS):
        raise ValueError(f"details of the history may not hold {', '.join(found)}: leave it out")
    return json.dumps(details, sort_keys=True, default=str)


def _keys(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        return {str(key).lower() for key in value} | {key for item in value.values() for key in _keys(item)}
    if isinstance(value, list | tuple):
        return {key for item in value for key in _keys(item)}
    return set()
