"""What each offer covers (article 3): one row an offer. Everything that depends on an offer asks its row.

Managed services (3.8) are a second service that is bought beside an offer: what they bring, supervision first, comes
with every offer (3.6 and 7 speak of it for Essential, too).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

RETENTIONS = (7, 31)
"""Article 3.5: the retentions of a backup, in rolling calendar days."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an offer covers.

    Attributes:
        article: that lists what it covers.
        carried_out: whether this version carries it out; else files with it are refused.
        power: stopping, starting and restarting a machine on the client's behalf.
        redundancy: redundant hardware and a second site.
        backup: daily backups, kept 7 or 31 days.
        other_retentions: backups that are kept for another number of days, on an accepted quote.
        keys: changing SSH keys after delivery.
        graphs: of vCPU, RAM, storage and network, with or without managed services (3.2).
        console: of a machine, for its client (3.2).
        words: what it covers, where the list is exclusive (article 3.3).
    """

    article: str
    carried_out: bool = True
    power: bool = True
    redundancy: bool = True
    backup: bool = True
    other_retentions: bool = False
    keys: bool = True
    graphs: bool = True
    console: bool = True
    words: str = ""


class Offer(StrEnum):
    """An offer of the contract (article 3)."""

    terms: Terms

    def __new__(cls, name: str, terms: Terms) -> Self:
        """A row of the table."""
        offer = str.__new__(cls, name)
        offer._value_ = name
        offer.terms = terms
        return offer

    ESSENTIAL = (
        "cloud-vm-essential",
        Terms(
            article="3.3",
            power=False,
            redundancy=False,
            backup=False,
            keys=False,
            graphs=False,
            console=False,
            words="machines, snapshots, history and the basic firewall",
        ),
    )
    ADVANCED = "cloud-vm-advanced", Terms(article="3.2")
    DATACENTER = "cloud-datacenter", Terms(article="3.1", carried_out=False, other_retentions=True)
