"""What is another client's answers exactly as what does not exist: on every route that the program has.

The routes are taken from the program, so a new one is tested as soon as it is there. A route whose parameters this test
does not know how to fill fails it: add what another client has, and what nobody has, to ``FILLED``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from orchestrator.history import records
from orchestrator.history.declared import Request
from orchestrator.interface import tokens
from orchestrator.interface.roles import Right, Role, rights_of
from orchestrator.interface.scopes import Scope
from orchestrator.web import api
from orchestrator.web.app import application
from orchestrator.web.desk import Desk
from orchestrator.web.page import Need, Page
from orchestrator.web.pages import every_page
from orchestrator.web.security import COOKIE
from tests.web.conftest import ORIGIN, AsRole
from tests.web.world import PEOPLE

_NONE_NUMBER = "999999"
FILLED: Mapping[str, tuple[str, str]] = {
    "client": ("martin", "nobody"),
    "machine": ("shop-1", "none-1"),
    "name": ("marcel", "nobody"),
    "timeframe": ("day", "day"),
    "month": ("2026-10", "2026-10"),
    "document": ("reversibility", "reversibility"),
    "form": ("html", "html"),
    "path": ("style.css", "style.css"),
}
"""By the name of a parameter: what ``martin`` has, and what nobody has."""


@dataclass(frozen=True)
class Numbers:
    """What another client has that is known by a number."""

    request: int
    alarm: int
    entry: int

    def of(self, path: str) -> int:
        """The number for a route."""
        return self.request if "/requests" in path else self.alarm if "/alarms" in path else self.entry


@pytest.fixture(scope="module")
def numbers(web_desk: Desk) -> Numbers:
    came = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    said = Request(client="martin", machines=("shop-1",), kind="change", came=came, text="of martin alone")
    made = records.add(web_desk.history, said, who="marcel", why="a client's request (art. 3.8.3)")
    alarms = web_desk.history.entries(client="martin", action="alarm")
    return Numbers(made.number, alarms[0].sequence, web_desk.history.entries(client="martin")[0].sequence)


def every_route(desk: Desk) -> list[tuple[str, BaseRoute]]:
    """The address and the route of all that the program answers, but for files that everybody may have."""
    found: list[tuple[str, BaseRoute]] = []
    included = 0
    for route in application(desk).routes:
        if hasattr(route, "original_router"):  # FastAPI's own, of a router that was included
            included += 1
        elif not isinstance(route, Mount):
            found.append((str(getattr(route, "path", "")), route))
    routers = [import_module(f"{api.__name__}.{name}").ROUTER for name in api.MODULES]
    assert included == len(routers), "a router is included that is not in api.MODULES"
    return found + [(f"{api.PREFIX}{route.path}", route) for router in routers for route in router.routes]


def filled(path: str, numbers: Numbers) -> tuple[str, str]:
    """A route's address with what another client has, and with what nobody has."""
    other, none = path, path
    for name in re.findall(r"{([a-z_]+)(?::[a-z]+)?}", path):
        if name == "number":
            theirs, nobodys = str(numbers.of(path)), _NONE_NUMBER
        elif name in FILLED:
            theirs, nobodys = FILLED[name]
        else:
            pytest.fail(f"{path} has a parameter {name} that this test does not know: add it to FILLED")
        other = re.sub(rf"{{{name}(:[a-z]+)?}}", theirs, other)
        none = re.sub(rf"{{{name}(:[a-z]+)?}}", nobodys, none)
    return other, none


def answered(client: TestClient, method: str, address: str, form: Mapping[str, str]) -> tuple[int, str]:
    """The status and all that an answer says, but for where forms lead back to and the mark in the navigation."""
    answer = client.request(method, address, data=form if method == "POST" else None)
    said = [f"{name}: {value}" for name, value in sorted(answer.headers.items()) if name != "content-length"]
    body = answer.content.decode(errors="replace").replace(' aria-current="page"', "")
    return answer.status_code, "\n".join([*said, re.sub(r'(name="back" value=")[^"]*"', r'\1"', body)])


def token_of(client: TestClient, address: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get(address).text)
    assert found is not None, address
    return found[1]


