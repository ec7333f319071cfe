"""What a client's month was, from the history's entries and records: data for the monthly report. Pure, no words.

Nothing of it depends on what the hypervisors have today: made twice, it is the same.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.contract.calendar import day_in_paris, in_working_hours, night_begins, night_of
from orchestrator.contract.forecasts import Ending
from orchestrator.contract.probation import probation_ends
from orchestrator.history.changes import CHANGE, FREE
from orchestrator.planning.machine import COPIES
from orchestrator.resources.desired import life_of

if TYPE_CHECKING:
    from orchestrator.contract.months import Month
    from orchestrator.history.chain import Entry
    from orchestrator.subscriptions.model import Subscription

BACKUPS = ("backup", "backup, begun by an earlier run")
RESTORE_TEST, ALERTS = "restore test", "firewall alerts"
SNAPSHOTS = ("snapshot", "expire snapshot", "delete snapshot", "roll back")
MADE = ("clone", "adopt")
"""Actions of the history: which they are is said where they are recorded."""

READ = (CHANGE, RESTORE_TEST, ALERTS, *BACKUPS, *SNAPSHOTS, *MADE)
"""All that the report needs of a month: one query."""

_ON_A_SERVER = re.compile(r"[\w.-]{1,100}:backup/vm/[0-9]+/")
"""How the name of an archive on a backup server begins, and with it what the history says of a backup."""

_BYTES = re.compile(r", ([0-9]{1,18}) bytes$")


@dataclass(frozen=True, kw_only=True)
class BackupMonth:
    """A machine's backups of a month.

    Attributes:
        expected: the nights that were to have one, and are over.
        good: those that have.
        missing: each of the others with the reason that the history gives; empty if it gives none.
        last_size, volume: bytes of the month's last backup, and of all of them; 0 if that is not known.
        deduplicated: whether some went to a backup server: their sizes are those of the disks, before deduplication.
        second: of the second copies (article 3.2); None if its backup has one copy. A night is good that has archives
            on two storages, and missing if it has one; of nights without any backup nothing is said again.
    """

    machine: str
    expected: tuple[dt.date, ...]
    good: tuple[dt.date, ...]
    missing: tuple[tuple[dt.date, str], ...]
    last_size: int
    volume: int
    second: SecondCopies | None = None
    deduplicated: bool = False


@dataclass(frozen=True, kw_only=True)
class SecondCopies:
    """The second copies of a machine's backups of a month: as of :class:`BackupMonth`."""

    expected: tuple[dt.date, ...]
    good: tuple[dt.date, ...]
    missing: tuple[tuple[dt.date, str], ...]


@dataclass(frozen=True, kw_only=True)
class ChangeMade:
    """A machine's change in one run.

    Attributes:
        change_class, charge: as they were recorded.
        reference: of the order, catalogue or quote; empty if there is none.
        what: what was changed.
    """

    day: dt.date
    machine: str
    change_class: str
    charge: str
    reference: str
    what: str


@dataclass(frozen=True, kw_only=True)
class MonthFacts:
    """A client's month beside its service level.

    Attributes:
        free_per_month: standard changes that are free; None without managed services.
        free_used: machines and days on which one was made.
        restore_tests: time, machine, result, words, how the check of its file ended (empty: there was none).
        snapshots: time, machine, what was done, result.
        dropped: packets that the machines' firewalls dropped, by machine.
        probation_until: the first day with a service level after the taking over (article 4.2); None if none was.
        suspended_since: the day (article 9); None if it is not suspended.
        dates: what has a last day: quotes, the contract.
    """

    backups: tuple[BackupMonth, ...]
    changes: tuple[ChangeMade, ...]
    free_per_month: int | None
    free_used: int
    restore_tests: tuple[tuple[dt.datetime, str, str, str, str], ...]
    snapshots: tuple[tuple[dt.datetime, str, str, str], ...]
    dropped: Mapping[str, int]
    probation_until: dt.date | None
    suspended_since: dt.date | None
    dates: tuple[Ending, ...]


def month_facts(
    subscription: Subscription, month: Month, entries: Iterable[Entry], now: dt.datetime
) -> MonthFacts:
    """Compute a client's month.

    Args:
        subscription: the client's file.
        month: which.
        entries: of the client, with the actions of :data:`READ`, from the month's first day on.
        now: the time of the report (aware).
    """
    own = sorted(
        (entry for entry in entries if entry.client == subscription.client and entry.machine),
        key=lambda entry: entry.sequence,
    )
    inside = [entry for entry in own if month.span.start <= entry.at < month.span.end]
    managed, contract, life = subscription.managed_services, subscription.contract, life_of(subscription)
    changes = tuple(_changes(inside))
    last_day = [life.last_day] if life.last_day else []
    return MonthFacts(
        backups=tuple(_backups(subscription, month, own, now)),
        changes=changes,
        free_per_month=managed.standard_changes_per_month if managed else None,
        free_used=len({(one.machine, one.day) for one in changes if one.charge == FREE}),
        restore_tests=tuple(
            (
                entry.at,
                str(entry.machine),
                entry.result,
                entry.message,
                str(_details(entry).get("check") or ""),
            )
            for entry in inside
            if entry.action == RESTORE_TEST
        ),
        snapshots=tuple(
            (entry.at, str(entry.machine), entry.action, entry.result)
            for entry in inside
            if entry.action in SNAPSHOTS
        ),
        dropped=_dropped(inside),
        probation_until=(
            probation_ends(contract.taken_over) if contract.taken_over and managed is not None else None
        ),
        suspended_since=life.suspended_since,
        dates=(
            *(
                Ending(kind="contract", name=contract.reference, client=subscription.client, last_day=day)
                for day in last_day
            ),
            *(
                Ending(
                    kind="quote", name=quote.reference, client=subscription.client, last_day=quote.valid_until
                )
                for quote in contract.quotes
            ),
        ),
    )


