"""Since when settings wait for a restart: Proxmox keeps them pending, and does not say since when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orchestrator.history.chain import BEGUN

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping

    from orchestrator.history.store import History

Key = tuple[str, str]
"""Client and machine."""

CONFIGURED = "configure"
"""The action under which settings that were written are recorded, with the attributes that they change."""


def written_at(history: History, wanted: Mapping[Key, Collection[str]]) -> dict[Key, dt.datetime]:
    """When the attributes of machines were last written, the earliest of each machine's: one query.

    A write that began and was never seen to end counts: it may have been made. Machines of which the history knows
    nothing are left out: their settings were written by hand, or by somebody with another history.

    Args:
        history: where.
        wanted: names of attributes, by client and machine.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    found: dict[Key, dict[str, dt.datetime]] = {}
    if not wanted:
        return {}
    for entry in history.entries(
        client={client for client, _ in wanted}, action=CONFIGURED
    ):  # the latest first
        key = (entry.client, entry.machine or "")
        if key not in wanted or entry.result not in ("ok", "unknown", BEGUN):
            continue
        for name in _changed(entry.details) & set(wanted[key]):
            found.setdefault(key, {}).setdefault(name, entry.at)
    return {key: min(moments.values()) for key, moments in found.items()}


def _changed(details: str) -> set[str]:
    try:
        changes = json.loads(details).get("changes")
        return set(changes) if isinstance(changes, dict) else set()
    except (ValueError, AttributeError):  # altered by somebody: `history verify` says so
        return set()
