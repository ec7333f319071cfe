"""A document against a data model: every mistake at once, and a complete value to go on with.

A wrong value must not hide the rest of the file. So wrong values are replaced by the model's examples,
unknown keys are taken out, and what results is validated again until the model accepts it. Rules about the
whole file then run on that value; what they say about a replaced value is dropped: nobody wrote it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.yaml_reader.places import YamlPath, has_item
from orchestrator.yaml_reader.problems import MOST_PROBLEMS, Problem, Severity, first_problems
from orchestrator.yaml_reader.reading import Document, hides_secret
from orchestrator.yaml_reader.shape import shape_at

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from orchestrator.yaml_reader.sentences import Sentence

_ROUNDS = 5  # each lets checks run that the round before could not reach; three were ever needed

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Finding:
    """What a rule about the whole of a file says.

    Attributes:
        path: the value that breaks the rule.
        message: what was found.
        allowed: what is allowed instead, or what to do.
        article: the contract's article that the rule comes from.
        severity: whether the file is carried out nevertheless.
        relies_on: other values that the rule looked at.
        key: whether to mark the key instead of the value.
    """

    path: YamlPath
    message: str
    allowed: str
    article: str | None = None
    severity: Severity = "error"
    relies_on: tuple[YamlPath, ...] = ()
    key: bool = False


@dataclass(frozen=True)
class Checked(Generic[Model]):
    """A document that was checked against a model.

    Attributes:
        document: the file.
        value: what the file says, with stand-ins for wrong values; ``None`` where too little is right.
        stood_in: the places of the stand-ins.
        problems: the mistakes of form.
    """

    document: Document
    value: Model | None
    stood_in: frozenset[YamlPath]
    problems: tuple[Problem, ...]

    def judge(self, findings: Iterable[Finding]) -> list[Problem]:
        """Return the findings as problems of this file, without those about stand-ins."""
        return [self._problem(found) for found in findings if not self._is_hearsay(found)]

    def _is_hearsay(self, found: Finding) -> bool:
        return any(self.is_stood_in(path) for path in (found.path, *found.relies_on))

    def is_stood_in(self, path: YamlPath) -> bool:
        """Whether the value at ``path`` is not the file's own."""
        return bool(self.stood_in) and any(path[:length] in self.stood_in for length in range(len(path) + 1))

    def _problem(self, found: Finding) -> Problem:
        return self.document.problem(
            found.path,
            found.message,
            found.allowed,
            article=found.article,
            severity=found.severity,
            key=found.key,
            hide=hides_secret(found.path),
        )


def _with_meant_switches(document: Document, model: type[BaseModel]) -> Document:
    """The document, its problems about ``yes`` and the like saying what belongs at their places."""
    if not document.switches:
        return document
    from orchestrator.yaml_reader.sentences import instead_of_switch  # most files have no mistakes

    problems = list(document.problems)
    for path, index in document.switches:
        shape = shape_at(model, path)
        allowed = instead_of_switch(shape, str(document.value(path))) if shape is not None else None
        if allowed is not None:
            problems[index] = replace(problems[index], allowed=allowed)
    return replace(document, problems=tuple(problems))


def check(
    document: Document, model: type[Model], context: Mapping[str, object] | None = None
) -> Checked[Model]:
    """Check a document against a model; never raises.

    Args:
        document: a file that was read.
        model: what the file should hold.
        context: passed to the model's validators.
    """
    if not document.readable:
        return Checked(document, None, frozenset(), document.problems)
    document = _with_meant_switches(document, model)
    repair: _Repair[Model] = _Repair(document, model)
    for path in document.refused:
        repair.stand_in(path)
    value: Model | None = None
    for _ in range(_ROUNDS):
        try:
            # Files spell "from"; the Python name of such a field is not a key of the format.
            value = model.model_validate(
                repair.data, context=dict(context or {}), by_alias=True, by_name=False
            )
            break
        except ValidationError as error:
            from orchestrator.yaml_reader.sentences import sentence  # most files have no mistakes

            errors = [details for details in error.errors(include_url=False) if not _is_echo(details)]
            if len(errors) > MOST_PROBLEMS:
                # Nobody reads them all, and to guess what such a file means would take minutes.
                repair.take_up([sentence(details, model, repair.data) for details in errors[:MOST_PROBLEMS]])
                found = [*document.problems, *repair.problems()]
                told = first_problems(found, more=len(errors) - MOST_PROBLEMS)
                return Checked(document, None, frozenset(repair.stood_in), tuple(told))
            repair.take_up([sentence(details, model, repair.data) for details in errors])
    return Checked(document, value, frozenset(repair.stood_in), (*document.problems, *repair.problems()))


