"""The texts that a module of the program can make, read off its source."""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

GAP = "…"
"""What stands for the part of a message that differs each time."""


class Module:
    """A module of the program, and where its texts come from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self._parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    @property
    def package(self) -> str:
        """The folder below ``orchestrator``, also of a module that is deeper in it."""
        _, below, package = self.path.parent.as_posix().rpartition("/orchestrator/")
        return package.partition("/")[0] if below else self.path.parent.name

    @functools.cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What names of the module stand for."""
        return dict(_assignments(self.tree.body))

    def functions_around(self, node: ast.AST) -> Iterator[ast.FunctionDef]:
        """The functions that a node stands in, the innermost first."""
        while node in self._parents:
            node = self._parents[node]
            if isinstance(node, ast.FunctionDef):
                yield node

    def texts(self, node: ast.expr | None, depth: int = 0) -> list[str]:
        """Every text that an expression may be, with ``…`` for what only a run knows."""
        if node is None or depth > 8:
            return [GAP]
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=values):
                return _joined([self.texts(value, depth + 1) for value in values])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([self.texts(left, depth + 1), self.texts(right, depth + 1)])
            case ast.IfExp(body=body, orelse=orelse):
                return [*self.texts(body, depth + 1), *self.texts(orelse, depth + 1)]
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                return [re.sub(r"\{[^}]*\}", GAP, text) for text in self.texts(value, depth + 1)]
            case ast.Name(id=name):
                return [
                    text for value in self._values_of(name, node) for text in self.texts(value, depth + 1)
                ] or [GAP]
        return [GAP]

    def _values_of(self, name: str, node: ast.AST) -> list[ast.expr]:
        for function in self.functions_around(node):
            found = [value for target, value in _assignments(list(ast.walk(function))) if target == name]
            if found:
                return found
            if name in {
                argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)
            }:
                return []
        return [self.constants[name]] if name in self.constants else []

    def rule_around(self, node: ast.AST) -> str:
        """What the function that a node stands in is there for, without the article that it begins with."""
        for function in self.functions_around(node):
            if found := ast.get_docstring(function):
                first = found.split("\n\n", maxsplit=1)[0]
                return re.sub(r"^[\d., ]+: ", "", " ".join(first.split())).replace("``", "`")
        return ""


def _assignments(nodes: list[ast.stmt] | list[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value


def _joined(parts: list[list[str]]) -> list[str]:
    return ["".join(chosen) for chosen in itertools.islice(itertools.product(*parts), 16)]
