"""Renewing the last look: everything is read once, as ``orchestrator show`` reads it, and what has changed is kept."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import RequestRefused
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface.look_writing import end_turn, keep_away, keep_clients, keep_site, take_turn
from orchestrator.operations.connecting import open_clusters
from orchestrator.operations.estate import EstateRequest, read_files, read_known
from orchestrator.operations.events import SILENT, Events
from orchestrator.operations.inventory import open_provider
from orchestrator.resources.reading_ahead import ReadingAhead

if TYPE_CHECKING:
    from orchestrator.history.database import Database
    from orchestrator.interface.looked import LookedMachine
    from orchestrator.reports.estate import Estate
    from orchestrator.reports.estate_facts import Files
    from orchestrator.resources.survey import SitesRead
    from orchestrator.sites.model import Provider

LIMIT = dt.timedelta(minutes=10)
"""How long a look may take; then somebody else may begin one."""


@dataclass(frozen=True, kw_only=True)
class LookRequest:
    """What to look at: every site.

    Attributes:
        inventory: where the site file is.
        files: subscription files or folders; ./subscriptions, if it is there, where none are named.
        history: the database, a file or a URL; None: the usual one.
    """

    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class LookDone:
    """What a look found.

    Attributes:
        at: when it began to read (aware).
        machines: of the sites that were read.
        written, removed: machines that were not as they were, and that are no longer there.
        away: why a site could not be read, by its name.
        problems: what could not be read besides, human-readable.
    """

    at: dt.datetime
    machines: int
    written: int
    removed: int
    away: Mapping[str, str]
    problems: tuple[str, ...]


def refresh_looks(request: LookRequest, events: Events = SILENT) -> LookDone:
    """Read every site, the files and the history, and keep what the pages show. Made if it is not there.

    The calls are those of ``orchestrator show``. A site that cannot be read keeps what was last read of it.

    Raises:
        RequestRefused: another look is under way.
        OrchestratorError: the site file or the database cannot be used.
    """
    from orchestrator.interface.database import open_interface
    from orchestrator.operations.computer import state_directory

    provider = open_provider(request.inventory)
    place = request.history or str(state_directory() / "history.db")
    database = open_interface(place)
    try:
        holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        if not take_turn(database, holder, dt.datetime.now(dt.UTC), LIMIT, _is_gone):
            raise RequestRefused("another look is under way: its result is shown when it has ended")
        try:
            return _look(request, provider, database, place, events)
        finally:
            end_turn(database, holder)
    finally:
        database.close()


def _is_gone(holder: str) -> bool:
    """Whether a look was made by a process of this computer that is there no more."""
    computer, _, rest = holder.partition(" ")
    number = rest.partition(" ")[0]
    if computer != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _look(
    request: LookRequest, provider: Provider, database: Database, place: str, events: Events
) -> LookDone:
    now = dt.datetime.now(dt.UTC)
    problems: list[str] = []
    files, read = _read(request, provider, now, problems, events)
    from orchestrator.reports.estate_facts import estate_of, waiting_settings
    from orchestrator.reports.look_documents import machines_by_site

    known = read_known(place, waiting_settings(read, now), problems)
    estate = estate_of(provider, files, read, known, now, problems)
    documents = machines_by_site(estate, files, read, provider, now)
    written, removed = _keep(database, provider, read, estate, documents, now)
    _keep_clients(database, provider, files, estate, now)
    return LookDone(
        at=now,
        machines=sum(len(reading.observed.machines) for reading in read.readings.values()),
        written=written,
        removed=removed,
        away=dict(read.failures),
        problems=estate.problems,
    )


def _read(
    request: LookRequest, provider: Provider, now: dt.datetime, problems: list[str], events: Events
) -> tuple[Files | None, SitesRead]:
    with (
        open_clusters(provider, notice=events.notice) as clusters,
        ReadingAhead(clusters) as ahead,
    ):
        ahead.read(None)
        from orchestrator.resources.survey import Asked, observe_sites

        asked = EstateRequest(inventory=request.inventory, files=request.files, history=request.history)
        files = read_files(asked, provider, events, problems)
        desired = tuple(files.desired.values()) if files else ()
        everything = Asked(desired=desired, everybody=True, archives=provider.backup_storage_names)
        return files, observe_sites(clusters, everything, ahead.look_at)


def _keep(
    database: Database,
    provider: Provider,
    read: SitesRead,
    estate: Estate,
    documents: Mapping[str, list[LookedMachine]],
    now: dt.datetime,
) -> tuple[int, int]:
    """Keep what was found of each site: machines written, and removed."""
    from orchestrator.reports.look_documents import looked_site

    written = removed = 0
    for name in provider.sites:
        reading = read.readings.get(name)
        site = looked_site(name, reading, estate, provider)
        machines = documents.get(name, [])
        if reading is None:
            keep_away(database, site, read.failures[name], machines, now)
        else:
            kept = keep_site(database, site, machines, now)
            written, removed = written + kept.written, removed + kept.removed
    return written, removed


def _keep_clients(
    database: Database, provider: Provider, files: Files | None, estate: Estate, now: dt.datetime
) -> None:
    from orchestrator.history import History
    from orchestrator.history.changes import free_changes
    from orchestrator.reports.look_documents import endings_of, looked_clients

    try:
        used = {client: len(days) for client, days in free_changes(History(database), now).items()}
    except HistoryUnavailable:  # what runs counts more
        used = None
    clients = looked_clients(estate, files, used, now)
    keep_clients(database, clients, endings_of(clients), list(provider.sites))
