"""Who asks: the session of a request's cookie."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.interface import sessions
from orchestrator.web.security import COOKIE

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.responses import Response

    from orchestrator.interface.accounts import Account
    from orchestrator.interface.sessions import Session
    from orchestrator.web.desk import Desk

_WRITTEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Whoever asks.

    Attributes:
        cookie: what ties forms to this browser, of somebody who has not signed in as well.
        fresh: whether the browser does not have it yet.
    """

    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    fresh: bool = True
    account: Account | None = None
    session: Session | None = None

    def keep(self, response: Response) -> None:
        """Give the browser its cookie, if it has none."""
        if self.fresh and not any(
            value.startswith(f"{COOKIE}=") for value in response.headers.getlist("set-cookie")
        ):
            give(response, self.cookie)


def give(response: Response, token: str) -> None:
    """Give the browser the token of a session."""
    response.set_cookie(COOKIE, token, secure=True, httponly=True, samesite="lax", path="/")


def visitor_of(request: HTTPConnection, desk: Desk) -> Visitor:
    """Find out who asks.

    Raises:
        HistoryUnavailable: the database cannot be read.
    """
    cookie = request.cookies.get(COOKIE, "")
    if not _WRITTEN.fullmatch(cookie):
        return Visitor()
    now, idle = desk.now(), desk.settings.idle
    with desk.database.reading() as connection:
        found = sessions.find(connection, cookie, now=now, idle=idle)
    if found is None:
        return Visitor(cookie=cookie, fresh=False)
    session, account = found
    if session.waiting:
        return Visitor(cookie=cookie, fresh=False, session=session)
    if sessions.is_to_be_noted(session, now):
        with desk.database.writing() as connection:
            sessions.note_use(connection, session, now)
    unproved = account.client is None and not session.second
    return Visitor(cookie=cookie, fresh=False, account=replace(account, looks_only=unproved), session=session)


def account_still(request: HTTPConnection, desk: Desk) -> Account | None:
    """Whose session a long answer still has; None: it ended. Unlike a request this keeps no session alive.

    Raises:
        HistoryUnavailable: the database cannot be read.
    """
    with desk.database.reading() as connection:
        found = sessions.find(
            connection, request.cookies.get(COOKIE, ""), now=desk.now(), idle=desk.settings.idle
        )
    return None if found is None or found[0].waiting else found[1]
