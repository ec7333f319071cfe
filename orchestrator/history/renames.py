"""Under which names machines stand in the history: what is there of a machine's former names is the machine's.

A rename is an entry like any other, under the new name; its details say what the machine was. Nothing that was recorded
is changed: readers are given the names of today. A name that another machine was given later begins anew there.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from orchestrator.history.chain import BEGUN
from orchestrator.history.database import ENTRIES

RENAME = "rename"
"""The action of the entry that gives a machine another name."""

Key = tuple[str, str]
"""Client and machine."""


@dataclass(frozen=True, kw_only=True)
class Rename:
    """One rename.

    Attributes:
        number: of its entry.
        was, now: client and machine, before and after.
        site, vmid: where the machine is; a number of 0 is not known.
        at: when it was recorded (aware).
    """

    number: int
    was: Key
    now: Key
    site: str
    vmid: int
    at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Era:
    """A name with the entries that are one machine's: those with a number above ``after`` and below ``before``.

    Attributes:
        since, until: the times of those entries (aware); None: there is no such entry.
    """

    key: Key
    after: int
    before: int | None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    def includes(self, moment: dt.datetime) -> bool:
        """Whether the machine had the name at a time (aware)."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


@dataclass(frozen=True)
class Renames:
    """Every rename, the oldest first."""

    found: tuple[Rename, ...] = ()

    def now(self, client: str, machine: str | None, number: int) -> tuple[str, str | None]:
        """The names of today for what an entry is about.

        Args:
            client, machine: as it was recorded; no machine: of the whole client.
            number: the entry's.
        """
        if machine is None:
            return self.client_now(client, number), None
        return self.machine_now((client, machine), number)

    def machine_now(self, key: Key, number: int) -> Key:
        """The names of today of a machine that an entry of a number is about."""
        for rename in self.found:
            if rename.number > number and rename.was == key:
                key, number = rename.now, rename.number
        return key

    def client_now(self, client: str, number: int) -> str:
        """The name of today of a client that an entry is about: as its machines were renamed.

        The first rename after the entry tells: a later one may be that of another client who was given the name since.
        """
        for rename in self._of_clients:
            if rename.number > number and rename.was[0] == client:
                client, number = rename.now[0], rename.number
        return client

    @cached_property
    def concerned(self) -> frozenset[str]:
        """The clients that were renamed, by their names before and after."""
        return frozenset(name for rename in self._of_clients for name in (rename.was[0], rename.now[0]))

    @cached_property
    def _of_clients(self) -> tuple[Rename, ...]:
        return tuple(rename for rename in self.found if rename.was[0] != rename.now[0])

    def eras(self, key: Key, before: int | None = None) -> Iterator[Era]:
        """The names that a machine has had, each with its entries, today's first."""
        away = [
            rename.number
            for rename in self.found
            if rename.was == key and (before is None or rename.number < before)
        ]
        after = max(away, default=0)
        times = {rename.number: rename.at for rename in self.found}
        yield Era(key=key, after=after, before=before, since=times.get(after), until=times.get(before or 0))
        for rename in self.found:
            if rename.now == key and rename.number > after and (before is None or rename.number < before):
                yield from self.eras(rename.was, rename.number)

    def called_at(self, key: Key, moment: dt.datetime) -> Key:
        """The names of today of a machine that had some at a time (aware)."""
        earlier = max((rename.number for rename in self.found if rename.at <= moment), default=0)
        return self.machine_now(key, earlier)

    def clients_before(self, clients: Iterable[str]) -> frozenset[str]:
        """These clients, and what they were called before."""
        known = set(clients)
        for rename in reversed(self._of_clients):
            if rename.now[0] in known:
                known.add(rename.was[0])
        return frozenset(known)

    def of_vm(self, site: str, vmid: int, key: Key) -> Key:
        """The names of today of a VM that was known under some name."""
        own = [rename for rename in self.found if (rename.site, rename.vmid) == (site, vmid)]
        return own[-1].now if any(key in (rename.was, rename.now) for rename in own) else key


def _query() -> sa.Select[Any]:
    end = ENTRIES.alias("end")
    return (
        sa.select(*(ENTRIES.c[name] for name in ("sequence", "at", "client", "machine", "site", "details")))
        .where(ENTRIES.c.action == RENAME, ENTRIES.c.machine.is_not(None))
        .where(
            ENTRIES.c.result.in_(("ok", "unknown"))  # where an answer was lost, it was made or is made again
            | ((ENTRIES.c.result == BEGUN) & ~sa.exists().where(end.c.began == ENTRIES.c.sequence))
        )
        .order_by(ENTRIES.c.sequence)
    )


_RENAMES = _query()
"""Made once: to make a statement costs more than to carry it out."""


def read_renames(connection: sa.Connection) -> Renames:
    """Every rename that was made, or may have been: one query of a few entries."""
    return Renames(tuple(filter(None, map(_rename, connection.execute(_RENAMES)))))


def _rename(row: Any) -> Rename | None:
    """What an entry says; None if somebody altered it (``history verify`` says so)."""
    try:
        details = json.loads(row.details)
        was = details["was"]["client"], details["was"]["machine"]
        vmid = details.get("vmid")
        at = dt.datetime.fromisoformat(row.at)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not all(isinstance(name, str) for name in was) or at.tzinfo is None:
        return None
    number = vmid if isinstance(vmid, int) else 0
    return Rename(
        number=row.sequence, was=was, now=(row.client, row.machine), site=row.site, vmid=number, at=at
    )
