"""A client's month by its service level and credits (article 6): data for reports and programs. Pure, no words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.credits import Amount, Issued, credit
from orchestrator.contract.life import Standing
from orchestrator.contract.months import Month, midnight
from orchestrator.contract.service_level import Excuse, Facts, ServiceLevel, service_level
from orchestrator.contract.spans import Span, intersection
from orchestrator.history.chain import Entry
from orchestrator.history.declared import Credit, CreditRequest, Declared
from orchestrator.history.records import Recorded, UnreadableRecord
from orchestrator.history.service_facts import PLANNED, Declarations, excuses_of, outages_of
from orchestrator.planning.window import current_or_next
from orchestrator.resources.desired import life_of

if TYPE_CHECKING:
    from orchestrator.subscriptions.model import MaintenanceWindow, Subscription

CreditState = Literal["none", "open", "requested", "issued"]

_EVER = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class ServiceMonth:
    """One machine's month.

    Attributes:
        offer: empty for a machine that has left the file; records of the month name it.
        fee: of the month, EUR; None if the file says none: then there are percentages only.
        request: the client's request for the month's credit.
        credit: what was issued.
        issued: all credits of the machine, whatever their month: they count for the cap.
    """

    machine: str
    offer: str
    fee: Decimal | None
    level: ServiceLevel
    request: Recorded[CreditRequest] | None = None
    credit: Recorded[Credit] | None = None
    issued: tuple[Issued, ...] = ()

    @property
    def credit_state(self) -> CreditState:
        """Where the month's credit stands; ``open``: the client may ask for it, at any time."""
        if self.credit is not None:
            return "issued"
        if not self.level.percent:
            return "none"
        return "open" if self.request is None else "requested"

    def amount(self, on: dt.date) -> Amount | None:
        """The credit if it were issued on a day; None without a fee, or if none is due."""
        if self.fee is None or not self.level.percent:
            return None
        return credit(self.level.percent, self.fee, on=on, issued=self.issued)


