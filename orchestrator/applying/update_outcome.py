"""How a machine's update ended: what commands print, and what the night reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from orchestrator.guests.packages import InstalledPackage

Ending = Literal[
    "installed",
    "nothing-due",
    "untouched",
    "rolled-back",
    "broken",
    "unreachable",
    "not-started",
    "held",
]


@dataclass(frozen=True, kw_only=True)
class MachineUpdate:
    """How one machine's update ended.

    Attributes:
        result: ``installed`` (and everything runs that ran before); ``nothing-due``; ``untouched`` (nothing was
            changed); ``rolled-back`` (as before, held back from automatic updates); ``broken`` (it is not well, and
            there was no way back; held back too); ``unreachable`` (the next run goes on); ``not-started``; ``held``
            (held back because of an earlier update, until somebody has looked).
        wave: in which wave, 1 and up; 0 if in none.
        installed: what was installed; empty if it was undone again.
        tried: the versions that were tried: ``openssl 3.0.11``.
        restarted: whether it was restarted.
        reboot: why it still has to be restarted; None if it has not.
        message: reason and remedy.
    """

    client: str
    machine: str
    site: str
    result: Ending
    wave: int = 0
    installed: tuple[InstalledPackage, ...] = ()
    tried: tuple[str, ...] = ()
    restarted: bool = False
    reboot: str | None = None
    message: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether the machine is as it should be after its turn."""
        return self.result in ("installed", "nothing-due")

    @property
    def stops_others(self) -> bool:
        """Whether it is a reason not to begin the next wave: the same packages could harm others."""
        return self.result in ("rolled-back", "broken", "unreachable")
