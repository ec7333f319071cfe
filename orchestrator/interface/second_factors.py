"""Second factors: codes of an application (TOTP), security keys (WebAuthn), recovery codes."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.accounts import LONGEST_NAME
from orchestrator.interface.database import METADATA

Kind = Literal["totp", "webauthn"]

RECOVERY_CODES = 10
"""How many an account gets."""

FACTORS = sa.Table(
    "interface_second_factors",
    METADATA,
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("account", sa.String(LONGEST_NAME), nullable=False, index=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("secret", sa.Text, nullable=False),  # of a security key: its public key
    sa.Column("credential", sa.String(1400), unique=True),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("confirmed", sa.Boolean, nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
)
CODES = sa.Table(
    "interface_recovery_codes",
    METADATA,
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(LONGEST_NAME), nullable=False, index=True),
)


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A second factor of an account.

    Attributes:
        identity: a number for lists.
        name: as its owner calls it.
        secret: of ``totp`` the shared secret (base32), of ``webauthn`` the public key (base64url).
        credential: of ``webauthn`` the key's identifier (base64url).
        counter: of ``totp`` the last time step whose code was used, of ``webauthn`` the key's counter.
        confirmed: whether it was shown once; before that it opens nothing.
    """

    identity: int
    account: str
    kind: Kind
    name: str
    secret: str
    credential: str | None
    counter: int
    confirmed: bool
    created: dt.datetime


def factors_of(connection: sa.Connection, account: str, *, confirmed: bool = True) -> Sequence[Factor]:
    """The second factors of an account, the oldest first.

    Args:
        confirmed: those that open something; False: those that were begun.
    """
    query = sa.select(FACTORS).where(FACTORS.c.account == account, FACTORS.c.confirmed.is_(confirmed))
    return [_from_row(row) for row in connection.execute(query.order_by(FACTORS.c.identity))]


def accounts_with_one(connection: sa.Connection, accounts: Collection[str]) -> frozenset[str]:
    """Which of some accounts have a second factor: one query."""
    query = sa.select(FACTORS.c.account).where(FACTORS.c.account.in_(list(accounts)), FACTORS.c.confirmed)
    return frozenset(connection.execute(query.distinct()).scalars())


def add(
    connection: sa.Connection,
    account: str,
    *,
    kind: Kind,
    name: str,
    secret: str,
    now: dt.datetime,
    credential: str | None = None,
    counter: int = 0,
    confirmed: bool,
) -> int:
    """Add a second factor; of what was begun and not confirmed, only the last is kept. Return its number."""
    if not confirmed:
        connection.execute(sa.delete(FACTORS).where(FACTORS.c.account == account, ~FACTORS.c.confirmed))
    done = connection.execute(
        sa.insert(FACTORS).values(
            account=account,
            kind=kind,
            name=name[:64],
            secret=secret,
            credential=credential,
            counter=counter,
            confirmed=confirmed,
            created=stamp(now),
        )
    )
    key = done.inserted_primary_key
    return int(key[0]) if key else 0


def move_counter(connection: sa.Connection, factor: Factor, counter: int) -> bool:
    """Note that a code or a signature was used, and that the factor is confirmed.

    Returns:
        Whether it was the first to use it: of two with one code, one is.
    """
    done = connection.execute(
        sa.update(FACTORS)
        .where(FACTORS.c.identity == factor.identity, FACTORS.c.counter == factor.counter)
        .values(counter=counter, confirmed=True)
    )
    return bool(done.rowcount)


def is_taken(connection: sa.Connection, credential: str) -> bool:
    """Whether some account has a security key already."""
    found = connection.execute(sa.select(FACTORS.c.identity).where(FACTORS.c.credential == credential))
    return found.first() is not None


def remove(connection: sa.Connection, account: str, identity: int | None = None) -> int:
    """Remove a second factor of an account, or all, recovery codes included; return how many factors there were."""
    chosen = FACTORS.c.account == account
    if identity is None:
        connection.execute(sa.delete(CODES).where(CODES.c.account == account))
    else:
        chosen &= FACTORS.c.identity == identity
    return connection.execute(sa.delete(FACTORS).where(chosen)).rowcount


def make_codes(connection: sa.Connection, account: str) -> Sequence[str]:
    """Give an account recovery codes; earlier ones are void. They are shown once: only hashes are kept."""
    codes = [f"{secrets.token_hex(5)}-{secrets.token_hex(5)}" for _ in range(RECOVERY_CODES)]
    connection.execute(sa.delete(CODES).where(CODES.c.account == account))
    connection.execute(sa.insert(CODES), [{"code": _kept(code), "account": account} for code in codes])
    return codes


def use_code(connection: sa.Connection, account: str, typed: str) -> bool:
    """Use up a recovery code; return whether it was one."""
    done = connection.execute(
        sa.delete(CODES).where(CODES.c.account == account, CODES.c.code == _kept(typed))
    )
    return bool(done.rowcount)


def codes_left(connection: sa.Connection, account: str) -> int:
    """How many recovery codes an account has."""
    query = sa.select(sa.func.count()).select_from(CODES).where(CODES.c.account == account)
    return int(connection.execute(query).scalar_one())


def _kept(code: str) -> str:
    """The hash of a code: it has 80 random bits."""
    return hashlib.sha256(code.strip().lower().encode(errors="surrogatepass")).hexdigest()


def _from_row(row: Any) -> Factor:
    return Factor(
        identity=row.identity,
        account=row.account,
        kind=row.kind,
        name=row.name,
        secret=row.secret,
        credential=row.credential,
        counter=row.counter,
        confirmed=bool(row.confirmed),
        created=dt.datetime.fromisoformat(row.created),
    )