def of_provider() -> list[Page]:
    return [page for page in every_page() if isinstance(page.need, Right)]


def test_every_route_is_a_page_of_the_api_or_known_here(web_desk: Desk, numbers: Numbers) -> None:
    pages = {(page.method, page.path) for page in every_page()}
    for path, route in every_route(web_desk):
        assert isinstance(route, Route | WebSocketRoute | APIRoute), route
        filled(path, numbers)
        if isinstance(route, APIRoute):
            assert path.startswith("/api/v1/"), path
        elif isinstance(route, Route) and path != "/api/v1/openapi.json":
            assert any((method, path) in pages for method in route.methods or ()), path


def test_for_a_client_no_page_of_the_providers_exists(
    as_role: AsRole, web_desk: Desk, numbers: Numbers
) -> None:
    client = as_role("dupont")
    form = {"form_token": token_of(client, "/portal")}
    nothing = {method: answered(client, method, "/there-is-nothing-here", form) for method in ("GET", "POST")}
    assert nothing["GET"][0] == 404
    last = web_desk.history.last_number()
    for page in of_provider():
        for address in filled(page.path, numbers):
            assert answered(client, page.method, address, form) == nothing[page.method], (
                page.method,
                address,
            )
    assert web_desk.history.last_number() == last, "something was recorded"


def test_for_a_client_what_is_another_clients_does_not_exist(
    as_role: AsRole, web_desk: Desk, numbers: Numbers
) -> None:
    client = as_role("dupont")
    form = {"form_token": token_of(client, "/portal")}
    last = web_desk.history.last_number()
    for page in every_page():
        if page.need is not Need.CLIENT and page.need is not Need.SIGNED_IN:
            continue
        other, none = filled(page.path, numbers)
        asked = [(other, none, form, form)]
        for query in ("client", "machine", "q", "below", "registered"):
            theirs, nobodys = {
                "client": ("martin", "nobody"), "machine": ("shop-1", "none-1"), "q": ("shop-1", "none-1"),
            }.get(query, (str(numbers.request), _NONE_NUMBER))  # fmt: skip
            if page.method == "GET" and query != "below":
                asked.append((f"{other}?{query}={theirs}", f"{none}?{query}={nobodys}", form, form))
        if page.method == "POST" and page.path.startswith("/portal/"):
            asked.append(
                (
                    other,
                    none,
                    {**form, "kind": "change", "machine": "shop-1", "month": "2026-10", "text": "x"},
                    {**form, "kind": "change", "machine": "none-1", "month": "2026-10", "text": "x"},
                )
            )
        if page.method == "POST" and not page.path.startswith("/portal/"):
            continue  # of the account itself: nothing of anybody else can be named
        for theirs, nobodys, first, second in asked:
            a = answered(client, page.method, theirs, first)
            b = answered(client, page.method, nobodys, second)
            known = ("shop-1", "none-1"), ("martin", "nobody"), (str(numbers.request), _NONE_NUMBER)
            text = b[1]
            for ours, nobody in known:
                text = text.replace(nobody, ours)
            assert _timeless(a[1]) == _timeless(text) and a[0] == b[0], (page.method, theirs)
            assert "of martin alone" not in a[1]
    assert web_desk.history.last_number() == last, "something was recorded"


def _timeless(text: str) -> str:
    """A page that says how long ago something was may be a second older than the other."""
    return re.sub(r"<time [^>]*>[^<]*</time>", "TIME", text)


@pytest.mark.parametrize("who", ["reader", "operator", "approver"])
def test_for_a_role_without_the_right_an_act_does_not_exist(
    who: str, as_role: AsRole, web_desk: Desk, numbers: Numbers
) -> None:
    client = as_role(who)
    form = {"form_token": token_of(client, "/")}
    nothing = {method: answered(client, method, "/there-is-nothing-here", form) for method in ("GET", "POST")}
    rights, last = rights_of(PEOPLE[who].role), web_desk.history.last_number()
    denied = [page for page in of_provider() if page.need not in rights]
    assert denied or PEOPLE[who].role is Role.ADMINISTRATOR
    denied += [page for page in every_page() if page.need is Need.CLIENT]
    for page in denied:
        for address in filled(page.path, numbers):
            assert answered(client, page.method, address, form) == nothing[page.method], (
                page.method,
                address,
            )
    assert web_desk.history.last_number() == last, "something was recorded"


