"""Tokens of the JSON API: for billing and ticket systems, with scopes and an end."""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA
from orchestrator.interface.scopes import Scope
from orchestrator.interface.sessions import hash_of

_PREFIX = "orc_"
"""By which a token is recognised that was written down somewhere."""

_WRITTEN = re.compile(_PREFIX + r"[A-Za-z0-9_-]{43}", re.ASCII)
_USED_EVERY = dt.timedelta(seconds=60)

TOKENS = sa.Table(
    "interface_tokens",
    METADATA,
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False, unique=True),
    sa.Column("token", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.String(200), nullable=False),
    sa.Column("client", sa.Text),
    sa.Column("made_by", sa.Text, nullable=False),
    *(sa.Column(name, sa.String(40), nullable=False) for name in ("created", "ends")),
    sa.Column("used", sa.String(40)),
)


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token without its secret.

    Attributes:
        name: as the history has it.
        client: whose things alone it sees; None: everybody's.
        made_by: who made it.
        used: the last request, to the minute; None: none yet.
    """

    identity: int
    name: str
    scopes: frozenset[Scope]
    client: str | None
    made_by: str
    created: dt.datetime
    ends: dt.datetime
    used: dt.datetime | None


def add(
    connection: sa.Connection,
    *,
    name: str,
    scopes: Collection[Scope],
    client: str | None,
    made_by: str,
    now: dt.datetime,
    ends: dt.datetime,
) -> str | None:
    """Make a token.

    Returns:
        The token, which is kept nowhere; None: there is one of that name.
    """
    if connection.execute(sa.select(TOKENS.c.name).where(TOKENS.c.name == name)).first() is not None:
        return None
    token = _PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        sa.insert(TOKENS).values(
            name=name,
            token=hash_of(token),
            scopes=" ".join(sorted(scopes)),
            client=client,
            made_by=made_by,
            created=stamp(now),
            ends=stamp(ends),
        )
    )
    return token


def find(connection: sa.Connection, token: str, now: dt.datetime) -> Token | None:
    """The token that somebody shows; None if there is none, or it has ended."""
    if not _WRITTEN.fullmatch(token):
        return None
    query = sa.select(TOKENS).where(TOKENS.c.token == hash_of(token), TOKENS.c.ends > stamp(now))
    row = connection.execute(query).first()
    return None if row is None else _from_row(row)


def is_to_be_noted(token: Token, now: dt.datetime) -> bool:
    """Whether a request is late enough after the last for its time to be written."""
    return token.used is None or now - token.used >= _USED_EVERY


def note_use(connection: sa.Connection, token: Token, now: dt.datetime) -> None:
    """Write down that a token is used."""
    connection.execute(sa.update(TOKENS).where(TOKENS.c.identity == token.identity).values(used=stamp(now)))


def listed(connection: sa.Connection) -> Sequence[Token]:
    """All tokens by name, ended ones included."""
    rows = connection.execute(sa.select(TOKENS).order_by(TOKENS.c.name).limit(1000))
    return [_from_row(row) for row in rows]


def revoke(connection: sa.Connection, name: str) -> bool:
    """Remove a token; return whether there was one of that name."""
    return bool(connection.execute(sa.delete(TOKENS).where(TOKENS.c.name == name)).rowcount)


def _from_row(row: Any) -> Token:
    return Token(
        identity=row.identity,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes.split()),
        client=row.client,
        made_by=row.made_by,
        created=dt.datetime.fromisoformat(row.created),
        ends=dt.datetime.fromisoformat(row.ends),
        used=None if row.used is None else dt.datetime.fromisoformat(row.used),
    )
