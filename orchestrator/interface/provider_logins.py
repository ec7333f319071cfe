"""Logins that somebody began at the identity provider: used once, by the browser that began them, within minutes."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA
from orchestrator.interface.sessions import hash_of

_VALID = dt.timedelta(minutes=10)

LOGINS = sa.Table(
    "interface_provider_logins",
    METADATA,
    sa.Column("state", sa.String(64), primary_key=True),
    sa.Column("browser", sa.String(64), nullable=False),
    sa.Column("nonce", sa.String(64), nullable=False),
    sa.Column("verifier", sa.String(128), nullable=False),
    sa.Column("to", sa.Text, nullable=False),
    sa.Column("ends", sa.String(40), nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A login that was begun.

    Attributes:
        state: comes back with the answer.
        nonce: comes back in what the provider signs.
        verifier: of PKCE: who exchanges the code knows it.
        to: the page that was asked for.
    """

    state: str
    nonce: str
    verifier: str
    to: str


def begin(connection: sa.Connection, *, browser: str, to: str, now: dt.datetime) -> Begun:
    """Begin a login; those that are too old are removed.

    Args:
        browser: what only this browser has.
        to: the page that was asked for.
        now: the time, aware.
    """
    connection.execute(sa.delete(LOGINS).where(LOGINS.c.ends <= stamp(now)))
    begun = Begun(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        to=to,
    )
    connection.execute(
        sa.insert(LOGINS).values(
            state=hash_of(begun.state),
            browser=hash_of(browser),
            nonce=begun.nonce,
            verifier=begun.verifier,
            to=to,
            ends=stamp(now + _VALID),
        )
    )
    return begun


def take(connection: sa.Connection, state: str, *, browser: str, now: dt.datetime) -> Begun | None:
    """The login of an answer, which is void from now on; None if this browser began none that is valid."""
    chosen = LOGINS.c.state == hash_of(state)
    row = connection.execute(sa.select(LOGINS).where(chosen).with_for_update()).first()
    if row is None:
        return None
    connection.execute(sa.delete(LOGINS).where(chosen))
    if row.browser != hash_of(browser) or row.ends <= stamp(now):
        return None
    return Begun(state=state, nonce=row.nonce, verifier=row.verifier, to=row.to)
