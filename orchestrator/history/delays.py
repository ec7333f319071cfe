"""How long updates took from publication, or from the client's request, to their installation (article 3.8.3).

The contract promises an average of 72 working hours. The average is over updates, not over packages: what is installed
in one machine in one go is one update, whether it is one package or a hundred. Those that still wait count with their
age so far: an update that is never installed must not make the average better.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.contract.calendar import UPDATE_DELAY_HOURS, working_hours_after, working_hours_between
from orchestrator.history.chain import Entry
from orchestrator.history.declared import Request
from orchestrator.history.details import MORE
from orchestrator.history.requests import asked_updates
from orchestrator.history.store import History

INSTALLED = "update"
"""The action under which installed updates are recorded."""

SEEN = "updates due"
"""The action under which a night records what is due in a machine, when that has changed."""

Key = tuple[str, str]
"""Client and machine."""

Version = tuple[str, str, str, str]
"""Client, machine, package and version."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One update of one machine: what was installed there in one go.

    Attributes:
        at: when it was installed.
        since: what the delay counts from: the client's request, or the publication of the package that was published
            first; None if neither is known.
        requested: when the client asked for it; None if nobody did.
        packages: how many packages were replaced; 0 if that is not known.
    """

    client: str
    machine: str
    at: dt.datetime
    since: dt.datetime | None
    requested: dt.datetime | None
    packages: int

    @property
    def hours(self) -> float | None:
        """The delay in working hours; None if it is not known since when."""
        return None if self.since is None else working_hours_between(self.since, self.at)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One update of one machine that is not installed yet.

    Attributes:
        since: the client's request, or when a night saw the first of its packages due.
        on_request: whether it counts from a request.
        now: until when it is counted.
    """

    client: str
    machine: str
    since: dt.datetime
    on_request: bool
    now: dt.datetime

    @property
    def hours(self) -> float:
        """Its age so far in working hours."""
        return working_hours_between(self.since, self.now)

    @property
    def due(self) -> dt.datetime:
        """When the contract's 72 working hours are over."""
        return working_hours_after(self.since, UPDATE_DELAY_HOURS)

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "client": self.client,
            "machine": self.machine,
            "since": self.since.isoformat(),
            "on_request": self.on_request,
            "working_hours": round(self.hours, 2),
            "over_at": self.due.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Delays:
    """What the history says of updates.

    Attributes:
        installed: the latest last.
        waiting: those that wait, the oldest first.
        seen: when a night first saw a version due.
    """

    installed: tuple[Installed, ...]
    waiting: tuple[Waiting, ...]
    seen: Mapping[Version, dt.datetime]

    @property
    def average_hours(self) -> float | None:
        """The average in working hours, those that wait with their age so far; None if there is nothing to count."""
        known = [*self._known, *(item.hours for item in self.waiting)]
        return sum(known) / len(known) if known else None

    @property
    def packages(self) -> int:
        """How many packages were installed."""
        return sum(item.packages for item in self.installed)

    @property
    def _known(self) -> list[float]:
        return [hours for item in self.installed if (hours := item.hours) is not None]

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        known, average = self._known, self.average_hours
        return {
            "packages": self.packages,
            "updates": len(self.installed),
            "average_working_hours": round(average, 2) if average is not None else None,
            "longest_working_hours": round(max(known), 2) if known else None,
            "contract_working_hours": UPDATE_DELAY_HOURS,
            "waiting": [item.to_data() for item in self.waiting],
        }