@dataclass
class _Repair(Generic[Model]):
    """The data of a file on its way to something that the model accepts."""

    document: Document
    model: type[Model]
    data: object = None
    stood_in: set[YamlPath] = field(default_factory=set)
    sentences: list[Sentence] = field(default_factory=list)
    _copied: bool = False

    def __post_init__(self) -> None:
        self.data = self.document.data

    def take_up(self, sentences: list[Sentence]) -> None:
        """Note what is new in the sentences, and mend what they are about."""
        meant = {(*said.path[:-1], said.meant) for said in sentences if said.meant is not None}
        for said in sentences:
            # A misspelt key is one mistake, not an unknown key and a missing one; and what was mended inside
            # a mapping is why its keys do not fit together.
            echo = (said.missing and said.path in meant) or (said.whole and self._mended_inside(said.path))
            if not echo and not self._mended(said.path):
                self.sentences.append(said)
        for said in sentences:
            if said.unknown:
                self._remove(said.path)
            elif said.misnamed:
                self._rename(said.path)
            elif self._mended(said.path):
                self._widen(said.path)
            else:
                self.stand_in(said.path)

    def problems(self) -> list[Problem]:
        """Return what was noted, in the order of the file."""
        problems = [
            self.document.problem(
                said.path, said.message, said.allowed, article=said.article, key=said.key, hide=said.hide
            )
            for said in self.sentences
        ]
        return sorted(problems, key=lambda problem: (problem.line, problem.column))

    def stand_in(self, path: YamlPath) -> None:
        """Replace the value at ``path`` by one that the model accepts."""
        self.stood_in.add(path)
        shape = shape_at(self.model, path)
        if shape is None:
            return
        if not path:
            self.data, self._copied = shape.stand_in(), True
        else:
            holder = self._holder(path)
            if isinstance(holder, dict) or has_item(holder, path[-1]):
                holder[path[-1]] = shape.stand_in()

    def _widen(self, path: YamlPath) -> None:
        """Do without a stand-in that does not fit in here; where something has to stand, replace what holds it."""
        while path not in self.stood_in:
            path = path[:-1]
        shape = shape_at(self.model, path)
        if shape is not None and not shape.required and has_item(self._holder(path), path[-1]):
            self._remove(path)
        else:
            self.stand_in(path[:-1])

    def _remove(self, path: YamlPath) -> None:
        holder = self._holder(path)
        if isinstance(holder, dict):
            holder.pop(path[-1], None)

    def _rename(self, path: YamlPath) -> None:
        holder = self._holder(path)
        if has_item(holder, path[-1]):
            name = f"name-{len(self.stood_in)}"
            holder[name] = holder.pop(path[-1])
            self.stood_in.add((*path[:-1], name))

    def _mended_inside(self, path: YamlPath) -> bool:
        return any(said.path[: len(path)] == path for said in self.sentences)

    def _mended(self, path: YamlPath) -> bool:
        return any(path[:length] in self.stood_in for length in range(len(path) + 1))

    def _holder(self, path: YamlPath) -> Any:
        """Return the list or the mapping that the last step of the path is in, if there is one."""
        if not self._copied:
            self.data, self._copied = copy.deepcopy(self.data), True
        node: Any = self.data
        for step in path[:-1]:
            if not has_item(node, step):
                return None
            node = node[step]
        return node


def _is_echo(error: ErrorDetails) -> bool:
    """Whether pydantic only calls a list short because it does not count the items that are wrong."""
    items = error["input"]
    return error["type"] == "too_short" and isinstance(items, (list, dict)) and bool(items)
