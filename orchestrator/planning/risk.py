"""One reason why a plan exceeds the safety limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What a plan would do too much of, or at the wrong time, until somebody allows it.

    Attributes:
        risk: its name in :data:`orchestrator.planning.safety.RISKS`.
        where: ``CLIENT``, ``CLIENT/MACHINE`` or ``site=SITE``.
        words: how many of how many, or which data.
        allowed: whether somebody allowed it.
    """

    risk: str
    where: str
    words: str
    allowed: bool = False

    @property
    def name(self) -> str:
        """What ``--allow`` has to name."""
        return f"{self.risk}:{self.where}"
