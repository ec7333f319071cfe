"""Nothing secret goes into the history: it is kept for years and read by many."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SECRET_KEY = re.compile(
    r"(^|_)(pass(word|phrase|wd)?|cipassword|secret|token|ticket|cookie|private_?key|authorization|"
    r"csrfpreventiontoken)$"
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|PVEAPIToken[=:]\S+"
    r"|\bPVE(?:ADM)?:[^\s:]+@[^\s:]+:[0-9A-F]{8}::\S+",  # a ticket
    re.DOTALL,
)
_HIDDEN = "[hidden]"


def details_as_json(details: Mapping[str, Any]) -> str:
    """The canonical JSON of an entry's details.

    Raises:
        ValueError: they hold a key or a value that is known to be secret. Public SSH keys are none.
    """
    text = json.dumps(details, sort_keys=True, default=str)
    if found := sorted(set(_secrets(json.loads(text)))):
        raise ValueError(
            f"details of the history may not hold {', '.join(found)}: leave it out where the action is recorded"
        )
    return text


def without_secrets(text: str) -> str:
    """A text with keys, tokens and tickets made unreadable, should an error have quoted one."""
    return _SECRET_VALUE.sub(_HIDDEN, text)


def _secrets(value: object) -> Iterator[str]:
    """The names of what is secret, never its content."""
    if isinstance(value, dict):
        for key, item in value.items():
            if _SECRET_KEY.search(key.lower().replace("-", "_")):
                yield key
            elif isinstance(item, str) and _SECRET_VALUE.search(item):
                yield f"the value of {key}"
            else:
                yield from _secrets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        yield "a secret in a list"
