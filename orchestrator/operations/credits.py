"""Credits of article 6: asked for by the client, issued once, with the cap of thirty days."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.credits import credit
from orchestrator.contract.months import Month
from orchestrator.errors import RequestRefused
from orchestrator.history import History
from orchestrator.history.declared import Credit, CreditRequest
from orchestrator.history.records import Recorded, UnreadableRecord, add, read, withdraw
from orchestrator.history.requests import close
from orchestrator.operations.computer import operator
from orchestrator.operations.inputs import open_subscriptions, selection
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.operations.service_level import client_of, month_named, month_of
from orchestrator.reports.client_month import ClientMonth, ServiceMonth
from orchestrator.subscriptions.model import Subscription


@dataclass(frozen=True, kw_only=True)
class CreditTarget:
    """Whose credit, of which month.

    Attributes:
        target: ``CLIENT[/MACHINE]``; without a machine: all of the client's whose month opens a credit.
        month: ``2026-11``.
        inventory: where the site file is.
        files: subscription files or folders.
        reason: why; the history keeps it.
        history: a file or URL; None: the usual one.
    """

    target: str
    month: str
    inventory: str | None
    files: tuple[Path, ...] = ()
    reason: str = "credit"
    history: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListedCredits:
    """What was asked for and issued, the oldest first."""

    requests: tuple[Recorded[CreditRequest], ...]
    credits: tuple[Recorded[Credit], ...]
    unreadable: tuple[UnreadableRecord, ...]


def request_credit(
    target: CreditTarget,
    *,
    came: dt.datetime | None = None,
    reference: str | None = None,
    events: Events = SILENT,
    now: dt.datetime | None = None,
) -> Recorded[CreditRequest]:
    """Record that a client asks for the credit of a month. An open credit never expires.

    Args:
        target: whose.
        came: when the request came (aware); now, if absent.
        reference: of the letter or ticket.
        events: who is told what.
        now: the time (aware).

    Raises:
        RequestRefused: the month is not over, no credit is open, or it was asked for already; nothing was recorded.
        HistoryUnavailable: it could not be recorded.
    """
    moment = now or dt.datetime.now(dt.UTC)
    subscription, month, machine = _opened(target, moment, events)
    if came is not None and came > moment:
        raise RequestRefused("the request came in the future: give the time when it came")
    with open_history(target.history) as history:
        found = month_of(subscription, month, history, moment, target.history)
        said = CreditRequest(
            client=found.client,
            machines=(machine,) if machine else (),
            month=str(month),
            came=came or moment,
            reference=reference,
        )
        check_open(found, said)
        return add(history, said, who=operator(), why=target.reason, at=moment)


def check_open(found: ClientMonth, said: CreditRequest) -> None:
    """Check that the credit that a client asks for is open, and was not asked for before.

    Args:
        found: the client's month.
        said: the request that is to be recorded.

    Raises:
        RequestRefused: it is not, or it was.
    """
    machine = said.machines[0] if said.machines else None
    target, month = f"{found.client}/{machine}" if machine else found.client, found.month
    services = _chosen(found, machine)
    for service in services:
        if service.request is not None:
            number = service.request.first.number
            raise RequestRefused(f"the credit of {target} for {month} was asked for already: record {number}")
    if not any(service.level.percent for service in services):
        raise RequestRefused(
            f"no credit is open for {target} in {month}: `orchestrator service-level {found.client} "
            f"--month {month}` shows the reckoning"
        )


def issue_credits(
    target: CreditTarget,
    *,
    fee: Decimal | None = None,
    events: Events = SILENT,
    now: dt.datetime | None = None,
) -> list[Recorded[Credit]]:
    """Issue the credits that a client asked for, each once; what the cap leaves is the amount, the rest lapses.

    Args:
        target: whose.
        fee: the month's fee, if it was another than the file says now; only for one machine.
        events: who is told what.
        now: the time (aware); its day in Paris is the date of issue.

    Raises:
        RequestRefused: the month is not over, nothing was asked for, there is no fee, or it was issued already; or the
            date is before that of an earlier credit. Nothing was recorded.
        HistoryUnavailable: it could not be recorded; what was issued before stands.
    """
    moment = now or dt.datetime.now(dt.UTC)
    subscription, month, machine = _opened(target, moment, events)
    if fee is not None and machine is None:
        raise RequestRefused("--fee is one machine's: name CLIENT/MACHINE")
    day = day_in_paris(moment)
    with open_history(target.history) as history:
        found = month_of(subscription, month, history, moment, target.history)
        _close_answered(found, history, moment)  # a kill after an issue left its request open
        due = [item for item in _chosen(found, machine) if item.level.percent or item.credit]
        for service in due:
            _check_issue(service, found, fee, day)
        if not due:
            raise RequestRefused(f"no credit is open for {target.target} in {month}")
        issued = [
            _issue(service, found, fee if fee is not None else service.fee, history, moment, target.reason)
            for service in due
        ]
        _close_answered(month_of(subscription, month, history, moment, target.history), history, moment)
        return issued


def listed_credits(target: str | None, history: str | None) -> ListedCredits:
    """What was asked for and issued.

    Args:
        target: ``CLIENT[/MACHINE]``; None: everybody's.
        history: a file or URL; None: the usual one.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    chosen = selection(target)
    with open_history(history, create=False) as opened:
        records = read(opened, kinds=(CreditRequest, Credit), client=chosen.client)

    def concerns(said: CreditRequest | Credit) -> bool:
        return chosen.machine is None or not said.machines or chosen.machine in said.machines

    return ListedCredits(
        requests=tuple(item for item in records.of(CreditRequest) if concerns(item.said)),
        credits=tuple(item for item in records.of(Credit) if concerns(item.said)),
        unreadable=records.unreadable,
    )


