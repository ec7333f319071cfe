"""The changes that the history knows of: counted, to tell which of a month are free (article 3.8.4)."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from typing import TYPE_CHECKING

from orchestrator.contract.calendar import PARIS, day_in_paris
from orchestrator.history.chain import BEGUN

if TYPE_CHECKING:
    from orchestrator.history.store import History

CHANGE = "change"
"""The action of the entry that stands for one machine's changes in one run."""

FORCED = "switch off"
"""The action of stopping a machine whose guest does not shut down; its message says on what ground."""

FREE = "free"
"""What such an entry's ``charge`` says of a change that was one of the month's free ones."""


def free_changes(
    history: History, now: dt.datetime, *, client: str | None = None
) -> dict[str, set[tuple[str, dt.date]]]:
    """The free changes of this calendar month (in Paris): machines and days, by client. One query.

    Args:
        history: where.
        now: the time, aware.
        client: whose; everybody's if None.

    A change that began and was never seen to end counts: it may have been made. One that failed does not.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    begins = now.astimezone(PARIS).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    used: dict[str, set[tuple[str, dt.date]]] = defaultdict(set)
    for entry in history.entries(client=client, action=CHANGE, since=begins):
        if entry.machine and entry.result in ("ok", BEGUN) and _charge(entry.details) == FREE:
            used[entry.client].add((entry.machine, day_in_paris(entry.at)))
    return dict(used)


def _charge(details: str) -> object:
    try:
        return json.loads(details).get("charge")
    except (ValueError, AttributeError):  # altered by somebody: `history verify` says so
        return None
