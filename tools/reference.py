"""Write docs/reference: the keys of the files and the commands, from the program itself.

python -m tools.reference

``tests/unit/test_reference.py`` fails when a page is not what this writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from orchestrator.yaml_reader.shape import shape_at

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_NOTE = "<!-- Written by `make reference`. Change the program, not this page. -->\n"
_PATTERNS = {
    r"^[0-9]{1,9} ?[MGT]iB$": "size: a whole number with the unit `MiB`, `GiB` or `TiB` (in 1024)",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": "date: `YEAR-MONTH-DAY`",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": 'time of day, Europe/Paris: `"HH:MM"`, in quotes',
    r"^[0-9]{1,5}-[0-9]{1,5}$": "range of ports: `FIRST-LAST`, 1 to 65535",
    r"^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$": "name",
    r"^(auto|[0-9]{1,3}(\.[0-9]{1,3}){3})$": "`auto`, or an IPv4 address",
    r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$": "IPv4 address",
    r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$": "IPv4 network in CIDR form",
}
"""How the patterns of the schema read."""

_ADDRESSES = re.compile(r"\[0-9a-fA-F:\.\]")
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "mapping",
    "null": "nothing",
}


@dataclass(frozen=True)
class Key:
    """One key of a file.

    Attributes:
        path: where it stands, such as ``services[].machines[].memory``.
        schema: what the JSON Schema says about it, references followed.
        required: whether it may not be left out.
        holder: the description of the mapping that it belongs to.
    """

    path: str
    schema: dict[str, Any]
    required: bool
    holder: str

    @property
    def description(self) -> str:
        """What it says, in words."""
        return str(self.schema.get("description", ""))

    @property
    def article(self) -> str:
        """The contract's article that it carries out, or an empty text."""
        if "x-article" in self.schema:
            return str(self.schema["x-article"])
        for text in (self.description, self.holder):
            if found := re.search(r"articles? (\d[\d.]*\d|\d)(?: and (\d[\d.]*\d))?", text):
                return ", ".join(group for group in found.groups() if group)
        return ""


@dataclass(frozen=True)
class Section:
    """A mapping of a file: where it stands, what it is, and its keys."""

    path: str
    description: str
    keys: tuple[Key, ...]


class Walk:
    """The way through a JSON Schema, the outermost mapping first."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._seen: set[str] = set()

    def sections(self) -> Iterator[Section]:
        """Yield every mapping once, where it stands first."""
        waiting = [("", self._document)]
        while waiting:
            path, schema = waiting.pop(0)
            keys = tuple(self._keys(path, schema))
            yield Section(path, _first_sentences(schema.get("description", "")), keys)
            for key in keys:
                waiting += [
                    (inner_path, inner)
                    for inner_path, inner in self._inner(key.path, key.schema)
                    if self._is_new(inner)
                ]

    def _is_new(self, schema: dict[str, Any]) -> bool:
        title = schema.get("title", json.dumps(schema, sort_keys=True))
        new = title not in self._seen
        self._seen.add(title)
        return new

    def _keys(self, path: str, schema: dict[str, Any]) -> Iterator[Key]:
        required = schema.get("required", ())
        for name, found in schema.get("properties", {}).items():
            yield Key(
                f"{path}.{name}" if path else name,
                self.followed(found),
                name in required,
                schema.get("description", ""),
            )

    def followed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema, its reference replaced by what it refers to; what stands beside the reference wins."""
        choices = [item for item in schema.get("anyOf", ()) if item.get("type") != "null"]
        if len(choices) == 1:
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            rest["x-nullable"] = len(schema["anyOf"]) == 2
            return self.followed({**choices[0], **rest})
        if "$ref" not in schema:
            return schema
        target = self._document["$defs"][schema["$ref"].rpartition("/")[2]]
        return {**self.followed(target), **{key: value for key, value in schema.items() if key != "$ref"}}

    def _inner(self, path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for choice in (schema, *map(self.followed, schema.get("anyOf", ()))):
            if choice.get("properties"):
                yield path, choice
            if isinstance(choice.get("items"), dict):
                yield from self._inner(f"{path}[]", self.followed(choice["items"]))
            for found in _named(choice):
                yield from self._inner(f"{path}.NAME", self.followed(found))

    def type_of(self, schema: dict[str, Any]) -> str:
        """Type, unit and what is allowed, in words."""
        if schema.get("x-nullable"):
            return self.type_of({**schema, "x-nullable": False}) + ", or `null`"
        if "anyOf" in schema:
            return "; or ".join(
                dict.fromkeys(self.type_of(self.followed(choice)) for choice in schema["anyOf"])
            )
        if "const" in schema:
            return f"`{schema['const']}`"
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if pattern := schema.get("pattern"):
            return _pattern(pattern, schema)
        if schema.get("type") == "array":
            return self._list(schema)
        for found in _named(schema):
            return f"mapping of names to: {self.type_of(self.followed(found))}"
        words = _TYPES.get(schema.get("type", ""), "any value")
        return ", ".join([words, *_limits(schema)])

    def _list(self, schema: dict[str, Any]) -> str:
        if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])}"
        inner = self.type_of(self.followed(schema.get("items", {})))
        lengths = [("minItems", "at least"), ("maxItems", "at most")]
        told = [f"{words} {schema[name]}" for name, words in lengths if name in schema]
        return f"list{' (' + ', '.join(told) + ')' if told else ''} of: {inner}"


