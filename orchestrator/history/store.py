"""Appending to the history, reading it, checking it."""

from __future__ import annotations

import datetime as dt
import math
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Self

import sqlalchemy as sa

from orchestrator.history.chain import BEGUN, RESULTS, Entry, Head, Verification, hash_of, stamp, verify
from orchestrator.history.database import ENTRIES, HEAD, Database
from orchestrator.history.details import details_as_json
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.history.renames import Era, Renames, read_renames
from orchestrator.history.within import Within
from orchestrator.redaction import without_secrets
from orchestrator.shown import shortened, storable

# Made once: to make a statement costs more than to carry it out.
_LOCKED_HEAD = sa.select(HEAD).with_for_update()
_ADD = sa.insert(ENTRIES)
_MOVE_HEAD = sa.update(HEAD)
_END = ENTRIES.alias("end")
_LATEST_FIRST = (
    sa.select(ENTRIES)
    .where((ENTRIES.c.result != BEGUN) | ~sa.exists().where(_END.c.began == ENTRIES.c.sequence))
    .order_by(ENTRIES.c.sequence.desc())
)

_AT_ONCE = 1000
"""Rows that a check holds in memory."""

_LONGEST = {"why": 2_000, "message": 4_000, "details": None}
"""Characters of a field of an entry, None: limited already."""

_LONGEST_NAME = 300
"""Characters of the other fields: names, a task's UPID."""


