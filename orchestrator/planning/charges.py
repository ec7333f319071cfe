"""What a machine's changes cost its client (article 3.8.4), and the references that they need."""

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
    CATALOGUE = "catalogue"
    """Charged by the catalogue of services."""
    QUOTED = "quoted"
    """Charged, on an accepted quote."""
    ORDERED = "ordered"
    """No intervention: what the client buys changes, by an order or an amendment."""
    MISSING = "missing"
    """A reference that it needs was not named: ``apply`` leaves the machine as it is."""


class Needed(StrEnum):
    """A reference that a change needs."""

    ORDER = "order"
    """Of an order or an amendment: more, fewer or larger machines."""
    CATALOGUE = "catalogue"
    """Of the catalogue of services: significant changes, and standard ones beyond the month's free ones."""
    QUOTE = "quote"
    """Of a quote accepted before: major changes."""


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What one machine's changes are to the contract.

    Attributes:
        change_class: the class that holds.
        by_rule: the class that the rules gave, if somebody decided otherwise; else None.
        charge: who pays.
        counted: whether it is an intervention of change management; else it is only ordered.
        order: the reference of the order or amendment that asks for it.
        catalogue: the reference of the catalogue that it is charged by.
        quote: the reference of the quote that covers it.
        lacks: the references that it needs and nobody named.
        reason: why it has its class.
    """

    change_class: ChangeClass
    by_rule: ChangeClass | None = None
    charge: Charge
    counted: bool = True
    order: str | None = None
    catalogue: str | None = None
    quote: str | None = None
    lacks: tuple[Needed, ...] = ()
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
