"""The ready-made pipelines: whole files, whose commands and options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from orchestrator.cli import app

FOLDER = Path(__file__).parents[2] / "docs" / "ci"


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-actions.yml"])
def test_every_command_of_a_pipeline_is_one_of_ours(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert yaml.safe_load(text)
    found = re.findall(r"(?m)^ +-? ?(?:[\w-]+: )?(orchestrator .*)$", re.sub(r"\$\{\{.*?\}\}", "X", text))
    assert len(found) >= 4
    for line in found:
        words = shlex.split(re.split(r" (?:>|\|\|) ", line)[0])
        help_text = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "300"})
        assert help_text.exit_code == 0, line
        for option in (word for word in words[2:] if word.startswith("--")):
            assert re.search(rf"(?<!\S){option}\b", help_text.stdout), (option, line)
