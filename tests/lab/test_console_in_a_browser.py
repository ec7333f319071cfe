"""One story, in Chromium: a plan is made, approved and carried out live; its machine runs under QEMU, with consoles."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from lab.certificates import ensure_certificates
from orchestrator.history import Entry
from orchestrator.interface.accounts import Account
from orchestrator.interface.roles import Role
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.security import COOKIE
from orchestrator.web.settings import Settings
from tests.api.desk import machine, subscription
from tests.lab.backups import until
from tests.lab.lab_handle import ROOT, Client, Lab
from tests.lab.test_lab_consoles import VM, greets, write_boot_sector
from tests.web.program import add_accounts, new_session, running

CHROMIUM = "/usr/bin/chromium"
PATIENCE = 60_000.0


@pytest.fixture
def panel(lab: Lab, api: Client, tmp_path: Path) -> Iterator[Desk]:
    """The Interface with a runner, a file of dupont's, and an image whose disk is a boot sector."""
    api.put(
        f"{VM}/config",
        serial0="socket",
        name="debian-12",
        tags="image",
        scsi1="local:cloudinit",
        boot="order=scsi0",
    )
    write_boot_sector(lab, api, tmp_path)
    assert api.call("POST", f"{VM}/template", {}).status == 200
    files = tmp_path / "subscriptions"
    files.mkdir()
    (files / "dupont.yaml").write_text(yaml.safe_dump(subscription("dupont", [machine("web-1")])))
    certificate, key = ensure_certificates(tmp_path, "panel", "127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as bound:
        settings = Settings(
            public_url=f"https://127.0.0.1:{bound.getsockname()[1]}",
            inventory=str(lab.state / "inventory"),
            files=(files,),
            history=str(tmp_path / "history.db"),
            reports=tmp_path,
        )
        with open_desk(settings) as desk:
            add_accounts(
                desk,
                Account(name="camille", role=Role.CLIENT, client="dupont", language="fr"),
                Account(name="oscar", role=Role.OPERATOR),
                Account(name="paula", role=Role.APPROVER),
            )
            with (
                running(desk, bound, ssl_certfile=str(certificate), ssl_keyfile=str(key)),
                _runner(lab, tmp_path),
            ):
                yield desk
    for vm in _machines(api):
        api.put(f"/nodes/pve1/qemu/{vm}/config", protection=0)


@contextmanager
def _runner(lab: Lab, folder: Path) -> Iterator[None]:
    """A runner that carries out what is asked for, and ends in order."""
    command = [*_ORCHESTRATOR, "runner", "--no-guests", "--history", str(folder / "history.db")]
    process = subprocess.Popen(command, env=_environment(lab, folder), cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait() == 0


def _machines(api: Client) -> list[int]:
    return [vm["vmid"] for vm in api.get("/nodes/pve1/qemu") if vm["name"] == "web-1"]


_ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]


def _environment(lab: Lab, folder: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "ORCHESTRATOR_INVENTORY": str(lab.state / "inventory"),
        "XDG_STATE_HOME": str(folder / "state"),
        "HOME": str(folder),
    }


def test_a_plan_is_carried_out_live_and_the_client_sees_its_machine_on_both_consoles(
    panel: Desk, lab: Lab, api: Client, tmp_path: Path
) -> None:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _makes_a_plan(_page_of(chromium, panel, "oscar", complaints))
        _approves_and_watches(_page_of(chromium, panel, "paula", complaints))
        (made,) = _machines(api)
        until(lambda: greets(lab, made))
        page = _page_of(chromium, panel, "camille", complaints)
        page.goto("/portal/machines/web-1/console")
        _types_into_the_terminal(page)
        assert _rescued(lab, tmp_path)["tasks"] == [], "somebody who looks is no task at work on it"
        _sees_the_screen(page)
        _leaves_by_keyboard(page)
        assert complaints == []
        chromium.close()
    until(lambda: [entry.result for entry in _consoles(panel)] == ["ok"] * 3)
    assert {json.loads(entry.details)["kind"] for entry in _consoles(panel)} == {"serial", "screen"}


def _page_of(chromium: Browser, panel: Desk, who: str, complaints: list[str]) -> Page:
    """A page of somebody who has signed in."""
    context = chromium.new_context(ignore_https_errors=True, base_url=panel.settings.origin)
    value = new_session(panel, who)
    context.add_cookies([{"name": COOKIE, "value": value, "url": panel.settings.origin, "secure": True}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda message: _note(message, complaints))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


def _makes_a_plan(page: Page) -> None:
    page.goto("/plans")
    page.get_by_text("Make a plan…").click()
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("plan 1: 1 to create")).to_be_visible(
        timeout=PATIENCE
    )  # nobody loaded the page again


def _approves_and_watches(page: Page) -> None:
    page.goto("/plans/1")
    page.get_by_text("Approve…").click()
    page.get_by_role("button", name="Approve and carry out").click()
    expect(page.get_by_text("done: 1 machine changed")).to_be_visible(timeout=PATIENCE)
    for step in ("clone", "start"):
        expect(page.get_by_role("cell", name=step, exact=True)).to_be_visible()


def _rescued(lab: Lab, folder: Path) -> dict[str, Any]:
    """What a rescue reads of the machine."""
    done = subprocess.run(
        [*_ORCHESTRATOR, "rescue", "dupont/web-1", "--format", "json"],
        env=_environment(lab, folder), cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _note(message: ConsoleMessage, complaints: list[str]) -> None:
    """Policy violations and failures are errors on the console of the browser."""
    if message.type == "error":
        complaints.append(message.text)


def _consoles(panel: Desk) -> list[Entry]:
    return panel.history.entries(client="dupont", machine="web-1", action="console")


def _types_into_the_terminal(page: Page) -> None:
    page.get_by_role("button", name="Ouvrir la console").click()
    status = page.get_by_role("status")
    expect(status).to_have_text("Ouverte.", timeout=PATIENCE)
    page.get_by_role("button", name="Terminal série").click()
    expect(page.locator(".xterm")).to_be_visible(timeout=PATIENCE)
    expect(status).to_have_text("Ouverte.", timeout=PATIENCE)
    page.keyboard.type("echo <b>hi</b>")
    shown = page.locator(".xterm-rows")
    expect(shown).to_contain_text("echo <b>hi</b>", timeout=PATIENCE)
    assert page.locator(".xterm b").count() == 0
    page.get_by_role("button", name="Coller…").click()
    page.get_by_role("textbox", name="Texte à saisir").fill("pasted")
    page.get_by_role("button", name="Saisir", exact=True).click()
    expect(shown).to_contain_text("pasted", timeout=PATIENCE)


def _sees_the_screen(page: Page) -> None:
    page.get_by_role("button", name="Écran", exact=True).click()
    canvas = page.locator("#console-place canvas")
    expect(canvas).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("status")).to_have_text("Ouverte.", timeout=PATIENCE)
    page.wait_for_function(_LIT, arg=100, timeout=PATIENCE)
    before = page.evaluate(_COUNT)
    page.keyboard.type("WWWW")
    page.wait_for_function(_LIT, arg=before + 50, timeout=PATIENCE)
    expect(page.get_by_role("button", name="Ctrl-Alt-Suppr")).to_be_visible()


_COUNT = """() => {
    const canvas = document.querySelector("#console-place canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let lit = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at] > 100) lit += 1;
    return lit;
}"""
_LIT = f"(least) => ({_COUNT})() >= least"


def _leaves_by_keyboard(page: Page) -> None:
    page.keyboard.press("Control+Shift+F6")
    close = page.get_by_role("button", name="Fermer")
    expect(close).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile("Fermée"), timeout=PATIENCE)
    expect(page.get_by_role("button", name="Ouvrir la console")).to_be_focused()
