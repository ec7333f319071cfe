"""Answers of which it is not clear where they end, or to what they belong; connections that end between calls."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from orchestrator.proxmox import Cluster, Patience, ProxmoxError, Uncertain, Unreachable
from tests.hostile.raw_server import Behaviour, RawServer, Wire, raw_server

BODY = b'{"data": {"version": "8.4.1"}}'
OTHERS = b'{"data": {"version": "9.9.9"}}'
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SOUND = OK + LENGTH + b"\r\n" + BODY
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

HONEST = {
    "a length": SOUND,
    "headers in any case": OK + b"cOnTeNt-LeNgTh:%d\r\n\r\n" % len(BODY) + BODY,
    "no reason": b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + BODY,
    "the same length twice": OK + LENGTH * 2 + b"\r\n" + BODY,
    "interim answers": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + SOUND,
    "chunks": CHUNKED + b"3\r\n%b\r\n0000F;x=y\r\n%b\r\nc \r\n%b\r\n0\r\n\r\n" % (BODY[:3], BODY[3:18], BODY[18:]),
    "trailers": CHUNKED + b"1e\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % BODY,
    "packed chunks": OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(BODY, mtime=0)), gzip.compress(BODY, mtime=0)),
}  # fmt: skip
DOUBTFUL = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "two lengths": OK + b"Content-Length: 4\r\n" + LENGTH + b"\r\n" + BODY,
    "a length beside chunks": OK
    + LENGTH
    + b"Transfer-Encoding: chunked\r\n\r\n1e\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "a length that is no number": OK + b"Content-Length: +30\r\n\r\n" + BODY,
    "an unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + BODY,
    "a header over two lines": OK + b"X-Long: 1\r\n 2\r\n" + LENGTH + b"\r\n" + BODY,
    "a header without a name": OK + b": 1\r\n" + LENGTH + b"\r\n" + BODY,
    "a chunk without a length": CHUNKED + b"x\r\n" + BODY,
    "a chunk that is longer": CHUNKED + b"3\r\n" + BODY + b"\r\n0\r\n\r\n",
    "101 headers": OK + b"X-Many: 1\r\n" * 101 + LENGTH + b"\r\n" + BODY,
    "a line of the head that ends otherwise": OK + b"X: 1\nContent-Length: 4\r\n" + LENGTH + b"\r\n" + BODY,
    "a head that ends twice": OK + b"X: 1\r\n\n" + LENGTH + b"\r\n" + BODY,
    "half the end of a line": OK + b"X: 1\rContent-Length: 4\r\n" + LENGTH + b"\r\n" + BODY,
    "a length with a space of another kind": OK + b"Content-Length: %d\xa0\r\n\r\n" % len(BODY) + BODY,
    "chunks with a space of another kind": OK
    + b"Transfer-Encoding:\x1c chunked\r\n\r\n1e\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "a name with what is no letter": OK + b"X\xa0Y: 1\r\n" + LENGTH + b"\r\n" + BODY,
    "too few bytes": OK + b"Content-Length: 31\r\n\r\n" + BODY,
}


def client(server: RawServer) -> Cluster:
    """One attempt a call, 30 s of patience with a silent server: no test gets there."""
    return Cluster(
        site="paris",
        url=server.url,
        token_id="orchestrator@pve!apply",
        token_secret="s3cret",
        ca_file=server.ca_file,
        patience=Patience(attempts=1),
    )


def saying(*answers: bytes) -> Behaviour:
    """One answer a request, then the end of the connection."""

    def behave(wire: Wire) -> None:
        for answer in answers:
            wire.request()
            wire.say(answer)

    return behave


def test_every_form_of_an_honest_answer_is_read_over_one_connection(tmp_path: Path) -> None:
    with raw_server(tmp_path, saying(*HONEST.values())) as server:
        cluster = client(server)
        read = {name: cluster.get("/version")["version"] for name in HONEST}
        assert read == dict.fromkeys(HONEST, "8.4.1")
        assert len(server.wires) == 1
        cluster.close()


@pytest.mark.parametrize("name", DOUBTFUL)
def test_an_answer_that_is_in_doubt_is_none(tmp_path: Path, name: str) -> None:
    with raw_server(tmp_path, saying(DOUBTFUL[name])) as server:
        with pytest.raises(Unreachable, match="the connection broke: ") as caught:
            client(server).get("/version")
        assert "s3cret" not in str(caught.value)


def test_what_may_wait_to_be_parsed_is_checked_all_the_same_and_a_refusal_does_not_wait(
    tmp_path: Path,
) -> None:
    torn = OK + b"Content-Length: 21\r\n\r\n" + BODY[:21]
    refused = b"HTTP/1.1 403 Permission check failed\r\n" + LENGTH + b"\r\n" + BODY
    elsewhere = OK + b"Content-Length: 2\r\n\r\n{}"
    with raw_server(tmp_path, saying(SOUND, torn, torn, SOUND, torn, refused, elsewhere)) as server:
        cluster = client(server)
        sound, broken, mended = (cluster.get_later("/version") for _ in range(3))
        assert sound() == mended() == {"version": "8.4.1"}, "asked for once more"
        with pytest.raises(Unreachable, match="not from a Proxmox API"):
            broken()
        for why in ("Permission check failed", "not from a Proxmox API"):
            with pytest.raises(ProxmoxError, match=why):
                cluster.get_later("/version")
        cluster.close()


@pytest.mark.parametrize(
    "first", [SOUND + OK + LENGTH + b"\r\n" + OTHERS, OK + b"Connection: close\r\n" + LENGTH + b"\r\n" + BODY]
)
def test_what_follows_an_answer_is_not_taken_for_the_next_one(tmp_path: Path, first: bytes) -> None:
    with raw_server(tmp_path, saying(first)) as server:
        cluster = client(server)
        assert [cluster.get("/version")["version"] for _ in range(3)] == ["8.4.1"] * 3
        assert len(server.wires) == 3
        cluster.close()


def test_what_an_interruption_left_is_not_taken_for_the_next_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the end of one answer and what came after it."""

    def behave(wire: Wire) -> None:
        wire.request()
        wire.say(SOUND + OK + b"Content-Length: %d\r\n\r\n" % len(OTHERS) + OTHERS)
        wire.request()

    def interrupt(_head: object) -> bool:
        raise KeyboardInterrupt

    with raw_server(tmp_path, behave) as server:
        cluster = client(server)
        with monkeypatch.context() as patch:
            patch.setattr("orchestrator.proxmox.wire._Head.keeps", property(interrupt))
            with pytest.raises(KeyboardInterrupt):
                cluster.get("/version")
        assert cluster.get("/version")["version"] == "8.4.1"
        assert len(server.wires) == 2


