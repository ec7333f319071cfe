"""Accounts of the Interface: the Codes d'Accès of the contract."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA
from orchestrator.interface.roles import Role

LONGEST_NAME = 64
"""Characters of an account's name."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)

ACCOUNTS = sa.Table(
    "interface_accounts",
    METADATA,
    sa.Column("name", sa.String(LONGEST_NAME), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("client", sa.Text),
    sa.Column("language", sa.String(2), nullable=False),
    sa.Column("password", sa.Text),  # a hash; none: signs in by the identity provider
    sa.Column("initial", sa.Boolean, nullable=False),
    sa.Column("disabled", sa.String(40)),
    sa.Column("created", sa.String(40), nullable=False),
)
IDENTITIES = sa.Table(
    "interface_identities",
    METADATA,
    sa.Column("issuer", sa.String(500), primary_key=True),
    sa.Column("subject", sa.String(255), primary_key=True),
    sa.Column("account", sa.String(LONGEST_NAME), nullable=False, index=True),
)
"""Whom the identity provider means by a subject. An account has one of them at most for an issuer."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody who may sign in.

    Attributes:
        name: as the history has it.
        client: whose machines it sees; None: the provider's.
        language: of a client's pages.
        disabled: since when it may not sign in; None: it may.
        initial: whether somebody else chose its password: it has to be changed first.
        created: when.
        by_provider: whether it signs in by the identity provider (OpenID Connect) and has no password here.
        looks_only: one of the provider's that has not shown a second factor in its session: it changes nothing.
    """

    name: str
    role: Role
    client: str | None = None
    language: Literal["fr", "en"] = "fr"
    disabled: dt.datetime | None = None
    initial: bool = False
    created: dt.datetime | None = None
    by_provider: bool = False
    looks_only: bool = False


def account_name(text: str) -> str | None:
    """A name as accounts have it, of what somebody typed; None if no account can have it."""
    name = text.strip().lower()
    return name if _NAME.fullmatch(name) else None


def from_row(row: Any) -> Account:
    """An account of a row that has all columns of the table."""
    return Account(
        name=row.name,
        role=Role(row.role),
        client=row.client,
        language="en" if row.language == "en" else "fr",
        disabled=None if row.disabled is None else dt.datetime.fromisoformat(row.disabled),
        initial=bool(row.initial),
        created=dt.datetime.fromisoformat(row.created),
        by_provider=row.password is None,
    )


def find(connection: sa.Connection, name: str) -> Account | None:
    """An account by its exact name."""
    row = connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.name == name)).first()
    return None if row is None else from_row(row)


def password_of(connection: sa.Connection, name: str) -> str | None:
    """The hash of an account's password; None if there is no such account, or it has no password."""
    return connection.execute(sa.select(ACCOUNTS.c.password).where(ACCOUNTS.c.name == name)).scalar()


def add(connection: sa.Connection, account: Account, *, password: str | None, now: dt.datetime) -> bool:
    """Add an account.

    Args:
        password: its hash; None: it signs in by the identity provider.

    Returns:
        Whether it was added; False: there is one of that name.
    """
    if find(connection, account.name) is not None:
        return False
    connection.execute(
        sa.insert(ACCOUNTS).values(
            name=account.name,
            role=account.role.value,
            client=account.client,
            language=account.language,
            password=password,
            initial=account.initial,
            created=stamp(now),
        )
    )
    return True


def change(connection: sa.Connection, name: str, **values: object) -> None:
    """Change columns of an account's row."""
    connection.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(**values))


@dataclass(frozen=True, kw_only=True)
class Portion:
    """Some accounts of many.

    Attributes:
        accounts: by name.
        count: of all that were asked for.
    """

    accounts: Sequence[Account]
    count: int


def listed(connection: sa.Connection, *, search: str = "", limit: int = 100, offset: int = 0) -> Portion:
    """Accounts by name: two queries.

    Args:
        search: a part of a name or of a client's name.
        limit, offset: which portion.
    """
    chosen: sa.ColumnElement[bool] = sa.true()
    if search:
        chosen = ACCOUNTS.c.name.contains(search.lower(), autoescape=True) | ACCOUNTS.c.client.contains(
            search.lower(), autoescape=True
        )
    rows = connection.execute(
        sa.select(ACCOUNTS).where(chosen).order_by(ACCOUNTS.c.name).limit(limit).offset(offset)
    )
    count = connection.execute(sa.select(sa.func.count()).select_from(ACCOUNTS).where(chosen)).scalar_one()
    return Portion(accounts=[from_row(row) for row in rows], count=count)


def of_identity(connection: sa.Connection, *, issuer: str, subject: str) -> Account | None:
    """The account that the identity provider's subject has signed in with before."""
    query = (
        sa.select(ACCOUNTS)
        .join(IDENTITIES, IDENTITIES.c.account == ACCOUNTS.c.name)
        .where(IDENTITIES.c.issuer == issuer, IDENTITIES.c.subject == subject)
    )
    row = connection.execute(query).first()
    return None if row is None else from_row(row)


def has_identity(connection: sa.Connection, *, issuer: str, account: str) -> bool:
    """Whether an account is tied to a subject of an issuer already."""
    query = sa.select(IDENTITIES.c.subject).where(
        IDENTITIES.c.issuer == issuer, IDENTITIES.c.account == account
    )
    return connection.execute(query).first() is not None


def tie(connection: sa.Connection, *, issuer: str, subject: str, account: str) -> None:
    """Tie an account to the identity provider's subject."""
    connection.execute(sa.insert(IDENTITIES).values(issuer=issuer, subject=subject, account=account))
