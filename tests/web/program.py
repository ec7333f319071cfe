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

from orchestrator.interface import accounts, sessions
from orchestrator.interface.accounts import Account
from orchestrator.web.app import application
from orchestrator.web.desk import Desk
from orchestrator.web.serving import websockets


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
