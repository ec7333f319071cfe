"""What holds for every request, whatever it asks for: the host, the form's token, sizes, pace, headers."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from orchestrator.web.app import application
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.security import COOKIE, LONGEST_BODY
from orchestrator.web.serving import impatient
from orchestrator.web.settings import Settings

ORIGIN = "https://panel.example"


def settings(folder: Path, *, patience: float = 20) -> Settings:
    return Settings(
        public_url=ORIGIN,
        inventory=None,
        history=str(folder / "history.db"),
        reports=folder / "reports",
        request_seconds=patience,
        body_seconds=patience,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(settings(tmp_path)) as opened:
        yield opened


@pytest.fixture
def browser(desk: Desk) -> Iterator[TestClient]:
    with TestClient(application(desk), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


def token_in(text: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', text)
    assert found is not None, text
    return found[1]


def test_nobody_sees_a_page_without_having_signed_in(browser: TestClient) -> None:
    for path in ("/", "/nothing/here", "/plans", "/plans/", "/static"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/login?then={path.replace('/', '%2F')}",
        )


def test_every_answer_has_the_headers(browser: TestClient) -> None:
    for path in ("/login", "/", "/nothing", "/static/style.css", "/static/nothing", "/api/v1/nothing"):
        headers = browser.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path


def test_pages_are_kept_nowhere_and_styles_until_they_differ(browser: TestClient) -> None:
    assert browser.get("/login").headers["cache-control"] == "no-store"
    style = browser.get("/static/style.css")
    assert style.headers["cache-control"] == "no-cache"
    again = browser.get("/static/style.css", headers={"if-none-match": style.headers["etag"]})
    assert again.status_code == 304


def test_the_cookie_is_for_this_host_over_https_alone(browser: TestClient) -> None:
    cookie = browser.get("/login").headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} == set(cookie.split("; ")[1:])


@pytest.mark.parametrize("host", ["evil.example", "panel.example:8443", "panel.example.evil.example", ""])
def test_another_host_is_refused(browser: TestClient, host: str) -> None:
    assert browser.get("/login", headers={"host": host}).status_code == 421


def test_a_form_needs_the_token_of_its_session(browser: TestClient, desk: Desk) -> None:
    ours = token_in(browser.get("/login").text)
    with TestClient(application(desk), base_url=ORIGIN) as other:
        theirs = token_in(other.get("/login").text)
    assert ours != theirs
    for token in ("", theirs, ours[:-1], "é" * 64):
        answer = browser.post("/login", data={"form_token": token})
        assert (answer.status_code, "nothing was changed" in answer.text) == (403, True), token


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
def test_a_form_of_another_site_is_refused_whatever_its_token(
    browser: TestClient, headers: dict[str, str]
) -> None:
    token = token_in(browser.get("/login").text)
    assert browser.post("/login", data={"form_token": token}, headers=headers).status_code == 403


def test_a_body_that_is_too_long_is_refused(browser: TestClient) -> None:
    assert browser.post("/login", content=b"x" * (LONGEST_BODY + 1)).status_code == 413

    def endless() -> Iterator[bytes]:
        for _ in range(LONGEST_BODY // 1000 + 2):
            yield b"x" * 1000

    sent = browser.post(
        "/login", content=endless(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert sent.status_code == 413


@contextmanager
def listening(desk: Desk, most_of_one_address: int | None = None) -> Iterator[int]:
    """The program over real sockets."""
    protocol = impatient(desk.settings.request_seconds, most_of_one_address)
    server = uvicorn.Server(
        uvicorn.Config(
            application(desk), http=protocol, timeout_keep_alive=600, lifespan="off", log_config=None
        )
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def test_a_client_that_never_ends_its_request_loses_its_connection(tmp_path: Path) -> None:
    with (
        open_desk(settings(tmp_path, patience=0.2)) as desk,
        listening(desk) as port,
    ):
        with socket.create_connection(("127.0.0.1", port)) as head:
            head.sendall(b"GET /login HTTP/1.1\r\nHost: panel.example\r\nX-Slow: ")
            assert head.recv(1000) == b""
        with socket.create_connection(("127.0.0.1", port)) as body:
            body.sendall(
                b"POST /login HTTP/1.1\r\nHost: panel.example\r\nContent-Length: 10\r\n"
                b"Content-Type: application/x-www-form-urlencoded\r\n\r\nx"
            )
            assert body.recv(1000).startswith(b"HTTP/1.1 408 ")


_LOGIN = b"GET /login HTTP/1.1\r\nHost: panel.example\r\n\r\n"


def answered(connection: socket.socket) -> bytes:
    """The first line of an answer that is read to its end."""
    with connection.makefile("rb") as stream:
        first, length = stream.readline(), 0
        while (line := stream.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        stream.read(length)
    return first


@contextmanager
def connected(folder: Path) -> Iterator[socket.socket]:
    """A connection to a program that waits for no request longer than a moment."""
    with (
        open_desk(settings(folder, patience=0.2)) as desk,
        listening(desk) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
    ):
        yield connection


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /login HTTP/1.1\r\nHost: panel.example\r\nX-Slow: ", id="half a head"),
        pytest.param(b"G", id="a letter"),
    ],
)
def test_a_later_request_that_never_ends_loses_the_connection_as_well(tmp_path: Path, later: bytes) -> None:
    with connected(tmp_path) as connection:
        connection.sendall(_LOGIN)
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(later)
        assert connection.recv(1000) == b""


def test_a_body_that_nobody_waits_for_and_that_never_comes_loses_the_connection(tmp_path: Path) -> None:
    with connected(tmp_path) as connection:
        connection.sendall(b"GET /login HTTP/1.1\r\nHost: panel.example\r\nContent-Length: 10\r\n\r\nx")
        assert answered(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"y")
        assert connection.recv(1000) == b""


def is_served(connection: socket.socket) -> bool:
    """Whether a connection is answered."""
    try:
        connection.sendall(_LOGIN)
        return answered(connection).startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False


def await_room(port: int) -> None:
    """Wait until one more connection is taken."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            if is_served(connection):
                return
    pytest.fail("no connection went")


def test_a_client_that_takes_nothing_of_an_answer_loses_its_connection(tmp_path: Path) -> None:
    with (
        open_desk(settings(tmp_path, patience=0.2)) as desk,
        listening(desk, most_of_one_address=1) as port,
        socket.socket() as greedy,
    ):
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", port))
        asked = b"GET /static/vendor/xterm/xterm.mjs HTTP/1.1\r\nHost: panel.example\r\n\r\n"
        greedy.sendall(asked * 40)  # more than all buffers on the way hold
        await_room(port)


def test_one_address_cannot_have_all_connections(tmp_path: Path) -> None:
    with (
        open_desk(settings(tmp_path)) as desk,
        listening(desk, most_of_one_address=3) as port,
        ExitStack() as opened,
    ):
        four = [
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(4)
        ]
        assert [is_served(one) for one in four] == [True, True, True, False]
        four[0].close()
        await_room(port)
