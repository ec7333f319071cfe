"""Options of every command: before or after its name, and help by either spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from orchestrator.cli import app

ROOT: Any = get_command(app)


def _every_command() -> Iterator[list[str]]:
    yield []
    for name, command in ROOT.commands.items():
        yield [name]
        yield from ([name, inner] for inner in getattr(command, "commands", ()))


@pytest.mark.parametrize("words", list(_every_command()), ids="-".join)
def test_h_is_help_everywhere(words: list[str]) -> None:
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0 and short.stdout == long.stdout and "-h, --help" in short.stdout


@pytest.mark.parametrize("words", list(_every_command())[1:], ids="-".join)
def test_every_command_takes_the_main_options_after_its_name(words: list[str]) -> None:
    # One option, one meaning: `nightly` had a --log-format of its own, with other values.
    shown = CliRunner().invoke(app, [*words, "--quiet", "-v", "--log-format", "auto", "--version"])
    assert shown.exit_code == 0 and shown.stdout.startswith("orchestrator "), shown.output


def test_an_option_means_the_same_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--log-format", "json"]
    plan = ["plan", "-i", "nowhere"]
    said = []
    for arguments in ([*options, *plan], [*plan, *options], ["plan", *options, "-i", "nowhere"]):
        line = json.loads(CliRunner().invoke(app, arguments).stderr)
        said.append((line["level"], line["message"]))
    assert len(set(said)) == 1 and said[0][0] == "error" and "no inventory nowhere" in said[0][1]
    monkeypatch.setenv("ORCHESTRATOR_LOG_FORMAT", "json")
    after = CliRunner().invoke(app, [*plan, "--log-format", "text"]).stderr
    assert after.startswith("error  "), "what is written last to the command counts, and not the environment"
    assert json.loads(CliRunner().invoke(app, plan).stderr)["level"] == "error"


@pytest.mark.parametrize("words", [words for words in _every_command() if len(words) == 1], ids="-".join)
def test_a_list_of_commands_says_what_each_does_in_one_line(words: list[str]) -> None:
    """The list is not made of the commands, which need not be loaded for it; it is as they are."""
    listed = CliRunner().invoke(app, ["--help"]).stdout
    (line,) = re.findall(rf"(?m)^  {words[0]} +(\S.*)$", listed)
    assert line.endswith(".") and 10 < len(line) <= 60, "on one line, and whole"


@pytest.mark.parametrize("words", list(_every_command())[1:], ids="-".join)
def test_the_first_line_of_help_says_in_sixty_characters_what_the_command_does(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "120"}).stdout
    first = [line.strip() for line in shown.splitlines() if line.strip()][1]  # after the usage
    assert first.endswith(".") and len(first) <= 60
    listed = CliRunner().invoke(app, [*words[:-1], "--help"], env={"COLUMNS": "120"}).stdout
    (summary,) = re.findall(rf"(?m)^  {words[-1]} +(\S.*)$", listed)
    assert first.startswith(summary), "the list of commands says the same"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--log-format", "loud", "plan"],
        ["plan", "--log-format", "loud"],
        ["backup", "list", "--log-format", "loud"],
    ],
)
def test_a_value_that_is_none_of_the_choices_is_said_plainly(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments)
    said = " ".join(shown.output.split())
    assert shown.exit_code == 2
    assert ": 'loud' is not one of 'auto', 'text', 'json'." in said, said
