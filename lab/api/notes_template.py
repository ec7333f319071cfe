"""The notes of a backup, made from the template that came with the request."""

from __future__ import annotations

import re
from collections.abc import Mapping

VARIABLES = ("cluster", "guestname", "node", "vmid")

_ESCAPE = re.compile(r"\\(.)")
_VARIABLE = re.compile(r"\{\{([^\s{}]+)\}\}")


def check_notes_template(template: str) -> None:
    """Refuse what is not known: other variables than the four, other escapes than a line feed and a backslash.

    Raises:
        ValueError: in Proxmox's words, every problem with its place.
    """
    if "\n" in template:
        raise ValueError("contains a line feed\n")
    problems = [
        f"escape sequence '\\{found[1]}' at char {found.start()}"
        for found in _ESCAPE.finditer(template)
        if found[1] not in "n\\"
    ]
    # Proxmox counts from the end of the braces: so the place is two characters off.
    problems += [
        f"variable '{found[1]}' at char {found.end() - len(found[1])}"
        for found in _VARIABLE.finditer(template)
        if found[1] not in VARIABLES
    ]
    if problems:
        raise ValueError(f"found unknown: {', '.join(problems)}\n")


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """The notes: escapes first, then the variables, as Proxmox does it."""
    text = _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else "\\", template)
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)
