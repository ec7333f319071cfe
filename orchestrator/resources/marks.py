"""One codec for everything that we write into notes and descriptions in Proxmox to know it again: the marks.

A mark is an HTML comment, invisible where Proxmox shows notes as Markdown: ``<!-- orchestrator {…} -->`` in a machine's
notes, with a longer name in those of an archive, a copy or a snapshot. What it says are values, never words of a plan.
Rewording a plan therefore changes no mark.

A mark is hostile input: whoever may edit a VM may write one. Exactly one is read, of a form that this program writes,
with exact types within limits. Anything else makes the whole mark unreadable: half a mark would be half a truth.
Marks of versions 1 and 2 are read (each kind of mark says how), and written as version 3 when they are next written.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from orchestrator.errors import BadValue

if TYPE_CHECKING:
    from ipaddress import IPv4Address

M = TypeVar("M")

MAXIMUM_LENGTH = 8192
"""Longest ``description`` of a VM, and longest notes of an archive, that Proxmox accepts, in characters."""

VERSION = 3
"""The version that is written. Version 1 did not name the VM; both earlier ones had words where this one has values."""

Version = Literal[3]

EXACT = ConfigDict(extra="forbid", strict=True, defer_build=True)
"""How the models of marks are read. They are dataclasses: a night holds tens of thousands of them."""

_NOT_JSON = "it is damaged: it is no longer the JSON that was written"
_SHOWN = 60


def printable(text: str) -> str:
    """A text with a blank for each character that is not printable."""
    return "".join(character if character.isprintable() else " " for character in text)


def told(value: Any) -> Any:
    """What a guest told, printable: JSON can hold half a character, and nothing else does. What is no text stays."""
    return printable(value) if isinstance(value, str) else value


def matching(pattern: re.Pattern[str], wanted: str) -> AfterValidator:
    """A check of a text against a pattern; ``wanted`` says what the text should be."""

    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(wanted)
        return text

    return AfterValidator(check)


def _line(text: str) -> str:
    if len(text) > MAXIMUM_LENGTH or not text.isprintable():
        raise ValueError("a line of text")
    return text


LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""A name of a client, a machine or a disk."""

Label = Annotated[str, matching(LABEL, "a name of a file")]

