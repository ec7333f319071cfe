"""A configuration file of others changes nothing: it says where secrets come from and where records go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app

_EVIL = "history: sqlite:///stolen.db\ninventory: evil\nlanguage: en\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "ORCHESTRATOR_CONFIG", "ORCHESTRATOR_INVENTORY", "ORCHESTRATOR_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home" / ".config" / "orchestrator").mkdir(parents=True)
    (tmp_path / "cloned").mkdir()
    monkeypatch.chdir(tmp_path / "cloned")
    return tmp_path / "home" / ".config" / "orchestrator"


def show() -> Result:
    return CliRunner().invoke(app, ["config"], env={"COLUMNS": "300"})


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "orchestrator.yaml",
        ".orchestrator.yaml",
        "orchestrator/config.yaml",
        ".config/orchestrator/config.yaml",
        "etc/orchestrator/config.yaml",
    ],
)
@pytest.mark.parametrize("relative", [None, ".", ".config", "../cloned"])
def test_no_file_of_the_working_directory_is_read(
    name: str, relative: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if relative is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", relative)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_EVIL)
    answer = show()
    assert answer.exit_code == 0 and "stolen" not in answer.output and "evil" not in answer.output


def test_a_file_that_others_may_write_is_refused(home: Path) -> None:
    path = home / "config.yaml"
    path.write_text("language: en\n")
    path.chmod(0o664)
    answer = show()
    assert answer.exit_code == 1 and f"chmod go-w {path}" in answer.output
    path.chmod(0o644)
    home.chmod(0o777)
    answer = show()
    assert answer.exit_code == 1 and f"chmod go-w {home}" in answer.output
    home.chmod(0o755)
    assert show().exit_code == 0


def test_a_file_of_another_account_is_refused(home: Path) -> None:
    path = home / "config.yaml"
    path.write_text("language: en\n")
    os.chown(path, 65534, 65534)
    answer = show()
    assert answer.exit_code == 1 and "belongs to user 65534" in answer.output


def test_a_link_into_a_folder_of_others_is_refused(home: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "config.yaml").write_text(_EVIL)
    os.chown(theirs, 65534, 65534)
    (home / "config.yaml").symlink_to(theirs / "config.yaml")
    answer = show()
    assert answer.exit_code == 1 and f"{theirs} belongs to user 65534" in answer.output


def test_a_secret_that_others_may_read_is_refused_and_not_shown(home: Path) -> None:
    path = home / "config.yaml"
    for text in ("ping_url: https://ping.example.net/hunter2\n", "history: postgresql://a:hunter2@b/c\n"):
        path.write_text(text)
        path.chmod(0o644)
        answer = show()
        assert answer.exit_code == 1 and f"chmod 600 {path}" in answer.output, answer.output
        assert "hunter2" not in answer.output


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"a" * 2_000_000, b"- a\n", b"language: !!python/object:x y\n", b"&a [*a]"]
)
def test_no_content_of_a_file_breaks_the_program(home: Path, content: bytes) -> None:
    (home / "config.yaml").write_bytes(content)
    answer = show()
    assert answer.exit_code == 1 and "config.yaml:1:" in answer.output, answer.output
    assert "internal error" not in answer.output


def test_what_is_no_file_does_not_block(home: Path) -> None:
    os.mkfifo(home / "config.yaml")
    answer = show()
    assert answer.exit_code == 1 and "not a file" in answer.output
