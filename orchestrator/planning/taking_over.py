"""The words for a taking over (article 4.2): how far its gaps are, and which documents are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.counting import counted
from orchestrator.shown import quoted, visible

if TYPE_CHECKING:
    from orchestrator.history.taking_over import Taking


def taking_words(taking: Taking) -> str:
    """How far a taking over is: ``3 gaps, notified on 2026-11-05 by alice (LRAR-7); missing: architecture``."""
    gaps = counted(taking.gaps_found, "gap")
    decided = taking.decided
    if decided is None:
        said = f"{gaps}, not notified yet" if taking.gaps_found else "no gaps"
    else:
        how = {"notified": f"{gaps}, notified", "corrected": "gaps corrected"}.get(
            taking.state, "impossible, the service cannot be provided,"
        )
        by = f"on {decided.said.day} by {visible(decided.who)} ({quoted(decided.said.reference)})"
        said = f"{how} {by}"
    missing = f"; missing documents: {', '.join(taking.missing)}" if taking.missing else ""
    return f"taking over: {said}{missing} (art. 4.2)"