Contract = Annotated[
    str,
    matching(re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._/#-]{0,62}[A-Za-z0-9])?"), "a contract's reference"),
]

Line = Annotated[str, AfterValidator(_line)]
"""A printable text."""

Told = Annotated[str, BeforeValidator(told)]
"""What a guest told, of whatever length."""

Asked = dict[Line, bool | int | Line | None]
"""What a file asked of a kind of thing."""

Vmid = Annotated[int, Field(ge=100, le=999_999_999)]
Day = Annotated[dt.date, Field(ge=dt.date(2000, 1, 1), le=dt.date(2999, 12, 31))]
Moment = Annotated[
    AwareDatetime,
    Field(ge=dt.datetime(1970, 1, 1, tzinfo=dt.UTC), le=dt.datetime(2999, 12, 31, tzinfo=dt.UTC)),
]


class UnreadableMark(BadValue):
    """There is a mark, and it cannot be read. The text says why.

    Attributes:
        data: what its JSON holds; empty where it holds none.
        client, machine: what can still be read of its claim; None where nothing can.
        address: the address that it says the machine was taken over with; None if it says none.
        whole: whether at least its form could be read, so that a missing address means that it has none.
    """

    def __init__(
        self,
        why: str,
        *,
        data: Mapping[str, Any] | None = None,
        client: str | None = None,
        machine: str | None = None,
        address: IPv4Address | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__(why)
        self.data = data or {}
        self.client = client
        self.machine = machine
        self.address = address
        self.whole = whole


@dataclass(frozen=True, kw_only=True)
class Codec(Generic[M]):
    """How one kind of mark is written and read.

    Attributes:
        name: how its comment begins.
        form: its model, a dataclass of pydantic's with a field ``v``.
        earlier: the fields of a mark of an earlier version, which is given, as those of :data:`VERSION`. It leaves
            what it does not understand as it is: the model refuses it.
        versions: those that were ever written.
    """

    name: str
    form: type[M]
    earlier: Callable[[int, dict[str, Any]], dict[str, Any]]
    versions: tuple[int, ...] = (1, 2, VERSION)

    @cached_property
    def _values(self) -> TypeAdapter[M]:
        return TypeAdapter(self.form)

    @cached_property
    def _mark(self) -> re.Pattern[str]:
        return re.compile(rf"<!-- {self.name} (\{{.*?\}}) -->", re.DOTALL)

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        """How a mark begins, sound or damaged. The names of other kinds of mark go on with a hyphen."""
        return re.compile(rf"<!--\s*{self.name}(?![\w-])")

    def comment(self, mark: M) -> str:
        """The mark as it stands in notes, in one line."""
        data = {"v": VERSION} | self._values.dump_python(mark, mode="json", exclude_defaults=True)
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        # "--" and ">" would end the comment early, "{{" is a variable to vzdump; JSON may escape any character.
        for sign, escaped in (("--", "-\\u002d"), (">", "\\u003e"), ("{{", "{\\u007b")):
            text = text.replace(sign, escaped)
        return f"<!-- {self.name} {text} -->"

    def placed(self, mark: M, notes: str) -> str | None:
        """Notes with this mark in place of theirs; None if they have none."""
        if not self._mark.search(notes):
            return None
        comment = self.comment(mark)
        return self._mark.sub(lambda _: comment, notes, count=1)

    def parse(self, notes: str) -> M | None:
        """Return the mark in some notes; None if there is none.

        Raises:
            UnreadableMark: there is one, or what is left of one, and it cannot be read; or there are several.
        """
        openings = len(self._opening.findall(notes))
        if not openings:
            return None
        if openings > 1:
            raise UnreadableMark(f"there are {openings} marks, and there may only be one")
        match = self._mark.search(notes)
        if match is None or len(match[1]) > MAXIMUM_LENGTH:
            raise UnreadableMark("it is damaged: part of it is missing, or something was written into it")
        return self._decode(match[1])

    def read(self, notes: str) -> M | None:
        """Return the mark in some notes, or None if there is none that this version can read."""
        try:
            return self.parse(notes)
        except UnreadableMark:
            return None

    def _decode(self, text: str) -> M:
        try:
            data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_double)
        except (ValueError, RecursionError):
            raise UnreadableMark(_NOT_JSON) from None
        version = data.get("v")
        if type(version) is not int or version not in self.versions:
            raise UnreadableMark(
                f"it is of version {json.dumps(version)[:40]}, and this program reads up to {VERSION}: it was written "
                "by a newer one, or by hand",
                data=data,
            )
        try:
            if version != VERSION:
                text = json.dumps({**self.earlier(version, data), "v": VERSION})
            return self._values.validate_json(text)
        except ValidationError as error:
            raise UnreadableMark(described(error), data=data) from None
        except RecursionError:
            raise UnreadableMark(_NOT_JSON, data=data) from None


def same(_version: int, data: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote, where only its number is another."""
    return data


def require(data: Mapping[str, Any], *names: str) -> None:
    """Refuse a mark of an earlier version that lacks what it had to have.

    Raises:
        UnreadableMark: one of these fields is null, or is not there.
    """
    for name in names:
        if data.get(name) is None:
            raise UnreadableMark(f"it has no {name}", data=data)


def described(error: ValidationError) -> str:
    """The first thing that is wrong with a mark: which field holds what, and what it should."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = _shortened(json.dumps(".".join(map(str, first["loc"])))[1:-1])  # the keys are of whoever wrote it
    if first["type"] == "missing":
        return f"it has no {place}"
    if first["type"] == "json_invalid":
        return _NOT_JSON
    shown = _shortened(json.dumps(first["input"], default=str))
    if first["type"] == "value_error":
        return f"its {place} is {shown}, not {first['msg'].removeprefix('Value error, ')}"
    return f"its {place} is {shown}: {first['msg']}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _no_double(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found
