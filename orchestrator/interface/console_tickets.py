"""Consoles that were asked for and are open: one row each, from the ticket to the end.

A ticket opens one console of one machine, once, within :data:`TICKET_SECONDS`, for the session that it was given to.
Only its hash is kept. Whoever serves a console says from time to time that it is still there; one of which nothing was
heard for :data:`LOST_SECONDS` ended with its program. So limits count across all programs that serve, and a killed one
blocks nobody.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orchestrator.errors import OrchestratorError
from orchestrator.interface.database import METADATA

if TYPE_CHECKING:
    from orchestrator.history.database import Database

TICKET_SECONDS = 30
"""How long a ticket may wait to be used."""

LOST_SECONDS = 60
"""After so long without a sign of life a console has ended with the program that served it."""

_KEPT = dt.timedelta(days=1)
"""Rows of consoles that ended; the history knows them for ever."""

CONSOLES = sa.Table(
    "interface_consoles",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("secret", sa.String(64), nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("account", "client", "machine", "site", "node")),
    sa.Column("of_client", sa.Boolean, nullable=False),
    sa.Column("session", sa.Integer, nullable=False),
    sa.Column("vmid", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("issued", sa.Float(53), nullable=False),
    sa.Column("opened", sa.Float(53)),
    sa.Column("seen", sa.Float(53)),
    sa.Column("ended", sa.Float(53)),
    sa.Column("entry", sa.Integer),
    sa.Column("replaced_by", sa.Text),
    sa.Index("interface_consoles_open", "ended", "account"),
)


class ConsoleKind(StrEnum):
    """What is shown."""

    SERIAL = "serial"
    """The serial port, as a terminal."""
    SCREEN = "screen"
    """The graphics card, by VNC."""


class Why(StrEnum):
    """Why a console cannot be opened, where a client is told as well."""

    TICKET = "ticket"
    BUSY = "busy"
    """Somebody else has it open."""
    TOO_MANY = "too many"
    STOPPED = "stopped"
    NOTHING_SHOWN = "nothing shown"
    """The machine has neither screen nor serial port, or not the one that was asked for."""
    NOT_ALLOWED = "not allowed"
    """By the contract."""
    NOT_OFFERED = "not offered"
    """The provider has not set consoles up."""
    UNREACHABLE = "unreachable"
    """What was wrong is not for clients."""


class ConsoleRefused(OrchestratorError):
    """A console cannot be opened."""

    def __init__(self, text: str, *, why: Why) -> None:
        super().__init__(text)
        self.why = why


class TicketRefused(ConsoleRefused):
    """A console's ticket is not valid: unknown, used, too old, or another session's."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many consoles may be open or about to be.

    Attributes:
        of_account: of one account.
        in_total: of everybody.
    """

    of_account: int = 4
    in_total: int = 50


@dataclass(frozen=True, kw_only=True)
class Console:
    """One console.

    Attributes:
        number: of its row.
        account, session: whose.
        of_client: whether the account is a client's.
        site, node, vmid: where its machine was when it was asked for.
        opened: when (aware); None: it waits for its ticket.
        entry: of the history, that says it was opened; None: there is none.
    """

    number: int
    account: str
    session: int
    of_client: bool
    client: str
    machine: str
    site: str
    node: str
    vmid: int
    kind: ConsoleKind
    opened: dt.datetime | None = None
    entry: int | None = None

    @property
    def target(self) -> str:
        """``CLIENT/MACHINE``."""
        return f"{self.client}/{self.machine}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A console that somebody may have; see :class:`Console`."""

    account: str
    session: int
    of_client: bool
    client: str
    machine: str
    site: str
    node: str
    vmid: int
    kind: ConsoleKind


