"""How long updates took from publication, or from the client's request, to their installation (article 3.8.3)."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, working_hours_between
from orchestrator.history.chain import Entry
from orchestrator.history.details import MORE
from orchestrator.history.store import History

INSTALLED = "update"
"""The action under which installed updates are recorded."""

SEEN = "updates due"
"""The action under which a night records what is due in a machine, when that has changed."""


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One package that was installed in one machine.

    Attributes:
        at: when it was installed.
        since: what the delay counts from: the client's request, or the publication; None if neither is known.
        on_request: whether it counts from a request.
    """

    client: str
    machine: str
    package: str
    version: str
    security: bool
    at: dt.datetime
    since: dt.datetime | None
    on_request: bool

    @property
    def hours(self) -> float | None:
        """The delay in working hours; None if it is not known since when."""
        return None if self.since is None else working_hours_between(self.since, self.at)


@dataclass(frozen=True, kw_only=True)
class Delays:
    """What the history says of updates.

    Attributes:
        installed: the latest last.
        seen: when a night first saw a version due, by client, machine, package and version.
    """

    installed: tuple[Installation, ...]
    seen: dict[tuple[str, str, str, str], dt.datetime]

    @property
    def average_hours(self) -> float | None:
        """The average delay in working hours; None if nothing was installed."""
        known = [hours for item in self.installed if (hours := item.hours) is not None]
        return sum(known) / len(known) if known else None

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        known = [item for item in self.installed if item.hours is not None]
        average = self.average_hours
        return {
            "packages": len(self.installed),
            "average_working_hours": round(average, 2) if average is not None else None,
            "longest_working_hours": round(max(item.hours or 0.0 for item in known), 2) if known else None,
            "contract_working_hours": UPDATE_DELAY_HOURS,
        }


def delays(
    history: History,
    now: dt.datetime,
    *,
    days: int,
    client: str | None = None,
    machine: str | None = None,
) -> Delays:
    """Read the delays of the last days from the history.

    Args:
        history: what was done.
        now: the time, aware.
        days: how far back.
        client, machine: whose; everybody's if None.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    since = now - dt.timedelta(days=days)
    seen: dict[tuple[str, str, str, str], dt.datetime] = {}
    for entry in history.entries(client=client, machine=machine, action=SEEN, since=since):
        for package, version in _mapping(_details(entry).get("due")).items():
            if package == MORE:
                continue
            key = (entry.client, str(entry.machine), package, version)
            seen[key] = min(entry.at, seen.get(key, entry.at))
    installed = []
    for entry in history.entries(client=client, machine=machine, action=INSTALLED, since=since):
        details = _details(entry)
        requested = details.get("requested_at")
        listed = details.get("installed")
        for item in listed if isinstance(listed, list) else ():
            if isinstance(item, str):  # how many more there are
                continue
            with suppress(KeyError, TypeError, ValueError):  # altered by somebody: `history verify` says so
                installed.append(_installation(entry, item, requested, seen))
    return Delays(installed=tuple(reversed(installed)), seen=seen)


def _installation(
    entry: Entry,
    item: dict[str, Any],
    requested: str | None,
    seen: dict[tuple[str, str, str, str], dt.datetime],
) -> Installation:
    begin = requested or item["published"]
    since = dt.datetime.fromisoformat(begin) if begin else None
    return Installation(
        client=entry.client,
        machine=str(entry.machine),
        package=item["package"],
        version=item["to"],
        security=bool(item["security"]),
        at=entry.at,
        since=since or seen.get((entry.client, str(entry.machine), item["package"], item["to"])),
        on_request=bool(requested),
    )


def _details(entry: Entry) -> dict[str, Any]:
    try:
        return _mapping(json.loads(entry.details))
    except ValueError:
        return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
