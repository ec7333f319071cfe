"""What a client may see and ask for in its portal: the one place that decides, as a table.

The offer decides (article 3: the list of 3.3 is exclusive), the contract's standing (a suspended contract reads and
does nothing, one whose thirty working days are over shows nothing), and the managed services (article 3.8.2: at level
full the client has no direct access). Pure: a position in, an answer out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from orchestrator.contract.life import Standing
from orchestrator.contract.offers import Offer

Level = Literal["supervision", "full"]
"""Of the managed services (article 3.8)."""


class Act(StrEnum):
    """What a client does in its portal."""

    READ = "read"
    """See a machine: state, sizes, addresses, firewall rules, snapshots, history."""
    BACKUPS = "backups"
    """See its backups: volume, retention, last good one, restore test (article 3.5)."""
    GRAPHS = "graphs"
    CONSOLE = "console"
    RESTART = "restart"
    SNAPSHOT = "snapshot"
    UPDATE = "update"
    CHANGE = "change"
    CREDIT = "credit"
    HARDWARE = "hardware"


class Refusal(StrEnum):
    """Why a client may not do something."""

    ENDED = "ended"
    """The thirty working days are over (article 10)."""
    SUSPENDED = "suspended"
    """The services are suspended (article 9)."""
    OFFER = "offer"
    """The offer does not have it (article 3)."""
    UNMANAGED = "unmanaged"
    """It is part of the managed services, which were not bought (article 3.8)."""
    LEVEL = "level"
    """The provider administers the machine alone (article 3.8.2)."""


READING = frozenset({Act.READ, Act.BACKUPS, Act.GRAPHS})
"""What changes nothing and reaches nothing: a suspended contract keeps it."""

REQUESTS = (Act.RESTART, Act.SNAPSHOT, Act.UPDATE, Act.CHANGE, Act.CREDIT, Act.HARDWARE)
"""What a client asks for; the provider carries it out."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a client stands with a machine, or with all of them.

    Attributes:
        offer: of the machine.
        standing: of the contract, today.
        level: of the managed services; None if they were not bought.
    """

    offer: Offer
    standing: Standing
    level: Level | None


def refusal(act: Act, position: Position) -> Refusal | None:
    """Why a client may not do something; None if it may."""
    if position.standing is Standing.ENDED:
        return Refusal.ENDED
    if position.standing is Standing.SUSPENDED and act not in READING:
        return Refusal.SUSPENDED
    if not _sold(act, position):
        return Refusal.OFFER
    if act is Act.UPDATE and position.level is None:
        return Refusal.UNMANAGED
    if act is Act.CONSOLE and position.level == "full":
        return Refusal.LEVEL
    return None


def may(act: Act, position: Position) -> bool:
    """Whether a client may do something."""
    return refusal(act, position) is None


def _sold(act: Act, position: Position) -> bool:
    """Whether the offer has it. Managed services beside any offer bring graphs (3.8.1), and nothing else of these."""
    terms = position.offer.terms
    if act is Act.GRAPHS:
        return terms.graphs or position.level is not None
    if act is Act.BACKUPS:
        return terms.backup
    if act is Act.CONSOLE:
        return terms.console
    return terms.power if act is Act.RESTART else True
