"""The ping for a dead man's switch, against a real server on the loopback address."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reports.ping import ping

SECRET = "5e0f8c1a-not-for-logs"


@dataclass
class Service:
    """A check's service: answers as told, then 200, and keeps what it was asked."""

    answers: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    silent: threading.Event | None = None
    """No answer comes before it is set."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ping/{SECRET}"


@pytest.fixture
def service() -> Iterator[Service]:
    state = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            state.headers.append(dict(self.headers))
            if state.silent is not None:
                state.silent.wait()
            status = state.answers.pop(0) if state.answers else 200
            self.send_response(status)
            if status // 100 == 3:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_a_good_night_pings_the_address_and_a_bad_one_its_fail(service: Service) -> None:
    assert ping(service.url, well=True) is None
    assert ping(service.url, well=False) is None
    assert ping(f"{service.url}/?rid=7#x", well=False) is None
    assert service.asked == [f"/ping/{SECRET}", f"/ping/{SECRET}/fail", f"/ping/{SECRET}/fail?rid=7"]


def test_a_hiccup_is_asked_again_and_a_broken_service_three_times(service: Service) -> None:
    service.answers = [503]
    assert ping(service.url, well=True, pause_seconds=0) is None
    assert len(service.asked) == 2
    service.answers = [500, 502, 503, 504]
    assert (
        ping(service.url, well=True, pause_seconds=0)
        == f"the ping to 127.0.0.1:{service.port} failed: it answered 503"
    )
    assert len(service.asked) == 5


@pytest.mark.parametrize(
    ("status", "said"), [(404, "is the URL right"), (302, "a redirection"), (410, "410")]
)
def test_an_answer_that_is_no_success_is_told_and_not_asked_again(
    status: int, said: str, service: Service
) -> None:
    service.answers = [status]
    problem = ping(service.url, well=True, pause_seconds=0)
    assert problem is not None
    assert said in problem
    assert SECRET not in problem
    assert len(service.asked) == 1


def test_a_service_that_does_not_answer_costs_no_more_than_its_time(service: Service) -> None:
    service.silent = threading.Event()
    try:
        problem = ping(service.url, well=True, timeout_seconds=0.1, pause_seconds=0)
    finally:
        service.silent.set()
    failed = f"the ping to 127.0.0.1:{service.port} failed: "
    # On a busy computer all of the time may be gone before the request is sent.
    assert problem in (f"{failed}no answer within 0.1 s", f"{failed}no whole answer within 0.2 s")
    assert len(service.asked) <= 3


def test_the_environment_s_proxies_and_credentials_are_not_used(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert ping(service.url, well=True, pause_seconds=0) is None
    assert "Authorization" not in service.headers[0]


def test_no_secret_of_the_url_is_in_a_message_or_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:  # a port that nobody listens on
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        caplog.set_level(logging.INFO)
        url = f"http://user-{SECRET}:{SECRET}@127.0.0.1:{port}/{SECRET}?key={SECRET}"
        problem = ping(url, well=False, pause_seconds=0)
    assert problem == f"the ping to 127.0.0.1:{port} failed: it cannot be reached"
    assert SECRET not in caplog.text


def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))  # of the environment too: not trusted
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setattr(server, "handle_error", lambda *_: None)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            problem = ping(f"https://localhost:{server.server_port}/{SECRET}", well=True, pause_seconds=0)
        finally:
            server.shutdown()
            thread.join()
    host = f"localhost:{server.server_port}"
    assert problem == f"the ping to {host} failed: its certificate is not trusted, or it does not speak TLS"


@pytest.mark.parametrize(
    "url", ["", "example.net/x", "file:///etc/passwd", "https://", "https://[", "http://h:port/x"]
)
def test_what_is_no_url_is_told_and_not_shown(url: str) -> None:
    problem = ping(url + SECRET if url.endswith("/x") else url, well=True)
    assert problem is not None
    assert "must begin with https://" in problem
    assert SECRET not in problem


@given(tail=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_address_makes_it_raise(tail: str) -> None:
    # port 1 of the loopback address: nobody listens there
    problem = ping(f"http://127.0.0.1:1/{SECRET}{tail}", well=False, timeout_seconds=0.2, pause_seconds=0)
    assert problem is not None
    assert SECRET not in problem


def test_a_service_that_answers_a_byte_now_and_then_ends_the_wait() -> None:
    """No header is ever whole: a time-out between two bytes would never come."""
    closing, asked = threading.Event(), []

    def drip(server: socket.socket) -> None:
        while True:
            try:
                wire, _ = server.accept()
            except OSError:
                return
            asked.append(wire)
            threading.Thread(target=drip_into, args=(wire,), daemon=True).start()

    def drip_into(wire: socket.socket) -> None:
        with wire:
            wire.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not closing.wait(0.01):
                wire.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        problem = ping(url, well=True, timeout_seconds=0.5, pause_seconds=0)
        closing.set()
    assert problem is not None and "no whole answer within 1 s" in problem and SECRET not in problem
    assert len(asked) == 3
