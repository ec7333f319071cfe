"""Is everything as it has to be? Every site and this computer are examined, and nothing is changed."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.doctor import Finding, examine_here, examine_site
from orchestrator.doctor.examination import NO_FILES, ClientFiles
from orchestrator.errors import OrchestratorError
from orchestrator.guests import SshSettings
from orchestrator.operations.inputs import open_sound_desired
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider, site_of
from orchestrator.operations.run import SILENT, Events, connect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.privileges import needs_of_files
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.glance import clients_named

NO_INVENTORY = 3
"""Exit code, as monitoring expects it: unknown, for the site file cannot be read."""


@dataclass(frozen=True, kw_only=True)
class DoctorRequest:
    """What to examine.

    Attributes:
        inventory: where the site file is.
        paths: subscription files or folders: what they use decides which privileges are needed.
        sites: only these; all if there are none.
        guests: enter one machine by SSH.
    """

    inventory: str | None
    paths: tuple[Path, ...] = ()
    sites: tuple[str, ...] = ()
    guests: bool = True


def examine(request: DoctorRequest, events: Events = SILENT) -> list[Finding]:
    """Examine this computer and the sites, all at once.

    Raises:
        OrchestratorError: the site file cannot be read, or has no such site.
    """
    try:
        provider = open_provider(request.inventory)
    except OrchestratorError as error:
        error.exit_code = NO_INVENTORY
        raise
    chosen = request.sites or tuple(provider.sites)
    for name in chosen:
        site_of(provider, name)
    desired = _desired(request, provider, events)
    clients = _clients(request, desired)
    with ThreadPoolExecutor(len(chosen), thread_name_prefix="site") as pool:
        results = pool.map(
            lambda name: _site(name, provider, desired, clients, guests=request.guests),
            chosen,
        )
        return [*examine_here(provider), *(finding for found in results for finding in found)]


def _desired(request: DoctorRequest, provider: Provider, events: Events) -> tuple[DesiredMachine, ...]:
    """What the files ask for, those without errors; nothing where there is no folder of files."""
    if not request.paths and not any(DEFAULT_FOLDER.glob("**/*.yaml")):
        return ()
    desired, _ = open_sound_desired(request.paths, provider, events.problems)
    return desired


def _clients(request: DoctorRequest, desired: Collection[DesiredMachine]) -> ClientFiles:
    """Whose files were read."""
    if not desired:
        return NO_FILES
    paths = request.paths or (DEFAULT_FOLDER,)
    return ClientFiles(
        desired=tuple(desired),
        others=clients_named(paths),
        everybody=any(path.is_dir() for path in paths),
    )


def _site(
    name: str,
    provider: Provider,
    desired: Collection[DesiredMachine],
    clients: ClientFiles,
    *,
    guests: bool,
) -> list[Finding]:
    management = provider.management
    key = Path(management.ssh_private_key)
    ssh = SshSettings(private_key=key, proxy_command=management.ssh_proxy_command)
    return examine_site(
        name,
        provider.sites[name],
        management,
        connect=partial(connect, name, provider.sites[name]),
        extra=needs_of_files([machine for machine in desired if machine.site == name]),
        ssh=ssh if guests and key.is_file() else None,
        clients=clients,
    )
