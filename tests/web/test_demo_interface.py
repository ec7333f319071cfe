"""The demo's Interface: served in the background with two accounts, whose passwords open it; and gone in the end."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path

import httpx
import pytest

from lab import interface
from tests.free_ports import free_port
from tests.web.world import World


def _sign_in(client: httpx.Client, name: str, password: str) -> httpx.Response:
    token = re.search(r'name="form_token" value="([0-9a-f]{64})"', client.get("/login").text)
    assert token is not None
    return client.post("/login", data={"form_token": token[1], "name": name, "password": password})


def test_the_demo_s_accounts_open_its_interface(world: World, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "ORCHESTRATOR_INVENTORY": str(world.folder / "sites.yaml"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    folder, files = tmp_path / "interface", str(world.folder / "subscriptions")
    shown = interface.start(folder, free_port(), environment, files)
    try:
        assert sorted(shown.passwords) == ["dupont", "operator"]
        assert (folder / "accounts.secret").stat().st_mode & 0o777 == 0o600
        again = interface.start(folder, int(shown.url.rpartition(":")[2]), environment, files)
        assert again == shown  # it serves already
        trust = ssl.create_default_context(cafile=str(shown.authority))
        for name, first in (("operator", "/"), ("dupont", "/portal")):
            with httpx.Client(base_url=shown.url, verify=trust, timeout=60) as client:
                wrong = _sign_in(client, name, "not the password")
                assert "__Host-session" not in wrong.headers.get("set-cookie", ""), wrong.text
                answer = _sign_in(client, name, shown.passwords[name])
                assert (answer.status_code, answer.headers.get("location")) == (303, first), answer.text
                assert client.get("/account").status_code == 200
    finally:
        interface.stop(folder)
    assert interface.running(folder) is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(shown.url, verify=trust)


def test_what_keeps_it_from_starting_is_told(world: World, tmp_path: Path) -> None:
    environment = {**os.environ, "ORCHESTRATOR_HISTORY": str(world.folder), "XDG_STATE_HOME": str(tmp_path)}
    with pytest.raises(interface.InterfaceFailed, match="the account operator could not be made: "):
        interface.start(tmp_path / "interface", free_port(), environment, str(world.folder / "subscriptions"))
    assert interface.running(tmp_path / "interface") is None