def _backups(
    subscription: Subscription, month: Month, entries: Sequence[Entry], now: dt.datetime
) -> Iterable[BackupMonth]:
    nights = [
        night
        for number in range((month.following.first_day - month.first_day).days)
        if night_begins((night := month.first_day + dt.timedelta(days=number)) + dt.timedelta(days=1)) <= now
    ]
    suspended = life_of(subscription).suspended_since
    by_machine: dict[str, list[Entry]] = defaultdict(list)
    made: dict[str, dt.date] = {}
    doubled: dict[str, dt.date] = {}
    for entry in entries:
        if entry.action in BACKUPS:
            by_machine[str(entry.machine)].append(entry)
        elif entry.action in MADE and entry.result == "ok":
            made[str(entry.machine)] = night_of(entry.at)
        elif entry.action == CHANGE and COPIES in (_details(entry).get("changes") or ()):
            doubled[str(entry.machine)] = day_in_paris(entry.at)
    for _, machine in subscription.machines():
        if machine.backup is None:
            continue
        first = max(subscription.contract.starts, made.get(machine.name, subscription.contract.starts))
        expected = [night for night in nights if night >= first and (suspended is None or night < suspended)]
        told = _backup(machine.name, expected, by_machine[machine.name])
        if machine.backup.copies > 1:
            since = doubled.get(machine.name, first)
            nights_of_two = [night for night in expected if night >= since]
            told = replace(told, second=_second(nights_of_two, by_machine[machine.name]))
        yield told


def _nightly(entries: Iterable[Entry], expected: Collection[dt.date]) -> Iterable[tuple[dt.date, Entry]]:
    """The backups that count for the expected nights: begun outside working hours (article 3.5)."""
    for entry in entries:
        began = entry.at - dt.timedelta(seconds=entry.seconds)
        night = night_of(began)
        if night in expected and not in_working_hours(began):
            yield night, entry


def _second(expected: Collection[dt.date], entries: Sequence[Entry]) -> SecondCopies:
    storages: dict[dt.date, set[str]] = defaultdict(set)
    why: dict[dt.date, str] = {}
    for night, entry in _nightly(entries, expected):
        if entry.result == "ok":
            # One that an earlier run had begun names no storage: it is a copy of its own.
            storages[night].add(str(_details(entry).get("storage") or entry.sequence))
        else:
            why[night] = entry.message
    return SecondCopies(
        expected=tuple(expected),
        good=tuple(night for night in expected if len(storages[night]) > 1),
        missing=tuple((night, why.get(night, "")) for night in expected if len(storages[night]) == 1),
    )


def _backup(machine: str, expected: Collection[dt.date], entries: Sequence[Entry]) -> BackupMonth:
    good: set[dt.date] = set()
    why: dict[dt.date, str] = {}
    sizes: list[int] = []
    for night, entry in _nightly(entries, expected):
        if entry.result == "ok":
            good.add(night)
            found = _BYTES.search(entry.message)
            sizes.append(int(found[1]) if found else 0)
        else:
            why[night] = entry.message
    return BackupMonth(
        machine=machine,
        expected=tuple(expected),
        good=tuple(sorted(good)),
        missing=tuple((night, why.get(night, "")) for night in expected if night not in good),
        last_size=sizes[-1] if sizes else 0,
        volume=sum(sizes),
        deduplicated=any(_ON_A_SERVER.match(entry.message) for _, entry in _nightly(entries, expected)),
    )


def _changes(entries: Iterable[Entry]) -> Iterable[ChangeMade]:
    for entry in entries:
        if entry.action != CHANGE or entry.result not in ("ok", "begun"):
            continue
        details = _details(entry)
        references = (details.get(name) for name in ("quote", "catalogue", "order"))
        what = details.get("changes")
        yield ChangeMade(
            day=day_in_paris(entry.at),
            machine=str(entry.machine),
            change_class=str(details.get("class", "")),
            charge=str(details.get("charge", "")),
            reference=next((str(one) for one in references if one), ""),
            what=", ".join(map(str, what)) if isinstance(what, list) else "",
        )


def _dropped(entries: Iterable[Entry]) -> dict[str, int]:
    """Packets by machine: each night recorded what its counters said; a counter that fell began anew."""
    found: dict[str, int] = {}
    last: dict[str, tuple[object, int]] = {}
    for entry in entries:
        if entry.action != ALERTS:
            continue
        details, machine = _details(entry), str(entry.machine)
        now, since = details.get("dropped"), details.get("since")
        if type(now) is not int or now < 0:
            continue
        before = last.get(machine)
        more = now - before[1] if before and before[0] == since and now >= before[1] else 0
        if before and before[0] != since:
            more = now
        found[machine] = found.get(machine, 0) + more
        last[machine] = (since, now)
    return found


def _details(entry: Entry) -> dict[str, Any]:
    try:
        details = json.loads(entry.details)
    except (ValueError, RecursionError):  # altered by somebody: `history verify` says so
        return {}
    return details if isinstance(details, dict) else {}
