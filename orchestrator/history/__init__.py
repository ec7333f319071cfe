"""The history: who did what to which machine, when, why, with what result; ordered and tamper-evident.

Names are loaded on first use: ``orchestrator --help`` must not pay for SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.history.chain import BEGUN, Entry, Verification
    from orchestrator.history.errors import HistoryMissing, HistoryUnavailable
    from orchestrator.history.opening import open_history
    from orchestrator.history.store import History


_NAMES = {
    "chain": ("BEGUN", "Entry", "Verification"),
    "store": ("History",),
    "errors": ("HistoryMissing", "HistoryUnavailable"),
    "opening": ("open_history",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
