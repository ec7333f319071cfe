"""Planning: what would change, and nothing is changed.

The sites are read while the files are, and while what makes the plan is loaded: so little is imported here at the top.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.operations.connecting import open_clusters
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.plan_request import PlanRequest
from orchestrator.resources.reading_ahead import ReadingAhead
from orchestrator.subscriptions.glance import clients_named

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan


def plan(request: PlanRequest, events: Events = SILENT) -> Plan:
    """Compare the files with the hypervisors.

    Raises:
        OrchestratorError: no plan could be made.
    """
    provider = open_provider(request.inventory)
    with (
        open_clusters(provider, notice=events.notice) as clusters,
        ReadingAhead(clusters) as ahead,
    ):
        ahead.read(_clients(request.paths or (DEFAULT_FOLDER,), request.only))
        from orchestrator.operations import preparing  # loaded while the sites answer

        options = preparing.options_of(request)
        wanted = preparing.wanted(provider, options, events.problems)
        used = preparing.used_changes(request.history, wanted.desired)
        takings = preparing.unsettled_takings(request.history, wanted.desired)
        made = preparing.prepare(wanted, clusters, used, ahead, takings=takings).plan
        made = preparing.with_waiting_since(made, request.history)
        made = preparing.with_archives_left(made, request.history)
    if request.save_to is not None:
        preparing.save(request.save_to, options, provider, request.inventory or "", made)
    return made


def _clients(paths: Collection[Path], only: str | None) -> frozenset[str]:
    """The clients that a plan seems to be about; none if it is about single machines."""
    client, _, machine = (only or "").partition("/")
    if machine:
        return frozenset()
    named = clients_named(list(paths))
    return named & {client} if client else named
