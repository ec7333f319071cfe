"""Whoever of the provider's looks at a client's data stands in the history: once a session, before it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from orchestrator.history.database import ENTRIES
from orchestrator.interface.look_writing import keep_clients, keep_site
from orchestrator.interface.looked import LookedClient, LookedSite
from orchestrator.interface.roles import Role
from orchestrator.interface.scopes import Scope
from orchestrator.operations.client_looks import LOOK
from orchestrator.operations.tokens import NewToken, add_token
from orchestrator.web import api
from orchestrator.web.api.looked import RecordedRoute
from orchestrator.web.app import application
from tests.web.desks import ORIGIN, Browser, ClockedDesk, add, clocked_desk
from tests.web.test_api import looked

ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ClockedDesk]:
    """dupont and martin with a machine each; an operator and a client."""
    inventory, files = str(ROOT / "inventories" / "example"), (ROOT / "examples",)
    with clocked_desk(tmp_path, inventory=inventory, files=files) as opened:
        machines = [looked("dupont", "web-1"), looked("martin", "shop-1")]
        keep_site(opened.database, LookedSite(site="paris"), machines, opened.now())
        keep_clients(
            opened.database,
            [LookedClient(client=name, file="yes") for name in ("dupont", "martin")],
            [],
            ["paris"],
        )
        add(opened, "olga")
        add(opened, "camille", Role.CLIENT, "dupont")
        yield opened


def signed_in(desk: ClockedDesk, name: str) -> Browser:
    browser = Browser(desk)
    assert browser.sign_in(name).status_code == 303
    return browser


def recorded(desk: ClockedDesk) -> list[tuple[str, str, str]]:
    """Who, client and page, the first one first."""
    found = desk.history.entries(action=LOOK, limit=100)[::-1]
    assert {entry.result for entry in found} <= {"ok"}
    return [(entry.who, entry.client, json.loads(entry.details)["page"]) for entry in found]


def test_the_first_page_of_each_client_is_recorded_once_a_session(desk: ClockedDesk) -> None:
    browser = signed_in(desk, "olga")
    for path in ("/clients", "/machines", "/", "/history", "/clients/nobody", "/machines/dupont/nothing"):
        browser.get(path)
    assert recorded(desk) == [], "a list is nobody's, and what does not exist is not looked at"
    for path in ("/machines/dupont/web-1", "/clients/dupont", "/machines/dupont/web-1", "/clients/martin"):
        assert browser.get(path).status_code == 200
    first = [("olga", "dupont", "/machines/{client}/{machine}"), ("olga", "martin", "/clients/{client}")]
    assert recorded(desk) == first
    entry = desk.history.entries(action=LOOK, limit=1)[0]
    assert entry.why == "look in the Interface" and isinstance(json.loads(entry.details)["session"], int)
    assert signed_in(desk, "olga").get("/clients/dupont").status_code == 200
    assert recorded(desk) == [*first, ("olga", "dupont", "/clients/{client}")], "another session of hers"
    assert desk.history.verify().ok


def test_a_list_of_one_client_is_a_look_at_it_and_a_made_up_name_is_none(desk: ClockedDesk) -> None:
    browser = signed_in(desk, "olga")
    for name in ("nobody", "x" * 300, "\x00", "../dupont", "<b>"):
        browser.get("/history", params={"client": name})
    assert recorded(desk) == []
    assert browser.get("/history?client=dupont").status_code == 200
    assert recorded(desk) == [("olga", "dupont", "/history")]


def test_a_client_and_whoever_has_not_signed_in_are_not_recorded(desk: ClockedDesk) -> None:
    Browser(desk).get("/clients/dupont")
    browser = signed_in(desk, "camille")
    assert browser.get("/portal").status_code == 200
    assert browser.get("/clients/dupont").status_code == 404
    assert recorded(desk) == []


def test_a_page_whose_look_cannot_be_recorded_is_not_shown(desk: ClockedDesk) -> None:
    browser = signed_in(desk, "olga")
    with desk.database.writing() as connection:
        connection.execute(
            sa.text(
                f"CREATE TRIGGER full BEFORE INSERT ON {ENTRIES.name} BEGIN SELECT RAISE(FAIL, 'full'); END"
            )
        )
    answer = browser.get("/machines/dupont/web-1")
    assert answer.status_code == 503 and "pve-secret" not in answer.text
    assert browser.get("/machines").status_code == 200
    with desk.database.writing() as connection:
        connection.execute(sa.text("DROP TRIGGER full"))
    assert browser.get("/machines/dupont/web-1").status_code == 200
    assert recorded(desk) == [("olga", "dupont", "/machines/{client}/{machine}")]


def test_a_token_of_the_provider_is_recorded_once_a_day_and_a_clients_never(desk: ClockedDesk) -> None:
    def get(token: str, path: str) -> int:
        sent = {"authorization": f"Bearer {token}"}
        return Browser(desk).client.get(f"/api/v1{path}", headers=sent).status_code

    billing, _ = add_token(desk, NewToken(name="billing", scopes=[Scope.READ]), who="test")
    own, _ = add_token(desk, NewToken(name="own", scopes=[Scope.READ], client="dupont"), who="test")
    assert get(own, "/machines/dupont/web-1") == get(own, "/clients/dupont") == 200
    with TestClient(application(desk), base_url=ORIGIN) as client:
        sent = {"authorization": f"Bearer {billing}"}
        for path, status in (
            ("/clients", 200),
            ("/clients/nobody", 404),
            ("/machines/dupont/nothing", 404),
            ("/machines?client=nobody", 200),
            ("/machines?client=dupont", 200),
            ("/machines/dupont/web-1", 200),
            ("/clients/martin", 200),
        ):
            assert client.get(f"/api/v1{path}", headers=sent).status_code == status, path
        assert [(who, name) for who, name, _ in recorded(desk)] == [
            ("token billing", "dupont"),
            ("token billing", "martin"),
        ]
        desk.clock.pass_by(days=1)
        client.get("/api/v1/clients/dupont", headers=sent)
        assert len(recorded(desk)) == 3


def test_every_operation_of_the_api_records() -> None:
    routers = [import_module(f"{api.__name__}.{module}").ROUTER for module in api.MODULES]
    operations = [route for router in routers for route in router.routes]
    assert len(operations) > 10
    assert [route.path for route in operations if not isinstance(route, RecordedRoute)] == []


def test_a_client_reads_that_the_provider_looked_but_not_who(desk: ClockedDesk) -> None:
    signed_in(desk, "olga").get("/machines/dupont/web-1")
    text = signed_in(desk, "camille").get("/portal/history").text
    assert "Consultation de vos données" in text and "Prestataire" in text
    assert "olga" not in text and "{machine}" not in text
