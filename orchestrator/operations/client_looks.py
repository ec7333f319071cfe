"""Looks at a client's data by the provider's people and programs: each session's first one is in the history."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from orchestrator.interface import looks
from orchestrator.operations.run import run_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from orchestrator.history import History
    from orchestrator.history.database import Database

LOOK = "look at client"
"""The action of the entries."""

WHY = "look in the Interface"
"""The reason that they give."""

_NAME = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)
_MOST = 50_000
"""Sessions and clients that are remembered; one that was forgotten is recorded again."""


class ClientLooks:
    """What was recorded since the program started. Safe to be used from several threads.

    Args:
        database: of the last look, which knows the clients.
        history: where looks are recorded.
        now: the clock.
    """

    def __init__(self, database: Database, history: History, now: Callable[[], dt.datetime]) -> None:
        self._database, self._history, self._now = database, history, now
        self._recorded: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def note(
        self, client: str, *, who: str, through: str, page: str, details: dict[str, Any], known: bool = True
    ) -> None:
        """Record a look, unless this session's or token's look at this client is recorded already.

        Args:
            client: whose data is shown.
            who: the account's or token's name.
            through: what tells one session from all others; nothing of it is kept.
            page: the address, without names in it: ``/clients/{client}``.
            details: the session's number.
            known: that there is such a client is certain; if not, a name that is no client's is not recorded.

        Raises:
            HistoryUnavailable: it could not be recorded: the page must not be shown.
        """
        key = (who, through, client)
        if key in self._recorded:
            return
        if not known and (not _NAME.fullmatch(client) or looks.client(self._database, client) is None):
            return
        with self._lock:  # whoever comes meanwhile is shown nothing before it is recorded
            if key in self._recorded:
                return
            self._history.append(
                who=who,
                why=WHY,
                client=client,
                site="",
                action=LOOK,
                result="ok",
                run=run_name(self._now()),
                details={"page": page, **details},
            )
            self._recorded[key] = None
            if len(self._recorded) > _MOST:
                self._recorded.popitem(last=False)
