"""Machines as the hypervisors have them, and what was done to them last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.history.errors import HistoryUnavailable
from orchestrator.history.restarts import written_at
from orchestrator.history.taking_over import Taking, takings
from orchestrator.operations.inputs import selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.names_seen import remember_sites
from orchestrator.operations.run import SILENT, Events, open_clusters, open_history
from orchestrator.proxmox import ProxmoxError
from orchestrator.resources.attributes import attributes_of
from orchestrator.resources.kinds import shown_things
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.scope import Selection
from orchestrator.resources.survey import Asked, SitesRead, observe_sites
from orchestrator.resources.unreadable import Unreadable

if TYPE_CHECKING:
    import datetime as dt

    from orchestrator.history import Entry
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.change import Address

_ENTRIES = 5


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What there is of a client, or of one machine.

    Attributes:
        machines: ours, as they are.
        entries: the last entries of each one's history, the latest first, by client and machine.
        seeming: what could not be read, and seems to be what was asked for, or a copy of it.
        unread: sites that could not be read, and why.
        taking: how far the client's taking over is (article 4.2); None if there was none.
        history_problem: why the history could not be read; empty if it could.
        waiting_since: when the settings were written that wait for a restart (aware), by client and machine, as far
            as it is known.
        shared: what the client has at the sites for its machines, and what there is to say of each.
        data_centres: where each machine stands, as its client is told, by site and number; empty: it is not named.
    """

    machines: tuple[ObservedMachine, ...]
    entries: Mapping[tuple[str, str], list[Entry]]
    seeming: tuple[Unreadable, ...]
    unread: tuple[str, ...]
    taking: Taking | None = None
    history_problem: str = ""
    waiting_since: Mapping[tuple[str, str], dt.datetime] = field(default_factory=dict)
    shared: tuple[tuple[Address, str], ...] = ()
    data_centres: Mapping[tuple[str, int], str] = field(default_factory=dict)


def show(target: str, inventory: str | None, history: str | None, events: Events = SILENT) -> Shown:
    """Read a client's machines, or one.

    Args:
        target: ``CLIENT[/MACHINE]``.
        inventory: where the site file is.
        history: a file or URL; None: the usual one.
        events: who is told what.

    Raises:
        OrchestratorError: the site file cannot be used.
    """
    provider = open_provider(inventory)
    chosen = selection(target)
    with open_clusters(provider, notice=events.notice) as clusters:
        read = observe_sites(clusters, Asked(selection=chosen))
        shared, unread = _shared(clusters, read, chosen)
    remember_sites(read.observed.values())
    found: list[ObservedMachine] = []
    seeming: list[Unreadable] = []
    for observed in read.observed.values():
        found += [m for m in observed.machines if m.mark and chosen.includes(m.mark.client, m.mark.machine)]
        seeming += [item for item in observed.unreadable if _seems(item, chosen)]
    entries: dict[tuple[str, str], list[Entry]] = {}
    history_problem, taking = "", None
    since: dict[tuple[str, str], dt.datetime] = {}
    if found:
        try:
            with open_history(history) as opened:
                for key in ((m.mark.client, m.mark.machine) for m in found if m.mark):
                    entries[key] = opened.entries(client=key[0], machine=key[1], limit=_ENTRIES)
                since = written_at(opened, {key: attributes_of(pending) for key, pending in _pending(found)})
                taking = takings(opened, chosen.client).get(chosen.client or "")
        except HistoryUnavailable as error:  # at three in the morning the machines count
            history_problem = str(error)
    return Shown(
        machines=tuple(found),
        entries=entries,
        seeming=tuple(seeming),
        unread=tuple(f"{site}: {why}" for site, why in {**read.failures, **unread}.items()),
        shared=shared,
        taking=taking,
        history_problem=history_problem,
        waiting_since=since,
        data_centres={
            (m.site, m.summary.vmid): provider.data_centre_of(m.site, m.summary.node) for m in found
        },
    )


def _shared(
    clusters: Mapping[str, Cluster], read: SitesRead, chosen: Selection
) -> tuple[tuple[tuple[Address, str], ...], dict[str, str]]:
    """What a client has at the sites for its machines; and the sites that stopped answering meanwhile."""
    found: list[tuple[Address, str]] = []
    unread: dict[str, str] = {}
    if chosen.client is not None and chosen.machine is None:
        for site, observed in read.observed.items():
            try:
                found += shown_things(clusters[site], observed, chosen.client)
            except ProxmoxError as error:
                unread[site] = str(error)
    return tuple(found), unread


def _pending(found: Iterable[ObservedMachine]) -> Iterator[tuple[tuple[str, str], Mapping[str, str]]]:
    """What waits for the next start of machines that run."""
    for machine in found:
        if machine.mark and machine.running and machine.config.pending:
            yield (machine.mark.client, machine.mark.machine), machine.config.pending


def _seems(item: Unreadable, chosen: Selection) -> bool:
    """Whether something that could not be read seems to be what is asked for, or a copy of it."""
    if item.client is None or item.client != chosen.client:
        return False
    return chosen.machine is None or item.machine in (None, chosen.machine)
