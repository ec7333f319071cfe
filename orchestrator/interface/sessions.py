"""Sessions of the Interface: kept here and not in the browser, so that they can be ended from here.

The browser has a random token; the table has its hash, which opens nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface import accounts
from orchestrator.interface.accounts import ACCOUNTS, LONGEST_NAME, Account
from orchestrator.interface.database import METADATA

SESSIONS = sa.Table(
    "interface_sessions",
    METADATA,
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("token", sa.String(64), nullable=False, unique=True),
    sa.Column("account", sa.String(LONGEST_NAME), nullable=False, index=True),
    *(sa.Column(name, sa.String(40), nullable=False) for name in ("began", "used", "ends")),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("browser", sa.String(200), nullable=False),
    sa.Column("second", sa.String(20), nullable=False),
    sa.Column("waiting", sa.Boolean, nullable=False),
    sa.Column("challenge", sa.String(100)),
)

_WAITING_FOR = dt.timedelta(minutes=10)
"""How long a session waits for the second factor."""

_USED_EVERY = dt.timedelta(seconds=60)
"""How exactly the last use is known: a request is not a write."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Of an account that has signed in.

    Attributes:
        identity: a number for lists and for the history; it opens nothing.
        began: when.
        used: the last request, to the minute.
        ends: when it ends, whatever is done in it.
        address: where it was opened from.
        browser: as it called itself.
        second: the second factor that was shown (``totp``, ``webauthn``, ``recovery``, ``oidc``); empty: none.
        waiting: the password was right, and the second factor is not shown yet: nobody has signed in.
    """

    identity: int
    account: str
    began: dt.datetime
    used: dt.datetime | None = None
    ends: dt.datetime | None = None
    address: str = ""
    browser: str = ""
    second: str = ""
    waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A session that was opened.

    Attributes:
        token: for the browser alone.
    """

    token: str
    session: Session


def hash_of(token: str) -> str:
    """What is kept of a token: it has 256 random bits, so nobody finds it by trying."""
    return hashlib.sha256(token.encode()).hexdigest()


def begin(
    connection: sa.Connection,
    account: str,
    *,
    now: dt.datetime,
    longest: dt.timedelta,
    address: str,
    browser: str,
    second: str = "",
    waiting: bool = False,
) -> Opened:
    """Open a session with a token of its own; what has ended is removed.

    Args:
        longest: how long it lives.
        address, browser: see :class:`Session`.
        second: the second factor that was shown.
        waiting: the second factor is still to be shown.
    """
    connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.ends <= stamp(now)))
    token = secrets.token_urlsafe(32)
    values = {
        "token": hash_of(token),
        "account": account,
        "began": stamp(now),
        "used": stamp(now),
        "ends": stamp(now + (min(_WAITING_FOR, longest) if waiting else longest)),
        "address": address[:64],
        "browser": browser[:200],
        "second": second,
        "waiting": waiting,
    }
    connection.execute(sa.insert(SESSIONS).values(values))
    row = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.token == values["token"])).one()
    return Opened(token=token, session=_from_row(row))


def find(
    connection: sa.Connection, token: str, *, now: dt.datetime, idle: dt.timedelta
) -> tuple[Session, Account] | None:
    """The session of a token with its account as it is now: one query. None if it has ended, or there is none.

    Args:
        idle: how long it lives without a request.
    """
    query = (
        sa.select(SESSIONS, ACCOUNTS)  # they share no name of a column
        .join(ACCOUNTS, ACCOUNTS.c.name == SESSIONS.c.account)
        .where(SESSIONS.c.token == hash_of(token), ACCOUNTS.c.disabled.is_(None), *_alive(now, idle))
    )
    row = connection.execute(query).first()
    return None if row is None else (_from_row(row), accounts.from_row(row))


def _alive(now: dt.datetime, idle: dt.timedelta) -> tuple[sa.ColumnElement[bool], ...]:
    return (SESSIONS.c.ends > stamp(now), SESSIONS.c.used > stamp(now - idle))


def is_to_be_noted(session: Session, now: dt.datetime) -> bool:
    """Whether a request is late enough after the last for its time to be written."""
    return session.used is None or now - session.used >= _USED_EVERY


def note_use(connection: sa.Connection, session: Session, now: dt.datetime) -> None:
    """Write down that a session is used."""
    connection.execute(
        sa.update(SESSIONS).where(SESSIONS.c.identity == session.identity).values(used=stamp(now))
    )


def end(connection: sa.Connection, identity: int, *, account: str) -> bool:
    """End a session of an account. Return whether it had one of that number."""
    done = connection.execute(
        sa.delete(SESSIONS).where(SESSIONS.c.identity == identity, SESSIONS.c.account == account)
    )
    return bool(done.rowcount)


def end_all(connection: sa.Connection, account: str, *, but: int | None = None) -> int:
    """End the sessions of an account.

    Args:
        but: not this one.

    Returns:
        How many were ended.
    """
    chosen = SESSIONS.c.account == account
    if but is not None:
        chosen &= SESSIONS.c.identity != but
    return connection.execute(sa.delete(SESSIONS).where(chosen)).rowcount


def listed(
    connection: sa.Connection, account: str, *, now: dt.datetime, idle: dt.timedelta
) -> Sequence[Session]:
    """The sessions in which an account is signed in, the last used first."""
    query = (
        sa.select(SESSIONS)
        .where(SESSIONS.c.account == account, ~SESSIONS.c.waiting, *_alive(now, idle))
        .order_by(SESSIONS.c.used.desc(), SESSIONS.c.identity.desc())
        .limit(100)
    )
    return [_from_row(row) for row in connection.execute(query)]


def put_challenge(connection: sa.Connection, identity: int, challenge: str) -> None:
    """Keep what a security key has to sign next; an earlier challenge is void."""
    connection.execute(sa.update(SESSIONS).where(SESSIONS.c.identity == identity).values(challenge=challenge))


def take_challenge(connection: sa.Connection, identity: int) -> str | None:
    """The challenge of a session; it is void from now on. None: there is none."""
    chosen = SESSIONS.c.identity == identity
    challenge = connection.execute(sa.select(SESSIONS.c.challenge).where(chosen).with_for_update()).scalar()
    connection.execute(sa.update(SESSIONS).where(chosen).values(challenge=None))
    return challenge


def _from_row(row: Any) -> Session:
    return Session(
        identity=row.identity,
        account=row.account,
        began=dt.datetime.fromisoformat(row.began),
        used=dt.datetime.fromisoformat(row.used),
        ends=dt.datetime.fromisoformat(row.ends),
        address=row.address,
        browser=row.browser,
        second=row.second,
        waiting=bool(row.waiting),
    )