class History:
    """A history. Appending is safe from several threads and from several processes at once.

    An action has two entries: one with the result ``begun`` before it, one that refers to it (``began``) after
    it. Readers see one of them: the end, or, where a kill or a power cut left none, the beginning. So the
    history of a quiet night has one line an action, and an action that may have been done is never missing,
    although nobody was there to write down how it went: Proxmox's own task list says that, and the next run.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def database(self) -> Database:
        """What it is kept in: observations stand beside it."""
        return self._database

    def close(self) -> None:
        """Give the database's connections back."""
        self._database.close()

    def append(
        self,
        *,
        who: str,
        why: str,
        client: str,
        site: str,
        action: str,
        result: str,
        run: str,
        machine: str | None = None,
        details: Mapping[str, Any] | None = None,
        message: str = "",
        upid: str | None = None,
        seconds: float = 0.0,
        began: int | None = None,
        at: dt.datetime | None = None,
    ) -> Entry:
        """Add an entry to the end of the chain. It is on disk when this returns.

        Args:
            who, why, client, site, action, run, machine, message, upid: see :class:`Entry`. A key, token or
                ticket that an error quoted in ``why`` or ``message`` is made unreadable.
            result: ``begun``, ``ok``, ``failed``, ``refused`` or ``unknown``.
            details: what was asked; becomes JSON, without secrets. It and all texts are shortened if they are very
                long, and say by how much.
            seconds: how long it took, 0 or more.
            began: the number of the ``begun`` entry whose action ended.
            at: when; now, if absent.

        Raises:
            ValueError: a value is out of its range; nothing was written.
            HistoryUnavailable: it could not be written.
        """
        if result not in RESULTS:
            raise ValueError(f"{result!r} is not a valid result: there are {', '.join(RESULTS)}")
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"an action takes 0 seconds or more, not {seconds}")
        texts = {
            "who": who,
            "why": without_secrets(why),
            "client": client,
            "machine": machine,
            "site": site,
            "action": action,
            "details": details_as_json(details or {}),
            "result": result,
            "message": without_secrets(message),
            "upid": upid,
            "run": run,
        }
        return self._chain(
            {
                **{key: text if text is None else _fitting(key, text) for key, text in texts.items()},
                "at": stamp(at or dt.datetime.now(dt.UTC)),
                "seconds": float(seconds) + 0.0,  # -0.0 would come back as 0.0
                "began": began,
            }
        )

    def _chain(self, fields: dict[str, Any]) -> Entry:
        with self._guard, self._database.writing() as connection:
            head = connection.execute(_LOCKED_HEAD).first()
            if head is None:
                raise HistoryUnavailable(
                    f"the history {self._database.name} lost the record of its last entry, so nothing can be "
                    "added: somebody changed it; keep it as it is and name another one with --history"
                )
            row = {**fields, "sequence": head.sequence + 1, "previous": head.hash}
            row["hash"] = hash_of(row)
            connection.execute(_ADD, row)
            connection.execute(_MOVE_HEAD, {"sequence": row["sequence"], "hash": row["hash"]})
        return Entry.from_row(row)

    def entries(
        self,
        *,
        client: str | Collection[str] | None = None,
        machine: str | None = None,
        action: str | Collection[str] | None = None,
        limit: int | None = None,
        since: dt.datetime | None = None,
        as_recorded: bool = False,
    ) -> list[Entry]:
        """The last entries, the latest first; an action that ended is shown by its end alone.

        What was recorded of a machine or a client under a former name is among those of today's name, and bears it
        (:mod:`orchestrator.history.renames`).

        Args:
            client, machine: whose (several clients: those of any of them); everybody's if None.
            action: only entries of this action, or of one of these: ``update``.
            limit: how many at most.
            since: recorded at that time or later.
            as_recorded: with the names that were recorded; what was asked for by a former name is found, too.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        found, _ = self.entries_and_renames(
            client=client, machine=machine, action=action, limit=limit, since=since, as_recorded=as_recorded
        )
        return found

    def entries_and_renames(
        self,
        *,
        client: str | Collection[str] | None = None,
        machine: str | None = None,
        action: str | Collection[str] | None = None,
        limit: int | None = None,
        since: dt.datetime | None = None,
        as_recorded: bool = False,
        within: Within | None = None,
    ) -> tuple[list[Entry], Renames]:
        """As :meth:`entries`, with every rename that is recorded: two queries, of one moment.

        Args:
            client, machine, action, limit, since, as_recorded: as of :meth:`entries`.
            within: which part of the history is looked at; None: all of it.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        query = _LATEST_FIRST
        if action is not None:
            query = query.where(_is_one_of(ENTRIES.c.action, action))
        if since is not None:
            query = query.where(ENTRIES.c.at >= stamp(since))
        if within is not None:
            query = query.where(*within.conditions())
        clients = None if client is None else frozenset({client} if isinstance(client, str) else client)
        with self._database.reading() as connection:
            renames = read_renames(connection)
            query = query.where(_about(clients, machine, renames, as_recorded=as_recorded))
            # Whose an entry of a client is that was renamed is known once it is read.
            sure = clients is None or machine is not None or not clients & renames.concerned
            rows = connection.execute(query.limit(limit) if sure else query)
            read = (Entry.from_row(row._asdict()) for row in rows)
            named = ((entry, _named(entry, renames)) for entry in read)
            kept = (
                entry if as_recorded else now
                for entry, now in named
                if sure or {now.client, entry.client if as_recorded else now.client} & (clients or set())
            )
            return list(islice(kept, limit)), renames

    def renames(self) -> Renames:
        """Every rename that was recorded: one query.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        with self._database.reading() as connection:
            return read_renames(connection)

    def last_number(self) -> int:
        """The number of the last entry; 0 if there is none.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.max(ENTRIES.c.sequence))).scalar() or 0)

    def actions_since(self, number: int) -> frozenset[str]:
        """The actions of the entries after a number.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        query = sa.select(ENTRIES.c.action).where(ENTRIES.c.sequence > number).distinct()
        with self._database.reading() as connection:
            return frozenset(str(action) for action in connection.execute(query).scalars())

    def first_number_since(self, moment: dt.datetime) -> int:
        """The number of the first entry that was recorded at a time or later; one past the last if there is none.

        Numbers and times rise together, so the place is found by halving: some thirty looks at one row each.

        Args:
            moment: aware.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        wanted = stamp(moment)
        with self._database.reading() as connection:
            low = 1
            high = int(connection.execute(sa.select(sa.func.max(ENTRIES.c.sequence))).scalar() or 0) + 1
            while low < high:
                middle = (low + high) // 2
                query = sa.select(ENTRIES.c.sequence, ENTRIES.c.at).where(ENTRIES.c.sequence >= middle)
                row = connection.execute(query.order_by(ENTRIES.c.sequence).limit(1)).first()
                if row is not None and row.sequence < high and str(row.at) < wanted:
                    low = row.sequence + 1
                else:
                    high = middle
            return low

    def entry(self, number: int) -> Entry | None:
        """One entry by its number; None if there is none.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        if not 0 < number < 2**31:  # larger ones are no INTEGER of PostgreSQL
            return None
        with self._database.reading() as connection:
            row = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.sequence == number)).first()
        return None if row is None else Entry.from_row(row._asdict())

    def last_seconds(self, action: str) -> dict[tuple[str, str], float]:
        """How long an action took when it last went well, by client and machine: one query.

        Args:
            action: as it was recorded: ``backup``.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        return {key: float(seconds) for key, seconds in self._latest(action, ENTRIES.c.seconds).items()}

    def latest_details(self, action: str) -> dict[tuple[str, str], str]:
        """The details (JSON) of each machine's last successful action of a kind, by client and machine: one query.

        Args:
            action: as it was recorded: ``updates due``.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        return {key: str(details) for key, details in self._latest(action, ENTRIES.c.details).items()}

    def latest(
        self, action: str, *, until: dt.datetime | None = None, clients: Collection[str] | None = None
    ) -> list[Entry]:
        """Each machine's last successful action of a kind: one query.

        Args:
            action: as it was recorded: ``updates due``.
            until: the last that was recorded by then (aware); None: by now.
            clients: whose machines, by their names of today; None: everybody's.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        with self._database.reading() as connection:
            renames = read_renames(connection)
            numbers = _latest_numbers(action, until)
            if clients is not None:
                numbers = numbers.where(ENTRIES.c.client.in_(sorted(renames.clients_before(clients))))
            query = sa.select(ENTRIES).where(ENTRIES.c.sequence.in_(numbers)).order_by(ENTRIES.c.sequence)
            read = (Entry.from_row(row._asdict()) for row in connection.execute(query))
            found = {(entry.client, entry.machine): entry for entry in (_named(one, renames) for one in read)}
        return list(found.values())

    def _latest(self, action: str, column: sa.Column[Any]) -> dict[tuple[str, str], Any]:
        names = (ENTRIES.c.client, ENTRIES.c.machine, ENTRIES.c.sequence)
        query = sa.select(*names, column.label("value")).where(
            ENTRIES.c.sequence.in_(_latest_numbers(action))
        )
        query = query.order_by(ENTRIES.c.sequence)
        with self._database.reading() as connection:
            renames = read_renames(connection)
            return {
                renames.machine_now((row.client, row.machine), row.sequence): row.value
                for row in connection.execute(query)
            }

    def verify(self, noted: Head | None = None) -> Verification:
        """Check the whole chain, reading it in small portions.

        Args:
            noted: the head that an earlier check gave, kept elsewhere: that entry must still be there. It is what
                shows a history that was rewritten, or cut off, together with its head.

        Raises:
            HistoryUnavailable: it cannot be read.
        """
        query = sa.select(ENTRIES).order_by(ENTRIES.c.sequence).execution_options(yield_per=_AT_ONCE)
        with self._database.reading() as connection:
            head = connection.execute(sa.select(HEAD)).first()
            rows = (row._asdict() for row in connection.execute(query))
            return verify(rows, (head.sequence, head.hash) if head else None, noted)


