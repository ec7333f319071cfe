"""Kinds of parameter values and the words in which Proxmox refuses a wrong one.

Proxmox describes every parameter by a small JSON schema; the texts of its verifier reach clients in
`errors`, so that they are repeated here letter for letter. A value arrives as text (a form) or as
JSON and leaves as `int` (integers, booleans as 0 or 1), `float` or `str`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.api.errors import NO_ADDITIONAL, NotImplementedHere, WrongParameters

Value = int | float | str | list[str]
Parameters = dict[str, Value]

_TRUE, _FALSE = {"1", "on", "yes", "true"}, {"0", "off", "no", "false"}


class Invalid(ValueError):
    """A value that does not fit; the text is that of the verifier."""


@dataclass(frozen=True)
class Property:
    """What a parameter may be.

    Attributes:
        kind: `string`, `integer`, `number`, `boolean` or `array` (of strings).
        optional: whether it may be missing.
        minimum, maximum: limits of a number.
        min_length, max_length: limits of a text's length.
        choices: the values of an enumeration, in Proxmox's order.
        pattern: regular expression that the whole text must match.
        check: a named format; raises `ValueError` with Proxmox's text (newline included).
        lacking: Proxmox has it, the lab has not: using it is answered with 501.
        requires: another parameter that must then be there, too.
    """

    kind: str = "string"
    optional: bool = True
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    check: Callable[[str], object] | None = None
    lacking: bool = False
    requires: str | None = None

    def read(self, value: object) -> Value:
        """The value in its own type.

        Raises:
            Invalid: it does not fit.
        """
        if self.kind == "array":
            return [str(item) for item in value] if isinstance(value, list) else [_text(value)]
        if isinstance(value, (list, dict)):
            raise Invalid(f"type check ('{self.kind}') failed - got '{value}'")
        text = _text(value)
        if self.kind == "string":
            return self._string(text)
        read = _NUMBERS[self.kind](text)
        if read is None:
            raise Invalid(f"type check ('{self.kind}') failed - got '{text}'")
        if self.minimum is not None and read < self.minimum:
            raise Invalid(f"value must have a minimum value of {self.minimum:g}")
        if self.maximum is not None and read > self.maximum:
            raise Invalid(f"value must have a maximum value of {self.maximum:g}")
        return read

    def _string(self, text: str) -> str:
        if self.check is not None:
            try:
                self.check(text)
            except ValueError as error:
                raise Invalid(f"invalid format - {error}") from None
        if self.pattern is not None and not re.fullmatch(self.pattern, text, re.ASCII):
            raise Invalid("value does not match the regex pattern")
        if self.max_length is not None and len(text) > self.max_length:
            raise Invalid(f"value may only be {self.max_length} characters long")
        if self.min_length is not None and len(text) < self.min_length:
            raise Invalid(f"value must be at least {self.min_length} characters long")
        if self.choices and text not in self.choices:
            listed = ", ".join(self.choices)
            raise Invalid(f"value '{text}' does not have a value in the enumeration '{listed}'")
        return text


def verify(given: Mapping[str, object], schema: Mapping[str, Property]) -> Parameters:
    """Read all parameters of a request.

    Raises:
        WrongParameters: with every parameter that is unknown, missing or wrong.
        NotImplementedHere: one is Proxmox's but not the lab's.
    """
    errors: dict[str, str] = {}
    read: Parameters = {}
    for name, value in given.items():
        if name not in schema:
            errors[name] = NO_ADDITIONAL
            continue
        if value is None:
            continue
        if schema[name].lacking:
            raise NotImplementedHere(f"Parameter '{name}'")
        try:
            read[name] = schema[name].read(value)
        except Invalid as error:
            errors[name] = str(error)
    for name, kind in schema.items():
        if not kind.optional and name not in given:
            errors[name] = "property is missing and it is not optional"
        if kind.requires and name in given and kind.requires not in given:
            errors[kind.requires] = f"missing property - '{name}' requires this property"
    if errors:
        raise WrongParameters(errors)
    return read


def parse_properties(
    text: str, schema: Mapping[str, Property], *, name: str, default_key: str | None = None
) -> dict[str, Value]:
    """Read a property string such as `local:9,format=qcow2`, whose first item may leave out its key.

    Raises:
        ValueError: in the words of Proxmox, each wrong key as `NAME.KEY: …`.
    """
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = part.partition("=")
        if not separator:
            if default_key is None:
                raise ValueError("value without key, but schema does not define a default key\n")
            key, value = default_key, part
        if key in given:
            raise ValueError(f"duplicate key in comma-separated list property: {key}\n")
        given[key] = value
    try:
        return dict(verify(given, schema))
    except WrongParameters as error:
        lines = [f"{name}.{key}: {reason}\n" for key, reason in sorted(error.errors.items())]
        raise ValueError("format error\n" + "".join(lines)) from None


def print_properties(values: Mapping[str, Value], *, default_key: str | None = None) -> str:
    """The property string of `values`: the default key first and without its name, the others sorted."""
    first = [str(values[default_key])] if default_key is not None and default_key in values else []
    return ",".join(first + [f"{key}={values[key]}" for key in sorted(values) if key != default_key])


def lacking(*names: str) -> dict[str, Property]:
    """Parameters that Proxmox has and the lab has not."""
    return {name: Property(lacking=True) for name in names}


def words(text: str) -> tuple[str, ...]:
    """The words of a text: for long lists of names that are easier to read without quotation marks."""
    return tuple(text.split())


def split_list(text: str) -> list[str]:
    """The items of a list as Proxmox separates them: by `,`, `;`, NUL or white space."""
    return [item for item in re.split(r"[,;\0\s]+", text) if item]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value)


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[-+]?\d+", text, re.ASCII) else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", text, re.ASCII) else None


def _boolean(text: str) -> int | None:
    lowered = text.lower()
    return 1 if lowered in _TRUE else 0 if lowered in _FALSE else None


_NUMBERS: dict[str, Callable[[str], int | float | None]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}

REQUIRED_NODE = Property(optional=False, pattern=r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
"""The `{node}` of a path."""