def test_whoever_has_not_signed_in_is_told_the_same_of_everything(
    as_role: AsRole, web_desk: Desk, numbers: Numbers
) -> None:
    client = as_role("")
    last = web_desk.history.last_number()
    for page in every_page():
        if page.need is Need.PUBLIC or page.method != "GET":
            continue
        for address in filled(page.path, numbers):
            answer = client.get(address)
            assert (answer.status_code, answer.content) == (303, b""), address
            assert answer.headers["location"] == f"/login?then={address.replace('/', '%2F')}"
    assert web_desk.history.last_number() == last


@pytest.fixture(scope="module")
def of_dupont(web_desk: Desk) -> Iterator[TestClient]:
    """A program with a token that is of one client, and for everything."""
    now = dt.datetime.now(dt.UTC)
    with web_desk.database.writing() as connection:
        made = tokens.add(
            connection, name="isolation", scopes=list(Scope), client="dupont", made_by="adele", now=now,
            ends=now + dt.timedelta(hours=1),
        )  # fmt: skip
    with TestClient(application(web_desk), base_url=ORIGIN, follow_redirects=False) as client:
        client.headers["authorization"] = f"Bearer {made}"
        yield client


_BODIES: Mapping[str, tuple[dict[str, object], dict[str, object]]] = {
    "/api/v1/requests": (
        {"client": "martin", "machine": "shop-1", "kind": "change", "words": "x"},
        {"client": "nobody", "machine": "none-1", "kind": "change", "words": "x"},
    ),
}


def test_the_api_tells_a_clients_token_the_same_of_another_client_as_of_none(
    of_dupont: TestClient, web_desk: Desk, numbers: Numbers
) -> None:
    last, asked = web_desk.history.last_number(), 0
    for path, route in every_route(web_desk):
        if not isinstance(route, APIRoute):
            continue
        other, none = filled(path, numbers)
        for method in sorted(route.methods or ()):
            bodies = _BODIES.get(path, ({"result": "x", "outcome": "done"},) * 2)
            if method == "GET":
                pairs = [(other, none), (f"{other}?client=martin", f"{none}?client=nobody")]
            else:
                pairs = [(other, none)]
            for theirs, nobodys in pairs:
                a = of_dupont.request(method, theirs, json=bodies[0] if method != "GET" else None)
                b = of_dupont.request(method, nobodys, json=bodies[1] if method != "GET" else None)
                assert (a.status_code, _same(a.text)) == (b.status_code, _same(b.text)), (method, theirs)
                assert "martin" not in a.text and "shop-1" not in a.text, (method, theirs)
                asked += 1
    assert asked > 10
    assert web_desk.history.last_number() == last, "something was recorded"


def _same(text: str) -> str:
    """An answer without the address that was asked for, and the time of the answer."""
    text = re.sub(r"/api/v1/[^\"\s]*", "ADDRESS", text)
    return re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+Z-]+", "TIME", text)


def test_a_websocket_is_closed_alike_for_another_clients_machine_and_for_none(
    as_role: AsRole, web_desk: Desk, numbers: Numbers
) -> None:
    client = as_role("dupont")
    for path, route in every_route(web_desk):
        if not isinstance(route, WebSocketRoute):
            continue
        closed = []
        for address in filled(path, numbers):
            with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect(address):
                pass
            closed.append((refused.value.code, refused.value.reason))
        assert closed[0] == closed[1], path


def test_a_cookie_of_nobody_is_nobody(as_role: AsRole) -> None:
    client = as_role("")
    client.cookies.set(COOKIE, "x" * 43, domain="panel.example", path="/")
    assert client.get("/portal").status_code == 303


def test_a_route_that_cannot_be_filled_is_noticed(numbers: Numbers) -> None:
    with pytest.raises(pytest.fail.Exception, match="has a parameter shelf that"):
        filled("/machines/{shelf}", numbers)
