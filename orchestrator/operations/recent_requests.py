"""The clients' open requests for pages: read again only when one came, or was closed."""

from __future__ import annotations

import threading
from typing import Any

from orchestrator.history import History
from orchestrator.history.records import Recorded
from orchestrator.history.renames import RENAME
from orchestrator.history.requests import asked

_ACTIONS = frozenset({"request", "credit request", RENAME})


class RecentRequests:
    """All open requests, those for credits among them, as they were read last. Safe to use from several threads."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._guard = threading.Lock()
        self._number = -1
        self._open: tuple[Recorded[Any], ...] = ()

    def open(self) -> tuple[Recorded[Any], ...]:
        """Every open request, the oldest first.

        Raises:
            RecordRefused: there are too many.
            HistoryUnavailable: they cannot be read.
        """
        with self._guard:
            last = self._history.last_number()
            if self._number < 0 or (
                last != self._number and _ACTIONS & self._history.actions_since(self._number)
            ):
                self._open = tuple(one for one in asked(self._history) if one.said.closed is None)
            self._number = last
            return self._open
