"""Outages, excusable events and maintenance as people declare them (article 6): add, end, correct, withdraw, list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.contract.calendar import paris_time
from orchestrator.errors import RequestRefused
from orchestrator.history.declared import Declared, ExcusableEvent, Maintenance, Outage, Spanning
from orchestrator.history.records import (
    Recorded,
    UnreadableRecord,
    add,
    correct,
    kind_of,
    line_with,
    read,
    withdraw,
)
from orchestrator.history.service_facts import PLANNED
from orchestrator.operations.computer import operator
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.records_file import read_records_file
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.yaml_reader.sentences import sentence

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from orchestrator.history import History
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription

_KINDS = (Outage, ExcusableEvent, Maintenance)

Values = Mapping[str, object]
"""What is declared, by the keys of files: ``from``, ``to``, ``notified_by``."""


@dataclass(frozen=True, kw_only=True)
class DeclareRequest:
    """Where a declaration goes, and what it is checked against.

    Attributes:
        inventory: where the site file is.
        files: subscription files or folders.
        reason: why; the history keeps it.
        history: a file or URL; None: the usual one.
    """

    inventory: str | None
    files: tuple[Path, ...] = ()
    reason: str = "declared"
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class Added:
    """What was recorded.

    Attributes:
        recorded: the new record; the one that was there already, as it was corrected since, if ``known``.
        known: exactly this was recorded before, and is not recorded again.
        overlaps: other outages of the same machines at the same time: their time counts once.
    """

    recorded: Recorded[Any]
    known: bool = False
    overlaps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Listed:
    """Records of a kind, the oldest first, withdrawn ones too."""

    records: tuple[Recorded[Any], ...]
    unreadable: tuple[UnreadableRecord, ...]


@dataclass(kw_only=True)
class _World:
    """What declarations are checked against."""

    provider: Provider
    subscriptions: Sequence[Subscription]
    history: History
    now: dt.datetime

    def machines(self, client: str) -> set[str]:
        return {
            machine.name
            for item in self.subscriptions
            if item.client == client
            for _, machine in item.machines()
        }


def declared(kind: type[Declared], values: Values) -> Declared:
    """What somebody declared on the command line.

    Raises:
        RequestRefused: a value is wrong; the text names all of them.
    """
    data = {key: value for key, value in values.items() if value is not None}
    try:
        return kind.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise RequestRefused(
            "; ".join(_told(details, kind, data) for details in error.errors(include_url=False))
        ) from None


def _told(error: ErrorDetails, kind: type[Declared], data: Mapping[str, object]) -> str:
    """What is wrong on a command line: it names options, where a file has keys."""
    place = ".".join(str(step).replace("_", "-") for step in error["loc"])
    if error["type"] == "missing":
        return f"--{place} is missing"
    told = sentence(error, kind, data)
    return f"{told.message}: {told.allowed}" if place else told.allowed


def add_one(
    said: Declared, request: DeclareRequest, events: Events = SILENT, *, now: dt.datetime | None = None
) -> Added:
    """Record one declaration.

    Raises:
        RequestRefused: it names what does not exist, or cannot be so; nothing was recorded.
        HistoryUnavailable: it could not be recorded.
    """
    return add_all([said], request, events, now=now)[0]


def add_from_file(
    path: Path, request: DeclareRequest, events: Events = SILENT, *, now: dt.datetime | None = None
) -> list[Added]:
    """Record everything that a file declares; what it declares that is recorded already is left as it is.

    Raises:
        ProblemsFound: the file has errors; nothing was recorded.
        RequestRefused, HistoryUnavailable: as :func:`add_one`.
    """
    return add_all(read_records_file(path), request, events, now=now, again=True)


def add_all(
    declarations: Sequence[Declared],
    request: DeclareRequest,
    events: Events = SILENT,
    *,
    now: dt.datetime | None = None,
    again: bool = False,
) -> list[Added]:
    """Record declarations: all are checked before the first is recorded.

    Args:
        declarations: what is declared.
        request: where it goes.
        events: who is told what.
        now: the time (aware).
        again: they may have been given before: what was withdrawn since is not recorded anew.
    """
    provider = open_provider(request.inventory)
    subscriptions = open_subscriptions(request.files, provider, events.problems)
    with open_history(request.history) as history:
        world = _World(
            provider=provider,
            subscriptions=subscriptions,
            history=history,
            now=now or dt.datetime.now(dt.UTC),
        )
        lines = [
            item
            for client in sorted({said.client or "" for said in declarations})
            for item in read(history, kinds=_KINDS, client=client).lines
            if (item.said.client or "") == client
        ]
        before = [item for item in lines if not item.withdrawn]
        known = _known(lines if again else before)
        for said in declarations:
            if said not in known:
                _check_known(said, world)
                _check_time(said, world.now)
        added = []
        for said in declarations:
            if said in known:
                added.append(Added(recorded=known[said], known=True))
                continue
            recorded = add(history, said, who=operator(), why=request.reason, at=world.now)
            known[said] = recorded
            added.append(Added(recorded=recorded, overlaps=tuple(_overlaps(said, before))))
            before.append(recorded)
        return added


def _known(lines: Sequence[Recorded[Any]]) -> dict[Declared, Recorded[Any]]:
    """Records by what they say, and by what they said before they were corrected: a correction is not undone."""
    said = {old.said: item for item in lines for old in item.before}
    return said | {item.said: item for item in lines}


def change(
    number: int,
    kind: type[Declared],
    values: Values,
    request: DeclareRequest,
    events: Events = SILENT,
    *,
    ends: bool = False,
    now: dt.datetime | None = None,
) -> Recorded[Any]:
    """Correct a record, or end it: what is named replaces what it says, in a new record.

    Args:
        number: of the record as it holds now.
        kind: which it is.
        values: what changes; None: stays.
        ends: only what goes on is ended; an end that was recorded is corrected, which is said.

    Raises:
        RequestRefused, RecordRefused: there is no such record, or it cannot be so; nothing was recorded.
        HistoryUnavailable: it could not be recorded.
    """
    provider = open_provider(request.inventory)
    subscriptions = open_subscriptions(request.files, provider, events.problems)
    moment = now or dt.datetime.now(dt.UTC)
    with open_history(request.history) as history:
        old = _named(number, kind, history)
        if ends and (ended := getattr(old.said, "end", None)) is not None:
            raise RequestRefused(
                f"record {number} ended at {paris_time(ended)}: if that is wrong, use `orchestrator outage correct`"
            )
        changed = {key: value for key, value in values.items() if value is not None}
        if not changed:
            raise RequestRefused(
                f"nothing is said that record {number} should say instead: name what changes"
            )
        said = declared(
            kind, {**old.said.model_dump(mode="json", by_alias=True, exclude_defaults=True), **changed}
        )
        if said == old.said:
            raise RequestRefused(f"record {number} says exactly this already")
        world = _World(provider=provider, subscriptions=subscriptions, history=history, now=moment)
        _check_known(said, world)
        if not _shortens(old, said, moment):
            _check_time(said, moment)
        return correct(history, number, said, who=operator(), why=request.reason, at=moment)


def take_back(number: int, kind: type[Declared], request: DeclareRequest) -> Recorded[Any]:
    """Withdraw a record.

    Raises:
        RequestRefused, RecordRefused: there is no such record; nothing was recorded.
        HistoryUnavailable: it could not be recorded.
    """
    with open_history(request.history) as history:
        _named(number, kind, history)
        return withdraw(history, number, who=operator(), why=request.reason)


def listed(kind: type[Declared], target: str | None, history: str | None) -> Listed:
    """The records of a kind.

    Args:
        kind: which.
        target: ``CLIENT[/MACHINE]``, records of whole sites included; None: everybody's.
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    client, _, machine = (target or "").partition("/")
    with open_history(history, create=False) as opened:
        records = read(opened, kinds=(kind,), client=client or None)
    return Listed(
        records=tuple(
            item
            for item in records.lines
            if not machine or not item.said.machines or machine in item.said.machines
        ),
        unreadable=records.unreadable,
    )


