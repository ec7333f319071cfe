"""YAML text to nodes, by libyaml where PyYAML was built with it and by PyYAML's own parser elsewhere.

The two give the same nodes. Tags are not resolved the way PyYAML does (slow, and it is what turns ``no``
into false): a node only says whether it was written plain or in quotes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from orchestrator.yaml_reader.places import Mark, lines_of
from orchestrator.yaml_reader.problems import shorten

PLAIN = "plain"
QUOTED = "quoted"
DEEPEST = 32
"""Levels of nesting that a file may have; a subscription needs nine."""

_SURELY_HARMLESS = 200  # both compose by recursion; in C some ten thousand levels end the process


class _Unresolved:
    """Marks nodes as plain or quoted instead of guessing their type."""

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        if isinstance(implicit, tuple):
            return PLAIN if implicit[0] else QUOTED
        return PLAIN

    def descend_resolver(self, current_node: object, current_index: object) -> None:
        """Nothing depends on the path here."""

    def ascend_resolver(self) -> None:
        """Nothing depends on the path here."""


class _PythonComposer(_Unresolved, Reader, Scanner, Parser, Composer):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)


if TYPE_CHECKING or yaml.__with_libyaml__:
    from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs leave it out of __all__

    class _Composer(_Unresolved, CParser):
        """libyaml: ten times as fast."""
else:
    _Composer = _PythonComposer


def compose(text: str) -> yaml.Node | None:
    """Return the root node of a text; ``None`` where it holds nothing.

    Raises:
        yaml.YAMLError: the text is not YAML, or holds several documents.
    """
    return _Composer(text).get_single_node()


def find_forbidden(text: str) -> list[tuple[Mark, str, str]]:
    """Return what must not even be composed: anchors, aliases, and nesting that would exhaust the stack.

    Each finding is a place, what was found and what is allowed. Texts that cannot hold either are not parsed.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    # A level of nesting takes an opening bracket, or an indicator further right than the level above it.
    deepest_possible = text.count("[") + text.count("{") + max(map(len, lines_of(text)))
    if "*" not in text and "&" not in text and deepest_possible < _SURELY_HARMLESS:
        return []
    return list(_forbidden_events(text))


def _forbidden_events(text: str) -> Iterator[tuple[Mark, str, str]]:
    parser = _Composer(text)
    depth = 0
    while (event := parser.get_event()) is not None:
        if isinstance(event, yaml.AliasEvent):
            yield (
                Mark.between(event.start_mark, event.end_mark),
                "an alias (*) is not used here",
                "write the values out where they belong: a reviewer reads each machine on its own",
            )
            continue
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.anchor is not None:
            yield (
                _anchor(event, text),
                f"an anchor (&{shorten(event.anchor)}) is not used here",
                "take it out, and write the values out where they belong: a reviewer reads each machine on its own",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                yield (
                    Mark.between(event.start_mark, event.end_mark),
                    f"more than {DEEPEST} levels of nesting",
                    "no key of this file is that deep: check the brackets",
                )
                return
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _anchor(event: Any, text: str) -> Mark:
    """Where the anchor of an event stands: at its beginning, or after a tag."""
    line, column = event.start_mark.line, event.start_mark.column
    word = f"&{event.anchor}"
    found = lines_of(text)[line].find(word, column)
    return Mark(line, found, found + len(word)) if found >= 0 else Mark(line, column, column + 1)
