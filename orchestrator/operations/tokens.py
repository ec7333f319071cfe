"""Tokens of the JSON API: making, listing and revoking them. Whoever does it stands in the history."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestrator.errors import RequestRefused
from orchestrator.interface import tokens
from orchestrator.interface.scopes import Scope
from orchestrator.interface.tokens import Token
from orchestrator.operations.interface_desk import InterfaceDesk, recorded

LONGEST_DAYS = 366
"""A token ends within a year: one that is forgotten ends by itself."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_CLIENT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """A token that is to be made.

    Attributes:
        name: small letters, digits and ``. _ -``.
        scopes: what it is for, one at least.
        client: whose things alone it sees; None: everybody's.
        days: how long it is valid, 1 to :data:`LONGEST_DAYS`.
    """

    name: str
    scopes: Collection[Scope]
    client: str | None = None
    days: int = 90


def add_token(
    desk: InterfaceDesk, new: NewToken, *, who: str, why: str = "access"
) -> tuple[str, dt.datetime]:
    """Make a token.

    Returns:
        The token, to be shown once, and when it ends.

    Raises:
        RequestRefused: the name, the client, the scopes or the days cannot be used, or there is one of that name.
        HistoryUnavailable: it could not be recorded.
    """
    if not _NAME.fullmatch(new.name):
        raise RequestRefused(
            f"{new.name[:80]!r} cannot be a token's name: 1 to 64 small letters, digits and . _ -"
        )
    if new.client is not None and not _CLIENT.fullmatch(new.client):
        raise RequestRefused(
            f"{new.client[:80]!r} cannot be a client's name: write it as in the client's file"
        )
    if not new.scopes:
        raise RequestRefused("a token needs a scope: --scope read")
    if not 1 <= new.days <= LONGEST_DAYS:
        raise RequestRefused(f"a token is valid for 1 to {LONGEST_DAYS} days, not {new.days}")
    ends = desk.now() + dt.timedelta(days=new.days)
    details = {"name": new.name, "for": sorted(new.scopes), "client": new.client, "ends": ends.isoformat()}
    with (
        recorded(desk, who=who, why=why, action="api access added", client=new.client, details=details),
        desk.database.writing() as connection,
    ):
        token = tokens.add(
            connection,
            name=new.name,
            scopes=new.scopes,
            client=new.client,
            made_by=who,
            now=desk.now(),
            ends=ends,
        )
        if token is None:
            raise RequestRefused(
                f"there is a token {new.name} already: choose another name, or revoke that one"
            )
    return token, ends


def list_tokens(desk: InterfaceDesk) -> Sequence[Token]:
    """All tokens by name, ended ones included."""
    with desk.database.reading() as connection:
        return tokens.listed(connection)


def revoke_token(desk: InterfaceDesk, name: str, *, who: str, why: str = "access") -> None:
    """Revoke a token: its next request is refused.

    Raises:
        RequestRefused: there is none of that name.
        HistoryUnavailable: it could not be recorded.
    """
    found = [token for token in list_tokens(desk) if token.name == name]
    if not found:
        raise RequestRefused(f"there is no token {name[:80]!r}: orchestrator token list shows them")
    with (
        recorded(
            desk,
            who=who,
            why=why,
            action="api access revoked",
            client=found[0].client,
            details={"name": name},
        ),
        desk.database.writing() as connection,
    ):
        tokens.revoke(connection, name)
