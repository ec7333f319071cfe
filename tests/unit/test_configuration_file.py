"""The configuration file: defaults of options, after the command line and the environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.operations.settings import SETTINGS
from orchestrator.operations.settings_file import SettingsFile

_EXAMPLE = Path(__file__).parents[2] / "inventories" / "example"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable or "X", raising=False)
    monkeypatch.delenv("ORCHESTRATOR_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "orchestrator").mkdir(parents=True)
    (tmp_path / "work" / "subscriptions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    for name in ("one", "two"):
        shutil.copytree(_EXAMPLE, tmp_path / name)
    text = (tmp_path / "two" / "sites.yaml").read_text()
    (tmp_path / "two" / "sites.yaml").write_text(text.replace("  paris:\n", "  nice:\n"))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "config" / "orchestrator" / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def in_force() -> dict[str, dict[str, Any]]:
    document = json.loads(run("config", "--format", "json").output)
    return {row["setting"]: row for row in document["settings"]}


def sites() -> str:
    """Which inventory a command uses: its sites, as an error names them."""
    return run("new", "dupont", "--site", "x").output.partition("the inventory has ")[2].strip()


def test_an_option_goes_before_the_environment_and_that_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "at which site" in run("new", "dupont").output
    path = write(folder, f"# ours\ninventory: {folder / 'one'}\n")
    assert sites() == "lyon, paris"
    assert in_force()["inventory"] == {
        "setting": "inventory",
        "value": str(folder / "one"),
        "source": f"{path}:2",
    }
    monkeypatch.setenv("ORCHESTRATOR_INVENTORY", str(folder / "two"))
    assert sites() == "lyon, nice" and in_force()["inventory"]["source"] == "ORCHESTRATOR_INVENTORY"
    last = run("new", "dupont", "--site", "x", "-i", str(folder / "one")).output
    assert "the inventory has lyon, paris" in last


def test_each_setting_reaches_its_commands(folder: Path) -> None:
    write(folder, "language: en\nlog_format: json\n")
    words = run("wording").output
    assert words == run("wording", "--language", "en").output != run("wording", "--language", "fr").output
    error = json.loads(run("plan").stderr)
    assert error["level"] == "error" and "which sites?" in error["message"]


def test_paths_are_relative_to_the_file(folder: Path) -> None:
    write(folder, "inventory: ../../one\nreports: ~/reports\nhistory: h.db\nrules: [a.yml, b.yml]\n")
    assert sites() == "lyon, paris"
    shown = in_force()
    base = folder / "config" / "orchestrator"
    assert shown["history"]["value"] == str(base / "h.db")
    assert shown["rules"]["value"] == f"{base / 'a.yml'} {base / 'b.yml'}"
    assert shown["reports"]["value"] == str(Path.home() / "reports")


def test_a_file_that_is_named_stands_for_the_usual_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, f"inventory: {folder / 'one'}\nlanguage: en\n")
    (folder / "other.yaml").write_text(f"inventory: {folder / 'two'}\n")
    (folder / "other.yaml").chmod(0o600)
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(folder / "other.yaml"))
    assert sites() == "lyon, nice" and in_force()["language"]["value"] is None
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(folder / "nowhere.yaml"))
    missing = run("config")
    assert missing.exit_code == 1 and "nowhere.yaml, which does not exist" in missing.output


def test_mistakes_are_told_with_their_place_and_what_is_allowed(folder: Path) -> None:
    path = write(folder, "language: de\nlangage: fr\nlog_format: json\n")
    answer = run("validate")
    assert answer.exit_code == 1
    assert f"{path}:1:11  error" in answer.output and "fr, en" in answer.output.replace(" or ", ", ")
    assert f"{path}:2:1  error  unknown key langage" in answer.output
    assert "did you mean language?" in answer.output


def test_the_example_is_a_file_that_changes_nothing_until_a_line_is_uncommented(folder: Path) -> None:
    text = run("config", "--example").output
    write(folder, text)
    assert {row["value"] for row in in_force().values()} == {None}
    write(folder, text.replace("\n#", "\n").replace("\n ", "\n# "))
    shown = in_force()
    assert {row["setting"] for row in shown.values() if row["value"]} == {setting.key for setting in SETTINGS}
    assert {setting.key for setting in SETTINGS} == set(SettingsFile.model_fields)


def test_passwords_are_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "history: postgresql://me:hunter2@db/x\nping_url: https://ping.example.net/hunter2\n")
    answer = run("config")
    assert answer.exit_code == 0 and "hunter2" not in answer.output
    assert "postgresql://me:***@db/x" in answer.output and "https://ping.example.net/…" in answer.output
    monkeypatch.setenv("ORCHESTRATOR_PING_URL", "https://ping.example.net/hunter3")
    assert "hunter3" not in run("config").output


def test_help_reads_no_file_and_loads_no_more_than_without_one(folder: Path) -> None:
    write(folder, "ping_url: https://ping.example.net/hunter2\nnonsense\n")
    code = (
        "import sys\nfrom orchestrator.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\nprint(*sys.modules)\n"
    )
    for arguments in (["--help"], ["nightly", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ,
        )
        assert "hunter2" not in done.stdout and "error" not in done.stderr, done
        assert not {"yaml", "orchestrator.operations.settings_file"} & set(done.stdout.split())


def test_every_parameter_that_a_file_sets_means_the_same_in_every_command() -> None:
    from typer.main import get_command

    root: Any = get_command(app)
    commands = [root, *root.commands.values()]
    commands += [inner for group in list(commands[1:]) for inner in getattr(group, "commands", {}).values()]
    for setting in SETTINGS:
        found = [item for command in commands for item in command.params if item.name == setting.parameter]
        assert found, setting.key
        variables = {str(item.envvar) for item in found if not item.hidden}
        assert variables == {setting.variable or "None"}, setting.key
