"""Restarts that are due now: settings that wait, in the maintenance windows that are open at this moment.

For a timer that runs every few minutes, because windows may open outside the night. Where no window is open nothing is
asked of any site: the files alone say so.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from orchestrator.operations.due_request import DueRequest, DueRestarts
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inputs import open_sound_desired
from orchestrator.operations.inventory import open_provider, site_of
from orchestrator.planning.window import current_or_next

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.sites.model import Provider


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

    return preview(request, provider, open_now, events)


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
