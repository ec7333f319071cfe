"""An alert rule that lacks a procedure, as a night tells of it (article 3.8.1)."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.nightly.result import Line


@dataclass(frozen=True, kw_only=True)
class BareRule(Line):
    """An alert rule that lacks a procedure.

    Attributes:
        rule: its name.
        severity: its label; empty if it has none.
        procedure: what it names, though there is no such page; empty if it names none.
    """

    rule: str
    severity: str
    procedure: str
