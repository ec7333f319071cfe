"""What a machine's changes cost its client (article 3.8.4): nothing, one of the month's free changes, or a quote."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.resources.change import ChangeClass


class Charge(StrEnum):
    """Who pays for an intervention."""

    INCLUDED = "included"
    """Nobody: the client has no change management, and what it orders is in its subscription."""
    FREE = "free"
    """One of the month's free standard changes."""
    QUOTED = "quoted"
    """Charged, on an accepted quote."""
    MISSING = "missing"
    """Charged, and no quote was named: ``apply`` leaves the machine as it is."""


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What one machine's changes are to the contract.

    Attributes:
        change_class: the class that holds.
        by_rule: the class that the rules gave, if somebody decided otherwise; else None.
        charge: who pays.
        quote: the reference of the quote that covers it.
        reason: why it has its class.
    """

    change_class: ChangeClass
    by_rule: ChangeClass | None = None
    charge: Charge
    quote: str | None = None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """A client's free standard changes this month.

    Attributes:
        used: how many earlier runs used.
        planned: how many this plan uses.
    """

    per_month: int
    used: int
    planned: int

    @property
    def left(self) -> int:
        """How many are left after this plan."""
        return max(self.per_month - self.used - self.planned, 0)
