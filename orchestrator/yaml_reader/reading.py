"""YAML text to plain data, with the place of every value and a sentence for every mistake.

Only what people mean is read: mappings, lists, text, whole and decimal numbers, ``true`` and ``false``.
YAML has traps that change a value silently, and each is an error here instead: a key written twice,
words such as ``yes`` and times such as ``22:00`` without quotes (some readers make them a switch and a
number), octal and hexadecimal numbers, tags. Anchors and aliases are refused as well: a reviewer must see
a machine's values where the machine stands, and aliases can make a small file explode.

Dates stay text here; the field that wants a date reads it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import yaml

from orchestrator.yaml_reader.composing import PLAIN, QUOTED, compose, find_forbidden
from orchestrator.yaml_reader.malformed import explain
from orchestrator.yaml_reader.places import (
    Mark,
    YamlPath,
    has_item,
    lines_of,
    mark_of_key,
    mark_of_value,
    start_of_value,
)
from orchestrator.yaml_reader.problems import MOST_PROBLEMS, Problem, Severity, first_problems, shorten
from orchestrator.yaml_reader.scalars import Ambiguous, read_plain
from orchestrator.yaml_reader.spaces import find_structural

_LONGEST_LINE = 2000
"""Characters of a line that problems carry: a file may be one line."""

MOST_ITEMS = 5000
"""Items of one list, or keys of one mapping."""

# Problems are printed, and kept in the logs of merge requests: no line of them may hold a secret.
_SECRET_KEY = re.compile(r"secret|passw|passphrase", re.IGNORECASE)
_KEY_AT_BEGINNING = re.compile(r"[\"']?([a-z_]+)[\"']?[ \t]*:(?:[ \t]|$)")
_AFTER_SECRET_KEY = re.compile(r"((?:secret|passw|passphrase)\w*[\"']?\s*:\s*)\S.*", re.IGNORECASE)


@dataclass(frozen=True)
class Document:
    """A file's data, with what was wrong in its text.

    Attributes:
        file: the file, as the caller named it.
        text: the whole text.
        data: mappings, lists, text, numbers and booleans; ``None`` where the text is not YAML.
        problems: mistakes of the text itself.
        refused: places whose value already has a problem, so that a second check stays silent there.
        switches: words that are switches to some readers: their place, and which of ``problems`` is about them.
        readable: whether ``data`` is worth checking.
    """

    file: str
    text: str
    data: object
    problems: tuple[Problem, ...] = ()
    refused: tuple[YamlPath, ...] = ()
    switches: tuple[tuple[YamlPath, int], ...] = ()
    readable: bool = True

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, without their breaks."""
        return lines_of(self.text)

    def value(self, path: YamlPath) -> object:
        """The plain data at ``path``; ``None`` where it leads nowhere."""
        found: Any = self.data
        for step in path:
            if not has_item(found, step):
                return None
            found = found[step]
        return found

    def mark(self, path: YamlPath, *, key: bool = False) -> Mark:
        """Return where the value at ``path`` stands; or its key, which also stands for a list or a mapping.

        Where the path leads nowhere (a missing key), the mapping that should hold it is marked.
        """
        root = _root(self.text)
        if root is None:
            return Mark(0, 0, 1)
        return mark_of_key(root, path) if key else mark_of_value(root, path)

    def problem(
        self,
        path: YamlPath,
        message: str,
        allowed: str,
        *,
        article: str | None = None,
        severity: Severity = "error",
        key: bool = False,
        hide: bool = False,
    ) -> Problem:
        """Return a problem at ``path``. ``hide`` masks what follows the key: it may be a secret."""
        mark = self.mark(path, key=key)
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        root = _root(self.text)
        if hide and root is not None:
            value = start_of_value(root, path)
            line = line[: value.column] + "…" if value.line == mark.line else line
        return _problem_at(self.file, mark, message, allowed, line, article=article, severity=severity)


def read(text: str, file: str, *, keys: Collection[str], kind: str) -> Document:
    """Read a text; never raises, whatever the text.

    Of a text that is none of ours nothing is shown, only what is wrong and where: a path that leads astray must not
    print a secret into the log of a merge request.

    Args:
        text: the content of a file, decoded.
        file: its name in problems.
        keys: the keys that such a file may have at its top; one that has none of them is another's.
        kind: what such a file is called, such as ``subscription file``.
    """
    document = _read(text.removeprefix("\ufeff"), file)
    if _is_ours(document, keys):
        return document
    if document.readable or document.data is not None:
        allowed = f"a {kind} is a mapping with the keys {', '.join(keys)}"
        document = _unreadable(file, document.text, [(Mark(0, 0, 1), _not_ours(document.data), allowed)])
    hidden = tuple(replace(problem, source_line="") for problem in document.problems)
    return replace(document, problems=hidden)


def _not_ours(data: object) -> str:
    if isinstance(data, dict):
        return "the file has none of the keys that belong here"
    return f"the file is {'a list' if isinstance(data, list) else 'one value'}"


def _is_ours(document: Document, keys: Collection[str]) -> bool:
    """Whether a text is, or was meant to be, a file with these keys."""
    if document.readable or document.data is not None:
        return isinstance(document.data, dict) and not document.data.keys().isdisjoint(keys)
    return any(
        (found := _KEY_AT_BEGINNING.match(line)) and found[1] in keys for line in lines_of(document.text)
    )