@dataclass(frozen=True, kw_only=True)
class ClientMonth:
    """A client's month.

    Attributes:
        contract: its reference.
        at: the time of the reckoning (aware).
        services: by name.
        records: those that concern the client, by number, as they hold now.
        unreadable: records that have no effect because they could not be read.
    """

    client: str
    contract: str
    month: Month
    at: dt.datetime
    services: tuple[ServiceMonth, ...]
    records: Mapping[int, Recorded[Declared]]
    unreadable: tuple[UnreadableRecord, ...]

    @property
    def final(self) -> bool:
        """The month is over: only new records can still change it."""
        return self.at >= self.month.span.end

    def service(self, machine: str) -> ServiceMonth | None:
        """The month of one machine; None if the client has no such machine."""
        return next((item for item in self.services if item.machine == machine), None)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What is known of clients' months beside their files.

    Attributes:
        observed: when machines were observed, by client and machine.
        made: when machines were created, by client and machine, where the history says it.
        in_service: machines that were observed in service in the month, and when they went out of it; None: not in it.
        updates: the entries of the history about updates, by client.
    """

    records: Declarations
    observed: Mapping[tuple[str, str], Sequence[Span]]
    made: Mapping[tuple[str, str], dt.datetime]
    in_service: Mapping[tuple[str, str], dt.datetime | None]
    updates: Mapping[str, Sequence[Entry]]


def client_month(
    subscription: Subscription, month: Month, gathered: Gathered, now: dt.datetime
) -> ClientMonth:
    """Compute a client's month.

    Args:
        subscription: the client's file.
        month: which.
        gathered: records, observations, updates.
        now: the time of the reckoning (aware).
    """
    client, records = subscription.client, gathered.records
    offers = {machine.name: (offer.value, machine.fee) for offer, machine in subscription.machines()}
    gone = set(_gone(client, subscription.contract.site, month, gathered)) - offers.keys()
    updates = _updates(subscription, gathered.updates.get(client, ()))
    services = []
    for machine in (*offers, *sorted(gone)):
        offer, fee = offers.get(machine, ("", None))
        level = service_level(
            month,
            _facts(subscription, machine, offer == "", gathered, updates.get(machine, ()), now),
            now,
        )
        credits = records.concerning(Credit, client, machine, "")
        services.append(
            ServiceMonth(
                machine=machine,
                offer=offer,
                fee=fee,
                level=level,
                request=_request(records, client, machine, month),
                credit=_of_month(credits, month),
                issued=tuple(Issued(on=item.said.issued, amount=item.said.amount) for item in credits),
            )
        )
    site = subscription.contract.site
    return ClientMonth(
        client=client,
        contract=subscription.contract.reference,
        month=month,
        at=now,
        services=tuple(services),
        records={item.number: item for item in records.of_client(client, site)},
        unreadable=records.unreadable(client),
    )


def _gone(client: str, site: str, month: Month, gathered: Gathered) -> Iterator[str]:
    """The machines whose outages concern a month although they may have left the file since."""
    yield from gathered.records.machines_down(client, month.span)
    for (whose, machine), left in gathered.in_service.items():
        until = month.span.end if left is None else left
        if whose == client and gathered.records.everybodys_outages(
            client, site, Span(month.span.start, until)
        ):
            yield machine


def _facts(
    subscription: Subscription,
    machine: str,
    gone: bool,
    gathered: Gathered,
    updates: Sequence[Excuse],
    now: dt.datetime,
) -> Facts:
    contract, client, records = subscription.contract, subscription.client, gathered.records
    left = gathered.in_service.get((client, machine)) if gone else None
    return Facts(
        starts=contract.starts,
        last_day=life_of(subscription).last_day,
        taken_over=contract.taken_over if subscription.managed_services else None,
        made=gathered.made.get((client, machine)),
        outages=outages_of(records, client, machine, contract.site, left),
        excuses=(*excuses_of(records, client, machine, contract.site), *updates),
        suspensions=_suspensions(subscription, now),
        observed=tuple(gathered.observed.get((client, machine), ())),
    )


def _suspensions(subscription: Subscription, now: dt.datetime) -> tuple[Span, ...]:
    """The suspension that the file says; in default of payment the services end with the notice (articles 9 and 10)."""
    life = life_of(subscription)
    days = [life.suspended_since]
    if life.default_of_payment:
        days.append(life.notice)
    if life.standing(now) is Standing.ACTIVE:
        return ()
    return tuple(Span(midnight(day), _EVER) for day in days if day is not None)


def _updates(subscription: Subscription, entries: Iterable[Entry]) -> dict[str, tuple[Excuse, ...]]:
    """Automatic updates in the agreed window: planned maintenance (article 3.8.3), by machine."""
    managed = subscription.managed_services
    if managed is None or managed.updates != "automatic" or managed.maintenance_window is None:
        return {}
    found: dict[str, list[Excuse]] = {}
    for entry in entries:
        if entry.machine and 0 < entry.seconds < _LONGEST_UPDATE:
            span = Span(entry.at - dt.timedelta(seconds=entry.seconds), entry.at)
            found.setdefault(entry.machine, []).extend(
                Excuse(number=entry.sequence, cause=PLANNED, start=start, end=end)
                for start, end in _in_window(managed.maintenance_window, span)
            )
    return {machine: tuple(excuses) for machine, excuses in found.items()}


_LONGEST_UPDATE = 24 * 3600.0


def _in_window(window: MaintenanceWindow, span: Span) -> list[Span]:
    return intersection([span], [Span(*current_or_next(window, span.start))])


def _request(
    records: Declarations, client: str, machine: str, month: Month
) -> Recorded[CreditRequest] | None:
    """The first request for the month's credit of a machine that was neither refused nor taken back."""
    asked = records.concerning(CreditRequest, client, machine, "")
    return next(
        (item for item in asked if item.said.month == str(month) and item.said.outcome in (None, "done")),
        None,
    )


def _of_month(credits: Iterable[Recorded[Credit]], month: Month) -> Recorded[Credit] | None:
    return next((item for item in credits if item.said.month == str(month)), None)
