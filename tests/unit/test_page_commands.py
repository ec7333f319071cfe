"""The commands that the pages name exist, with their options."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt

from orchestrator.cli import app

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """What a page's blocks of code and its inline code have the reader type, after the word ``orchestrator``."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text()):
        texts = token.content.splitlines() if token.type in ("fence", "code_block") else []
        texts += [child.content for child in token.children or [] if child.type == "code_inline"]
        for text in texts:
            found = re.match(r"(?:\$ )?orchestrator ([^#\n…]*)", text.strip())
            if found and (words := _words(found[1])):
                yield text, words


def _words(text: str) -> list[str]:
    line = re.split(r"\s(?:>|\||\|\||&&)\s|   +", text.replace("[", " ").replace("]", " ") + " ")[0]
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


@functools.cache
def tree() -> Any:
    """All commands."""
    return typer.main.get_command(app)


def problem(words: list[str]) -> str | None:
    """Why a command line is none of ours; None if it is."""
    command = tree()
    rest = list(words)
    before = {name: item.is_flag for item in command.params for name in item.opts if item.opts}
    while rest and rest[0].startswith("-"):  # options of every command
        name = rest.pop(0)
        if name not in before:
            return f"no option {name}"
        if not before[name] and rest:
            rest.pop(0)
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"there is no {name}"
        command = command.commands[name]
    known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    known |= {"--help", *before}  # the main options may stand after a command, too
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known]
    return f"no option {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_of_ours(page: Path) -> None:
    assert [(text, why) for text, words in commands(page) if (why := problem(words))] == []


def test_commands_are_found_and_wrong_ones_noticed() -> None:
    assert sum(len(list(commands(page))) for page in PAGES) > 150
    assert problem(["backup", "restore", "dupont/web-1", "--in-place"]) is None
    assert problem(["--log-format", "json", "plan"]) is None
    assert problem(["--loud", "plan"]) == "no option --loud"
    assert problem(["backup", "undo"]) == "there is no undo"
    assert problem(["plan", "--onyl", "dupont"]) == "no option --onyl"
