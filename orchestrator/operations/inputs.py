"""The clients' files as operations read them: what they ask for, limited to what was selected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import RequestRefused
from orchestrator.guests import SshSettings
from orchestrator.operations.computer import home_path
from orchestrator.operations.inventory import DEFAULT_FOLDER
from orchestrator.resources.desired import DesiredMachine, desired_machines
from orchestrator.resources.scope import EVERYTHING, Selection
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.loading import Loaded, load
from orchestrator.subscriptions.model import Subscription
from orchestrator.yaml_reader import Problem

Tell = Callable[[Sequence[Problem]], None]
"""Called with the problems of files."""


def open_subscriptions(
    paths: Iterable[Path] | None, provider: Provider, tell: Tell
) -> tuple[Subscription, ...]:
    """Read the clients' files.

    Args:
        paths: files or folders; ./subscriptions if there are none.
        provider: the sites.
        tell: called with all problems of all files, warnings too.

    Raises:
        RequestRefused: a path is not there, or a file has an error.
    """
    loaded = _load(paths, provider)
    tell(loaded.problems)
    if any(problem.severity == "error" for problem in loaded.problems):
        raise RequestRefused("the files have errors, nothing was planned")
    return tuple(item.subscription for item in loaded.subscriptions)


def open_desired(paths: Iterable[Path] | None, provider: Provider, tell: Tell) -> tuple[DesiredMachine, ...]:
    """Read the clients' files and compute what they ask for. Arguments and errors as :func:`open_subscriptions`."""
    return desired_machines(open_subscriptions(paths, provider, tell), provider)


def open_sound_desired(
    paths: Iterable[Path] | None, provider: Provider, tell: Tell
) -> tuple[tuple[DesiredMachine, ...], list[str]]:
    """What the files without errors ask for, and what is wrong with the others.

    For the night: one client's mistake must not take the others' backups away. Arguments as
    :func:`open_subscriptions`.

    Raises:
        RequestRefused: a path is not there.
    """
    sound, errors = open_sound_files(paths, provider, tell)
    told = [
        f"{problem.file}:{problem.line}: {problem.message}; the machines of its client are cared for as last applied"
        for problem in errors
    ]
    return desired_machines(sound, provider), told


def open_sound_files(
    paths: Iterable[Path] | None, provider: Provider, tell: Tell
) -> tuple[tuple[Subscription, ...], list[Problem]]:
    """The files without errors, and the errors of the others. Arguments as :func:`open_subscriptions`.

    Raises:
        RequestRefused: a path is not there.
    """
    loaded = _load(paths, provider)
    errors = [problem for problem in loaded.problems if problem.severity == "error"]
    tell(errors)
    return tuple(item.subscription for item in loaded.subscriptions), errors


def open_sound_subscriptions(paths: Iterable[Path] | None, provider: Provider) -> tuple[Subscription, ...]:
    """The clients' files without errors; what is wrong with the others is told elsewhere.

    Raises:
        RequestRefused: a path is not there.
    """
    return tuple(item.subscription for item in _load(paths, provider).subscriptions)


def _load(paths: Iterable[Path] | None, provider: Provider) -> Loaded:
    chosen = list(paths or ()) or [DEFAULT_FOLDER]
    for path in chosen:
        if not path.exists():
            raise RequestRefused(
                f"{path} does not exist: name the folder with the clients' files, or write one with `orchestrator new`"
            )
    return load(chosen, provider, today=day_in_paris(dt.datetime.now(dt.UTC)))


def selection(only: str | None) -> Selection:
    """Read ``CLIENT[/MACHINE]``; everything if nothing was said.

    Raises:
        RequestRefused: what was said names nobody: a script's variable may be empty.
    """
    if only is None:
        return EVERYTHING
    client, slash, machine = only.partition("/")
    if not client or (slash and not machine):
        raise RequestRefused(f"{only!r} selects nothing: name CLIENT, or CLIENT/MACHINE")
    return Selection(client=client, machine=machine or None)


def check_selection(chosen: Selection, desired: Iterable[DesiredMachine]) -> None:
    """Make sure that a client was selected that a file has.

    Raises:
        RequestRefused: no file has it.
    """
    clients = sorted({machine.client for machine in desired})
    if chosen.client is not None and chosen.client not in clients:
        raise RequestRefused(
            f"no file has a client {chosen.client}: there are {', '.join(clients) or 'none'}"
        )


def ssh_settings(provider: Provider) -> SshSettings:
    """How the provider reaches guests.

    Raises:
        RequestRefused: its key is not there.
    """
    management = provider.management
    key = home_path(management.ssh_private_key)
    if not key.is_file():
        raise RequestRefused(
            f"the provider's SSH key {key} does not exist: correct management.ssh_private_key in the site file"
        )
    return SshSettings(private_key=key, proxy_command=management.ssh_proxy_command)
