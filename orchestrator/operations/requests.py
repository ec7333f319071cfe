"""The register of clients' requests (article 3.8.3): updates, changes, credits, new hardware, restarts, snapshots.

A request is registered when it comes, in the client's words; delays count from there. It is closed with its result.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.counting import counted
from orchestrator.errors import RequestRefused
from orchestrator.history import History, records
from orchestrator.history.declared import Asked, CreditRequest, Request
from orchestrator.history.records import Recorded, UnreadableRecord
from orchestrator.history.requests import Outcome, asked, asked_and_unreadable, close
from orchestrator.operations.computer import operator
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.subscriptions.model import Subscription

RequestKind = Literal["update", "change", "credit", "hardware", "restart", "snapshot"]
"""What may be asked for."""

KINDS: tuple[RequestKind, ...] = get_args(RequestKind)

_NAMED = 20
_FIRST_YEAR, _LAST_YEAR = 2000, 2999
_WHY = "a client's request (art. 3.8.3)"


@dataclass(frozen=True, kw_only=True)
class NewRequest:
    """A request that came.

    Attributes:
        target: ``CLIENT[/MACHINE]``: what it is about. Updates of a whole client are one request for each machine.
        kind: what is asked for.
        words: the client's own words.
        came: when it came, aware; None: now.
        asked_by: who asked.
        reference: a ticket, a letter; None if there is none.
        month: of a credit, ``2026-11``; None for other kinds.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
    """

    target: str
    kind: RequestKind
    words: str
    came: dt.datetime | None = None
    asked_by: str = "client"
    reference: str | None = None
    month: str | None = None
    inventory: str | None = None
    files: tuple[Path, ...] = ()
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What became of a request that came.

    Attributes:
        requests: those that were registered.
        open_before: machines whose updates were asked for before, by a request that is still open.
    """

    requests: tuple[Recorded[Any], ...]
    open_before: tuple[Recorded[Any], ...] = ()


def add(request: NewRequest, events: Events = SILENT) -> Registered:
    """Register a request.

    Raises:
        RequestRefused: no file has the client or machine, the request came in the future, or it asks for what its kind
            does not have. Nothing was registered.
        HistoryUnavailable: it could not be written.
    """
    now = dt.datetime.now(dt.UTC)
    came = came_at(request.came, now)
    subscription = _subscription(request, events)
    with open_history(request.history) as history:
        return register(request, subscription, history, came=came, who=operator())


class AskedAlready(RequestRefused):
    """What is asked for was asked for before, by a request that is still open."""


def register(
    request: NewRequest, subscription: Subscription, history: History, *, came: dt.datetime, who: str
) -> Registered:
    """Register a request of a client whose file was read.

    Args:
        request: what is asked for; where files and history are does not matter any more.
        subscription: the client's file.
        history: an open one.
        came: when it came (aware).
        who: registers it, as the history keeps it.

    Raises:
        AskedAlready: a request that is open asks for the same.
        RequestRefused: the client has no such machine, or it asks for what its kind does not have. Nothing was
            registered.
        HistoryUnavailable: it could not be written.
    """
    machines = _machines(request.target, subscription)
    said = _declared(request, subscription, machines, came)
    standing = asked(history, client=subscription.client)
    before = [one for one in standing if any(_same(one.said, new) for new in said)]
    new = [one for one in said if not any(_same(other.said, one) for other in before)]
    if not new:
        numbers = ", ".join(f"{one.first.number} of {paris_time(one.said.came)}" for one in before)
        raise AskedAlready(
            f"{request.target}: this was asked for already and is open: request {numbers}; its delay counts from "
            "there"
        )
    made = tuple(records.add(history, one, who=who, why=_WHY) for one in new)
    return Registered(requests=made, open_before=tuple(before))


