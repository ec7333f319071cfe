"""Closing the requests for updates of machines that were updated (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.counting import counted
from orchestrator.history.requests import OpenUpdates

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal


def close_requests(
    journal: Journal, asked: OpenUpdates, ended: Iterable[MachineUpdate], at: dt.datetime
) -> None:
    """Close the open requests of the machines that are well and up to date. Those of the others stay open, and wait.

    A run that is killed before it comes here leaves them open; the next update finds nothing due, and closes them. The
    delay is that of the installation either way.

    Args:
        journal: whose history and names are used.
        asked: the requests that were open when the updates began.
        ended: how the updates ended.
        at: now, aware.

    Raises:
        HistoryUnavailable: it could not be written.
    """
    for line in ended:
        if not line.well:
            continue
        installed = line.result == "installed"
        asked.close(
            journal.history,
            (line.client, line.machine),
            outcome="done" if installed else "nothing-due",
            result=f"{counted(len(line.installed), 'package')} installed" if installed else "nothing was due",
            who=journal.who,
            why=journal.why,
            at=at,
        )