def _latest_numbers(action: str, until: dt.datetime | None = None) -> sa.Select[tuple[int]]:
    query = (
        sa.select(sa.func.max(ENTRIES.c.sequence))
        .where(ENTRIES.c.action == action, ENTRIES.c.result == "ok", ENTRIES.c.machine.is_not(None))
        .group_by(ENTRIES.c.client, ENTRIES.c.machine)
    )
    return query if until is None else query.where(ENTRIES.c.at <= stamp(until))


def _about(
    clients: Collection[str] | None, machine: str | None, renames: Renames, *, as_recorded: bool
) -> sa.ColumnElement[bool]:
    """Which entries are about some clients, or a machine of theirs, by the names that they had."""
    if clients is None:
        return sa.true() if machine is None else ENTRIES.c.machine == machine
    if machine is None:
        return ENTRIES.c.client.in_(sorted(renames.clients_before(clients)))
    eras = [era for client in sorted(clients) for era in renames.eras((client, machine))]
    if as_recorded:
        eras += [Era(key=(client, machine), after=0, before=None) for client in sorted(clients)]
    return sa.or_(*map(_within, eras))


def _within(era: Era) -> sa.ColumnElement[bool]:
    client, machine = era.key
    found = (ENTRIES.c.client == client) & (ENTRIES.c.machine == machine) & (ENTRIES.c.sequence > era.after)
    return found if era.before is None else found & (ENTRIES.c.sequence < era.before)


def _named(entry: Entry, renames: Renames) -> Entry:
    """An entry with the names of today."""
    client, machine = renames.now(entry.client, entry.machine, entry.sequence)
    same = (client, machine) == (entry.client, entry.machine)
    return entry if same else replace(entry, client=client, machine=machine)


def _is_one_of(column: sa.Column[str], wanted: str | Collection[str]) -> sa.ColumnElement[bool]:
    return column == wanted if isinstance(wanted, str) else column.in_(list(wanted))


def _fitting(field: str, text: str) -> str:
    """What a database can hold, and of limited length: an entry is kept for years."""
    return shortened(storable(text), _LONGEST.get(field, _LONGEST_NAME))
