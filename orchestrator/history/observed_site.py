"""What is known of a site before a round of observation, and what the round makes of it: data, without the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.history.intervals import Span


@dataclass(frozen=True, kw_only=True)
class Known:
    """A machine of ours as the cluster's list has it.

    Attributes:
        vmid, node: in Proxmox.
        client, machine: whose, and its name in the file.
    """

    vmid: int
    client: str
    machine: str
    node: str


@dataclass(frozen=True, kw_only=True)
class SiteState:
    """What is known of a site before a round.

    Attributes:
        until: up to when it was observed (seconds since the epoch); None: never.
        listed: when the cluster's list was read last; None: never.
        guests: how many guests its samples were of.
        source: what the last round read.
        machines: those that are there, by their numbers.
        spans: the interval in which each of them is, by their numbers.
    """

    until: int | None = None
    listed: int | None = None
    guests: int = 0
    source: str = ""
    machines: Mapping[int, Known] = field(default_factory=dict)
    spans: Mapping[int, Span] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round found.

    Attributes:
        until: when it was made.
        machines: all that are there now, by their numbers.
        spans: each one's intervals, from the one that was open on; machines without changes may be left out.
        listed: when the cluster's list was read last.
        guests, source: as in :class:`SiteState`.
        gap: from when on nothing was observed until this round; None if there is no gap.
    """

    until: int
    machines: Mapping[int, Known]
    spans: Mapping[int, Sequence[Span]]
    listed: int | None
    guests: int
    source: str
    gap: tuple[int, int] | None = None