def test_an_answer_that_ends_with_its_connection(tmp_path: Path) -> None:
    with raw_server(tmp_path, saying(OK + b"\r\n" + BODY)) as server:
        cluster = client(server)
        assert [cluster.get("/version")["version"] for _ in range(2)] == ["8.4.1"] * 2
        cluster.close()


def hangs_up_at_the_second(wire: Wire) -> None:
    """As pveproxy when a request and the end of an idle connection cross each other."""
    wire.request()
    wire.say(SOUND)
    wire.request()


def test_a_read_whose_idle_connection_was_just_closed_is_sent_again_at_once(tmp_path: Path) -> None:
    with raw_server(tmp_path, hangs_up_at_the_second) as server:
        cluster = client(server)
        assert [cluster.get("/version")["version"] for _ in range(3)] == ["8.4.1"] * 3
        assert cluster.calls == {"GET": 5}
        assert len(server.wires) == 3
        cluster.close()


def test_a_write_whose_idle_connection_was_just_closed_is_uncertain(tmp_path: Path) -> None:
    with raw_server(tmp_path, hangs_up_at_the_second) as server:
        cluster = client(server)
        cluster.get("/version")
        with pytest.raises(Uncertain):
            cluster.post("/pools", poolid="client-dupont")
        assert cluster.calls == {"GET": 1, "POST": 1}
        cluster.close()


def test_a_path_cannot_end_the_line_of_its_request(tmp_path: Path) -> None:
    got: list[bytes] = []

    def behave(wire: Wire) -> None:
        got.append(wire.request())
        wire.say(SOUND)

    with raw_server(tmp_path, behave) as server:
        client(server).get("/pools/a b\r\nX-Evil: 1\r\n\r\n#?é", note="c d&e=\r\n")
    line, *headers = got[0].split(b"\r\n")
    assert line == (
        b"GET /api2/json/pools/a%20b%0D%0AX-Evil:%201%0D%0A%0D%0A%23%3F%C3%A9?note=c+d%26e%3D%0D%0A HTTP/1.1"
    )
    assert not any(header.startswith(b"X-Evil") for header in headers)
