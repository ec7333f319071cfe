"""The clients' files for a program that runs on: read again only when one of them has changed."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchestrator.contract.calendar import day_in_paris
from orchestrator.operations.inputs import open_sound_files
from orchestrator.operations.inventory import DEFAULT_FOLDER, find_inventory, open_provider
from orchestrator.resources.desired import DesiredMachine, desired_machines
from orchestrator.sites.model import Provider
from orchestrator.subscriptions.model import Subscription
from orchestrator.yaml_reader import Problem
from orchestrator.yaml_reader.files import yaml_files

_LOOK_AGAIN_SECONDS = 5
"""Whether a file has changed is looked up so often at most: ten thousand files are ten thousand looks."""

_Stamp = tuple[object, ...]


@dataclass(frozen=True)
class FilesRead:
    """What the files say.

    Attributes:
        subscriptions: of the files without errors.
        errors: of the others.
        stamp: differs when something has changed.
    """

    provider: Provider
    subscriptions: tuple[Subscription, ...]
    errors: tuple[Problem, ...]
    stamp: _Stamp

    @cached_property
    def by_client(self) -> Mapping[str, Subscription]:
        """The subscriptions by their clients."""
        return {item.client: item for item in self.subscriptions}

    @cached_property
    def desired(self) -> Mapping[tuple[str, str], DesiredMachine]:
        """What they ask for, by client and machine."""
        return {item.key: item for item in desired_machines(self.subscriptions, self.provider)}


class RecentFiles:
    """The clients' files and the site file, as they were read last. Safe to use from several threads."""

    def __init__(self, inventory: str | None, files: tuple[Path, ...] = ()) -> None:
        """Read nothing yet.

        Args:
            inventory: where the site file is.
            files: subscription files or folders; none: ./subscriptions.
        """
        self._inventory = inventory
        self._files = files or (DEFAULT_FOLDER,)
        self._guard = threading.Lock()
        self._read: FilesRead | None = None
        self._looked: dt.datetime | None = None

    def read(self, now: dt.datetime) -> FilesRead:
        """What the files say now; whoever comes while they are read waits.

        Args:
            now: the time (aware): what is wrong with a file may depend on the day.

        Raises:
            RequestRefused: a path is not there.
            ProblemsFound: the site file has errors.
        """
        with self._guard:
            recent = self._looked is not None and dt.timedelta(0) <= now - self._looked < dt.timedelta(
                seconds=_LOOK_AGAIN_SECONDS
            )
            if self._read is not None and recent:
                return self._read
            stamp = self._stamp(now)
            if self._read is None or self._read.stamp != stamp:
                provider = open_provider(self._inventory)
                subscriptions, errors = open_sound_files(self._files, provider, _nobody)
                self._read = FilesRead(provider, subscriptions, tuple(errors), stamp)
            self._looked = now
            return self._read

    def _stamp(self, now: dt.datetime) -> _Stamp:
        place = find_inventory(self._inventory)
        paths = [place if place.is_file() else place / "sites.yaml"]
        paths += [file.path for file in yaml_files(self._files) if not isinstance(file, Problem)]
        return (day_in_paris(now), *map(_state, paths))


def _state(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # gone since: reading says so
        return str(path), 0, 0, 0
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns


def _nobody(_: object) -> None:
    """Problems are in what is returned."""
