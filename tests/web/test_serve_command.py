"""How ``orchestrator serve`` is told to serve, and what it refuses before it listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from typer.testing import CliRunner

from lab.certificates import ensure_certificates
from orchestrator.cli import app
from tests.api.desk import Desk

_BEHIND = ("serve", "--listen", "127.0.0.1:1", "--public-url", "https://panel.example")


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("*", "is no address"),
        ("proxy.example", "is no address"),
        ("10.0.0.1/8", "is no address"),
        ("192.0.2.1:443", "is no address"),
        ("0.0.0.0/0", "believes everybody"),
        ("::/0", "believes everybody"),
    ],
)
def test_a_proxy_that_would_not_be_known_or_would_be_everybody_is_refused(proxy: str, told: str) -> None:
    answer = CliRunner().invoke(app, [*_BEHIND, "--trusted-proxy", "192.0.2.1", "--trusted-proxy", proxy])
    assert answer.exit_code == 1
    assert f"--trusted-proxy {proxy} {told}" in " ".join(answer.output.split())


@pytest.mark.parametrize(
    "wrong", ["another certificate's key", "no key", "no certificate", "key with a password"]
)
def test_what_tls_cannot_be_spoken_with_is_refused_with_the_remedy(tmp_path: Path, wrong: str) -> None:
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
    certificate, key = ensure_certificates(tmp_path / "own", "own", "127.0.0.1")
    if wrong == "another certificate's key":
        _, key = ensure_certificates(tmp_path / "other", "other", "127.0.0.1")
    elif wrong == "no key":
        key.write_text("")
    elif wrong == "no certificate":
        certificate.write_text("not a certificate")
    else:
        kept = load_pem_private_key(key.read_bytes(), None)
        sealed = BestAvailableEncryption(b"secret")
        key.write_bytes(kept.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed))
    place = ("--history", str(tmp_path / "history.db"), "--no-runner", "--listen", "127.0.0.1:1")
    answer = CliRunner().invoke(app, ["serve", *place, "--certificate", str(certificate), "--key", str(key)])
    said = " ".join(answer.output.split())
    assert answer.exit_code == 1 and "cannot be used for TLS" in said, said
    assert "without a password" in said and "internal error" not in said
    assert not (tmp_path / "history.db").exists(), "nothing was begun"


def test_an_address_that_cannot_be_listened_at_is_told_with_the_remedy(tmp_path: Path) -> None:
    desk = Desk(tmp_path, {})
    certificate, key = ensure_certificates(tmp_path, "tests", "127.0.0.1")
    tls = ("--certificate", str(certificate), "--key", str(key), "--no-runner", "--look-every", "0")
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        answer = desk.run("serve", "--listen", listen, *tls)
    assert answer.code == 1, answer
    assert f"{listen} cannot be used: see whether another program listens there" in " ".join(
        answer.err.split()
    )
