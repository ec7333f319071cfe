"""Texts that an attacker would put wherever text can be put, and what no reader of ours may ever get of them."""

from __future__ import annotations

import html
import re
import sys
import unicodedata

from hypothesis import strategies as st
from markdown_it import MarkdownIt

CONTROLS = (
    *(
        chr(number)
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in ("Cc", "Cf", "Zl", "Zp")
    ),
    *"\udc9b\udfff\ud800\ue000\u115f\u3164",
)
"""Every control, format and separator character, halves of characters, and letters that cannot be seen."""

ATTACKS = (
    "\x1b[2J\x1b[H\x1b[32mno changes\x1b[0m",
    "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "\x9b31mred",
    "web-1\rno changes           ",
    "x\n\n/close\n/merge\n@all look\n# Title\n- item\n> quote\n```\n",
    "\r/approve",
    "x\nerror  forged: nothing was changed",
    "/close",
    "@all @alice please #1 !2 &3 $4 %5 ~6 ^alert#7 GH-8 deadbeef group/project#9 group/project>",
    "mail@example.org https://evil.example www.evil.example xmpp:a@b ftp://x.y",
    "![x](https://evil.example/x.png) [y](javascript:alert(1)) [z]: https://evil.example",
    "<img src=x onerror=alert(1)><script>alert(1)</script></details><!-- -->&lt;&#64;all",
    "a|b|c\\|d `code` ``x`` **bold** _it_ ~~gone~~ $x$ {+ add +} [- del -] [[wiki]] [TOC] :skull:",
    "[bold red]markup[/] [link=https://evil.example]x[/link] [/] :skull:",
    "\u202e\u2066txt.exe\u2069 zero\u200bwidth\ufeff soft\xadhyphen",
    "end of line\u2028and\u2029paragraph\x85next\x0bvertical\x0cform",
    "\udcff\udc80file name",
    "x" * 10_500,
    "Z" + "\u0301" * 500,
    "    indented | 1. first\n2) second\n===\n---\n***\n+ plus\n: def",
    "{{ 7*7 }} {% raw %} ${x} $(id) `id` \"quoted\" 'single' \\",
)
"""Texts for terminals, Markdown, pages and parsers."""

HOSTILE = st.one_of(
    st.sampled_from(ATTACKS), st.sampled_from(CONTROLS).map(lambda sign: f"a{sign}b"), st.text(max_size=40)
)
"""Any of them, and any other."""

_ALLOWED = frozenset("\n\t")
_REFERENCES = re.compile(
    r"@\w|#\w|[!&]\d|[$%~^]\w|GH-\d|\w+://|\bwww\.|mailto:|xmpp:|:[a-z_]\w*:|\b[0-9a-f]{7,40}\b|\[\[|\w>"
)
"""What GitLab's and GitHub's own filters look for in the texts that Markdown has left."""


def unseen(text: str) -> list[str]:
    """The characters of a text that a reader cannot see, or that change what is seen."""
    categories = {char: unicodedata.category(char) for char in set(text) - _ALLOWED}
    return sorted(
        char
        for char, category in categories.items()
        if category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or char in "\u115f\u1160\u3164\uffa0\u034f"
    )


def assert_only_text(markdown: str) -> None:
    """Assert that Markdown from a template of ours has no markup of a value in it, nor a reference or a command."""
    for line in markdown.splitlines():
        assert not re.match(r"\s*(/|```|~~~)", line), f"begins with a command or a fence: {line!r}"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    for token in tokens:
        assert token.type not in ("fence", "code_block"), token
        if token.type == "html_block":
            assert re.fullmatch(
                r"<details( open)?><summary>(<code>)?[^<>]*(</code>)?: \d+ machines?</summary>\n?"
                r"|</details>\n?",
                token.content,
            ), token
            assert_no_reference(token.content)
        for part in token.children or ():
            assert part.type in (
                "text",
                "code_inline",
                "html_inline",
                "strong_open",
                "strong_close",
                "softbreak",
            ), part
            if part.type == "html_inline":
                assert part.content == "<br>", part
            if part.type == "text":
                assert not _REFERENCES.search(part.content), part.content


def assert_no_reference(page: str) -> None:
    """Assert that HTML inside Markdown has nothing outside of code that GitLab or GitHub would make a link of."""
    said = html.unescape(re.sub(r"<code>[^<]*</code>|<[^<>]*>", "", page))
    assert not _REFERENCES.search(said), page


def shape(markdown: str) -> list[str]:
    """The blocks of Markdown: a value must not add one."""
    return [
        f"{token.type}{token.markup}" for token in MarkdownIt("commonmark").enable("table").parse(markdown)
    ]