def _named(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands under keys that the file's author names."""
    found = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    return [item for item in found if isinstance(item, dict)]


def _pattern(pattern: str, schema: dict[str, Any]) -> str:
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if _ADDRESSES.search(pattern):
        start = "`any`, or an" if "(any|" in pattern else "an"
        return f"{start} IPv4 or IPv6 address, or a network in CIDR form"
    _, _, how = str(schema.get("description", "")).partition(": ")
    return f"text: {how}" if how else "text"


def _limits(schema: dict[str, Any]) -> list[str]:
    limits = (
        ("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"),
        ("exclusiveMaximum", "less than"), ("minLength", "characters at least"),
        ("maxLength", "characters at most"),
    )  # fmt: skip
    return [f"{words} {schema[name]}" for name, words in limits if name in schema]


def told_by_hand(page: str) -> dict[str, str]:
    """What a page's tables say about keys: the text of each row's last cell by each key in its first."""
    told: dict[str, str] = {}
    for line in (FOLDER.parent / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) == 3 and cells[0].startswith("`"):
            for key in re.findall(r"`([\w.\[\]-]+)`", cells[0]):
                told.setdefault(key, "")
                told[key] = told[key] or re.sub(r"\]\((?=[\w-]+\.md)", "](../", cells[2])
    return told


def _first_sentences(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].replace("``", "`").split())


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _value(value: object) -> str:
    return "`" + json.dumps(value, ensure_ascii=False).replace("|", "\\|") + "`"


def _words(key: Key, told: Mapping[str, str]) -> str:
    """What a key says: in the words of the page about the file, else in the schema's."""
    steps = key.path.split(".")
    for start in range(len(steps)):
        end = ".".join(steps[start:])
        # A key of one word is a machine's in those tables; elsewhere the same word means something else.
        whole = start == 0 or len(steps) - start > 1 or steps[start - 1] == "machines[]"
        if whole and end in told:
            return told[end]
    words = _cell(_first_sentences(key.description))
    return "its name" if words.startswith("lower-case letters, digits and '-', at most 63") else words


