"""The database under the history: its tables, opening it, and saying what is wrong when it will not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.history.chain import FIRST
from orchestrator.history.errors import HistoryUnavailable, missing_at
from orchestrator.redaction import reason_of, shown_url

_BUSY_SECONDS = 60
_MAKING = int.from_bytes(b"history", "big")
"""The advisory lock of PostgreSQL under which the tables are made; any number that is always the same."""

_METADATA = sa.MetaData()
ENTRIES = sa.Table(
    "history_entries",
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
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("began", sa.Integer),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("previous", "hash")),
    sa.Index("history_of_a_machine", "client", "machine", "sequence"),
    sa.Index("history_of_an_action", "began"),
    sa.Index("history_by_action", "action", "client", "sequence"),  # records are a few among many entries
)
HEAD = sa.Table(
    "history_head",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)


class Database:
    """A database that holds a history.

    Args:
        where: a file, or a database URL (``postgresql+psycopg://…``).
        create: make it if there is none.

    Raises:
        HistoryMissing: there is none, and none is to be made.
        HistoryUnavailable: it cannot be opened, or is something else.
    """

    def __init__(self, where: str | Path, *, create: bool) -> None:
        self._where = str(where)
        by_url = "://" in self._where
        self.name = shown_url(self._where) if by_url else self._where
        try:
            url = sa.make_url(self._where) if by_url else _file_url(Path(where).expanduser())
            self._engine = sa.create_engine(url, hide_parameters=True)
        except (SQLAlchemyError, ImportError, ValueError, TypeError, RuntimeError) as error:
            reason = reason_of(error, self._where if by_url else "")
            raise HistoryUnavailable(
                f"the history {self.name} cannot be opened: {reason}: "
                "give a file, or the URL of a database whose driver is installed, its password percent-encoded"
            ) from None
        if not by_url:
            self.name = str(url.database)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            _prepare_file(Path(url.database or ""), create=create)
            sa.event.listen(self._engine, "connect", _tune_sqlite)
        try:
            self._open(create=create)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one moment, whatever others write meanwhile."""
        with self._errors("read"), self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction; in SQLite it holds the write lock from its beginning, so two never read one head."""
        with self._errors("written"), self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def _open(self, *, create: bool) -> None:
        with self.reading() as connection:
            tables = set(sa.inspect(connection).get_table_names())
        ours = {ENTRIES.name, HEAD.name}
        if ours <= tables:
            return
        if self._sqlite and tables - ours:
            raise HistoryUnavailable(
                f"{self.name} is a database, but not a history: name another file with --history"
            )
        if not create:
            raise missing_at(self.name)
        self._make()

    def make_missing(self, metadata: sa.MetaData) -> None:
        """Make those of other tables that are not there yet: what stands beside the history.

        Args:
            metadata: the tables.

        Raises:
            HistoryUnavailable: it cannot be read, or written.
        """
        with self.reading() as connection:
            there = set(sa.inspect(connection).get_table_names())
        if metadata.tables.keys() <= there:
            return
        with self.writing() as connection:
            self._take_turns(connection)
            metadata.create_all(connection)

    def _take_turns(self, connection: sa.Connection) -> None:
        """Two first runs at once: the second waits here, and finds the tables made."""
        if self._engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))

    def _make(self) -> None:
        if self._sqlite:
            with self._errors("made"), self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # stays with the file
        with self.writing() as connection:
            self._take_turns(connection)
            _METADATA.create_all(connection)
            # Only ever beside new tables: a head that somebody removed must not come back by itself.
            kept = sa.select(HEAD.c.sequence).union_all(sa.select(ENTRIES.c.sequence))
            if connection.execute(kept).first() is None:
                connection.execute(sa.insert(HEAD).values(id=1, sequence=0, hash=FIRST))

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (
            SQLAlchemyError,
            ValueError,
            TypeError,
        ) as error:  # drivers refuse some parameters by themselves
            cause = reason_of(error, self._where)
            # What led to it is left out: a driver's own traceback may quote the URL's password.
            raise HistoryUnavailable(
                f"the history {self.name} could not be {what}: {cause}: {_remedy(cause)}"
            ) from None


def _file_url(path: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(path))


def _prepare_file(path: Path, *, create: bool) -> None:
    """Make an empty file that only its owner can read: what was done to whom is not everybody's business."""
    if not create:
        if not path.exists():
            raise missing_at(str(path))
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise HistoryUnavailable(
            f"the history {path} cannot be made: {error.strerror}: name another file with --history"
        ) from error


def _tune_sqlite(connection: Any, _record: Any) -> None:
    """What was committed survives a power cut; other writers are waited for. ``writing`` begins transactions."""
    connection.isolation_level = None
    connection.text_factory = _decoded
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA synchronous=FULL")


def _decoded(text: bytes) -> str:
    """What somebody overwrote with rubbish must still be read, to be named."""
    return text.decode(errors="surrogateescape")


def _remedy(cause: str) -> str:
    for words, remedy in _REMEDIES.items():
        if any(word in cause for word in words):
            return remedy
    return "correct that, or name another one with --history"


_REMEDIES = {
    ("locked",): "another program holds it; try again when that has ended",
    ("readonly", "read-only", "unable to open"): "run this as the user who owns the file and its folder",
    ("full", "No space left"): "make room on its file system",
    ("disk I/O error",): "see whether its file system has room, and whether the disk is sound",
    ("not a database",): "name another file with --history",
    ("malformed",): "the file is damaged: keep it as it is, and restore it from the last backup",
    (
        "no such column",
        "has no column",
        "NOT NULL constraint",
        "does not exist",
        "violates not-null",
    ): "another version of orchestrator made it: use that version, or name another one with --history",
    (
        "password",
        "authentication",
    ): "see to the user and the password in the URL (percent-encoded), in PGPASSFILE or in the service file",
    (
        "connection",
        "resolve",
    ): "see that the database runs and can be reached from here, and that the URL is right",
}
"""What to do, by words of the database's own message; the first that fits."""
