"""Records in the history's own chain: what is declared is never edited, a correction is a new record.

A record is an entry of the history. Its action is the kind (:data:`orchestrator.history.declared.KINDS`), its details
hold the declaration as JSON; who, when and why are the entry's own. The entry's number is the record's number. A
correction, an end and a withdrawal are new records that name the number of the one they replace; readers get the last
of such a line with those before it.

    recorded = add(history, Outage(...), who="alice", why="ticket 4711")
    correct(history, recorded.number, Outage(...), who="alice", why="it ended earlier")
    withdraw(history, number, who="alice", why="recorded twice")
    read(history, client="dupont").of(Outage)
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from orchestrator.errors import OrchestratorError
from orchestrator.history.declared import KINDS, Declared
from orchestrator.history.details import details_as_json

if TYPE_CHECKING:
    from orchestrator.history.chain import Entry
    from orchestrator.history.renames import Renames
    from orchestrator.history.store import History

Kind = TypeVar("Kind", bound=Declared)

MOST = 100_000
"""Records that are read at once. More are refused: a report made of some of them would be wrong."""

_VERSION = 1
_LONGEST_REASON = 300


class RecordRefused(OrchestratorError):
    """A record that cannot be added. Nothing was written; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Recorded(Generic[Kind]):
    """A declaration as it was recorded.

    Attributes:
        number: of its entry in the history.
        at: when it was recorded (UTC).
        who, why: by whom, for which reason.
        said: what was declared; of a withdrawal: what was withdrawn.
        withdrawn: nothing holds any more of what was declared.
        replaces: the number of the record that this one replaced; None for the first of its line.
        before: the records that it replaced, the first one first.
    """

    number: int
    at: dt.datetime
    who: str
    why: str
    said: Kind
    withdrawn: bool = False
    replaces: int | None = None
    before: tuple[Recorded[Kind], ...] = ()

    @property
    def first(self) -> Recorded[Kind]:
        """The record that its line of corrections began with."""
        return self.before[0] if self.before else self

    @property
    def line(self) -> tuple[Recorded[Kind], ...]:
        """Its line of corrections, the first record first and this one last."""
        return (*self.before, self)


