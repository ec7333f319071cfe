"""The pages that are written from the program are what the program says today, and say something of every key."""

from __future__ import annotations

import re

import pytest

from tools.reference import FOLDER, pages

PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name], "out of date: make reference"


def test_no_other_page_lies_there() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(PAGES)


@pytest.mark.parametrize("name", ["subscription.md", "sites.md"])
def test_every_key_has_words_a_type_a_default_and_an_example(name: str) -> None:
    table = [
        re.split(r" \| ?", line.removeprefix("| ")) for line in PAGES[name].splitlines() if line[:3] == "| `"
    ]
    assert len(table) > 30
    for key, words, kind, default, _article, example, *_ in table:
        assert words and kind and default and example.startswith("`"), key
        assert example != '`"text"`', f"{key} needs an example of its own in the model"


def test_every_key_of_a_plan_has_words() -> None:
    table = [line.split(" | ") for line in PAGES["plan.md"].splitlines() if line[:3] == "| `"]
    assert [row[0] for row in table if not row[1].strip()] == []


def test_units_articles_and_limits_are_told() -> None:
    page = PAGES["subscription.md"]
    memory = next(line for line in page.splitlines() if line.startswith("| `memory`"))
    assert "`GiB`" in memory and "required" in memory and '`"1GiB"`' in memory
    assert re.search(r"^\| `retention_days` .*whole number.*\| 3\.5 \|", page, re.MULTILINE)
    assert re.search(r"^\| `notice` .*date.*\| 10 \|", page, re.MULTILINE)


def test_commands_are_told_with_their_options_and_variables() -> None:
    page = PAGES["commands.md"]
    apply = page.partition("## orchestrator apply\n")[2].partition("\n## ")[0]
    assert "`--allow RISK:WHERE`" in apply and "ORCHESTRATOR_INVENTORY" in apply
    assert "## orchestrator backup restore\n" in page


def test_every_argument_and_option_has_words() -> None:
    table = [line.split(" | ") for line in PAGES["commands.md"].splitlines() if line[:3] == "| `"]
    assert len(table) > 100
    assert [row[0] for row in table if not row[-1].strip(" |")] == []
