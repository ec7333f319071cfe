"""Locks of runs: one a client, so that two runs never change one client's machines, and others do not wait.

Beside clients, a run locks each address that it gives to a machine: what it plans for "auto" must not be planned and
given by another client's run meanwhile. A lock lives as long as the process: a killed one leaves none. Where the
history is in PostgreSQL, locks are there too, and hold across computers; else they hold on this computer.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol, Self

from orchestrator.applying.vm import Stopped


class Held(Exception):
    """Somebody else's run holds a lock. The text says who and since when."""


class LocksUnavailable(Exception):
    """Locks cannot be had at all: the database cannot be reached. The text says why, and what to do."""


class LocksLost(Stopped):
    """The connection that held this run's locks is gone: another run may have taken them. Nothing more is changed."""


class LockStore(Protocol):
    """Where locks are. What was taken is given back by ``close``, or by the end of the process."""

    def take(self, name: str, holder: str) -> str | None:
        """Take a lock. Return None if it is ours now, else who holds it."""

    def check(self) -> None:
        """Make sure that what was taken is still ours.

        Raises:
            LocksLost: it may not be.
        """

    def close(self) -> None:
        """Give everything back."""


class FileLocks:
    """Locks of this computer: one byte a name in one file, held by the kernel as long as the file is open.

    Args:
        folder: for the file, and for a note a lock of who holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "holders"
        self._notes.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / "locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._taken: set[str] = set()

    def take(self, name: str, holder: str) -> str | None:
        """Take a lock. Return None if it is ours now, else who holds it."""
        if name in self._taken:
            return None
        digest = hashlib.sha256(name.encode()).hexdigest()
        note = self._notes / digest
        # One byte at the place that the name's hash says; the lock belongs to the open file, not to the process.
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, int(digest[:14], 16), 1, 0)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, wanted)
        except (BlockingIOError, PermissionError):
            try:
                return note.read_text(errors="replace").strip() or "another run"
            except FileNotFoundError:  # taken this very moment
                return "another run"
        self._taken.add(name)
        note.write_text(holder)
        return None

    def check(self) -> None:
        """Nothing can take them away while the process lives."""

    def close(self) -> None:
        """Give everything back."""
        os.close(self._file)


class DatabaseLocks:
    """Locks in PostgreSQL: advisory locks of one connection, which go with it, however it ends.

    Args:
        url: the history's database.

    Raises:
        LocksUnavailable: it cannot be reached, or is no PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        import sqlalchemy as sa
        from sqlalchemy.exc import SQLAlchemyError

        alive = {
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "connect_timeout": 15,
        }
        try:
            engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=alive)
            if engine.dialect.name != "postgresql":
                raise LocksUnavailable(
                    f"no locks are to be had in {engine.dialect.name}: keep the history in PostgreSQL, or in a file"
                )
            self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._make_table()
        except (SQLAlchemyError, ImportError) as error:
            raise LocksUnavailable(_unavailable(error)) from error
        self._guard = threading.Lock()

    def _make_table(self) -> None:
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        make = text(
            "CREATE TABLE IF NOT EXISTS orchestrator_locks (name text PRIMARY KEY, holder text NOT NULL)"
        )
        try:
            self._connection.execute(make)
        except SQLAlchemyError:  # two first runs at once make it once
            self._connection.execute(make)

    def take(self, name: str, holder: str) -> str | None:
        """Take a lock. Return None if it is ours now, else who holds it.

        Raises:
            LocksUnavailable: the database does not answer.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._guard:
                taken = self._connection.execute(
                    text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
                ).scalar_one()
                if taken:
                    self._connection.execute(
                        text(
                            "INSERT INTO orchestrator_locks VALUES (:name, :holder) "
                            "ON CONFLICT (name) DO UPDATE SET holder = :holder"
                        ),
                        {"name": name, "holder": holder},
                    )
                    return None
                found = self._connection.execute(
                    text("SELECT holder FROM orchestrator_locks WHERE name = :name"), {"name": name}
                ).scalar()
        except SQLAlchemyError as error:
            raise LocksUnavailable(_unavailable(error)) from error
        return str(found or "another run")

    def check(self) -> None:
        """Make sure that the connection still stands.

        Raises:
            LocksLost: it does not: the locks went with it.
        """
        from sqlalchemy import text
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._guard:
                self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            raise LocksLost(
                "the connection to the history's database broke, and this run's locks with it: nothing more is "
                "changed; apply again when the database answers"
            ) from error

    def close(self) -> None:
        """Give everything back."""
        self._connection.close()


def _unavailable(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "PostgreSQL's driver is not installed: pip install 'orchestrator[postgres]'"
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return f"the history's database gives no locks: {reason}: nothing was changed; try again when it answers"


class RunLocks:
    """The locks of one run.

    Args:
        store: where they are.
        provider: names the set of sites: the same client at another provider is another one.
        holder: who runs this and since when, for whoever comes second.
    """

    def __init__(self, store: LockStore, provider: str, holder: str) -> None:
        self._store = store
        self._provider = provider
        self._holder = holder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def clients(self, names: Iterable[str]) -> None:
        """Take the locks of clients.

        Raises:
            Held: another run has one of them. What was taken goes with the end of this run.
        """
        for name in sorted(set(names)):
            if other := self._client(name):
                raise Held(f"{other} is changing {name}: wait until that run has ended")

    def some_clients(self, names: Iterable[str]) -> dict[str, str]:
        """Take the locks of clients as far as they are free. Return who holds the others, by client."""
        found = {name: self._client(name) for name in sorted(set(names))}
        return {name: other for name, other in found.items() if other}

    def night(self, cluster: str) -> None:
        """Take the lock of a cluster's night, by the address of its API: there is one night at a time.

        Raises:
            Held: another run has it.
        """
        if other := self._store.take(f"night/{cluster}", self._holder):
            raise Held(f"{other} is running: wait until it has ended")

    def _client(self, name: str) -> str | None:
        return self._store.take(f"{self._provider}/client/{name}", self._holder)

    def address(self, site: str, address: IPv4Address) -> str | None:
        """Take an address that a machine is to be given. Return None if it is ours, else whose run gives it."""
        return self._store.take(f"{self._provider}/address/{site}/{address}", self._holder)

    def check(self) -> None:
        """Make sure that the locks are still ours.

        Raises:
            LocksLost: they may not be.
        """
        self._store.check()