@dataclass(frozen=True, kw_only=True)
class UnreadableRecord:
    """A record that somebody altered, or another version wrote: it has no effect, and is named."""

    number: int
    kind: str
    client: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Records:
    """What the history holds of some kinds, the oldest first.

    Attributes:
        lines: the last record of each line of corrections, withdrawn ones too.
        unreadable: those that have no effect because they could not be read.
    """

    lines: tuple[Recorded[Any], ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()
    _numbers: dict[int, Recorded[Any]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, kind: type[Kind]) -> tuple[Recorded[Kind], ...]:
        """The records of a kind that hold: corrected ones as they were corrected, withdrawn ones left out."""
        return tuple(item for item in self.lines if isinstance(item.said, kind) and not item.withdrawn)

    def line_of(self, number: int) -> Recorded[Any] | None:
        """The last record of the line in which a number stands; None if there is no such record."""
        return self._numbers.get(number)


def add(
    history: History, said: Declared, *, who: str, why: str, at: dt.datetime | None = None
) -> Recorded[Any]:
    """Record a declaration. It is on disk when this returns.

    Args:
        history: where.
        said: what is declared.
        who, why: the person (or ``supervision``) and the reason that the history keeps.
        at: when it is recorded; now, if absent.

    Raises:
        RecordRefused: it is too large, or holds what the history would hide or change; nothing was written.
        HistoryUnavailable: it could not be written.
    """
    return _append(history, said, who=who, why=why, at=at, content={"said": _as_data(said)})


def correct(
    history: History, number: int, said: Declared, *, who: str, why: str, at: dt.datetime | None = None
) -> Recorded[Any]:
    """Replace a record by another of its kind: a correction, or an end. The old one stays in the history.

    Raises:
        RecordRefused: there is no such record of that kind and client, it was replaced or withdrawn already, or it is
            about another site; or as :func:`add`. Nothing was written.
        HistoryUnavailable: it could not be read or written.
    """
    concerned = read(history, kinds=(type(said),), client=said.client or "")
    old = _standing(concerned, number)
    if old.said.site != said.site:
        raise RecordRefused(f"record {number} is about another site: withdraw it and add a new one")
    return follow(history, old, said, who=who, why=why, at=at)


def follow(
    history: History,
    old: Recorded[Any],
    said: Declared,
    *,
    who: str,
    why: str,
    at: dt.datetime | None = None,
) -> Recorded[Any]:
    """Replace a record that was just read, and is the last of its line, by another of its kind: no query.

    Raises:
        RecordRefused: as :func:`add`; nothing was written.
        HistoryUnavailable: it could not be written.
    """
    content = {"replaces": old.number, "said": _as_data(said)}
    made = _append(history, said, who=who, why=why, at=at, content=content)
    return replace(made, before=(*old.before, replace(old, before=())))


def withdraw(
    history: History, number: int, *, who: str, why: str, at: dt.datetime | None = None
) -> Recorded[Any]:
    """Take a record back: it never was so. It stays in the history, and has no effect.

    Raises:
        RecordRefused: there is no such record, or it was replaced or withdrawn already. Nothing was written.
        HistoryUnavailable: it could not be read or written.
    """
    old = _standing(line_with(history, number), number)
    made = _append(
        history, old.said, who=who, why=why, at=at, content={"replaces": number, "withdrawn": True}
    )
    return replace(made, before=(*old.before, replace(old, before=())))


def read(
    history: History,
    *,
    kinds: Collection[type[Declared]] = (),
    client: str | None = None,
    since: dt.datetime | None = None,
    most: int = MOST,
) -> Records:
    """Read the records: two queries.

    Args:
        history: where.
        kinds: only these; all if none is named.
        client: only those that concern this client, whole sites included; those of no client if empty; everybody's if
            None.
        since: only those recorded at that time or later; a correction of an earlier one is unreadable then.
        most: how many at most.

    Raises:
        RecordRefused: there are more than ``most``.
        HistoryUnavailable: they cannot be read.
    """
    actions = [action for action, model in KINDS.items() if not kinds or model in kinds]
    concerned = None if client is None else (client, "")
    entries, renames = history.entries_and_renames(
        action=actions, client=concerned, since=since, limit=most + 1
    )
    if len(entries) > most:
        raise RecordRefused(f"the history has more than {most} records of these kinds: name a client")
    return _lines(entries[::-1], renames)


def line_with(history: History, number: int) -> Records:
    """The records among which a number stands: those of its kind and client. Empty if it is no record.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    entry = history.entry(number)
    if entry is None or entry.action not in KINDS:
        return Records()
    client = history.renames().client_now(entry.client, entry.sequence)
    return read(history, kinds=(KINDS[entry.action],), client=client)


def kind_of(said: Declared) -> str:
    """The name of a declaration's kind, which is the action of its entry."""
    return next(action for action, model in KINDS.items() if type(said) is model)


def _standing(records: Records, number: int) -> Recorded[Any]:
    found = records.line_of(number)
    if found is None:
        raise RecordRefused(
            f"there is no record with the number {number} (of this kind and client): see the list of its kind"
        )
    if found.number != number:
        raise RecordRefused(f"record {number} was replaced by record {found.number}: name that one")
    if found.withdrawn:
        raise RecordRefused(f"record {number} took back what was declared: add a new one")
    return found


def _append(
    history: History,
    said: Declared,
    *,
    who: str,
    why: str,
    at: dt.datetime | None,
    content: dict[str, Any],
) -> Recorded[Any]:
    details = {"version": _VERSION, **content}
    if json.loads(details_as_json(details)) != details:
        raise RecordRefused(
            "this cannot be recorded as it is: it is too large, or holds a secret or characters that cannot be kept; "
            "shorten it"
        )
    entry = history.append(
        who=who,
        why=why,
        client=said.client or "",
        machine=said.machines[0] if len(said.machines) == 1 else None,
        site=said.site or "",
        action=kind_of(said),
        result="ok",
        run=f"record {kind_of(said)}",
        details=details,
        at=at,
    )
    return Recorded(
        number=entry.sequence,
        at=entry.at,
        who=entry.who,
        why=entry.why,
        said=said,
        withdrawn=bool(content.get("withdrawn")),
        replaces=content.get("replaces"),
    )


def _as_data(said: Declared) -> dict[str, Any]:
    data: dict[str, Any] = said.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return data


def _lines(entries: list[Entry], renames: Renames) -> Records:
    """Put records into their lines of corrections. Two corrections of one record: the later one holds.

    What was declared of a machine or a client under a former name is said of it under today's.
    """
    last: dict[int, Recorded[Any]] = {}
    first_of: dict[int, int] = {}
    unreadable = []
    for entry in entries:
        try:
            old = _replaced(entry, last, first_of)
            recorded = _read(entry, old, renames)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            unreadable.append(
                UnreadableRecord(
                    number=entry.sequence, kind=entry.action, client=entry.client, reason=_reason(error)
                )
            )
            continue
        first_of[entry.sequence] = old.first.number if old else entry.sequence
        last[first_of[entry.sequence]] = recorded
    return Records(
        lines=tuple(last.values()),
        unreadable=tuple(unreadable),
        _numbers={number: last[first] for number, first in first_of.items()},
    )


def _details(entry: Entry) -> dict[str, Any]:
    details = json.loads(entry.details)
    if not isinstance(details, dict) or details.get("version") != _VERSION:
        raise ValueError("it is not written as this version writes records")
    return details


def _replaced(entry: Entry, last: dict[int, Recorded[Any]], first_of: dict[int, int]) -> Recorded[Any] | None:
    number = _details(entry).get("replaces")
    if number is None:
        return None
    if number not in first_of:
        raise ValueError(
            f"it replaces record {number}, which cannot be read, or is of another kind or client"
        )
    old = last[first_of[number]]
    if kind_of(old.said) != entry.action or (old.said.client or "") != entry.client:
        raise ValueError(f"it replaces record {number}, which is of another kind or client")
    return old


def _read(entry: Entry, old: Recorded[Any] | None, renames: Renames) -> Recorded[Any]:
    details = _details(entry)
    withdrawn = details.get("withdrawn") is True
    if withdrawn and old is None:
        raise ValueError("it withdraws nothing")
    said = old.said if withdrawn and old else KINDS[entry.action].model_validate(details["said"])
    if not withdrawn:
        said = _of_today(said, entry.sequence, renames)
    if (said.client or "", said.site or "") != (entry.client, entry.site):
        raise ValueError("it is about another client or site than its entry says")
    return Recorded(
        number=entry.sequence,
        at=entry.at,
        who=entry.who,
        why=entry.why,
        said=said,
        withdrawn=withdrawn,
        replaces=details.get("replaces"),
        before=(*old.before, replace(old, before=())) if old else (),
    )


def _of_today(said: Declared, number: int, renames: Renames) -> Declared:
    """A declaration with the names of today: the client is that of its entry, which names one machine or none."""
    if said.client is None or not renames.found:
        return said
    machines = [renames.machine_now((said.client, machine), number) for machine in said.machines]
    client = machines[0][0] if len(machines) == 1 else renames.client_now(said.client, number)
    names = tuple(name for _, name in machines)
    return said.model_copy(update={"client": client, "machines": names})


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}"[:_LONGEST_REASON]
    if isinstance(error, KeyError):
        return f"it lacks {error}"[:_LONGEST_REASON]
    return str(error)[:_LONGEST_REASON]
