"""Why a history cannot be used."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class HistoryUnavailable(OrchestratorError):
    """The history cannot be opened, read or written. The text says where, why and what to do."""


class HistoryMissing(HistoryUnavailable):
    """There is no history at the given place."""


def missing_at(name: str) -> HistoryMissing:
    """The error that says that there is no history at a place."""
    return HistoryMissing(
        f"there is no history at {name}: nothing was recorded yet, or it was moved or removed; "
        "name it with --history"
    )
