"""Attempts to sign in, counted by account and by address, so that nobody guesses passwords or codes.

They stand in the database: a restart forgets none. What was typed is kept as a hash, for people type passwords into the
field for the name.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Mapping

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA

WINDOW = dt.timedelta(minutes=15)
"""How long an attempt counts."""

_COUNTING = int.from_bytes(b"attempts", "big") >> 1
"""The advisory lock of PostgreSQL under which attempts are counted; any number that is always the same."""

ATTEMPTS = sa.Table(
    "interface_attempts",
    METADATA,
    sa.Column("identity", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(64), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Index("interface_attempts_of_a_subject", "subject", "at"),
)

PLACES = sa.Table(
    "interface_places",
    METADATA,
    sa.Column("account", sa.String(64), primary_key=True),
    sa.Column("place", sa.String(64), primary_key=True),
    sa.Column("until", sa.String(40), nullable=False),
)
"""From where accounts have signed in: the hash of an account with an address, and how long that counts."""

_KNOWN_FOR = dt.timedelta(days=60)


def address_group(address: str) -> str:
    """The network that counts as one address: of IPv6 somebody has 2⁶⁴ of them.

    An IPv4 address that is written as one of IPv6 (``::ffff:192.0.2.1``, as some proxies do) is that IPv4 address.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def reserve(connection: sa.Connection, limits: Mapping[str, int], now: dt.datetime) -> dict[str, int]:
    """Count an attempt before it is made: two at the same time are two.

    Args:
        limits: how many attempts a subject (``account NAME``, ``address ADDRESS``) has in :data:`WINDOW`.

    Returns:
        How many each subject has made with this one. If one has made more than its limit, this one is not counted and
        must not be made.
    """
    _take_turns(connection)
    connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.at <= stamp(now - WINDOW)))
    subjects = {subject: _kept(subject) for subject in limits}
    counted = connection.execute(
        sa.select(ATTEMPTS.c.subject, sa.func.count())
        .where(ATTEMPTS.c.subject.in_(subjects.values()))
        .group_by(ATTEMPTS.c.subject)
    )
    before = {subject: int(count) for subject, count in counted}
    made = {subject: before.get(kept, 0) + 1 for subject, kept in subjects.items()}
    if all(made[subject] <= limit for subject, limit in limits.items()):
        connection.execute(
            sa.insert(ATTEMPTS), [{"subject": kept, "at": stamp(now)} for kept in subjects.values()]
        )
    return made


def forget(connection: sa.Connection, subject: str) -> None:
    """Forget the attempts of a subject that turned out to be who it said."""
    connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.subject == _kept(subject)))


def password_subject(connection: sa.Connection, account: str, address: str, now: dt.datetime) -> str:
    """What attempts with an account's password count as.

    Attempts from where the account has signed in lately are counted by themselves: whoever guesses from elsewhere uses
    up the attempts of everywhere else, and does not lock out whoever has the account.

    Args:
        account: its name, or what was typed as one.
        address: from where.
        now: the time, aware.
    """
    subject = f"place {address_group(address)} account {account}"
    query = sa.select(PLACES.c.place).where(
        PLACES.c.account == _kept(account), PLACES.c.place == _kept(subject), PLACES.c.until > stamp(now)
    )
    return f"account {account}" if connection.execute(query).first() is None else subject


def remember_place(connection: sa.Connection, account: str, address: str, now: dt.datetime) -> None:
    """Remember that an account has signed in from an address; what is too old is forgotten."""
    place = {
        "account": _kept(account),
        "place": _kept(f"place {address_group(address)} account {account}"),
    }
    _take_turns(connection)
    is_same = sa.and_(*(PLACES.c[name] == value for name, value in place.items()))
    connection.execute(sa.delete(PLACES).where((PLACES.c.until <= stamp(now)) | is_same))
    connection.execute(sa.insert(PLACES).values(**place, until=stamp(now + _KNOWN_FOR)))


def forget_account(connection: sa.Connection, account: str) -> None:
    """Forget all attempts with an account's password, and from where it has signed in."""
    forget(connection, f"account {account}")
    connection.execute(sa.delete(PLACES).where(PLACES.c.account == _kept(account)))


def take_back(connection: sa.Connection, subject: str) -> None:
    """Take back one attempt of a subject: many people behind one address who sign in are no attempts to guess."""
    latest = sa.select(sa.func.max(ATTEMPTS.c.identity)).where(ATTEMPTS.c.subject == _kept(subject))
    connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.identity == latest.scalar_subquery()))


def _take_turns(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's writers take turns anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_COUNTING)))


def _kept(subject: str) -> str:
    return hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()
