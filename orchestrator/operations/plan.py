"""Planning: what would change, and nothing is changed.

The sites are read while the files are, and while what makes the plan is loaded: so little is imported here at the top.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.plan_request import PlanRequest
from orchestrator.operations.run import SILENT, Events, open_clusters
from orchestrator.proxmox import Cluster

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan
    from orchestrator.resources.reading_ahead import ReadingAhead


def plan(request: PlanRequest, events: Events = SILENT) -> Plan:
    """Compare the files with the hypervisors.

    Raises:
        OrchestratorError: no plan could be made.
    """
    provider = open_provider(request.inventory)
    with (
        open_clusters(provider, notice=events.notice) as clusters,
        _reading_ahead(clusters, request.paths or (DEFAULT_FOLDER,), request.only) as ahead,
    ):
        from orchestrator.operations import preparing  # loaded while the sites answer

        options = preparing.options_of(request)
        wanted = preparing.wanted(provider, options, events.problems)
        used = preparing.used_changes(request.history, wanted.desired)
        made = preparing.prepare(wanted, clusters, used, ahead).plan
    if request.save_to is not None:
        preparing.save(request.save_to, options, provider, request.inventory or "", made)
    return made


def _reading_ahead(
    clusters: Mapping[str, Cluster], paths: Collection[Path], only: str | None
) -> ReadingAhead:
    """Begin to read the sites while the files are read: the machines of the clients that those seem to be about."""
    from orchestrator.resources.reading_ahead import ReadingAhead  # after the clusters are connected to
    from orchestrator.subscriptions.loading import clients_named

    client, _, machine = (only or "").partition("/")
    if machine:
        return ReadingAhead(clusters, ())
    named = clients_named(list(paths))
    return ReadingAhead(clusters, named & {client} if client else named)
