"""Procedures as pages: Markdown becomes data, and a template writes it, so nothing of it is ever markup of ours.

What is read: headings, paragraphs, lists, code, quotes, tables as text, emphasis, links to other procedures and to the
web. HTML is shown as the text that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.alarms.procedures import page_of
from orchestrator.errors import OrchestratorError, local_reason

if TYPE_CHECKING:
    from markdown_it.token import Token

_LARGEST = 256 * 1024
_PROCEDURE = re.compile(r"(?:\./)?([a-z0-9-]{1,64})\.md")
_WEB = re.compile(r"https?://[^\s\"'<>]+")

BlockKind = Literal["heading", "paragraph", "bullets", "steps", "item", "code", "quote", "rule"]


class ProcedureUnreadable(OrchestratorError):
    """A procedure's page that is there and cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Some words in one form.

    Attributes:
        procedure: the procedure that they lead to; empty: to none.
        address: on the web; empty: to none.
    """

    text: str
    strong: bool = False
    emphasis: bool = False
    code: bool = False
    procedure: str = ""
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a page.

    Attributes:
        level: of a heading, from 1.
        spans: of a heading or a paragraph.
        blocks: what a list, an item or a quote holds.
        text: of code.
    """

    kind: BlockKind
    level: int = 0
    spans: tuple[Span, ...] = ()
    blocks: tuple[Block, ...] = ()
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class ProcedurePage:
    """A procedure.

    Attributes:
        name: as rules name it.
        title: its first heading; the name if it has none.
        blocks: what comes after that.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]


def read_procedure(name: str, folders: Sequence[Path]) -> ProcedurePage | None:
    """Read a procedure; None if there is none of that name.

    Args:
        name: as a rule names it.
        folders: in the order in which a page is looked for.

    Raises:
        ProcedureUnreadable: it is there and cannot be read.
    """
    path = page_of(name, folders)
    if path is None:
        return None
    try:
        with path.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        text = content.decode()
    except OSError as error:
        raise ProcedureUnreadable(f"the procedure {name} cannot be read: {local_reason(error)}") from error
    except UnicodeDecodeError:
        raise ProcedureUnreadable(f"the procedure {name} is not UTF-8 text: save {path} as such") from None
    if len(content) > _LARGEST:
        raise ProcedureUnreadable(
            f"the procedure {name} has more than {_LARGEST // 1024} KiB: shorten {path}, or split it"
        )
    return procedure_page(name, text)


def procedure_page(name: str, text: str) -> ProcedurePage:
    """A procedure's page of its Markdown."""
    from markdown_it import MarkdownIt  # pages alone need it

    blocks = _blocks(iter(MarkdownIt("commonmark", {"html": False}).parse(text)))
    if blocks and blocks[0].kind == "heading":
        return ProcedurePage(
            name=name, title="".join(span.text for span in blocks[0].spans), blocks=blocks[1:]
        )
    return ProcedurePage(name=name, title=name, blocks=blocks)


_OPENING: dict[str, BlockKind] = {
    "bullet_list_open": "bullets",
    "ordered_list_open": "steps",
    "list_item_open": "item",
    "blockquote_open": "quote",
}


def _blocks(tokens: Iterator[Token]) -> tuple[Block, ...]:
    """The blocks up to the end of the one that the tokens are in."""
    found: list[Block] = []
    for token in tokens:
        if token.type in _OPENING:
            found.append(Block(kind=_OPENING[token.type], blocks=_blocks(tokens)))
        elif token.type == "heading_open":
            spans = _spans(next(tokens).children or ())
            next(tokens)
            found.append(Block(kind="heading", level=int(token.tag[1:]), spans=spans))
        elif token.type == "paragraph_open":
            found.append(Block(kind="paragraph", spans=_spans(next(tokens).children or ())))
            next(tokens)
        elif token.type in ("fence", "code_block"):
            found.append(Block(kind="code", text=token.content.rstrip("\n")))
        elif token.type == "hr":
            found.append(Block(kind="rule"))
        elif token.nesting < 0:
            break
    return tuple(found)


def _spans(tokens: Sequence[Token]) -> tuple[Span, ...]:
    return tuple(span for span in _spans_of(tokens) if span.text)


def _spans_of(tokens: Sequence[Token]) -> Iterator[Span]:
    strong = emphasis = 0
    procedure = address = ""
    for token in tokens:
        if token.type in ("strong_open", "strong_close"):
            strong += token.nesting
        elif token.type in ("em_open", "em_close"):
            emphasis += token.nesting
        elif token.type == "link_open":
            target = str(token.attrs.get("href", ""))
            match = _PROCEDURE.fullmatch(target)
            procedure = match[1] if match else ""
            address = target if _WEB.fullmatch(target) else ""
        elif token.type == "link_close":
            procedure = address = ""
        else:
            text = "\n" if token.type in ("softbreak", "hardbreak") else token.content
            yield Span(
                text=text,
                strong=strong > 0,
                emphasis=emphasis > 0,
                code=token.type == "code_inline",
                procedure=procedure,
                address=address,
            )
