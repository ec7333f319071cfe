"""``orchestrator user`` and ``token``: what they do, what they show once, what they refuse, what the history says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.history import open_history
from orchestrator.interface.roles import Role
from tests.web.desks import PASSWORD, Browser, clocked_desk


class Commands:
    """The command line over one history."""

    def __init__(self, folder: Path) -> None:
        self.history = folder / "history.db"

    def run(self, *arguments: str, typed: str | None = None, code: int = 0) -> Result:
        """Run a command, and see how it ends."""
        done = CliRunner().invoke(
            app,
            [*arguments, "--history", str(self.history)],
            input=typed,
            env={"COLUMNS": "200", "SUDO_USER": "anna"},
        )
        assert done.exit_code == code, done.output
        return done

    def json(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*arguments, "--format", "json").output)

    def acts(self) -> list[tuple[str, str, str, str]]:
        """Who did what with what result to whom, the oldest first."""
        with open_history(self.history) as history:
            return [(e.who, e.action, e.result, e.client) for e in history.entries()][::-1]


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def word_after(what: str, text: str) -> str:
    return text.partition(f"{what}: ")[2].split()[0]


def test_a_generated_password_is_shown_once_signs_in_and_is_kept_nowhere(
    commands: Commands, tmp_path: Path
) -> None:
    shown = commands.run("user", "add", "Olga", "--role", "operator", "--reason", "new colleague").output
    password = word_after("password", shown)
    assert password not in commands.run("user", "list").output
    assert password.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("history.db*"))
    listed = commands.json("user", "list")
    assert [(one["name"], one["role"], one["password_to_be_changed"]) for one in listed] == [
        ("olga", "operator", True)
    ]
    with clocked_desk(tmp_path) as desk:
        assert Browser(desk).sign_in("olga", password).status_code == 303
        assert desk.history.entries(action="account added")[0].why == "new colleague"


def test_a_password_comes_by_standard_input_and_never_as_an_argument(
    commands: Commands, tmp_path: Path
) -> None:
    add = ("user", "add", "camille", "--role", "client", "--client", "dupont", "--password-stdin")
    done = commands.run(*add, typed=f"{PASSWORD}\n")
    assert PASSWORD not in done.output and "password:" not in done.output
    assert commands.run("user", "add", "eve", "--password", "x" * 12, code=2)
    for wrong, said in (("short\n", "12 to 256"), ("xxxxxxxxxxxxxxxx\n", "repeats"), ("", "12 to 256")):
        refused = commands.run("user", "add", "eve", "--password-stdin", typed=wrong, code=1)
        assert said in refused.output
    with clocked_desk(tmp_path) as desk:
        assert Browser(desk).sign_in("camille").headers["location"] == "/portal"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "../x"), "cannot be an account's name"),
        (("add", "olga"), "there is an account olga already"),
        (("add", "eve", "--role", "client"), "needs the client's name"),
        (("add", "eve", "--client", "dupont"), "needs the client's name"),
        (("add", "eve", "--role", "client", "--client", "../x"), "cannot be a client's name"),
        (("disable", "nobody"), "there is no account 'nobody'"),
        (("enable", "olga"), "is not disabled"),
        (("reset", "nobody"), "there is no account"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    commands: Commands, arguments: tuple[str, ...], said: str
) -> None:
    commands.run("user", "add", "olga")
    before = commands.acts()
    assert said in " ".join(commands.run("user", *arguments, code=1).output.split())
    assert commands.acts() == before and len(commands.json("user", "list")) == 1


def test_every_act_is_in_the_history_with_who_did_it(commands: Commands) -> None:
    commands.run("user", "add", "camille", "--role", "client", "--client", "dupont")
    commands.run("user", "disable", "camille", "--reason", "has left")
    commands.run("user", "enable", "camille")
    commands.run("user", "reset", "camille")
    commands.run("token", "add", "billing", "--scope", "read", "--client", "dupont")
    commands.run("token", "revoke", "billing")
    acts = ["account added", "account disabled", "account enabled", "account reset", "api access added"]
    assert commands.acts() == [("anna", act, "ok", "dupont") for act in [*acts, "api access revoked"]]


def test_tokens_are_shown_once_listed_without_their_secret_and_revoked(
    commands: Commands, tmp_path: Path
) -> None:
    add = ("token", "add", "billing", "--scope", "read", "--scope", "requests", "--days", "10")
    token = word_after("token", commands.run(*add).output)
    assert token.startswith("orc_") and "there is a token billing" in commands.run(*add, code=1).output
    listed = commands.run("token", "list").output
    assert "read, requests" in listed and token not in listed
    assert [one["scopes"] for one in commands.json("token", "list")] == [["read", "requests"]]
    with clocked_desk(tmp_path) as desk:
        sent = {"authorization": f"Bearer {token}"}
        assert Browser(desk).get("/api/v1/requests", headers=sent).status_code == 200
        commands.run("token", "revoke", "billing")
        assert Browser(desk).get("/api/v1/requests", headers=sent).status_code == 401
    assert "there is no token" in commands.run("token", "revoke", "billing", code=1).output
    assert "cannot be a token's name" in commands.run("token", "add", "a b", "--scope", "read", code=1).output


def test_help_and_other_commands_load_neither_the_web_nor_what_hashes_passwords() -> None:
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom orchestrator.cli import app\n"
        "for words in (['--help'], ['user', '--help'], ['token', 'add', '--help'], ['validate', 'examples']):\n"
        "    CliRunner().invoke(app, words)\n"
        "found = {'argon2', 'fastapi', 'orchestrator.web', 'webauthn', 'authlib'} & sys.modules.keys()\n"
        "sys.exit(', '.join(found) or 0)"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_administrators_have_the_same_acts_on_a_page(tmp_path: Path) -> None:
    from tests.web.desks import add
    from tests.web.program import new_session

    with clocked_desk(tmp_path) as desk:
        add(desk, "ada", Role.ADMINISTRATOR)
        add(desk, "olga")
        ada, olga = Browser(desk), Browser(desk)
        ada.client.cookies.set("__Host-session", new_session(desk, "ada"), domain="panel.example")
        olga.sign_in("olga")
        page = ada.get("/accounts").text
        assert page.count("/reset") == 2 and "/accounts/ada/disable" not in page
        assert "no account" not in ada.get("/accounts?q=olg").text
        assert ada.send("/accounts/olga/role", page="/accounts", role="approver").status_code == 303
        assert "approver" in olga.get("/account").text
        assert ada.send("/accounts/olga/disable", page="/accounts").status_code == 303 and not olga.signed_in
        assert ada.send("/accounts/olga/enable", page="/accounts").status_code == 303
        assert "shown now and never again" in ada.send("/accounts/olga/reset", page="/accounts").text
        for act, fields in (("ada/disable", {}), ("ada/role", {"role": "reader"}), ("nobody/reset", {})):
            assert ada.send(f"/accounts/{act}", page="/accounts", **fields).status_code == 409, act
        evil = ada.send("/accounts", page="/accounts", name="<script>alert(1)</script>", role="reader")
        assert evil.status_code == 409 and "<script>alert" not in evil.text
        assert ada.send("/accounts", page="/accounts", name="x", role="king").status_code == 409
        assert {e.who for e in desk.history.entries(action="account role changed")} == {"ada"}
