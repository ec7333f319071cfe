"""What was done, by whom, why, with what result; and whether anybody changed that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.operations.run import open_history

if TYPE_CHECKING:
    from orchestrator.history import Entry, Verification


def entries(target: str | None, *, limit: int, history: str | None) -> list[Entry]:
    """The last entries, the latest first.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        limit: how many at most.
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    client, _, machine = (target or "").partition("/")
    with open_history(history, create=False) as opened:
        return opened.entries(client=client or None, machine=machine or None, limit=limit, as_recorded=True)


def verify(noted: str | None, *, history: str | None) -> Verification:
    """Check the whole chain.

    Args:
        noted: ``NUMBER:HASH``, what an earlier check gave, kept elsewhere.
        history: a file or URL; None: the usual one.

    Raises:
        RequestRefused: ``noted`` is not written as it must be.
        HistoryUnavailable: it cannot be read.
    """
    with open_history(history, create=False) as opened:
        return opened.verify(_head(noted) if noted is not None else None)


def _head(noted: str) -> tuple[int, str]:
    match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", noted.strip())
    if not match:
        raise RequestRefused(
            f"--noted {noted}: a number, a colon and 64 hexadecimal digits, as `verify` prints them"
        )
    return int(match[1]), match[2]
