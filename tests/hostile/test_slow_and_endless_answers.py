"""A hypervisor that drips, never ends, or sends a bomb: the call ends within its time and size, and says so.

No test looks at a clock: each would run into its own time limit if a call did not end.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.doctor.certificate import shake_hands
from orchestrator.proxmox import BadAnswer, Cluster, Patience, ProxmoxError, Uncertain, Unreachable
from tests.hostile.raw_server import Behaviour, RawServer, Wire, raw_server

OK = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 05:48:23 GMT\r\n"
LONG = OK + b"Content-Length: 1000000\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024**2
ONCE = Patience(attempts=1)


def drip_after(head: bytes, data: bytes) -> Behaviour:
    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(head)
        wire.drip(data)

    return behave


def pour_after(head: bytes, data: bytes, most: int = 600 * MIB) -> Behaviour:
    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(head)
        wire.pour(data, most)

    return behave


def drip_handshake(wire: Wire) -> None:
    wire.say(b"\x16\x03\x03\x40\x00")
    wire.drip(b"\x02")


def silent(wire: Wire) -> None:
    wire.drip(b"\x16", seconds=600)


DRIPPING: dict[str, Behaviour] = {
    "the handshake": drip_handshake,
    "no handshake": silent,
    "the status line": drip_after(b"", b"HTTP/1.1 200 OK" + b" " * 5000),
    "a header": drip_after(OK, b"X-Slow: " + b"x" * 5000),
    "interim answers": drip_after(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body": drip_after(LONG, b'{"data": 1'),
    "a body without length": drip_after(OK + b"\r\n", b" "),
    "the size of a chunk": drip_after(CHUNKED, b"0"),
    "chunks": drip_after(CHUNKED, b"1\r\n \r\n"),
    "a trailer": drip_after(CHUNKED + b"3\r\n{}\n\r\n0\r\n", b"X-Slow: 1\r\n"),
}
ENDLESS: dict[str, Behaviour] = {
    "a header line": pour_after(OK, b"x" * 65000),
    "headers": pour_after(OK, b"X-Endless: 1\r\n" * 4000),
    "interim answers": pour_after(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4000),
    "the body": pour_after(OK + b"\r\n", b" " * MIB),
    "the size of a chunk": pour_after(CHUNKED, b"0" * MIB),
    "the extension of a chunk": pour_after(CHUNKED, b"1;x=" + b"x" * MIB),
    "chunks": pour_after(CHUNKED, b"1\r\n \r\n" * 100_000),
    "trailers": pour_after(CHUNKED + b"1\r\n \r\n0\r\n", b"X-Endless: 1\r\n" * 4000),
    "the body of a refusal": pour_after(b"HTTP/1.1 500 no\r\n\r\n", b"x" * MIB),
}


def ask(server: RawServer, *, seconds: float = 1.0, method: str = "GET") -> ProxmoxError:
    """Ask once; return how it failed."""
    cluster = client(server, seconds)
    try:
        with pytest.raises(ProxmoxError) as caught:
            cluster.get("/version") if method == "GET" else cluster.post("/pools", poolid="client-dupont")
    finally:
        cluster.close()
    return caught.value


def client(server: RawServer, seconds: float, patience: Patience = ONCE) -> Cluster:
    return Cluster(
        site="paris",
        url=server.url,
        token_id="orchestrator@pve!apply",
        token_secret="s3cret",
        ca_file=server.ca_file,
        timeout_seconds=seconds,
        patience=patience,
    )


def test_whatever_drips_ends_the_call_in_time(tmp_path: Path) -> None:
    def fails(name: str) -> ProxmoxError:
        with raw_server(tmp_path / name.replace(" ", "-"), DRIPPING[name]) as server:
            return ask(server, seconds=3)

    with ThreadPoolExecutor(len(DRIPPING)) as pool:
        errors = dict(zip(DRIPPING, pool.map(fails, DRIPPING), strict=True))
    assert {name for name, error in errors.items() if type(error) is not Unreachable} == set(), errors
    dripping = {name: error.text for name, error in errors.items() if "handshake" not in name}
    assert all("it took more than 6 s in all" in text for text in dripping.values()), dripping


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_cut_off(tmp_path: Path, name: str) -> None:
    with raw_server(tmp_path, ENDLESS[name]) as server:
        # Of the smallest chunks so many fit into the size that the time ends first.
        error = ask(server, seconds=1 if name == "chunks" else 60)
        sent = server.wires[0].sent
    # A line or a number of headers that is too long breaks the connection, all else is an answer that is too long.
    assert isinstance(error, BadAnswer | Unreachable), error
    most = 160 * MIB if name in ("the body", "chunks", "trailers") else 16 * MIB
    assert sent < most, f"{sent / MIB:.0f} MiB were taken in"


@pytest.mark.parametrize("name", ["the body", "a header"])
def test_a_write_whose_answer_is_cut_off_is_uncertain(tmp_path: Path, name: str) -> None:
    with raw_server(tmp_path, DRIPPING[name]) as server:
        assert isinstance(ask(server, method="POST", seconds=2), Uncertain)
    with raw_server(tmp_path, ENDLESS["the body of a refusal"]) as server:
        assert isinstance(ask(server, method="POST", seconds=60), Uncertain)


def test_a_write_that_never_left_is_not_uncertain(tmp_path: Path) -> None:
    with raw_server(tmp_path, drip_handshake) as server:
        assert type(ask(server, method="POST", seconds=0.3)) is Unreachable


def test_all_attempts_of_a_call_share_its_time(tmp_path: Path) -> None:
    """However often it may be asked again: ten thousand attempts do not take ten thousand times as long."""
    with raw_server(tmp_path, DRIPPING["the body"]) as server:
        cluster = client(
            server, 0.2, Patience(attempts=10_000, first_wait=0.001, longest_wait=0.001, jitter=0)
        )
        with pytest.raises(Unreachable):
            cluster.get("/version")
        cluster.close()
    assert len(server.wires) <= 6


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """Peak memory of a process of its own, against one that gets an answer of a few bytes."""
    bomb = gzip.compress(b" " * (300 * MIB), compresslevel=1)

    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb))
        wire.say(bomb)

    def small(wire: Wire) -> None:
        wire.request()
        wire.say(OK + b'Content-Length: 11\r\n\r\n{"data": 1}')

    with raw_server(tmp_path / "bomb", behave) as server, raw_server(tmp_path / "small", small) as usual:
        kind, peak = in_a_process(server)
        assert kind == "BadAnswer"
        assert peak - in_a_process(usual)[1] < 200 * MIB


@pytest.mark.parametrize("compression", [b"br", b"gzip", b"gzip, gzip"])
def test_what_cannot_be_unpacked_is_no_answer(tmp_path: Path, compression: bytes) -> None:
    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(OK + b'Content-Encoding: %s\r\nContent-Length: 11\r\n\r\n{"data": 1}' % compression)

    with raw_server(tmp_path, behave) as server:
        assert isinstance(ask(server, seconds=30), BadAnswer)


def test_many_small_values_do_not_take_twenty_times_their_size(tmp_path: Path) -> None:
    body = b'{"data": [' + b"{}," * (30 * MIB) + b"{}]}"

    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(OK + b"Content-Length: %d\r\n\r\n" % len(body))
        wire.say(body)

    with raw_server(tmp_path, behave) as server:
        kind, peak = in_a_process(server)
    assert kind == "BadAnswer"
    assert peak < 400 * MIB


ASK = """
import re, sys
from pathlib import Path
from orchestrator.proxmox import Cluster, ProxmoxError
cluster = Cluster(site="paris", url=sys.argv[1], token_id="o@pve!a", token_secret="s", ca_file=Path(sys.argv[2]))
try:
    cluster.get("/version")
    kind = "ok"
