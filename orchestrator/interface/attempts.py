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
    if connection.dialect.name == "postgresql":  # SQLite's writers take turns anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_COUNTING)))
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


def take_back(connection: sa.Connection, subject: str) -> None:
    """Take back one attempt of a subject: many people behind one address who sign in are no attempts to guess."""
    latest = sa.select(sa.func.max(ATTEMPTS.c.identity)).where(ATTEMPTS.c.subject == _kept(subject))
    connection.execute(sa.delete(ATTEMPTS).where(ATTEMPTS.c.identity == latest.scalar_subquery()))


def _kept(subject: str) -> str:
    return hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()
