"""Restarts that are due now: settings that wait, in the maintenance windows that are open at this moment.

For a timer that runs every few minutes, because windows may open outside the night. Where no window is open nothing is
asked of any site: the files alone say so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inputs import open_sound_desired
from orchestrator.operations.inventory import open_provider, site_of
from orchestrator.planning.window import current_or_next

if TYPE_CHECKING:
    from orchestrator.applying.restart_outcome import MachineRestart
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


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
        bad = ("untouched", "put-back", "stubborn", "broken")
        return not self.problems and not any(item.result in bad for item in self.ended)


def restart_due(request: DueRequest, events: Events = SILENT) -> DueRestarts:
    """Restart the machines that wait for it and whose windows are open now.

    Raises:
        OrchestratorError: nothing was begun: the request or the inventory is at fault, or the history is not there.
    """
    provider, open_now, next_opens = _open_now(request, events)
    if not open_now:
        return DueRestarts(next_opens=next_opens)
    from orchestrator.operations.due_round import (
        carry_out,  # slow to import, and windows are closed most of the time
    )

    return carry_out(request, provider, open_now, events)


def preview_due(request: DueRequest, events: Events = SILENT) -> tuple[list[str], DueRestarts]:
    """What would be restarted now, in words, and when the next window opens. Changes nothing.

    Raises:
        OrchestratorError: as :func:`restart_due`.
    """
    provider, open_now, next_opens = _open_now(request, events)
    if not open_now:
        return [], DueRestarts(next_opens=next_opens)
    from orchestrator.operations.due_round import preview  # as above

    return preview(provider, open_now, events)


def _open_now(
    request: DueRequest, events: Events
) -> tuple[Provider, list[DesiredMachine], dt.datetime | None]:
    """The machines with a window that is open now; where there are none, when the next one opens."""
    provider = open_provider(request.inventory)
    for name in request.sites:
        site_of(provider, name)
    desired, problems = open_sound_desired(request.files, provider, events.problems)
    for problem in problems:
        events.notice(problem)
    now = dt.datetime.now(dt.UTC)
    wanted = [machine for machine in desired if not request.sites or machine.site in request.sites]
    windows = {machine.client: machine.window for machine in wanted if machine.window is not None}
    spans = {client: current_or_next(window, now) for client, window in windows.items()}
    clients = {client for client, (opens, _) in spans.items() if opens <= now}
    open_now = [machine for machine in wanted if machine.client in clients]
    next_opens = min((opens for opens, _ in spans.values()), default=None)
    return provider, open_now, None if open_now else next_opens
