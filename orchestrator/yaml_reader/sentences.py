"""A wrong value in a sentence: what was found, and what belongs there instead.

The model's library reports types and limits in its own words; people get the words of their file.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from orchestrator.counting import counted
from orchestrator.yaml_reader.places import YamlPath, has_item
from orchestrator.yaml_reader.problems import shorten
from orchestrator.yaml_reader.reading import hides_secret
from orchestrator.yaml_reader.shape import Shape, homes_of, keys_of, shape_at
from orchestrator.yaml_reader.spaces import INSTEAD, ODD_SPACE, named

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# Words that other tools use for our keys; difflib finds only misspellings.
_SAME_MEANING = {
    "cpu": "vcpus", "cpus": "vcpus", "cores": "vcpus", "vcpu": "vcpus", "ram": "memory", "mem": "memory",
    "disk": "disks", "storage": "disks", "ip": "address", "ip_address": "address", "os": "image",
    "template": "image", "backups": "backup", "source": "from", "sources": "from", "proto": "protocol",
    "retention": "retention_days", "start": "starts", "hostname": "name", "vms": "machines", "until": "to",
    "snapshot": "snapshots", "location": "site", "datacenter": "site",
}  # fmt: skip


_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Sentence:
    """One mistake in words.

    Attributes:
        path: where it is.
        message: what was found.
        allowed: what belongs there.
        article: the contract's article that the limit comes from.
        missing: whether nothing was found.
        key: whether the key is wrong, not its value.
        unknown: whether the key is not one of the format's.
        meant: for an unknown key, the key that was probably meant.
        misnamed: whether the key is a name of the file's own, and no good one.
        whole: whether the mistake is only in how the keys of a mapping go together.
        hide: whether the value must not be shown.
    """

    path: YamlPath
    message: str
    allowed: str
    article: str | None = None
    missing: bool = False
    key: bool = False
    unknown: bool = False
    meant: str | None = None
    misnamed: bool = False
    whole: bool = False
    hide: bool = False


def sentence(error: ErrorDetails, model: type[BaseModel], data: object) -> Sentence:
    """Return one of pydantic's errors in words.

    Args:
        error: an error about data read from a file of this model.
        model: the model of the whole file.
        data: what was validated.
    """
    path = tuple(error["loc"])
    context = error.get("ctx", {})
    if path and path[-1] == "[key]":
        shown = f"the name {_show(path[-2])} is not allowed here"
        return Sentence(
            path[:-1], shown, "lower-case letters, digits and '-', a letter first", key=True, misnamed=True
        )
    if "key" in context:
        path = (*path, str(context["key"]))
    hide = hides_secret(path)
    if error["type"] == "extra_forbidden":
        return _unknown_key(path, model, hide)
    shape = shape_at(model, path) or Shape(object)
    if error["type"] == "missing":
        return _missing(path, shape)
    if error["type"] == "literal_secret":
        return Sentence(path, f"{_name(path)} is written in the file", error["msg"], hide=True)
    error = {**error, "input": _found(data, path, error["input"], hide)}
    message, allowed = _wrong_value(error, _name(path), shape)
    whole = error["type"] == "value_error" and isinstance(error["input"], dict)
    return Sentence(path, message, allowed, shape.article, whole=whole, hide=hide)


def _found(data: Any, path: YamlPath, value: object, hide: bool) -> object:
    """Return the value as the file has it: a limit is checked after ``64MiB`` has become 64."""
    for step in path:
        if not has_item(data, step):
            data = value
            break
        data = data[step]
    return "…" if hide and not isinstance(data, (list, dict)) else data


def _unknown_key(path: YamlPath, model: type[BaseModel], hide: bool) -> Sentence:
    key = str(path[-1])
    shape = shape_at(model, path[:-1])
    keys = list(keys_of(shape.model)) if shape is not None and shape.model is not None else []
    if key == "<<":
        return Sentence(
            path, "merge keys (<<) are not used here", "write the values out", key=True, unknown=True
        )
    if odd := ODD_SPACE.search(key):
        bare = ODD_SPACE.sub(" ", key).strip()
        return Sentence(
            path,
            f"the key {shorten(bare)} holds {named(odd[0])}",
            INSTEAD,
            key=True,
            unknown=True,
            meant=bare,
        )
    meant = _SAME_MEANING.get(key.lower())
    if meant not in keys:
        meant = next(iter(difflib.get_close_matches(key.lower(), keys, n=1, cutoff=0.7)), None)
    allowed = f"keys here: {', '.join(keys)}"
    if meant is not None:
        allowed = f"did you mean {meant}? {allowed}"
    elif homes := homes_of(model, key):
        allowed = f"{key} belongs under {' or '.join(homes)}; {allowed}"
    message = "unknown key" if hides_secret(path[:-1]) else f"unknown key {shorten(key)}"
    return Sentence(path, message, allowed, key=True, unknown=True, meant=meant, hide=hide)


def _missing(path: YamlPath, shape: Shape) -> Sentence:
    example = shape.stand_in()
    shown = f", such as {path[-1]}: {_example(example)}" if not isinstance(example, (dict, list)) else ""
    described = f" ({shape.description})" if shape.description else ""
    return Sentence(
        path,
        f"{path[-1]} is missing",
        f"add {path[-1]}{shown}{described}",
        shape.article,
        missing=True,
        key=True,
    )


def _wrong_value(error: ErrorDetails, name: str, shape: Shape) -> tuple[str, str]:
    """Return what was found and what is allowed for a value that has a place in the file."""
    kind, context = error["type"], error.get("ctx", {})
    if isinstance(error["input"], str) and (odd := ODD_SPACE.search(error["input"])):
        return f"{name} holds {named(odd[0])}", INSTEAD
    cannot = f"{name} cannot be {_show(error['input'])}"
    if kind == "value_error" and isinstance(error["input"], dict):
        cannot = f"the keys of {name} do not fit together"
    if (expected := _EXPECTED_TYPES.get(kind)) is not None:
        return f"{name} is {_kind_of(error['input'])}, but {expected} belongs here", _how_to_write(
            shape, error["input"]
        )
    if kind in ("literal_error", "enum"):
        choices = _choices(shape)
        close = difflib.get_close_matches(str(error["input"]), choices, n=1)
        return cannot, f"{'did you mean ' + close[0] + '? ' if close else ''}allowed: {', '.join(choices)}"
    if kind == "string_pattern_mismatch":
        return cannot, shape.description or f"text like {_example(shape.stand_in())}"
    if kind in ("too_short", "string_too_short"):
        return (
            f"{name} is empty",
            f"at least {counted(context['min_length'], 'item' if kind == 'too_short' else 'character')}",
        )
    if kind in ("too_long", "string_too_long"):
        return (
            f"{name} is too long",
            f"at most {counted(context['max_length'], 'item' if kind == 'too_long' else 'character')}",
        )
    if kind in _LIMITS:
        with_unit = isinstance(error["input"], str) and shape.description
        return cannot, shape.allowed or with_unit or _limits(shape)
    if kind == "value_error":
        return cannot, str(context.get("error", error["msg"]))
    if kind.startswith(("ip_", "date_")):
        return cannot, f"{shape.description or 'a value'} such as {_example(shape.stand_in())}"
    return cannot, error["msg"]


_EXPECTED_TYPES = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "path_type": "a path",
}
_LIMITS = {"greater_than": ">", "greater_than_equal": "≥", "less_than": "<", "less_than_equal": "≤"}


def _how_to_write(shape: Shape, found: object) -> str:
    """Return how the right type is written, by the example of what was found where that is possible."""
    if shape.model is not None:
        return f"write a mapping with the keys {', '.join(keys_of(shape.model))}"
    example = shape.stand_in()
    if get_origin(shape.annotation) is tuple:
        item = example[0] if isinstance(example, list) else example
        simple = isinstance(found, (str, int, float)) and not isinstance(item, dict)
        return f"write a list: [{found}]" if simple else "write a list: each item on its own line, after '- '"
    if isinstance(example, dict):
        return "write a mapping: each key on its own line, as key: value"
    if shape.annotation is str and isinstance(found, (int, float)):
        return f'put it in quotes: "{_example(found)}"'
    if shape.annotation is int and isinstance(found, str) and _DIGITS.fullmatch(found.strip()):
        return f"write it without quotes: {found.strip()}"
    described = f"{shape.description}, " if shape.description else ""
    return f"{described}such as {_example(example)}"


def instead_of_switch(shape: Shape, word: str) -> str | None:
    """What to write where somebody wrote ``yes``, ``no``, ``on`` or ``off``; None if nothing more is known.

    Args:
        shape: what belongs there.
        word: what was found.
    """
    if shape.annotation is bool:
        return f"write {'true' if word.lower() in ('yes', 'on', 'y', 'true') else 'false'}"
    if choices := _choices(shape):
        return f"write {' or '.join(choices)}"
    if shape.annotation is str:
        return None
    return _how_to_write(shape, word)


def _choices(shape: Shape) -> list[str]:
    if isinstance(shape.annotation, type) and issubclass(shape.annotation, StrEnum):
        return [str(choice) for choice in shape.annotation]
    if get_origin(shape.annotation) is not Literal:
        return []
    return [str(choice) for choice in get_args(shape.annotation)]


def _limits(shape: Shape) -> str:
    infos = [
        *(shape.field.metadata if shape.field is not None else ()),
        *(n for i in shape.notes for n in i.metadata),
    ]
    words = []
    for limit, word in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        words += [f"{word} {getattr(info, limit)}" for info in infos if hasattr(info, limit)]
    return ", ".join(words)


def _name(path: YamlPath) -> str:
    keys = [step for step in path if isinstance(step, str)]
    if not keys:
        return "the file"
    return f"item {path[-1] + 1} of {keys[-1]}" if isinstance(path[-1], int) else shorten(keys[-1])


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {_show(value)}"
    return "a list" if isinstance(value, list) else "a mapping"


def _show(value: object) -> str:
    if isinstance(value, str):
        return f'"{shorten(value)}"'
    if isinstance(value, (int, float)):
        return _example(value)
    return "this list" if isinstance(value, list) else "this mapping"


def _example(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