def _named(number: int, kind: type[Declared], history: History) -> Recorded[Any]:
    """The record of a number, as it stands in its line; of another kind is none."""
    found = line_with(history, number).line_of(number)
    if found is None or type(found.said) is not kind:
        other = f": it is of the kind '{kind_of(found.said)}'" if found else ""
        raise RequestRefused(f"there is no such record with the number {number}{other}")
    return found


def _check_known(said: Declared, world: _World) -> None:
    if said.site is not None and said.site not in world.provider.sites:
        known = ", ".join(sorted(world.provider.sites))
        raise RequestRefused(f"there is no site {said.site}: the inventory has {known}")
    if said.client is None:
        return
    clients = sorted({item.client for item in world.subscriptions})
    if said.client not in clients:
        raise RequestRefused(f"no file has a client {said.client}: there are {', '.join(clients) or 'none'}")
    machines = world.machines(said.client)
    for machine in said.machines:
        # one that has left the file had outages, too: the history knows it
        if machine not in machines and not world.history.entries(
            client=said.client, machine=machine, limit=1
        ):
            raise RequestRefused(
                f"{said.client} has no machine {machine}: its file has {', '.join(sorted(machines))}"
            )


def _check_time(said: Declared, now: dt.datetime) -> None:
    if not isinstance(said, Spanning):
        return
    if isinstance(said, Maintenance) or (isinstance(said, ExcusableEvent) and said.cause == PLANNED):
        if said.start <= now:
            raise RequestRefused(
                f"this maintenance began at {paris_time(said.start)}: maintenance is planned only if it is recorded "
                "before it begins (art. 6); record what happened as an outage"
            )
        return
    if isinstance(said, Outage):
        for moment in (said.start, said.end, said.notified_at):
            if moment is not None and moment > now:
                raise RequestRefused(
                    f"{paris_time(moment, seconds=True)} is in the future: an outage is recorded when it has begun, "
                    "and its end when it has ended"
                )


def _shortens(old: Recorded[Any], said: Declared, now: dt.datetime) -> bool:
    """Whether a correction leaves maintenance that began within what was planned."""
    if not isinstance(said, Maintenance) or old.said.start > now:
        return False
    return bool(said.start >= old.said.start and said.end <= old.said.end)


def _overlaps(said: Declared, before: Sequence[Recorded[Any]]) -> Iterator[int]:
    if not isinstance(said, Outage):
        return
    for item in before:
        other = item.said
        if not isinstance(other, Outage) or (other.client, other.site) != (said.client, said.site):
            continue
        if said.machines and other.machines and not set(said.machines) & set(other.machines):
            continue
        if (said.end is None or other.start < said.end) and (other.end is None or said.start < other.end):
            yield item.number
