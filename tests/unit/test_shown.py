"""Text from elsewhere on a terminal, in Markdown, in JSON, in labels: what is seen is all there is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import orchestrator
from orchestrator.shown import (
    LONGEST,
    code,
    hanging,
    json_safe,
    label,
    markdown,
    markdown_html,
    said_once,
    storable,
    visible,
)
from tests.hostile_texts import ATTACKS, CONTROLS, HOSTILE, assert_no_reference, assert_only_text, unseen


def test_every_control_character_is_shown_as_an_escape() -> None:
    assert len(CONTROLS) > 200
    for sign in CONTROLS:
        shown = visible(f"a{sign}b")
        assert re.fullmatch(r"a\\([nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})b", shown), (sign, shown)
        if sign not in "\n\t":
            assert visible(f"a{sign}b", lines=True) == shown
    assert visible("a\n\tb", lines=True) == "a\n\tb" and visible("a\r\nb\r", lines=True) == "a\nb\\r"


@given(HOSTILE)
def test_nothing_unseen_is_left_and_twice_is_once(text: str) -> None:
    for shown in (visible(text), visible(text, lines=True), hanging(text, 4), label(text)):
        assert unseen(shown) == []
    assert visible(visible(text)) == visible(text) or len(text) > LONGEST
    assert "\n" not in visible(text) + label(text)
    assert len(label(text)) < 5000
    storable(text).encode()
    assert "\x00" not in storable(text)


@given(
    st.text(
        st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\u115f\u1160\u3164\uffa0")
    )
)
def test_what_can_be_seen_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_the_sign_for_a_character_that_was_lost_is_a_character() -> None:
    assert visible("lost \ufffd \ufffc") == "lost \ufffd \ufffc"


def test_a_very_long_text_says_how_much_is_left_out() -> None:
    assert visible("x" * 12_345).endswith("x… and 2345 more characters")
    assert len(visible("Z" + "\u0301" * 500)) > 2000, "marks that pile up are shown one by one"


def test_lines_after_the_first_hang_below_it_so_that_none_passes_for_a_message() -> None:
    assert hanging("broken\nerror  forged", 7) == "broken\n       error  forged"


@given(
    st.recursive(HOSTILE, lambda items: st.lists(items, max_size=3), max_leaves=5), st.sampled_from([None, 1])
)
def test_json_says_the_same_and_shows_nothing_unseen(value: object, indent: int | None) -> None:
    text = json_safe(json.dumps(value, ensure_ascii=False, indent=indent))
    assert json.loads(text) == value and unseen(text) == []
    assert len(text.splitlines()) == text.count("\n") + 1


@given(HOSTILE)
def test_in_markdown_a_text_is_text_wherever_it_stands(text: str) -> None:
    for shown in (markdown(text), code(text)):
        assert "\n" not in shown and unseen(shown) == []
        assert_only_text(f"{shown}\n")
        assert_only_text(
            f"- {shown}\n\n> **Why:** {shown}\n\n| a | b |\n|---|---|\n| **{shown}** | {shown} |\n"
        )
        assert shown.count("|") == 0
    assert not re.search(r"<(?!/?code>)", markdown_html(text))
    assert_no_reference(markdown_html(text))


@pytest.mark.parametrize("text", [text for text in ATTACKS if "\n" not in text and len(text) < 1000])
def test_in_markdown_a_text_reads_as_it_was_written(text: str) -> None:
    (inline,) = (
        token
        for token in MarkdownIt("commonmark").enable("strikethrough").parse(markdown(text))
        if token.children
    )
    read = "".join(part.content for part in inline.children or () if part.type in ("text", "code_inline"))
    assert " ".join(read.split()) == " ".join(visible(text).split())


def test_ordinary_words_of_plans_and_reports_stay_readable_in_markdown() -> None:
    for plain in (
        "4GiB → 8GiB",
        "tcp 443 from 10.0.0.0/8",
        "dupont/web-1 (paris): 50%, 22:00-23:30",
        "art. 3.8.4",
        "é à «x»",
        "martin/db-1 : 22 nov., 22:41:07",
    ):
        assert markdown(plain) == plain
    assert (
        markdown("ask @alice, see https://x.example/a|b")
        == "ask `@alice,` see `https://x.example/a`&#124;`b`"
    )


def test_only_the_places_that_make_text_safe_write_to_the_standard_streams() -> None:
    """Whatever a command prints goes through a console or an outlet, by construction and not by care."""
    direct = re.compile(
        r"typer\.(echo|secho|confirm|prompt)\b|^\s*print\(|\bConsole\(|sys\.(__)?std(out|err)\.?(write|buffer)?\b"
    )
    root = Path(orchestrator.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if any(direct.search(line) and "isatty" not in line for line in path.read_text().splitlines())
        and path.name != "console_tickets.py"  # its Console is a machine's
    }
    makers = ("ending", "night_events", "outlet", "screen", "session", "diagnostics")
    assert found <= {f"cli/{name}.py" for name in makers}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("error: error: no room", "error: no room"),
        ("Error: error: ERROR: no room", "Error: no room"),
        ("dupont/web-1: dupont/web-1: it is locked", "dupont/web-1: it is locked"),
        ("backup: TASK ERROR: TASK ERROR: x", "backup: TASK ERROR: x"),
        ("the node pve1: the node pve1: off", "the node pve1: off"),
        ("web-1: db web-1: x", "web-1: db web-1: x"),
        ("a: b: a: b", "a: b: a: b"),
    ],
)
def test_a_prefix_stands_once(text: str, said: str) -> None:
    assert said_once(text) == said and said_once(said) == said