def _stand_in(key: Key, model: type[BaseModel] | None) -> str:
    """An example that the model's classes give; empty where they give none."""
    if model is None:
        return ""
    steps: list[str | int] = []
    for step in key.path.split("."):
        steps += [
            "name-1" if step == "NAME" else step.removesuffix("[]"),
            *([0] if step.endswith("[]") else []),
        ]
    found = shape_at(model, tuple(steps))
    return "" if found is None else _shown(found.stand_in())


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text if len(text) <= 90 else text[:60] + '…'}`".replace("|", "\\|")


def _example(key: Key, walk: Walk) -> str:
    for schema in (key.schema, walk.followed(key.schema.get("items", {}))):
        if examples := schema.get("examples"):
            example = examples[0]
            listed = schema is not key.schema
            shown = [example] if listed else example
            return _shown(shown)
    for name in ("const", "enum"):
        if found := key.schema.get(name):
            return _value(found[0] if isinstance(found, list) else found)
    if "default" in key.schema and key.schema["default"] not in ([], None):
        return _value(key.schema["default"])
    if "minimum" in key.schema:
        return _value(key.schema["minimum"])
    return ""


def keys_page(
    document: dict[str, Any],
    heading: str,
    about: str,
    *,
    model: type[BaseModel] | None = None,
    told: Mapping[str, str] | None = None,
) -> str:
    """The page of a file's keys.

    Args:
        document: the JSON Schema.
        heading: the page's name.
        about: what stands before the tables.
        model: of the file, for examples where the schema has none.
        told: better words than the schema's, by the end of a key's path.
    """
    walk = Walk(document)
    parts = [f"# {heading}\n", _NOTE, about.strip() + "\n"]
    for section in walk.sections():
        name = f"`{section.path}`" if section.path else "The whole file"
        parts.append(f"## {name}\n")
        if section.description and section.path:
            parts.append(section.description + "\n")
        rows = [
            "| key | what it says | type, unit, allowed | default | article | example |",
            "|" + "---|" * 6,
        ]
        for key in section.keys:
            default = (
                "required"
                if key.required
                else (_value(key.schema["default"]) if "default" in key.schema else "none")
            )
            cells = (
                f"`{key.path.rpartition('.')[2]}`", _words(key, told or {}), _cell(walk.type_of(key.schema)),
                default, key.article, _example(key, walk) or _stand_in(key, model),
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def commands_page(app: typer.Typer) -> str:
    """The page of the commands, their arguments and options."""
    root = typer.main.get_command(app)
    parts = [
        "# Commands\n",
        _NOTE,
        "`orchestrator COMMAND --help` says the same in a terminal. Every command ends with 0 if it did what it was "
        "asked and 1 if not; 2 is an option that was mistyped. Some say more: "
        "[`plan --detailed-exitcode`](../plan.md#exit-codes), [`nightly`](../nightly.md), [`doctor`](../doctor.md).\n",
    ]
    for name, command in _commands(root, ("orchestrator",)):
        parts.append(f"## {name}\n")
        parts.append(_paragraphs(command.help or "") + "\n")
        context = typer.Context(command, info_name=name, terminal_width=1000, max_content_width=1000)
        parts.append(f"```\n{_usage(command.get_usage(context))}\n```\n")
        rows = [row for row in (_parameter(item, context) for item in command.params) if row]
        if rows:
            parts.append("\n".join(["| | default | what it says |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _commands(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(names), command
        return
    for name, inner in sorted(command.commands.items()):
        if not inner.hidden:
            yield from _commands(inner, (*names, name))


def _usage(text: str) -> str:
    """How a command is called, on one line, each argument in the brackets that it needs."""
    line = re.sub(r"\{([^}]*)\}", r"\1", " ".join(text.removeprefix("Usage: ").split()))
    line = re.sub(r"\[(\[\w+\]\.\.\.)\]\.\.\.", r"\1", line)
    return re.sub(r"\[(\[\S+\])\]", r"\1", line).replace("......", "...")


def _paragraphs(text: str) -> str:
    """Help as a page has it; lines that are indented are kept as they are."""
    parts = []
    for part in text.split("\n\n"):
        lines = part.replace("\b", "").strip("\n").split("\n")
        if all(line.startswith("  ") for line in lines):
            parts.append("\n".join(["```", *(line.strip() for line in lines), "```"]))
        else:
            parts.append(_cell(part).replace("\\|", "|").replace("<", "&lt;"))
    return "\n\n".join(parts)


def _parameter(item: Any, context: typer.Context) -> str:
    record = item.get_help_record(context)
    if record is None:
        if item.param_type_name != "argument":
            return ""
        record = (item.make_metavar(context), "")
    if record[0] == "--help":
        return ""
    name = re.sub(r" <[^>]*>$", "", record[0]) if item.param_type_name == "argument" else record[0]
    words = re.sub(r"\s*\[(?:default|env var|required)[^]]*\]", "", record[1])
    bracketed = re.search(r"\[default: ([^]]*)\]", record[1])
    extra = [bracketed[1]] if bracketed else []
    if isinstance(item.envvar, str):
        extra.append(f"environment: {item.envvar}")
    if (
        not extra
        and item.default is not None
        and not callable(item.default)
        and item.default not in (False, ())
    ):
        extra.append(str(item.default))
    default = "required" if item.required else "; ".join(extra)
    return f"| `{_cell(name)}` | {_cell(default)} | {_cell(words)} |"


def pages() -> dict[str, str]:
    """Every page of the folder, by its name."""
    from orchestrator.cli import app
    from orchestrator.planning.document import PlanDocument
    from orchestrator.sites import Provider
    from orchestrator.subscriptions import Subscription
    from orchestrator.yaml_reader.schema import json_schema

    return {
        "subscription.md": keys_page(
            json_schema(Subscription, title=""),
            "Subscription files: every key",
            "From the schema that `orchestrator schema` prints. How to write a file, and what an offer allows, is in "
            "[the subscription file](../subscription-file.md). `[]` is each item of a list. A *name* is lower-case "
            "letters, digits and `-`, a letter first, at most 63. An unknown key is an error.",
            model=Subscription,
            told=told_by_hand("subscription-file.md"),
        ),
        "sites.md": keys_page(
            json_schema(Provider, title=""),
            "Site files: every key",
            "From the schema that `orchestrator schema --sites` prints. How to write one is in [the site file]"
            "(../site-file.md). `NAME` is a name of your own (lower-case letters, digits and `-`, a letter first, "
            "at most 63), `[]` each item of a list.",
            model=Provider,
            told=told_by_hand("site-file.md"),
        ),
        "plan.md": keys_page(
            PlanDocument.model_json_schema(mode="serialization"),
            "Plans in JSON: every key",
            "What `orchestrator plan --format json` prints, from the schema that `orchestrator schema --plan` prints. "
            "How to use it in a pipeline is in [plans](../plan.md). New keys may be added; those that are there keep "
            "their meaning within one `version`.",
        ),
        "commands.md": commands_page(app),
    }


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
