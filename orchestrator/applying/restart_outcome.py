"""How a machine's restart in its maintenance window ended: what commands print, and what the night reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RestartEnding = Literal[
    "restarted",
    "nothing-due",
    "busy",
    "blocked",
    "untouched",
    "put-back",
    "stubborn",
    "broken",
    "not-started",
    "held",
]

IN_WINDOW = "restart in window"
"""The action under which the history has how each of them ended."""


@dataclass(frozen=True, kw_only=True)
class MachineRestart:
    """How one machine's restart ended.

    Attributes:
        result: ``restarted`` (the settings are in force, its guest answers); ``nothing-due`` (it was restarted or
            stopped meanwhile); ``busy`` (a task of Proxmox, another run or its partner was in the way: it has another
            turn while its window is open); ``blocked`` (something in its configuration keeps it from being restarted
            until somebody has put it right); ``untouched`` (it could not be begun; tried again in its next window);
            ``put-back`` (its guest did not come back with the new settings: those from before are in force again, and
            it answers; held back); ``stubborn`` (its guest did not shut down, it runs as before; held back);
            ``broken`` (its guest does not answer; held back); ``not-started`` (its window closed before its turn, or a
            wave before did not end well); ``held`` (held back because of an earlier restart).
        settings: what was, or would have been, taken up: Proxmox's keys and values; empty if they are cloud-init's.
        wave: in which wave, 1 and up; 0 if in none.
        message: reason and remedy.
    """

    client: str
    machine: str
    site: str
    result: RestartEnding
    settings: Mapping[str, str] = field(default_factory=dict)
    wave: int = 0
    message: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether nobody has to look at the machine."""
        return self.result in ("restarted", "nothing-due")

    @property
    def went_wrong(self) -> bool:
        """Whether a restart was tried, and somebody has to look at the machine."""
        return self.result in ("untouched", "put-back", "stubborn", "broken")

    @property
    def stops_others(self) -> bool:
        """Whether it is a reason not to restart the client's other machines: what they stand in for may be down."""
        return self.result in ("put-back", "broken")
