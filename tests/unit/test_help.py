"""``orchestrator --help``: every command under a heading, in the 80 columns of a terminal."""

from __future__ import annotations

import re

import typer
from typer.testing import CliRunner

from orchestrator.cli import app


def _help() -> str:
    return CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output


def test_every_command_stands_once_under_a_heading_and_in_one_line() -> None:
    text = _help()
    listed: dict[str, str] = {}
    for heading, lines in re.findall(r"(?m)^(\S[^\n]*):\n((?:  .*\n)+)", text):
        for line in lines.splitlines():
            if found := re.match(r"  ([a-z][a-z-]*)  +[A-Z].*\.$", line):
                assert found[1] not in listed
                listed[found[1]] = heading
    assert set(listed) == set(typer.main.get_group(app).commands)
    assert {listed[name] for name in ("freeze", "thaw")} == {"Emergency"}
    assert listed["plan"].startswith("Look") and listed["apply"] == "Change machines"


def test_help_fits_a_terminal_of_80_columns() -> None:
    assert [line for line in _help().splitlines() if len(line) > 80] == []
