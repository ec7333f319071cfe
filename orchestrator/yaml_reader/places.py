"""Where values stand in a YAML text: from a path of keys and indices to a line and columns."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Self

import yaml

YamlPath = tuple[str | int, ...]
"""Keys and list indices that lead to a value, such as ``("services", 0, "offer")``."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Mark(NamedTuple):
    """A stretch of one line, counted from 0; ``end_column`` is the first column after it."""

    line: int
    column: int
    end_column: int

    @classmethod
    def of(cls, node: yaml.Node) -> Self:
        """Return where a node stands; of several lines, the first."""
        return cls.between(node.start_mark, node.end_mark)

    @classmethod
    def between(cls, start: Any, end: Any) -> Self:
        """Return the stretch between two marks of PyYAML; of several lines, the beginning of the first."""
        same_line = start.line == end.line and end.column > start.column
        return cls(start.line, start.column, end.column if same_line else start.column + 1)


def lines_of(text: str) -> list[str]:
    """Split a text at what YAML calls a line break."""
    return _BREAK.split(text)


def position(text: str, index: int) -> tuple[int, int]:
    """Return line and column, from 0, of the character at ``index``."""
    lines = lines_of(text[:index])
    return len(lines) - 1, len(lines[-1])


def has_item(data: object, step: str | int) -> bool:
    """Whether plain data has a value under this key, or at this place of a list."""
    if isinstance(data, list):
        return isinstance(step, int) and step < len(data)
    return isinstance(data, dict) and step in data


def mark_of_value(root: yaml.Node, path: YamlPath) -> Mark:
    """Return where the value at ``path`` stands; the key of a list or a mapping stands for it."""
    key, value, rest = _walk(root, path)
    if isinstance(value, yaml.ScalarNode) and not rest and not _is_invisible(value):
        return Mark.of(value)
    return _stand_for(key, value)


def mark_of_key(root: yaml.Node, path: YamlPath) -> Mark:
    """Return where the key of the value at ``path`` stands; an item of a list is marked at its beginning."""
    key, value, _ = _walk(root, path)
    return _stand_for(key, value)


def start_of_value(root: yaml.Node, path: YamlPath) -> Mark:
    """Return where the value itself begins, whatever stands for it in problems."""
    _, value, _ = _walk(root, path)
    return Mark.of(value)


def _is_invisible(node: yaml.Node) -> bool:
    return bool(node.start_mark.line == node.end_mark.line and node.start_mark.column == node.end_mark.column)


def _stand_for(key: yaml.Node | None, value: yaml.Node) -> Mark:
    if key is not None:
        return Mark.of(key)
    if isinstance(value, yaml.MappingNode) and value.value:
        first: yaml.Node = value.value[0][0]
        return Mark.of(first)
    return Mark.of(value)


def _walk(root: yaml.Node, path: YamlPath) -> tuple[yaml.Node | None, yaml.Node, YamlPath]:
    """Follow the path; return the last key (``None`` for an item), its value, and the steps not found."""
    key: yaml.Node | None = None
    node = root
    for depth, step in enumerate(path):
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == step), None)
            if found is None:
                return key, node, path[depth:]
            key, node = found
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            key, node = None, node.value[step]
        else:
            return key, node, path[depth:]
    return key, node, ()
