"""The names that were seen at the last look at each site: for shells, which complete them without a call.

A cache and no record: it is written when a command has read a site, and whatever is wrong with it, it is as if it were
not there. Names come from hypervisors and guests' owners, and shells evaluate what completes: only names of a form that
means nothing to any shell are written, and only such are taken out of the file again.

Nothing is loaded here that takes time: a shell waits for the answer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedSite

_VERSION = 1
_LARGEST_BYTES = 4 * 1024 * 1024
_MOST_SITES = 64
_MOST_OF_ONE = 200
"""Snapshots, or archives, of one machine."""

_LABEL = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_MACHINE = re.compile(f"{_LABEL}/{_LABEL}")
_SITE = re.compile(_LABEL)
_SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_ARCHIVE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}:[A-Za-z0-9][A-Za-z0-9._:/+-]{0,254}")


@dataclass
class SiteNames:
    """What was seen at a site.

    Attributes:
        machines: ``CLIENT/MACHINE`` of all that seem ours.
        snapshots, archives: of a machine, if they were listed; the last look at them counts.
    """

    machines: list[str] = field(default_factory=list)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    archives: dict[str, list[str]] = field(default_factory=dict)


def machines_seen() -> list[str]:
    """``CLIENT/MACHINE`` of every machine that was seen."""
    return sorted({name for site in _read().values() for name in site.machines})


def snapshots_seen(machine: str) -> list[str]:
    """The names of a machine's snapshots."""
    return sorted({name for site in _read().values() for name in site.snapshots.get(machine, ())})


def archives_seen(machine: str) -> list[str]:
    """The volume ids of a machine's archives, the newest first."""
    return sorted(
        {name for site in _read().values() for name in site.archives.get(machine, ())}, reverse=True
    )


def remember_sites(sites: Iterable[ObservedSite], *, snapshots_of: str | None = None) -> None:
    """Keep the names of sites that were just read.

    Args:
        sites: as they are.
        snapshots_of: the machine whose snapshots were listed, so that those that are gone are forgotten.
    """
    from orchestrator.resources.roster import roster

    def put(names: dict[str, SiteNames]) -> None:
        for site in sites:
            seen = names[site.site] = names.pop(site.site, SiteNames())  # the last of all
            seen.machines = [
                f"{item.client}/{item.machine}" for item in roster(site.state.vms, site.site).values()
            ]
            for machine in site.machines:
                if machine.mark is None:
                    continue
                key = f"{machine.mark.client}/{machine.mark.machine}"
                if machine.snapshots or key == snapshots_of:
                    seen.snapshots[key] = [snapshot.name for snapshot in machine.snapshots]

    _change(put)


def remember_readings(readings: Mapping[str, SiteReading]) -> None:
    """Keep the names of sites whose archives were listed as well."""
    remember_sites([reading.observed for reading in readings.values()])

    def put(names: dict[str, SiteNames]) -> None:
        for site, reading in readings.items():
            seen = names.setdefault(site, SiteNames())
            for (client, machine), archives in reading.holdings.owned.items():
                seen.archives[f"{client}/{machine}"] = [archive.stored.volid for archive in archives]

    _change(put)


def _change(put: Any) -> None:
    with suppress(OSError, RuntimeError):  # a cache that cannot be written is none
        names = _read()
        before = _document(names)
        put(names)
        while len(names) > _MOST_SITES:
            del names[next(iter(names))]
        if (after := _document(names)) != before:
            _write(after)


def _document(names: Mapping[str, SiteNames]) -> dict[str, Any]:
    """What is written: names of a harmless form, of machines that are there."""
    return {
        "version": _VERSION,
        "sites": {name: _harmless(site) for name, site in names.items() if _SITE.fullmatch(name)},
    }


def _harmless(site: SiteNames) -> dict[str, Any]:
    machines = sorted(_fit(site.machines, _MACHINE))
    there = set(machines)

    def of_machines(found: Mapping[str, Any], form: re.Pattern[str]) -> dict[str, list[str]]:
        return {
            key: list(_fit(names, form))[-_MOST_OF_ONE:]
            for key, names in sorted(found.items())
            if key in there
        }

    return {
        "machines": machines,
        "snapshots": of_machines(site.snapshots, _SNAPSHOT),
        "archives": of_machines(site.archives, _ARCHIVE),
    }


def _fit(names: Any, form: re.Pattern[str]) -> Iterator[str]:
    for name in names if isinstance(names, list) else ():
        if isinstance(name, str) and form.fullmatch(name):
            yield name


def _file() -> Path:
    """Where the cache is.

    Raises:
        RuntimeError: the account has no home.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "orchestrator" / "names.json"  # noqa: PTH117


def _read() -> dict[str, SiteNames]:
    """The cache; empty if there is none, or none that can be understood."""
    try:
        descriptor = os.open(_file(), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:  # noqa: PTH123  (a descriptor)
            content = stream.read(_LARGEST_BYTES + 1)
        data = json.loads(content) if content and len(content) <= _LARGEST_BYTES else None
    except (OSError, ValueError, RuntimeError, RecursionError):
        return {}
    sites = data.get("sites") if isinstance(data, dict) and data.get("version") == _VERSION else None
    found: dict[str, SiteNames] = {}
    for name, entry in sites.items() if isinstance(sites, dict) else ():
        if isinstance(entry, dict) and _SITE.fullmatch(name):
            found[name] = _site(entry)
    return found


def _site(entry: Mapping[str, Any]) -> SiteNames:
    def of_machines(key: str, form: re.Pattern[str]) -> dict[str, list[str]]:
        held = entry.get(key)
        return {
            machine: list(_fit(names, form))
            for machine, names in (held.items() if isinstance(held, dict) else ())
            if _MACHINE.fullmatch(machine)
        }

    return SiteNames(
        machines=list(_fit(entry.get("machines"), _MACHINE)),
        snapshots=of_machines("snapshots", _SNAPSHOT),
        archives=of_machines("archives", _ARCHIVE),
    )


def _write(document: Mapping[str, Any]) -> None:
    """Write the file whole or not at all, for its owner alone; too large a one is not written."""
    text = json.dumps(document, separators=(",", ":")).encode()
    if len(text) > _LARGEST_BYTES:
        return
    path = _file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".names.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(fresh, flags, 0o600), "wb") as stream:  # noqa: PTH123  (a descriptor)
            stream.write(text)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
