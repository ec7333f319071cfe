"""The whole estate: what runs at every site, what the files promise beside it, and what needs somebody. Only read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.operations.connecting import open_clusters
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider, site_of
from orchestrator.reports.estate import Estate, Filters, SortKey, chosen
from orchestrator.resources.reading_ahead import ReadingAhead
from orchestrator.shown import quoted

if TYPE_CHECKING:
    from orchestrator.reports.estate_facts import Files, Known
    from orchestrator.sites.model import Provider


@dataclass(frozen=True, kw_only=True)
class EstateRequest:
    """What to show of the estate.

    Attributes:
        inventory: where the site file is.
        files: subscription files or folders; ./subscriptions, if it is there, where none are named.
        history: a file or URL; None: the usual one, if there is one.
        sites: only these are read; all if none is named.
        filters: which machines.
        sort: what they are sorted by.
        reverse: the largest, or latest, first.
    """

    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None
    sites: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    sort: SortKey = SortKey.NAME
    reverse: bool = False


def estate(request: EstateRequest, events: Events = SILENT) -> Estate:
    """Read the sites, the files and the history.

    The calls are those of a plan, and one for each backup storage; the history is asked three questions at most,
    whatever the number of machines. The names are kept for shells, as of any look.

    Raises:
        OrchestratorError: the site file cannot be used, it has no such site, or a path that was named is not there.
    """
    provider = open_provider(request.inventory)
    for name in request.sites:
        site_of(provider, name)
    sites = frozenset(request.sites or provider.sites)
    now = dt.datetime.now(dt.UTC)
    with (
        open_clusters(provider, only=sites, notice=events.notice) as clusters,
        ReadingAhead(clusters) as ahead,
    ):
        ahead.read(None)
        from orchestrator.operations.names_seen import remember_sites
        from orchestrator.reports.estate_facts import (
            estate_of,
            waiting_settings,
        )  # loaded while the sites answer
        from orchestrator.resources.survey import Asked, observe_sites

        problems: list[str] = []
        files = read_files(request, provider, events, problems)
        asked = Asked(
            desired=tuple(files.desired.values()) if files else (),
            everybody=True,
            archives=provider.backup_storage_names,
            newest_at=now,
        )
        read = observe_sites(clusters, asked, ahead.look_at)
    remember_sites(read.observed.values())
    known = read_known(request.history, waiting_settings(read, now), problems)
    whole = estate_of(provider, files, read, known, now, problems)
    _refuse_unknown("client", request.filters.clients, {row.client for row in whole.clients}, whole)
    _refuse_unknown("node", request.filters.nodes, {row.node for row in whole.nodes}, whole)
    return chosen(whole, request.filters, request.sort, reverse=request.reverse)


def _refuse_unknown(what: str, asked: frozenset[str], there: set[str], whole: Estate) -> None:
    """Refuse a name that nothing bears: an empty table would read as if all were well. What is away may bear it."""
    unknown = sorted(asked - there)
    if unknown and not whole.incomplete:
        near = get_close_matches(unknown[0], sorted(there), n=3)
        meant = f": did you mean {' or '.join(near)}?" if near else ": `orchestrator show` names all of them"
        raise RequestRefused(f"there is no {what} {quoted(unknown[0])}{meant}")


def read_files(
    request: EstateRequest, provider: Provider, events: Events, problems: list[str]
) -> Files | None:
    """What the files without errors say; None if there are none."""
    if not request.files and not DEFAULT_FOLDER.exists():
        return None
    from orchestrator.operations.inputs import open_sound_files
    from orchestrator.reports.estate_facts import Files
    from orchestrator.resources.desired import desired_machines
    from orchestrator.subscriptions.glance import clients_named

    sound, errors = open_sound_files(request.files, provider, events.problems)
    problems += [f"{problem.file}:{problem.line}: {problem.message}" for problem in errors]
    paths = request.files or (DEFAULT_FOLDER,)
    clients = {subscription.client: subscription.contract.site for subscription in sound}
    return Files(
        desired={machine.key: machine for machine in desired_machines(sound, provider)},
        clients=clients,
        faulty=clients_named(paths) - clients.keys() if errors else frozenset(),
        everybody=any(path.is_dir() for path in paths),
    )


def read_known(
    place: str | None, waiting: Mapping[tuple[str, str], Mapping[str, str]], problems: list[str]
) -> Known:
    """What the history knows of machines: two questions, and a third one where settings wait for a restart."""
    from orchestrator.history.errors import HistoryMissing, HistoryUnavailable
    from orchestrator.history.opening import open_history
    from orchestrator.operations.computer import state_directory
    from orchestrator.reports.estate_facts import Known
    from orchestrator.resources.attributes import attributes_of

    try:
        with open_history(place or state_directory() / "history.db", create=False) as opened:
            from orchestrator.history.delays import packages_due  # with a history alone: it loads a database
            from orchestrator.history.restarts import written_at

            return Known(
                updates={key: len(due) for key, due in packages_due(opened).items()},
                written=written_at(
                    opened, {key: attributes_of(settings) for key, settings in waiting.items()}
                ),
            )
    except HistoryMissing:
        return Known()
    except HistoryUnavailable as error:  # what runs counts more
        problems.append(str(error))
        return Known()
