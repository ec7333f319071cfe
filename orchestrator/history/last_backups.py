"""When machines were last backed up, as far as the history knows it: a machine that is gone may have archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection

    from orchestrator.history.store import History

Key = tuple[str, str]
"""Client and machine."""

_BACKUP = "backup"
_ERASE = "erase"
"""The end of a contract (article 10): nothing of the machine is restored after it."""


def last_backups(history: History, machines: Collection[Key]) -> dict[Key, dt.datetime]:
    """When machines were last backed up (aware): two queries for all of them.

    Those that were never backed up, or whose data were erased since at the end of a contract, are left out.

    Args:
        history: where.
        machines: client and machine, by their names of today.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    clients = {client for client, _ in machines}
    made = {(entry.client, entry.machine or ""): entry for entry in history.latest(_BACKUP, clients=clients)}
    found = {key: made[key] for key in machines if key in made}
    if not found:
        return {}
    erased = {
        (entry.client, entry.machine or ""): entry.sequence
        for entry in history.latest(_ERASE, clients=clients)
    }
    return {key: entry.at for key, entry in found.items() if erased.get(key, 0) < entry.sequence}