def delays(
    history: History,
    now: dt.datetime,
    *,
    days: int,
    client: str | None = None,
    machine: str | None = None,
    automatic: Collection[Key] = (),
) -> Delays:
    """Read the delays of the last days from the history.

    Args:
        history: what was done.
        now: the time, aware; what was recorded later does not count.
        days: how far back installed updates are counted; those that wait count however old they are.
        client, machine: whose; everybody's if None.
        automatic: the machines whose updates are to be installed without a request: what is due there waits.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    since = now - dt.timedelta(days=days)
    looks = _entries(history, SEEN, now, client, machine, since)
    last = [entry for entry in history.latest(SEEN, until=now) if _concerns(entry, client, machine)]
    seen = first_seen([*last, *looks])
    updates = _entries(history, INSTALLED, now, client, machine, since)[::-1]
    requests = [
        one.said
        for one in asked_updates(history, now=now, days=days, client=client)
        if machine in (None, *one.said.machines) and one.said.came <= now
    ]
    installed = _installed(updates, seen)
    left = [one for one in requests if not _answered(one, installed)]
    waiting = [*_asked_for(left, now), *_due(last, updates, seen, automatic, now)]
    return Delays(
        installed=tuple(sorted([*installed, *_by_hand(left, since, now)], key=lambda one: one.at)),
        waiting=tuple(_one_a_machine(waiting)),
        seen=seen,
    )


def _entries(
    history: History,
    action: str,
    now: dt.datetime,
    client: str | None,
    machine: str | None,
    since: dt.datetime,
) -> list[Entry]:
    found = history.entries(client=client, machine=machine, action=action, since=since)
    return [entry for entry in found if entry.at <= now]


def _concerns(entry: Entry, client: str | None, machine: str | None) -> bool:
    return client in (None, entry.client) and machine in (None, entry.machine)


def due_details(
    due: Mapping[str, str], key: Key, seen: Mapping[Version, dt.datetime], now: dt.datetime
) -> dict[str, Any]:
    """What a night records of what is due in a machine: its versions, and since when the older of them were seen.

    The latest such entry alone then tells how long everything has waited, however long ago that was.
    """
    since = {name: at for name, version in due.items() if (at := seen.get((*key, name, version), now)) < now}
    return {"due": dict(due), "since": {name: at.isoformat() for name, at in since.items()}}


def first_seen(entries: Iterable[Entry]) -> dict[Version, dt.datetime]:
    """Since when versions are known to be due, by what nights recorded of them."""
    seen: dict[Version, dt.datetime] = {}
    for entry in entries:
        details = _details(entry)
        earlier = _mapping(details.get("since"))
        for package, version in _mapping(details.get("due")).items():
            if package == MORE:
                continue
            key = (entry.client, str(entry.machine), package, str(version))
            at = min(entry.at, _moment(earlier.get(package)) or entry.at)
            seen[key] = min(at, seen.get(key, at))
    return seen


def _installed(entries: Iterable[Entry], seen: Mapping[Version, dt.datetime]) -> list[Installed]:
    """One for each entry; of several on one request the first: the rest came out after it."""
    found: list[Installed] = []
    answered: set[tuple[str, str, dt.datetime]] = set()
    for entry in entries:
        packages, details = _packages(entry), _details(entry)
        if not packages:
            continue
        requested = _moment(details.get("requested_at"))
        if requested is not None:
            request = (entry.client, str(entry.machine), requested)
            if request in answered:
                continue
            answered.add(request)
        published = [at for item in packages if (at := _since(entry, item, seen))]
        begins = [requested] if requested else published
        if requested and details.get("automatic") is True:  # a request makes no publication later
            begins = [requested, *published]
        found.append(
            Installed(
                client=entry.client,
                machine=str(entry.machine),
                at=entry.at,
                since=min(begins, default=None),
                requested=requested,
                packages=len(packages),
            )
        )
    return found


def _answered(request: Request, installed: Iterable[Installed]) -> bool:
    """Whether an update that was recorded is the one that a request asked for: it is one update, not two.

    It names that request, or an earlier one of its machine, and the request was closed with it.
    """
    return any(
        (one.client, one.machine) == (request.client, request.machines[0])
        and one.requested is not None
        and (
            one.requested == request.came
            or (
                request.outcome == "done"
                and request.closed is not None
                and one.requested <= request.came <= one.at <= request.closed
            )
        )
        for one in installed
    )


def _by_hand(requests: Iterable[Request], since: dt.datetime, now: dt.datetime) -> list[Installed]:
    """The updates on request that somebody closed as done, and that no entry of ours is about."""
    return [
        Installed(
            client=one.client,
            machine=one.machines[0],
            at=one.closed,
            since=one.came,
            requested=one.came,
            packages=0,
        )
        for one in requests
        if one.outcome == "done" and one.closed is not None and since <= one.closed <= now
    ]


def _asked_for(requests: Iterable[Request], now: dt.datetime) -> list[Waiting]:
    """The updates that were asked for and whose request was open then."""
    return [
        Waiting(client=one.client, machine=one.machines[0], since=one.came, on_request=True, now=now)
        for one in requests
        if one.closed is None or one.closed > now
    ]


def _one_a_machine(waiting: Iterable[Waiting]) -> list[Waiting]:
    """What waits in one machine is one update, however often it was asked for; the oldest first."""
    found: dict[Key, Waiting] = {}
    for one in waiting:
        other = found.get((one.client, one.machine), one)
        found[one.client, one.machine] = replace(
            one, since=min(one.since, other.since), on_request=one.on_request or other.on_request
        )
    return sorted(found.values(), key=lambda item: (item.since, item.client, item.machine))


def _since(entry: Entry, item: dict[str, Any], seen: Mapping[Version, dt.datetime]) -> dt.datetime | None:
    """When a package of an update was published; where that is not known, when a night first saw it."""
    known = seen.get((entry.client, str(entry.machine), str(item.get("package")), str(item.get("to"))))
    return _moment(item.get("published")) or known


def _packages(entry: Entry) -> list[dict[str, Any]]:
    """The packages that an entry lists; the last item may be a text that says how many more there are."""
    listed = _details(entry).get("installed")
    items = listed if isinstance(listed, list) else []
    return [item for item in items if isinstance(item, dict) and isinstance(item.get("package"), str)]


def _due(
    last: Iterable[Entry],
    updates: Iterable[Entry],
    seen: Mapping[Version, dt.datetime],
    automatic: Collection[Key],
    now: dt.datetime,
) -> list[Waiting]:
    """The updates that wait: one for each machine with automatic updates in which something is due."""
    found = []
    for key, due in _still_due(last, updates).items():
        since = [seen[(*key, package, version)] for package, version in due.items()]
        if key in automatic and since:
            found.append(Waiting(client=key[0], machine=key[1], since=min(since), on_request=False, now=now))
    return found


def packages_due(history: History) -> dict[Key, dict[str, str]]:
    """The versions that are due in each machine that a night has looked into, by package: two queries.

    They are what the last look saw, without what was installed since.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    last = history.latest(SEEN)
    if not last:
        return {}
    updates = history.entries(action=INSTALLED, since=min(entry.at for entry in last))
    return _still_due(last, updates)


def _still_due(last: Iterable[Entry], updates: Iterable[Entry]) -> dict[Key, dict[str, str]]:
    """What the last looks into machines saw, without what was installed there since."""
    later: dict[Key, list[Entry]] = {}
    for entry in updates:
        later.setdefault((entry.client, str(entry.machine)), []).append(entry)
    found = {}
    for entry in last:
        key = (entry.client, str(entry.machine))
        done = {
            str(item["package"])
            for update in later.get(key, [])
            if update.sequence > entry.sequence
            for item in _packages(update)
        }
        found[key] = {
            package: str(version)
            for package, version in _mapping(_details(entry).get("due")).items()
            if package != MORE and package not in done
        }
    return found


def _moment(value: object) -> dt.datetime | None:
    """A moment that was recorded; None for none, and for what somebody altered (``history verify`` says so)."""
    try:
        at = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(dt.UTC) if at is not None and at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _details(entry: Entry) -> dict[str, Any]:
    try:
        return _mapping(json.loads(entry.details))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
