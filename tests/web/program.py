"""The program that serves, in a thread, on a real port; and sessions of people without the login."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.requests import HTTPConnection

from orchestrator.interface import accounts, sessions
from orchestrator.interface.accounts import Account
from orchestrator.web import app, console_socket
from orchestrator.web.app import application
from orchestrator.web.desk import Desk
from orchestrator.web.security import COOKIE
from orchestrator.web.serving import websockets
from orchestrator.web.sign_in import Visitor


def _visitor(request: HTTPConnection, desk: Desk) -> Visitor:
    """The session of the table, until the program looks there itself."""
    cookie = request.cookies.get(COOKIE, "")
    with desk.database.reading() as connection:
        found = sessions.find(connection, cookie, now=desk.now(), idle=desk.settings.idle)
    if found is None:
        return Visitor(cookie=cookie or "x" * 43, fresh=False)
    return Visitor(cookie=cookie, fresh=False, session=found[0], account=found[1])


app.visitor_of = console_socket.visitor_of = _visitor  # type: ignore[attr-defined]


@contextmanager
def running(desk: Desk, bound: socket.socket, **how: Any) -> Iterator[None]:
    """Serve on a socket until the block ends.

    Args:
        how: for uvicorn: ``ssl_certfile``, ``ssl_keyfile``.
    """
    config = uvicorn.Config(application(desk), lifespan="off", log_config=None, **websockets(), **how)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def add_accounts(desk: Desk, *those: Account) -> None:
    """Let them sign in."""
    with desk.database.writing() as connection:
        for account in those:
            accounts.add(connection, account, password="x", now=desk.now())


def new_session(desk: Desk, account: str) -> str:
    """Sign somebody in, with a second factor; the cookie."""
    with desk.database.writing() as connection:
        return sessions.begin(
            connection,
            account,
            now=desk.now(),
            longest=dt.timedelta(hours=1),
            address="",
            browser="",
            second="totp",
        ).token
