"""How far the takings over of existing estates are (article 4.2), from what was imported and what was recorded since.

Gaps are found by ``import``. The provider notifies them, the client corrects them, or has it done on a quote; where
neither happens, or documents are missing, the service cannot be provided.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from orchestrator.history.declared import DocumentName, TakingOver
from orchestrator.history.records import Recorded, Records, read

if TYPE_CHECKING:
    from orchestrator.history.store import History

IMPORTED = "import"
"""The action of the entries that describing an existing machine leaves, with its gaps."""

DOCUMENTS: tuple[DocumentName, ...] = get_args(DocumentName)

State = Literal["described", "notified", "corrected", "impossible"]


@dataclass(frozen=True, kw_only=True)
class Taking:
    """How far one client's taking over is.

    Attributes:
        gaps: codes of the gaps that were found, by machine; of the last import of each.
        decided: the newest record about its gaps; None: they were not notified yet, or gaps were found after it said
            that all were corrected.
        documents: the documents that were received.
    """

    client: str
    gaps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decided: Recorded[TakingOver] | None = None
    documents: frozenset[DocumentName] = frozenset()

    @property
    def state(self) -> State:
        """How far its gaps are."""
        if self.decided is None or self.decided.said.state == "documented":
            return "described"
        return self.decided.said.state

    @property
    def gaps_found(self) -> int:
        """How many gaps all machines have."""
        return sum(map(len, self.gaps.values()))

    @property
    def missing(self) -> tuple[DocumentName, ...]:
        """The documents that were not received yet."""
        return tuple(name for name in DOCUMENTS if name not in self.documents)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: every document is there, and no gap is open."""
        return not self.missing and (self.state == "corrected" or (not self.gaps_found and not self.decided))


def takings(history: History, client: str | None = None) -> dict[str, Taking]:
    """Every taking over that the history knows of, by client: two queries.

    Args:
        history: where.
        client: only this client's; everybody's if None.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    gaps: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    found_in: dict[str, int] = {}
    for entry in reversed(history.entries(action=IMPORTED, client=client)):
        if entry.machine and entry.result == "ok":
            gaps[entry.client][entry.machine] = found = _gaps(entry.details)
            if found:
                found_in[entry.client] = entry.sequence
    records = read(history, kinds=(TakingOver,), client=client)
    clients = {*gaps, *(item.said.client for item in records.of(TakingOver))}
    return {
        name: _taking(name, gaps.get(name, {}), records, found_in.get(name, 0)) for name in sorted(clients)
    }


def _taking(client: str, gaps: Mapping[str, tuple[str, ...]], records: Records, found_in: int) -> Taking:
    own = [item for item in records.of(TakingOver) if item.said.client == client]
    decided = [item for item in own if item.said.state != "documented"]
    last = decided[-1] if decided else None
    if last is not None and last.said.state == "corrected" and last.number < found_in:
        last = None
    return Taking(
        client=client,
        gaps=gaps,
        decided=last,
        documents=frozenset(name for item in own for name in item.said.documents),
    )


def _gaps(details: str) -> tuple[str, ...]:
    try:
        found = json.loads(details)["gaps"]
    except (ValueError, KeyError, TypeError, RecursionError):  # altered by somebody: `history verify` says so
        return ()
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()
