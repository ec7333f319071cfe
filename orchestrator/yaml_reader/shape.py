"""What a data model says about the value at a path: its type, its field, and a value that would do.

The stand-in values let the rest of a file be checked although one value in it is wrong.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.yaml_reader.places import YamlPath

_STAND_INS: dict[object, object] = {
    str: "text",
    int: 1,
    float: 1.0,
    bool: False,
    IPv4Address: "192.0.2.1",
    IPv4Network: "192.0.2.0/24",
}


@dataclass(frozen=True)
class Shape:
    """The type that belongs at a path.

    Attributes:
        annotation: the type, without ``Annotated`` and without ``| None``.
        field: the field of a model whose value this is; ``None`` for an item of a list or a mapping.
        notes: what ``Annotated`` said about the type.
    """

    annotation: Any
    field: FieldInfo | None = None
    notes: tuple[FieldInfo, ...] = ()

    @property
    def model(self) -> type[BaseModel] | None:
        """The model, where a mapping with fixed keys belongs here."""
        is_model = isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel)
        return self.annotation if is_model else None

    @property
    def required(self) -> bool:
        """Whether the value may not simply be left out."""
        return self.field is None or self.field.is_required()

    @property
    def description(self) -> str | None:
        """What belongs here, in words."""
        return next((info.description for info in self._infos() if info.description), None)

    @property
    def article(self) -> str | None:
        """The contract's article that the limits of this value come from."""
        for info in self._infos():
            if isinstance(info.json_schema_extra, dict) and (
                article := info.json_schema_extra.get("x-article")
            ):
                return str(article)
        return None

    @property
    def allowed(self) -> str | None:
        """The values that the contract allows here, in words, where the type allows more."""
        for info in self._infos():
            if isinstance(info.json_schema_extra, dict) and (
                words := info.json_schema_extra.get("x-allowed")
            ):
                return str(words)
        return None

    def stand_in(self) -> object:
        """Return a value, as a file would hold it, that the model accepts here."""
        for info in self._infos():
            if info.examples:
                return copy.deepcopy(info.examples[0])
        if self.model is not None:
            return _model_stand_in(self.model)
        origin, arguments = get_origin(self.annotation), get_args(self.annotation)
        if origin is Literal:
            return arguments[0]
        if origin is tuple:
            return [_unwrap(arguments[0]).stand_in()]
        if origin is dict:
            return {"name-1": _unwrap(arguments[1]).stand_in()}
        if isinstance(self.annotation, type) and issubclass(self.annotation, StrEnum):
            return str(next(iter(self.annotation)))
        return _STAND_INS.get(self.annotation, "text")

    def _infos(self) -> Iterator[FieldInfo]:
        if self.field is not None:
            yield self.field
        yield from self.notes

    def item(self, step: str | int) -> Shape | None:
        """Return the shape one step further; ``None`` where nothing may stand."""
        if self.model is not None:
            field = keys_of(self.model).get(str(step))
            return None if field is None else _unwrap(field.annotation, field)
        origin, arguments = get_origin(self.annotation), get_args(self.annotation)
        if origin is tuple and isinstance(step, int):
            return _unwrap(arguments[0])
        if origin is dict:
            return _unwrap(arguments[1])
        return None


def shape_at(model: type[BaseModel], path: YamlPath) -> Shape | None:
    """Return what belongs at ``path`` of a file that holds ``model``; ``None`` where nothing may stand."""
    shape: Shape | None = Shape(model)
    for step in path:
        if shape is None:
            return None
        shape = shape.item(step)
    return shape


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the keys that a mapping of this model may have, as files spell them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def homes_of(model: type[BaseModel], key: str) -> list[str]:
    """Return which keys of a file hold a mapping, or a list of them, that knows ``key``, outermost first."""
    homes: list[str] = []
    waiting: list[tuple[str, type[BaseModel]]] = [("", model)]
    seen: set[type[BaseModel]] = set()
    while waiting:
        name, current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        if name and key in keys_of(current):
            homes.append(name)
        for child, field in keys_of(current).items():
            shape = _unwrap(field.annotation)
            inner = shape if shape.model else (shape.item(0) or shape)
            if inner.model is not None:
                waiting.append((child, inner.model))
    return homes


def _model_stand_in(model: type[BaseModel]) -> dict[str, object]:
    extra = model.model_config.get("json_schema_extra")
    if isinstance(extra, dict) and isinstance(examples := extra.get("examples"), list):
        example = copy.deepcopy(examples[0])
        if isinstance(example, dict):
            return dict(example)
    return {
        key: _unwrap(field.annotation, field).stand_in()
        for key, field in keys_of(model).items()
        if field.is_required()
    }


def _unwrap(annotation: Any, field: FieldInfo | None = None) -> Shape:
    notes: list[FieldInfo] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *metadata = get_args(annotation)
            notes += [note for note in metadata if isinstance(note, FieldInfo)]
            continue
        if get_origin(annotation) in (Union, types.UnionType):
            choices = [choice for choice in get_args(annotation) if choice is not types.NoneType]
            if len(choices) == 1:
                annotation = choices[0]
                continue
        return Shape(annotation, field, tuple(notes))
