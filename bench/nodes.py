"""Nodes as the benches model them: each with an API address of its own, three workers, and so long for each call.

    python -m bench.nodes UPSTREAM CERTIFICATES COUNT

Stands before fakepve (UPSTREAM, with the certificates of its folder), listens on COUNT loopback ports and prints their
URLs as JSON. Fakepve answers each read once; from then on the answer is kept, so that what is measured is the client
and not the model. Lines of JSON on standard input steer it, and each is answered with one: ``{"milliseconds": 6}``,
``{"calls": true}`` (which calls came since the last time, by address), ``{"keep": false}`` (all go to fakepve).
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.api.fakepve_handle import FakePve

WORKERS = 3
"""Of pvedaemon, on every node."""

_PASSED: tuple[str, ...] = ("Authorization", "Content-Type")
_HEAD = (
    b"HTTP/1.1 %d %b\r\nCache-Control: max-age=0\r\nConnection: Keep-Alive\r\nDate: %b\r\nPragma: no-cache\r\n"
    b"Server: pve-api-daemon/3.0\r\nContent-Length: %d\r\nContent-Type: application/json;charset=UTF-8\r\n"
    b"Expires: %b\r\n\r\n"
)
"""The headers of pveproxy."""


class Nodes:
    """The process, as a context manager.

    Attributes:
        urls: one a node.
    """

    def __init__(self, fake: FakePve, count: int = 1) -> None:
        command = [sys.executable, "-m", "bench.nodes", fake.url, str(fake.ca_file.parent), str(count)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        self.urls: tuple[str, ...] = tuple(self._answer())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def _tell(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def need(self, milliseconds: float) -> None:
        """From now on every call takes so long."""
        self._tell(milliseconds=milliseconds)

    def keep(self, keep: bool) -> None:
        """Whether answers to reads are kept; those that were are forgotten."""
        self._tell(keep=keep)

    def calls(self) -> list[list[str]]:
        """The calls since this was last asked (``GET /api2/json/version``), by address."""
        found: list[list[str]] = self._tell(calls=True)
        return found


class _Model:
    """What all addresses share."""

    def __init__(self, upstream: str, certificates: Path) -> None:
        address = urlsplit(upstream)
        self.upstream = (str(address.hostname), int(address.port or 0))
        self.trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        self.seconds = 0.0
        self.keeps = True
        self.kept: dict[str, bytes] = {}


class _Node:
    """One address."""

    def __init__(self, model: _Model) -> None:
        self._model = model
        self._workers = threading.Semaphore(WORKERS)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.calls: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        host, port = self._model.upstream
        behind = http.client.HTTPSConnection(host, port, context=self._model.trust)
        with suppress(OSError), self._model.tls.wrap_socket(plain, server_side=True) as wire:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    if not (data := wire.recv(65536)):
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:])
                length = int(headers.get("Content-Length", 0))
                while len(buffer) < length:
                    buffer += wire.recv(65536)
                body, buffer = buffer[:length], buffer[length:]
                wire.sendall(self._answer(lines[0].rpartition(" ")[0], headers, body, behind))

    def _answer(
        self, call: str, headers: dict[str, str], body: bytes, behind: http.client.HTTPSConnection
    ) -> bytes:
        self.calls.append(call)
        kept = self._model.kept.get(call)
        if kept is None:
            kept = _ask(call, headers, body, behind)
            if self._model.keeps and call.startswith("GET "):
                self._model.kept[call] = kept
        if self._model.seconds:
            with self._workers:
                time.sleep(self._model.seconds)
        return kept


def _ask(call: str, headers: dict[str, str], body: bytes, behind: http.client.HTTPSConnection) -> bytes:
    method, _, target = call.partition(" ")
    passed: dict[str, str] = {name: headers[name] for name in _PASSED if name in headers}
    behind.request(method, target, body or None, passed)
    answer = behind.getresponse()
    text, date = answer.read(), answer.headers["Date"].encode()
    return _HEAD % (answer.status, answer.reason.encode("latin-1"), date, len(text), date) + text


def _steer(model: _Model, nodes: Sequence[_Node], request: dict[str, Any]) -> Any:
    model.seconds = request.get("milliseconds", model.seconds * 1000) / 1000
    if "keep" in request:
        model.keeps = request["keep"]
        model.kept.clear()
    if "calls" not in request:
        return None
    found = [node.calls for node in nodes]
    for node in nodes:
        node.calls = []
    return found


def main() -> None:
    """Serve until standard input ends."""
    upstream, certificates, count = sys.argv[1:]
    model = _Model(upstream, Path(certificates))
    nodes = [_Node(model) for _ in range(int(count))]
    print(json.dumps([node.url for node in nodes]), flush=True)
    for line in sys.stdin:
        print(json.dumps(_steer(model, nodes, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