def came_at(came: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """When a request came.

    Args:
        came: as somebody said, aware; None: now.
        now: the time, aware.

    Raises:
        RequestRefused: it is in the future, or centuries ago.
    """
    return _past(came or now, now, "--came", "it is when the client asked")


def _past(moment: dt.datetime, now: dt.datetime, option: str, meaning: str) -> dt.datetime:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise RequestRefused(f"{option}: a time is between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    if moment > now:
        raise RequestRefused(f"{option} {paris_time(moment)} is in the future: {meaning}")
    return moment


def _subscription(request: NewRequest, events: Events) -> Subscription:
    provider = open_provider(request.inventory)
    client = request.target.partition("/")[0]
    found = {one.client: one for one in open_subscriptions(request.files, provider, events.problems)}
    if client not in found:
        raise RequestRefused(f"no file has a client {client}: there are {_some(found)}")
    return found[client]


def _machines(target: str, subscription: Subscription) -> tuple[str, ...]:
    """The machine that a request names; empty if it names the client alone."""
    client, slash, machine = target.partition("/")
    names = [one.name for _, one in subscription.machines()]
    if not slash:
        return ()
    if machine not in names:
        raise RequestRefused(f"{client} has no machine {machine}: there are {_some(names)}")
    return (machine,)


def _some(names: Sequence[str] | dict[str, Any]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return (", ".join(known[:_NAMED]) or "none") + more


def _declared(
    request: NewRequest, subscription: Subscription, machines: tuple[str, ...], came: dt.datetime
) -> list[Asked]:
    """What is to be recorded: updates of a client are asked for each of its machines."""
    common: dict[str, Any] = {
        "client": subscription.client,
        "came": came,
        "asked_by": " ".join(request.asked_by.split()),
        "text": _in_a_line(request.words),
        "reference": request.reference,
    }
    if (request.month is None) == (request.kind == "credit"):
        raise RequestRefused(
            "a credit is asked for a month: name it, --month 2026-11"
            if request.kind == "credit"
            else f"--month belongs to a credit, and this is a request of the kind {request.kind}"
        )
    try:
        if request.month is not None:
            credit = CreditRequest.model_validate({**common, "machines": machines, "month": request.month})
            _check_month(credit.month, came)
            return [credit]
        if request.kind == "restart":
            _check_power(subscription, machines)
        if request.kind != "update":
            return [Request.model_validate({**common, "machines": machines, "kind": request.kind})]
        if subscription.managed_services is None:
            raise RequestRefused(
                f"installing updates is part of the managed services, which {subscription.client}'s file does not have "
                "(art. 3.8.3)"
            )
        each = machines or tuple(one.name for _, one in subscription.machines())
        return [Request.model_validate({**common, "machines": (name,), "kind": "update"}) for name in each]
    except ValidationError as error:
        raise RequestRefused(f"this cannot be registered: {_in_words(error)}") from None


def _check_power(subscription: Subscription, machines: tuple[str, ...]) -> None:
    for offer, machine in subscription.machines():
        if machine.name in machines and not offer.terms.power:
            raise RequestRefused(
                f"{subscription.client}/{machine.name}: {offer} has no restarts (art. {offer.terms.article})"
            )


def _in_a_line(words: str) -> str:
    line = " ".join(words.split())
    if not line:
        raise RequestRefused("the request has no words: give the client's own, --words 'please install …'")
    return line


def _check_month(month: str, came: dt.datetime) -> None:
    day, (year, number) = day_in_paris(came), map(int, month.split("-"))
    if (year, number) > (day.year, day.month):
        raise RequestRefused(
            f"--month {month} begins after the request came: a credit is for a month that was"
        )


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _same(one: Asked, other: Asked) -> bool:
    """Whether a request is open and asks for what another asks.

    Updates, a restart or a snapshot of one machine, the credit of one month; others if their words are the same.
    """
    if one.closed is not None or type(one) is not type(other) or one.machines != other.machines:
        return False
    if isinstance(one, CreditRequest) and isinstance(other, CreditRequest):
        return one.month == other.month
    if not (isinstance(one, Request) and isinstance(other, Request) and one.kind == other.kind):
        return False
    alike = (one.text, one.reference) == (other.text, other.reference)
    return alike or one.kind in ("update", "restart", "snapshot")


@dataclass(frozen=True, kw_only=True)
class ListedRequests:
    """The registered requests.

    Attributes:
        requests: the oldest first.
        unreadable: the client's or everybody's that have no effect because they could not be read.
    """

    requests: tuple[Recorded[Any], ...]
    unreadable: tuple[UnreadableRecord, ...]


def listed(target: str | None, *, everything: bool = False, history: str | None = None) -> ListedRequests:
    """The registered requests, and what of the register cannot be read.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        everything: closed ones too.
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: they cannot be read.
    """
    client, _, machine = (target or "").partition("/")
    with open_history(history, create=False) as opened:
        found, unreadable = asked_and_unreadable(opened, client=client or None)
    shown = (
        one
        for one in found
        if (everything or one.said.closed is None)
        and (not machine or machine in (one.said.machines or (machine,)))
    )
    return ListedRequests(requests=tuple(shown), unreadable=unreadable)


@dataclass(frozen=True, kw_only=True)
class ClosingRequest:
    """How a request ended.

    Attributes:
        number: of the request.
        outcome: how; None: done, or by the answer.
        result: what was done or said.
        answer: the provider's, to new hardware.
        at: when, aware; None: now.
        history: a file or URL; None: the usual one.
    """

    number: int
    result: str
    outcome: Outcome | None = None
    answer: Literal["yes", "no"] | None = None
    at: dt.datetime | None = None
    history: str | None = None


def close_request(request: ClosingRequest) -> Recorded[Any]:
    """Close a request with its result.

    Raises:
        RequestRefused: there is no such request, it is closed, it is new hardware without a yes or no, or it would be
            closed before it came or in the future. Nothing was recorded.
        HistoryUnavailable: it could not be read or written.
    """
    with open_history(request.history, create=False) as history:
        return close_of(history, request, now=dt.datetime.now(dt.UTC), who=operator())


def close_of(history: History, request: ClosingRequest, *, now: dt.datetime, who: str) -> Recorded[Any]:
    """As :func:`close_request`, in a history that is open.

    Args:
        history: where it is registered.
        request: how it ended.
        now: the time, aware.
        who: closes it, as the history keeps it.

    Raises:
        RequestRefused: as there.
        HistoryUnavailable: it could not be read or written.
    """
    at = _past(request.at or now, now, "--at", "it is when the request was closed")
    result = " ".join(request.result.split())
    if not result:
        raise RequestRefused("a request is closed with its result: say what was done, --result TEXT")
    standing = _open_request(asked(history), request.number)
    outcome = _outcome(standing.said, request)
    if at < standing.said.came:
        raise RequestRefused(
            f"request {request.number} came at {paris_time(standing.said.came)}, so it was not closed at "
            f"{paris_time(at)}: correct --at"
        )
    try:
        return close(
            history,
            standing,
            outcome=outcome,
            result=result,
            who=who,
            why=_WHY,
            at=at,
            answer=request.answer,
        )
    except ValidationError as error:
        raise RequestRefused(f"this cannot be recorded: {_in_words(error)}") from None


def _open_request(found: Sequence[Recorded[Any]], number: int) -> Recorded[Any]:
    for one in found:
        if number in (one.number, *(earlier.number for earlier in one.before)):
            if one.said.closed is not None:
                raise RequestRefused(
                    f"request {number} was closed at {paris_time(one.said.closed)}: {one.said.outcome}, "
                    f"{one.said.result}; register a new one if there is more to do"
                )
            return one
    count = counted(sum(one.said.closed is None for one in found), "request")
    raise RequestRefused(
        f"there is no request with the number {number}: orchestrator request list shows the {count} open"
    )


def _outcome(said: Asked, request: ClosingRequest) -> Outcome:
    """How a request ends: new hardware by the provider's answer, others as is said, or done."""
    hardware = isinstance(said, Request) and said.kind == "hardware"
    if not hardware and request.answer is not None:
        raise RequestRefused(
            f"--answer is for new hardware, and request {request.number} is not: say --outcome done or refused"
        )
    if not hardware or request.outcome == "withdrawn":
        return request.outcome or "done"
    if request.answer is None:
        raise RequestRefused(
            f"request {request.number} is about new hardware, which the provider approves or not (art. 3.8.3): "
            "--answer yes or --answer no"
        )
    expected: Outcome = "done" if request.answer == "yes" else "refused"
    if request.outcome not in (None, expected):
        raise RequestRefused(
            f"--outcome {request.outcome} and --answer {request.answer} do not fit together: leave --outcome out"
        )
    return expected
