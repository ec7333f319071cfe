"""The program over a real history, with accounts and a clock that tests move."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from orchestrator.interface.roles import Role
from orchestrator.operations.accounts import NewAccount, add_account
from orchestrator.web.app import application
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings

ORIGIN = "https://panel.example"
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """The time, as the program is told it."""

    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.now += dt.timedelta(**span)


@dataclass(frozen=True, kw_only=True)
class ClockedDesk(Desk):
    """A desk whose time tests move."""

    clock: Clock = field(default_factory=Clock)

    def now(self) -> dt.datetime:
        """The clock's time."""
        return self.clock.now


def settings(folder: Path, **others: Any) -> Settings:
    """Those of a test."""
    given = {"inventory": None, "history": str(folder / "history.db"), "reports": folder / "reports"}
    return Settings(public_url=ORIGIN, **{**given, **others})


@contextmanager
def clocked_desk(folder: Path, **others: Any) -> Iterator[ClockedDesk]:
    """A desk over a history in a folder."""
    with open_desk(settings(folder, **others)) as desk:
        yield ClockedDesk(settings=desk.settings, database=desk.database, history=desk.history)


def add(desk: Desk, name: str, role: Role = Role.OPERATOR, client: str | None = None) -> None:
    """Add an account with the password of all tests."""
    add_account(desk, NewAccount(name=name, role=role, client=client, password=PASSWORD), who="test")


def token_in(text: str) -> str:
    """The form's token of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', text)
    assert found is not None, text
    return found[1]


class Browser:
    """A browser with its cookies."""

    def __init__(self, desk: Desk, address: str = "192.0.2.7") -> None:
        self.client = TestClient(
            application(desk), base_url=ORIGIN, follow_redirects=False, client=(address, 40_000)
        )

    def get(self, path: str, **more: Any) -> Any:
        """Ask for a page."""
        return self.client.get(path, **more)

    def send(self, path: str, *, page: str = "/login", **fields: str) -> Any:
        """Send a form with the token of a page."""
        return self.client.post(path, data={**fields, "form_token": token_in(self.get(page).text)})

    def sign_in(self, name: str, password: str = PASSWORD) -> Any:
        """Send the login's form."""
        return self.send("/login", name=name, password=password)

    @property
    def signed_in(self) -> bool:
        """Whether the account's page answers."""
        return bool(self.get("/account").status_code == 200)
