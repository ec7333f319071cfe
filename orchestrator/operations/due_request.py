"""What restarts in open maintenance windows are asked for, and what came of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.applying.restart_outcome import MachineRestart


@dataclass(frozen=True, kw_only=True)
class DueRequest:
    """What to restart.

    Attributes:
        inventory: where the site file is.
        files: subscription files or folders: windows stand there.
        sites: only these; all if there are none.
        boot_seconds: how long a guest may take to answer afterwards.
        history: a file or URL; None: the usual one.
        reason: why; the history keeps it (article 3.8.1).
    """

    inventory: str | None
    files: tuple[Path, ...] = ()
    sites: tuple[str, ...] = ()
    boot_seconds: float = 600.0
    history: str | None = None
    reason: str = "restart in the maintenance window"


@dataclass(frozen=True, kw_only=True)
class DueRestarts:
    """What came of it.

    Attributes:
        ended: how it ended for each machine that waited.
        problems: sites that could not be read, or are frozen: nothing was done there.
        next_opens: when the next window opens (aware), where none is open; None if one is, or no file has one.
        interrupted: whether somebody asked for the end.
    """

    ended: tuple[MachineRestart, ...] = ()
    problems: tuple[str, ...] = ()
    next_opens: dt.datetime | None = None
    interrupted: bool = False

    @property
    def well(self) -> bool:
        """Whether nobody has to look now. What is in the way of a restart is told by the night, if it stays."""
        return not self.problems and not any(item.went_wrong for item in self.ended)