except ProxmoxError as error:
    kind = type(error).__name__
print(kind, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def in_a_process(server: RawServer) -> tuple[str, int]:
    """How a call ended, and the peak memory of its process in bytes."""
    answer = subprocess.run(
        [sys.executable, "-c", ASK, server.url, str(server.ca_file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stderr == ""
    kind, kib = answer.stdout.split()
    return kind, int(kib) * 1024


def test_large_honest_answers_still_fit(tmp_path: Path) -> None:
    """60,000 archives with notes, packed and not; a file of 16 MiB."""
    entry = {
        "content": "backup",
        "ctime": 1_795_000_000,
        "format": "vma.zst",
        "notes": "web-1 of dupont, contract C-2026-0001\n\n<!-- orchestrator-backup " + "x" * 400 + " -->",
        "protected": 1,
        "size": 12_345_678_901,
        "subtype": "qemu",
        "vmid": 12345,
        "volid": "backup-lyon:backup/vzdump-qemu-12345-2026_11_23-05_48_23.vma.zst",
    }
    archives = json.dumps({"data": [entry] * 60_000}).encode()
    packed = gzip.compress(archives, compresslevel=1)
    file = json.dumps({"data": {"content": "a,b\t" * (4 * MIB)}}).encode()

    def behave(wire: Wire) -> None:
        for head, body in ((b"", archives), (b"Content-Encoding: gzip\r\n", packed), (b"", file)):
            wire.request()
            wire.say(OK + head + b"Content-Length: %d\r\n\r\n" % len(body))
            wire.say(body)

    with raw_server(tmp_path, behave) as server:
        cluster = client(server, 60)
        assert [len(cluster.get("/x")) for _ in range(2)] == [60_000, 60_000]
        assert len(cluster.get("/x")["content"]) == 16 * MIB
        assert len(server.wires) == 1, "the connection is kept"
        cluster.close()


@pytest.mark.parametrize("behave", [drip_handshake, silent], ids=["drips", "silent"])
def test_doctors_look_at_a_certificate_ends_in_time(tmp_path: Path, behave: Behaviour) -> None:
    with raw_server(tmp_path, behave) as server:
        shaken = shake_hands(server.url, server.ca_file, timeout_seconds=0.5)
    assert shaken.expires is None and "timed out" in shaken.reason


def test_a_name_that_nobody_resolves_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver itself knows no time limit."""
    waiting = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: waiting.wait(600))
    cluster = Cluster(
        site="paris",
        url="https://pve.example.net:8006",
        token_id="orchestrator@pve!apply",
        token_secret="s3cret",
        timeout_seconds=0.2,
        patience=ONCE,
    )
    with pytest.raises(Unreachable, match="its name cannot be resolved"):
        cluster.post("/pools", poolid="client-dupont")
    waiting.set()