class ConsoleTickets:
    """The consoles of a database. Safe to use from several threads and programs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, wanted: Wanted, now: dt.datetime, limits: Limits) -> str:
        """Give a ticket.

        A console of the same machine and kind that the same account has open ends by that, and for the provider's
        people also that of a client: a serial port hears one at a time.

        Args:
            wanted: what it opens.
            now: the time (aware).
            limits: how many may be open.

        Raises:
            ConsoleRefused: too many are open, or somebody else has this one.
            HistoryUnavailable: the database cannot be written.
        """
        ticket = secrets.token_urlsafe(32)
        at = now.timestamp()
        with self._database.writing() as connection:
            connection.execute(
                sa.delete(CONSOLES).where(
                    sa.or_(
                        CONSOLES.c.ended < at - _KEPT.total_seconds(),
                        CONSOLES.c.opened.is_(None) & (CONSOLES.c.issued < at - TICKET_SECONDS),
                    )
                )
            )
            present = [
                dict(row._mapping) for row in connection.execute(sa.select(CONSOLES).where(_present(at)))
            ]
            replaced = [row for row in present if _same(row, wanted)]
            _refuse_others(replaced, wanted)
            _refuse_too_many([row for row in present if row not in replaced], wanted, limits)
            for row in replaced:
                connection.execute(
                    sa.update(CONSOLES)
                    .where(CONSOLES.c.number == row["number"])
                    .values(replaced_by=wanted.account, **({} if row["opened"] else {"ended": at}))
                )
            values = {name: getattr(wanted, name) for name in Wanted.__dataclass_fields__}
            connection.execute(
                sa.insert(CONSOLES).values(
                    **values | {"kind": wanted.kind.value}, secret=_hash(ticket), issued=at
                )
            )
        return ticket

    def take(self, ticket: str, *, account: str, session: int, now: dt.datetime) -> Console:
        """Use a ticket: whoever comes second finds it used.

        Raises:
            TicketRefused: it is not valid.
            HistoryUnavailable: the database cannot be written.
        """
        at = now.timestamp()
        mine = (
            (CONSOLES.c.secret == _hash(ticket))
            & (CONSOLES.c.account == account)
            & (CONSOLES.c.session == session)
        )
        fresh = (
            CONSOLES.c.opened.is_(None)
            & CONSOLES.c.ended.is_(None)
            & (CONSOLES.c.issued > at - TICKET_SECONDS)
        )
        with self._database.writing() as connection:
            used = connection.execute(sa.update(CONSOLES).where(mine, fresh).values(opened=at, seen=at))
            if used.rowcount != 1:
                raise TicketRefused(
                    f"this console was opened already, or asked for more than {TICKET_SECONDS} seconds ago: open it "
                    "again",
                    why=Why.TICKET,
                )
            row = connection.execute(sa.select(CONSOLES).where(CONSOLES.c.secret == _hash(ticket))).one()
        return _console(dict(row._mapping))

    def entered(self, number: int, entry: int) -> None:
        """Note the entry of the history that says a console was opened.

        Raises:
            HistoryUnavailable: the database cannot be written.
        """
        self._set(number, entry=entry)

    def replaced_by(self, number: int, now: dt.datetime) -> str | None:
        """Say that a console is still served, and ask who has taken it over.

        Returns:
            The account that did; None if nobody did.

        Raises:
            HistoryUnavailable: the database cannot be written.
        """
        self._set(number, seen=now.timestamp())
        query = sa.select(CONSOLES.c.replaced_by).where(CONSOLES.c.number == number)
        with self._database.reading() as connection:
            found: str | None = connection.execute(query).scalar()
        return found

    def ended(self, number: int, now: dt.datetime) -> None:
        """Note that a console has ended.

        Raises:
            HistoryUnavailable: the database cannot be written.
        """
        self._set(number, ended=now.timestamp())

    def lost(self, now: dt.datetime) -> list[Console]:
        """Consoles of which nothing was heard for too long; they count as ended from now on, and are given once.

        Raises:
            HistoryUnavailable: the database cannot be written.
        """
        at = now.timestamp()
        silent = CONSOLES.c.ended.is_(None) & (CONSOLES.c.seen < at - LOST_SECONDS)
        with self._database.reading() as connection:
            if connection.execute(sa.select(CONSOLES.c.number).where(silent).limit(1)).first() is None:
                return []
        with self._database.writing() as connection:
            rows = connection.execute(sa.select(CONSOLES).where(silent)).all()
            connection.execute(sa.update(CONSOLES).where(silent).values(ended=at))
        return [_console(dict(row._mapping)) for row in rows]

    def open_now(self, now: dt.datetime) -> list[Console]:
        """Every console that is open, the oldest first.

        Raises:
            HistoryUnavailable: the database cannot be read.
        """
        query = sa.select(CONSOLES).where(_present(now.timestamp()), CONSOLES.c.opened.is_not(None))
        with self._database.reading() as connection:
            return [
                _console(dict(row._mapping)) for row in connection.execute(query.order_by(CONSOLES.c.opened))
            ]

    def _set(self, number: int, **values: float | int) -> None:
        with self._database.writing() as connection:
            connection.execute(sa.update(CONSOLES).where(CONSOLES.c.number == number).values(**values))


def _present(at: float) -> sa.ColumnElement[bool]:
    """Open, or waiting for its ticket."""
    waits = CONSOLES.c.opened.is_(None) & (CONSOLES.c.issued > at - TICKET_SECONDS)
    return CONSOLES.c.ended.is_(None) & sa.or_(waits, CONSOLES.c.seen >= at - LOST_SECONDS)


def _same(row: Mapping[str, Any], wanted: Wanted) -> bool:
    return (row["client"], row["machine"], row["kind"]) == (wanted.client, wanted.machine, wanted.kind)


def _refuse_others(same: Sequence[Mapping[str, Any]], wanted: Wanted) -> None:
    for row in same:
        if row["account"] != wanted.account and (wanted.of_client or not row["of_client"]):
            who = "somebody else" if wanted.of_client else row["account"]
            raise ConsoleRefused(
                f"this console is open already, by {who}: wait until it is closed", why=Why.BUSY
            )


def _refuse_too_many(others: Sequence[Mapping[str, Any]], wanted: Wanted, limits: Limits) -> None:
    if sum(row["account"] == wanted.account for row in others) >= limits.of_account:
        raise ConsoleRefused(
            f"you have {limits.of_account} consoles open, which is the most an account may have: close one of them",
            why=Why.TOO_MANY,
        )
    if len(others) >= limits.in_total:
        raise ConsoleRefused(
            f"{limits.in_total} consoles are open, which is the most there may be: try again when one is closed",
            why=Why.TOO_MANY,
        )


def _console(row: Mapping[str, Any]) -> Console:
    opened = row["opened"]
    return Console(
        **{name: row[name] for name in ("number", "account", "session", "client", "machine", "site", "node")},
        of_client=bool(row["of_client"]),
        vmid=row["vmid"],
        kind=ConsoleKind(row["kind"]),
        opened=None if opened is None else dt.datetime.fromtimestamp(opened, dt.UTC),
        entry=row["entry"],
    )


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
