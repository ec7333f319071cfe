"""How ``orchestrator serve`` is told to serve, and what it refuses before it listens."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app

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
