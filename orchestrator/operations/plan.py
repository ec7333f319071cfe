"""Planning: what would change, and nothing is changed.

The sites are read while the files are, and while what makes the plan is loaded: so little is imported here at the top.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.operations.run import SILENT, Events, open_clusters
from orchestrator.proxmox import Cluster

if TYPE_CHECKING:
    from orchestrator.planning.plan import Plan
    from orchestrator.resources.reading_ahead import ReadingAhead


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What to plan for.

    Attributes:
        inventory: where the sites' file is.
        paths: subscription files or folders.
        only: ``CLIENT[/MACHINE]``; None: everything.
        restart_now: restart machines also outside their maintenance window.
        guests: look into the guests as well.
        quote: the accepted quote that covers what is charged.
        classes: ``CLIENT/MACHINE=CLASS``, against the rules.
        allow: ``RISK:WHERE``.
        history: a file or URL; None: the usual one.
        save_to: a file for the plan; None: it is not saved.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    only: str | None = None
    restart_now: bool = False
    guests: bool = False
    quote: str | None = None
    classes: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    history: str | None = None
    save_to: Path | None = None


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
