"""Reading reports back as their readers do: pages as a browser, Markdown as GitLab and GitHub show it."""

from __future__ import annotations

from html.parser import HTMLParser

from markdown_it import MarkdownIt

IN_A_CELL = 4
"""How deep markdown-it counts what stands in a cell of a table."""


class Reader(HTMLParser):
    """What a browser takes from a page: its elements, its texts, and its tables cell by cell."""

    VOID = frozenset({"meta", "br", "link", "img", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "caption":
            self.captions.append("")
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "caption" in self.open:
            self.captions[-1] += data
        if "th" in self.open or "td" in self.open:
            self.tables[-1][-1][-1] += data

    def table(self, caption: str) -> list[list[str]]:
        return self.tables[self.captions.index(caption)]


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The cells of a Markdown text's tables, as it is shown; a line break in a cell is ``\\n``."""
    tables: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text):
        if token.type == "table_open":
            tables.append([])
        if token.type == "tr_open":
            tables[-1].append([])
        if token.type in ("th_open", "td_open"):
            tables[-1][-1].append("")
        if token.type == "inline" and token.level == IN_A_CELL:
            for part in token.children or ():
                assert part.type in ("text", "code_inline", "html_inline", "strong_open", "strong_close"), (
                    part
                )
                assert part.type != "html_inline" or part.content == "<br>"
                tables[-1][-1][-1] += (
                    part.content
                    if part.type in ("text", "code_inline")
                    else "\n" * (part.type == "html_inline")
                )
    return tables


def plain(text: str) -> str:
    """A text without the spaces that do not break."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")
