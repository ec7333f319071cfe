"""Spaces that are none to YAML: editors and word processors put them in, and nobody sees the difference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from orchestrator.yaml_reader.places import Mark, lines_of

_ODD = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
ODD_SPACE = re.compile(f"[{_ODD}]")

INSTEAD = "write an ordinary space, or none: this one looks the same and is another character"

_STRUCTURAL = re.compile(
    rf"^[ -]*(?P<lead>[{_ODD}])"  # in the indentation, or after the - of an item
    rf"|^[ -]*[\"']?[A-Za-z_]+[\"']?(?P<before> *[{_ODD}][ {_ODD}]*):(?:\s|$)"  # before a key's colon
    rf"|^[ -]*[\"']?[A-Za-z_]+[\"']? *:(?P<after> *[{_ODD}])"  # after it
)
"""Where such a space changes what a line is, whatever stands there otherwise."""


def named(character: str) -> str:
    """Such a space in words: ``a no-break space (U+00A0)``."""
    return f"a {unicodedata.name(character).lower()} (U+{ord(character):04X})"


def find_structural(text: str) -> Iterator[tuple[Mark, str, str]]:
    """Where such spaces stand between the parts of a line: place, what was found, what to do."""
    if not ODD_SPACE.search(text):
        return
    for number, line in enumerate(lines_of(text)):
        match = _STRUCTURAL.match(line)
        if match is None or line.lstrip(f" {_SHOWN}").startswith("#"):
            continue
        column = next(match.start(name) for name in ("lead", "before", "after") if match[name])
        odd = ODD_SPACE.search(line, column)
        assert odd is not None  # noqa: S101  (the pattern holds one)
        where = "in the indentation" if match["lead"] else "beside the colon of a key"
        yield Mark(number, odd.start(), odd.end()), f"{named(odd[0])} {where}", INSTEAD


_SHOWN = "".join(chr(number) for number in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))
