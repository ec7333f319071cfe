"""The details of an entry: JSON, without secrets and of limited size. It is kept for years, and read by many."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.redaction import HIDDEN, SECRET_KEY, without_secrets
from orchestrator.shown import shortened, storable

MORE = "…"
"""The key under which a mapping says how many of its items are left out; a list's last item then begins with it."""

_MOST_ITEMS = 400
"""Of one list or mapping. What guests report (packages that are due) may be any number."""

_LONGEST_TEXT = 1_000
"""Characters of one text."""

_LARGEST = 64 * 1024
"""Characters of all of an entry's details."""


def details_as_json(details: Mapping[str, Any]) -> str:
    """The canonical JSON of an entry's details: what is secret is hidden, what is very long is shortened, and says so.

    Nothing in them refuses an entry: part of them comes from guests, and what was done must be recorded.
    """
    data = _without_secrets(json.loads(json.dumps(details, default=str)))
    most, longest = _MOST_ITEMS, _LONGEST_TEXT
    text = json.dumps(_bounded(data, most, longest), sort_keys=True)
    while len(text) > _LARGEST and most > 1:
        most, longest = most // 2, max(longest // 2, 20)
        text = json.dumps(_bounded(data, most, longest), sort_keys=True)
    return text if len(text) <= _LARGEST else json.dumps({MORE: "too much to be recorded"})


def same_as_recorded(recorded: str, key: str, value: Mapping[str, Any]) -> bool:
    """Whether details that were recorded say the same under a key as these would: both are shortened alike."""
    try:
        before = json.loads(recorded).get(key)
    except (ValueError, AttributeError, RecursionError):  # altered by somebody: `history verify` says so
        return False
    return bool(before == json.loads(details_as_json({key: value})).get(key))


def _bounded(value: Any, most: int, longest: int) -> Any:
    if isinstance(value, str):
        return shortened(storable(value), longest)
    if isinstance(value, list):
        kept = [_bounded(item, most, longest) for item in value[:most]]
        return kept if len(value) <= most else [*kept, f"{MORE} and {len(value) - most} more"]
    if isinstance(value, dict):
        items = sorted(value.items())
        kept_items = {
            shortened(storable(key), longest): _bounded(item, most, longest) for key, item in items[:most]
        }
        if len(items) > most:
            kept_items[MORE] = f"and {len(items) - most} more"
        return kept_items
    return value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: HIDDEN
            if item and SECRET_KEY.search(key.lower().replace("-", "_"))
            else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return without_secrets(value) if isinstance(value, str) else value
