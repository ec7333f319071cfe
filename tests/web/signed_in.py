"""A browser in which somebody has signed in, for tests of pages: the real program without the login."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from orchestrator.interface.accounts import Account, find
from orchestrator.interface.roles import Role
from orchestrator.web import app
from orchestrator.web.desk import Desk
from orchestrator.web.sign_in import Visitor

ACCOUNTS = {
    "rachel": Account(name="rachel", role=Role.READER),
    "oscar": Account(name="oscar", role=Role.OPERATOR),
    "paula": Account(name="paula", role=Role.APPROVER),
    "camille": Account(name="camille", role=Role.CLIENT, client="dupont"),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]


class Browser:
    """Whoever uses it has signed in, and reads answers as text."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, query: Mapping[str, str] | None = None, *, status: int = 200) -> Answer:
        """Open a page, and see that the answer has a status."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-3000:])
        return Answer(status=status, text=answer.text, headers=answer.headers)

    def send(self, page: str, action: str, fields: Mapping[str, str], *, status: int = 303) -> Answer:
        """Send a form of a page."""
        token = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.get(page).text)
        assert token is not None
        answer = self.client.post(action, data={**fields, "form_token": token[1]})
        assert answer.status_code == status, (action, answer.status_code, answer.text[-3000:])
        return Answer(status=status, text=answer.text, headers=answer.headers)


@contextmanager
def signed_in(desk: Desk, name: str | Account) -> Iterator[Browser]:
    """A browser of one of :data:`ACCOUNTS`, or of another account: as the database has it, if it has it."""
    account = ACCOUNTS[name] if isinstance(name, str) else name

    def visitor(request: HTTPConnection, opened: Desk) -> Visitor:
        with opened.database.reading() as connection:
            found = find(connection, account.name)
        return Visitor(cookie="x" * 43, fresh=False, account=found or account)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(app, "visitor_of", visitor)
        program = app.application(desk)
        with TestClient(program, base_url=desk.settings.origin, follow_redirects=False) as client:
            yield Browser(client)
