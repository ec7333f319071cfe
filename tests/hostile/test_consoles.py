"""Consoles that are broken or hostile: no picture, and nothing worse."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.proxmox import Cluster
from orchestrator.proxmox.console import read_screen
from orchestrator.proxmox.web_socket import NoConsole
from tests.hostile.raw_server import Wire, raw_server

_OPENED = b'{"data":{"ticket":"PVEVNC:1","port":"5900","user":"u","upid":"UPID:","password":"secret"}}'
_SHAPE = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


def _framed(data: bytes, first: int = 0x82) -> bytes:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
    return bytes([first]) + size + data


def _screen(width: int, height: int, name: bytes = b"vm") -> bytes:
    return struct.pack(">HH", width, height) + _SHAPE + struct.pack(">I", len(name)) + name


def _update(*rectangle: int, pixels: bytes = b"") -> bytes:
    return struct.pack(">BxH", 0, 1) + struct.pack(">HHHHi", *rectangle) + pixels


_READY = b"RFB 003.008\n" + b"\x01\x01" + struct.pack(">I", 0)
"""Everything up to the screen, without authentication: a server may say it without waiting."""


def _pour(wire: Wire) -> None:
    wire.say(_framed(_READY + _screen(2, 2)))
    wire.pour(_framed(b"\x03\0\0\0" + struct.pack(">I", 60_000) + bytes(60_000)), 10**9)


_HOSTILE: dict[str, tuple[bytes | Callable[[Wire], object], str]] = {
    "not a console": (_framed(b"HTTP/1.1 200 "), "another version of RFB"),
    "an old one": (_framed(b"RFB 003.003\n"), "another version of RFB"),
    "no security": (_framed(b"RFB 003.008\n\x00"), "an authentication that is not known"),
    "another security": (_framed(b"RFB 003.008\n\x01\x13"), "an authentication that is not known"),
    "refused": (_framed(b"RFB 003.008\n\x01\x01" + struct.pack(">I", 1)), "refuses its own password"),
    "a huge screen": (_framed(_READY + _screen(65535, 65535)), "claims a screen of 65535 x 65535"),
    "no screen": (_framed(_READY + _screen(0, 10)), "claims a screen of 0 x 10"),
    "an endless name": (
        _framed(_READY + struct.pack(">HH", 2, 2) + _SHAPE + b"\xff\xff\xff\xff"),
        "claims a name that is too long",
    ),
    "outside the screen": (_framed(_READY + _screen(2, 2) + _update(1, 0, 2, 1, 0)), "not asked for"),
    "another encoding": (_framed(_READY + _screen(2, 2) + _update(0, 0, 2, 2, 7)), "not asked for"),
    "too many pieces": (_framed(_READY + _screen(2, 2) + b"\x00\x00\xff\xff"), "too many pieces"),
    "an unknown message": (_framed(_READY + _screen(2, 2) + b"\x09"), "not known here (9)"),
    "a long text": (
        _framed(_READY + _screen(2, 2) + b"\x03\0\0\0\xff\xff\xff\xff"),
        "a text that is too long",
    ),
    "a masked frame": (b"\x82\x81\0\0\0\0R", "frames that nobody asked for"),
    "a compressed frame": (b"\xc2\x01R", "frames that nobody asked for"),
    "a giant frame": (b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "more than a picture is"),
    "a long ping": (b"\x89\x7e\x01\x00", "a control frame that is too long"),
    "closed": (_framed(b"", 0x88), "was closed"),
    "broken off": (lambda wire: wire.say(b"\x82\x0cRFB"), "broke off"),
    "texts for ever": (_pour, "more than a picture is"),
    "a byte at a time": (lambda wire: wire.drip(_framed(b"\x02", 0x8A)), "took too long"),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_console_gives_no_picture(tmp_path: Path, name: str) -> None:
    said, told = _HOSTILE[name]
    with raw_server(tmp_path, lambda wire: _serve(wire, said)) as server:
        cluster = _cluster(server.url, server.ca_file)
        with pytest.raises(NoConsole, match=re.escape(told)):
            read_screen(cluster, "pve1", 100, seconds=3.0, pause=lambda _seconds: None)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 401 No ticket\r\n\r\n", "refused: 401 No ticket"),
        (b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: x\r\n\r\n", "does not answer as a WebSocket"),
        (b"HTTP/1.1 101 Switching\r\nA: " + b"x" * 100_000, "a head that is too long"),
    ],
)
def test_what_is_no_web_socket_gives_no_picture(tmp_path: Path, answer: bytes, told: str) -> None:
    def behaviour(wire: Wire) -> None:
        if wire.request().startswith(b"POST"):
            wire.say(_answered(_OPENED))
            wire.request()
        else:
            wire.say(answer)

    with raw_server(tmp_path, behaviour) as server, pytest.raises(NoConsole, match=re.escape(told)):
        read_screen(_cluster(server.url, server.ca_file), "pve1", 100, seconds=3.0)


def _cluster(url: str, ca_file: Path) -> Cluster:
    return Cluster(
        site="paris",
        url=url,
        token_id="orchestrator@pve!t",
        token_secret="s",
        ca_file=ca_file,
    )


def _answered(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _serve(wire: Wire, said: bytes | Callable[[Wire], object]) -> None:
    asked = wire.request()
    if asked.startswith(b"POST"):
        wire.say(_answered(_OPENED))
        wire.request()  # until it hangs up
        return
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", asked)
    assert key is not None
    accepted = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    wire.say(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
    )
    if callable(said):
        said(wire)
        return
    wire.say(said)
    assert wire.secured is not None
    while wire.secured.recv(65536):  # until it hangs up
        pass
