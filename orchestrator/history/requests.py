"""Requests of clients (article 3.8.3): which of them are open, and how they are closed.

They are records (:mod:`orchestrator.history.records`). A request is known by the number of the record that registered
it; closing it is a correction, with a number of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from orchestrator.history import records
from orchestrator.history.declared import Asked, CreditRequest, Request
from orchestrator.history.records import Recorded, UnreadableRecord

if TYPE_CHECKING:
    from orchestrator.history.store import History

Key = tuple[str, str]
"""Client and machine."""

Outcome = Literal["done", "nothing-due", "refused", "withdrawn"]

AnyAsked = TypeVar("AnyAsked", bound=Asked)

_READ_FOR = dt.timedelta(days=400)
_MOST = 1_000_000


def asked(history: History, *, client: str | None = None) -> tuple[Recorded[Asked], ...]:
    """Every request that was registered and not taken back, as it stands now, the oldest first.

    Args:
        history: where.
        client: whose; everybody's if None.

    Raises:
        RecordRefused: there are too many: name a client.
        HistoryUnavailable: they cannot be read.
    """
    return asked_and_unreadable(history, client=client)[0]


def asked_and_unreadable(
    history: History, *, client: str | None = None
) -> tuple[tuple[Recorded[Asked], ...], tuple[UnreadableRecord, ...]]:
    """As :func:`asked`, with those that have no effect because they could not be read."""
    found = records.read(history, kinds=(Request, CreditRequest), client=client, most=_MOST)
    standing: list[Recorded[Any]] = [*found.of(Request), *found.of(CreditRequest)]
    return tuple(sorted(standing, key=lambda one: (one.said.came, one.first.number))), found.unreadable


def asked_updates(
    history: History, *, now: dt.datetime, days: int = 0, client: str | None = None
) -> tuple[Recorded[Request], ...]:
    """The requests for updates of the last 400 days at least, as they stand now.

    Args:
        history: where.
        now: the time, aware.
        days: how many days back, if more than 400.
        client: whose; everybody's if None.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    since = now - max(_READ_FOR, dt.timedelta(days=days))
    found = records.read(history, kinds=(Request,), client=client, since=since, most=_MOST)
    return tuple(one for one in found.of(Request) if one.said.kind == "update")


@dataclass(frozen=True)
class OpenUpdates:
    """The open requests for updates, by machine, the oldest first."""

    by_machine: Mapping[Key, tuple[Recorded[Request], ...]]

    @classmethod
    def read(cls, history: History, *, now: dt.datetime, client: str | None = None) -> OpenUpdates:
        """Read them: one query. Arguments and errors as :func:`asked_updates`."""
        found: dict[Key, tuple[Recorded[Request], ...]] = {}
        for one in sorted(asked_updates(history, now=now, client=client), key=lambda one: one.said.came):
            if one.said.closed is None:
                key = (one.said.client, one.said.machines[0])
                found[key] = (*found.get(key, ()), one)
        return cls(found)

    def came(self, key: Key) -> dt.datetime | None:
        """When the oldest open request for updates of a machine came; None if there is none."""
        return min((one.said.came for one in self.by_machine.get(key, ())), default=None)

    def close(
        self,
        history: History,
        key: Key,
        *,
        outcome: Outcome,
        result: str,
        who: str,
        why: str,
        at: dt.datetime,
    ) -> None:
        """Close all that are open for a machine.

        Raises:
            HistoryUnavailable: it could not be written.
        """
        for one in self.by_machine.get(key, ()):
            if one.said.came <= at:
                close(history, one, outcome=outcome, result=result, who=who, why=why, at=at)


NO_REQUESTS = OpenUpdates({})
"""Nobody asked for anything, or what was asked does not matter."""


def close(
    history: History,
    standing: Recorded[AnyAsked],
    *,
    outcome: Outcome,
    result: str,
    who: str,
    why: str,
    at: dt.datetime,
    answer: Literal["yes", "no"] | None = None,
) -> Recorded[AnyAsked]:
    """Close a request that was just read and is open.

    Args:
        history: where.
        standing: the request.
        outcome, result: how it ended, and what was done or said.
        who, why: as the history keeps them.
        at: when it was closed, aware; not before it came.
        answer: the provider's, to new hardware.

    Raises:
        ValueError: the outcome does not fit the request.
        RecordRefused, HistoryUnavailable: as :func:`orchestrator.history.records.follow`.
    """
    more = {"answer": answer} if answer is not None else {}
    changed = standing.said.model_dump() | {"closed": at, "outcome": outcome, "result": result, **more}
    said = type(standing.said).model_validate(changed)
    return records.follow(history, standing, said, who=who, why=why)