def _read(text: str, file: str) -> Document:
    try:
        forbidden = list(find_structural(text)) or find_forbidden(text)
        root = None if forbidden else _root(text)
    except yaml.YAMLError as error:
        mistake = explain(error, text)
        return _unreadable(file, text, [(mistake.mark, mistake.message, mistake.allowed)])
    if forbidden:
        return _unreadable(file, text, forbidden)
    if root is None:
        empty = (
            Mark(0, 0, 1),
            "the file is empty",
            "docs/subscription-file.md and docs/site-file.md show what belongs in",
        )
        return _unreadable(file, text, [empty])
    construction = _Construction()
    data = construction.data(root, ())
    document = Document(
        file, text, data, refused=tuple(path for path, *_, mark in construction.mistakes if mark is None)
    )
    problems = [
        document.problem(path, message, allowed, key=key, hide=hides_secret(path))
        if mark is None
        else _problem_at(file, mark, message, allowed, document.lines[mark.line])
        for path, message, allowed, key, mark in construction.mistakes[:MOST_PROBLEMS]
    ]
    more = len(construction.mistakes) - len(problems)
    if more:  # what such a file means is not worth guessing
        return replace(document, problems=tuple(first_problems(problems, more=more)), readable=False)
    return replace(document, problems=tuple(problems), switches=tuple(construction.switches))


def hides_secret(path: YamlPath) -> bool:
    """Whether the value at ``path`` may be a secret that somebody put into the file by mistake."""
    return any(isinstance(step, str) and _SECRET_KEY.search(step) for step in path)


class _Construction:
    """Plain data from YAML nodes; collects what it refuses."""

    def __init__(self) -> None:
        self.mistakes: list[tuple[YamlPath, str, str, bool, Mark | None]] = []
        self.switches: list[tuple[YamlPath, int]] = []

    def data(self, node: yaml.Node, path: YamlPath) -> object:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag != PLAIN:
            self._refuse_tag(node, path)
        if len(node.value) > MOST_ITEMS:
            self._refuse_length(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = node.value[:MOST_ITEMS]
            return [self.data(item, (*path, index)) for index, item in enumerate(items)]
        return self._mapping(node, path)

    def _scalar(self, node: yaml.ScalarNode, path: YamlPath) -> object:
        text: str = node.value
        if node.tag == QUOTED:
            return text
        if node.tag != PLAIN:
            self._refuse_tag(node, path)
            return text
        value = read_plain(text)
        if value is None:
            name = shorten(path[-1]) if path and isinstance(path[-1], str) else "this"
            self.mistakes.append((path, f"{name} is empty", "give it a value, or take it out", False, None))
        if isinstance(value, Ambiguous):
            found = "this" if hides_secret(path) else shorten(text)
            if value.switch:
                self.switches.append((path, len(self.mistakes)))
            self.mistakes.append(
                (path, value.message.format(found), value.allowed.format(found), False, None)
            )
            return text
        return value

    def _mapping(self, node: yaml.Node, path: YamlPath) -> dict[str, object]:
        data: dict[str, object] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value[:MOST_ITEMS]:
            if not isinstance(key_node, yaml.ScalarNode):
                self.mistakes.append(
                    (path, "a key cannot be a list or a mapping", "a key is a word", True, Mark.of(key_node))
                )
                continue
            key: str = key_node.value
            if key in data:
                self.mistakes.append(
                    (
                        (*path, key),
                        "duplicate key" if hides_secret(path) else f"duplicate key {shorten(key)}",
                        f"line {lines[key] + 1} has it already: keep one of the two",
                        True,
                        Mark.of(key_node),
                    )
                )
                continue
            lines[key] = key_node.start_mark.line
            data[key] = self.data(value_node, (*path, key))
        return data

    def _refuse_length(self, node: yaml.Node, path: YamlPath) -> None:
        name = shorten(path[-1]) if path and isinstance(path[-1], str) else "this"
        what = "items" if isinstance(node, yaml.SequenceNode) else "keys"
        self.mistakes.append(
            (path, f"{name} has {len(node.value)} {what}", f"at most {MOST_ITEMS}", False, None)
        )

    def _refuse_tag(self, node: yaml.Node, path: YamlPath) -> None:
        self.mistakes.append((path, "a tag (!) is not used here", "write the plain value", False, None))


@lru_cache(maxsize=8)
def _root(text: str) -> yaml.Node | None:
    return compose(text)


def _unreadable(file: str, text: str, mistakes: Iterable[tuple[Mark, str, str]]) -> Document:
    lines = lines_of(text)
    given = iter(mistakes)
    problems = [
        _problem_at(file, mark, message, allowed, lines[mark.line])
        for mark, message, allowed in islice(given, MOST_PROBLEMS)
    ]
    more = sum(1 for _ in given)
    return Document(file, text, None, tuple(first_problems(problems, more=more)), readable=False)


def _problem_at(
    file: str,
    mark: Mark,
    message: str,
    allowed: str,
    line: str,
    *,
    article: str | None = None,
    severity: Severity = "error",
) -> Problem:
    return Problem(
        file=file,
        line=mark.line + 1,
        column=mark.column + 1,
        end_column=mark.end_column + 1,
        severity=severity,
        message=message,
        allowed=allowed,
        article=article,
        source_line=_AFTER_SECRET_KEY.sub(r"\1…", line[:_LONGEST_LINE])
        if mark.column < _LONGEST_LINE
        else "",
    )
