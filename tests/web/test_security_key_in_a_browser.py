"""A security key in a real browser, over HTTPS: the page's script, the browser's checks and the program's together."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import expect

from lab.certificates import ensure_certificates
from orchestrator.interface.roles import Role
from orchestrator.web.desk import open_desk
from orchestrator.web.settings import Settings
from tests.web.desks import PASSWORD, add
from tests.web.program import running
from tests.web.served import Served, chromium

_KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasUserVerification": False,
    "automaticPresenceSimulation": True,
}


def test_a_security_key_is_set_up_and_signs_in_with_the_keyboard_alone(tmp_path: Path) -> None:
    certificate, key = ensure_certificates(tmp_path, "tests", "127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        url = f"https://localhost:{bound.getsockname()[1]}"
        settings = Settings(
            public_url=url, inventory=None, history=str(tmp_path / "history.db"), reports=tmp_path
        )
        with (
            open_desk(settings) as desk,
            running(desk, bound, ssl_certfile=certificate, ssl_keyfile=key),
            chromium(Served(url, tmp_path / "ca.pem", certificate, cast(Any, None))) as browser,
        ):
            add(desk, "ada", Role.ADMINISTRATOR)
            page = browser.new_page(base_url=url)
            page.set_default_timeout(60_000)
            problems: list[str] = []
            page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
            devtools = page.context.new_cdp_session(page)
            devtools.send("WebAuthn.enable")
            devtools.send("WebAuthn.addVirtualAuthenticator", {"options": _KEY})

            def sign_in() -> None:
                page.goto("/login?then=/account")
                page.get_by_label("Name").fill("ada")
                page.get_by_label("Password").fill(PASSWORD)
                page.keyboard.press("Enter")

            sign_in()
            page.get_by_label("Password").nth(1).fill(PASSWORD)
            page.keyboard.press("Enter")
            expect(page.get_by_role("button", name="Continue")).to_be_enabled(timeout=60_000)
            page.get_by_label("Name of the key").fill("blue key")
            page.keyboard.press("Enter")
            page.get_by_role("link", name="I have kept them").click()
            page.get_by_text("blue key").wait_for()
            page.context.clear_cookies()
            sign_in()
            expect(page.get_by_role("button", name="Use the security key")).to_be_enabled(timeout=60_000)
            page.get_by_role("button", name="Use the security key").press("Enter")
            page.get_by_text("blue key").wait_for()
            assert [e.result for e in desk.history.entries(action="login")] == ["ok", "ok"]
            assert problems == []