def _close_answered(found: ClientMonth, history: History, now: dt.datetime) -> None:
    """Close the requests whose credits were all issued: what a client asks for is closed with what was done."""
    asked = {item.request.number: item.request for item in found.services if item.request is not None}
    for number, request in asked.items():
        services = [item for item in found.services if item.request and item.request.number == number]
        open_ones = [item for item in services if item.level.percent and item.credit is None]
        issued = [item.credit for item in services if item.credit is not None]
        if request.said.closed is not None or open_ones or not issued:
            continue
        result = "issued: " + ", ".join(
            f"{item.said.machine} {item.said.amount:.2f} EUR" for item in issued[:20]
        )
        close(
            history,
            request,
            outcome="done",
            result=result,
            who=operator(),
            why="credit issued",
            at=max(now, request.said.came),
        )


def _opened(target: CreditTarget, now: dt.datetime, events: Events) -> tuple[Subscription, Month, str | None]:
    month, chosen = month_named(target.month), selection(target.target)
    if now < month.span.end:
        raise RequestRefused(
            f"the month {month} is not over: its service level is provisional, and no credit is open"
        )
    provider = open_provider(target.inventory)
    subscriptions = open_subscriptions(target.files, provider, events.problems)
    return client_of(str(chosen.client), subscriptions), month, chosen.machine


def _chosen(found: ClientMonth, machine: str | None) -> tuple[ServiceMonth, ...]:
    if machine is None:
        return found.services
    service = found.service(machine)
    if service is None:
        known = ", ".join(item.machine for item in found.services)
        raise RequestRefused(f"{found.client} has no machine {machine}: there are {known}")
    return (service,)


def _check_issue(service: ServiceMonth, found: ClientMonth, fee: Decimal | None, day: dt.date) -> None:
    name = f"{found.client}/{service.machine}"
    if service.credit is not None:
        raise RequestRefused(
            f"the credit of {name} for {found.month} was issued already: record {service.credit.number}"
        )
    if service.request is None:
        raise RequestRefused(
            f"nobody asked for the credit of {name} for {found.month}: it is issued on request (art. 6): record it "
            f"with `orchestrator credit request {name} --month {found.month}`"
        )
    if fee is None and service.fee is None:
        raise RequestRefused(
            f"the file says no fee of {name}, so there is only the rate, {service.level.percent} %: add fee to the "
            "machine, or give --fee"
        )
    later = [item.on for item in service.issued if item.on > day]
    if later:
        raise RequestRefused(
            f"a credit of {name} was issued on {max(later)}: credits are issued one after the "
            "other, and not before that day"
        )


def _issue(
    service: ServiceMonth,
    found: ClientMonth,
    fee: Decimal | None,
    history: History,
    now: dt.datetime,
    reason: str,
) -> Recorded[Credit]:
    assert fee is not None and service.request is not None  # noqa: S101  (checked for all before the first)
    day = day_in_paris(now)
    amount = credit(service.level.percent, fee, on=day, issued=service.issued)
    said = Credit.model_validate(
        {
            "client": found.client,
            "machines": (service.machine,),
            "month": str(found.month),
            "issued": day,
            "fee": fee,
            "percent": service.level.percent,
            "amount": amount.amount,
            "request": service.request.first.number,
        }
    )
    made = add(history, said, who=operator(), why=reason, at=now)
    known = {number for number in found.records if number < made.number}
    others = read(history, kinds=(Credit,), client=found.client).of(Credit)
    if any(
        item.number < made.number and item.number not in known and item.said.machines == said.machines
        for item in others
    ):
        withdraw(history, made.number, who=operator(), why="issued at the same time", at=now)
        raise RequestRefused(
            f"somebody else issued a credit of {found.client}/{service.machine} at the same time, so this one was "
            "withdrawn: see `orchestrator credit list`, and try again if it is still due"
        )
    return made
