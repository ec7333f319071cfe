"""What a file says of its contract beside its offers: quotes, the taking over, the notice that ends it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from orchestrator.contract.offers import RETENTIONS
from orchestrator.shown import quoted
from orchestrator.subscriptions.model import Subscription
from orchestrator.yaml_reader.checking import Finding


def quotes_name_machines_of_the_file(subscription: Subscription) -> Iterator[Finding]:
    """3.8.4: a quote for a machine that does not exist covers nothing."""
    names = {machine.name for _, machine in subscription.machines()}
    for number, quote in enumerate(subscription.contract.quotes):
        for index, name in enumerate(quote.machines):
            if name not in names:
                yield Finding(
                    ("contract", "quotes", number, "machines", index),
                    f"the quote names the machine {name}, which does not exist in this file",
                    "correct the name, or take it out; a machine that leaves its file is an order (contract.orders)",
                    "3.8.4",
                )


STAND_IN = "TODO-"
"""How a reference begins that stands in for a contract's number, as ``orchestrator new`` writes it."""


def the_contract_has_its_number(subscription: Subscription) -> Iterator[Finding]:
    """The number goes into marks, reports and credits; what stands in for it was forgotten."""
    reference = subscription.contract.reference
    if reference.startswith(STAND_IN):
        yield Finding(
            ("contract", "reference"),
            f"{reference} stands in for the contract's number",
            "write the number of the signed contract",
            severity="warning",
        )


def orders_cover_some_day(subscription: Subscription) -> Iterator[Finding]:
    """3.8.4: an order whose last day is before its date covers nothing, and what it is for would wait in silence."""
    contract = subscription.contract
    for kind, references in (("orders", contract.orders), ("catalogue", contract.catalogue)):
        for number, order in enumerate(references):
            if order.valid_until is not None and order.valid_until < order.date:
                yield Finding(
                    ("contract", kind, number, "valid_until"),
                    f"the last day of {quoted(order.reference)} is {order.valid_until}, before its date {order.date}: "
                    "it covers nothing",
                    "correct one of the two dates",
                    "3.8.4",
                )


def a_usual_retention_needs_no_quote(subscription: Subscription) -> Iterator[Finding]:
    """3.5: a quote is for other days than 7 or 31."""
    for number, service in enumerate(subscription.services):
        for index, machine in enumerate(service.machines):
            backup = machine.backup
            if backup is not None and backup.quote is not None and backup.retention_days in RETENTIONS:
                yield Finding(
                    ("services", number, "machines", index, "backup", "quote"),
                    f"a backup that is kept {backup.retention_days} days needs no quote: this one has no effect",
                    "take the quote out, or ask for the days that it is about",
                    "3.5",
                    severity="warning",
                    key=True,
                )


def the_probation_belongs_to_managed_services(subscription: Subscription) -> Iterator[Finding]:
    """4.2: an existing estate is taken over for managed services, and its probation is time of the contract."""
    contract = subscription.contract
    if contract.taken_over is None:
        return
    if subscription.managed_services is None:
        yield Finding(
            ("contract", "taken_over"),
            "the estate was taken over without managed services: there is no probation, and this has no effect",
            "subscribe to managed_services, or take it out",
            "4.2",
            severity="warning",
            key=True,
        )
    if contract.taken_over < contract.starts:
        yield Finding(
            ("contract", "taken_over"),
            f"the estate was taken over on {contract.taken_over}, before the contract starts on {contract.starts}",
            "correct one of the two dates: the three months of probation run from the taking over",
            "4.2",
            severity="warning",
            relies_on=(("contract", "starts"),),
        )


def check_dates(subscription: Subscription, today: dt.date) -> Iterator[Finding]:
    """Yield what cannot have happened yet. ``today`` is the day in Paris.

    A registered letter was received before it is written here (article 10): a notice of the future would make the
    thirty working days longer than they are.
    """
    termination = subscription.contract.termination
    if termination is not None and termination.notice > today:
        yield Finding(
            ("contract", "termination", "notice"),
            f"the registered letter was received on {termination.notice}, which is in the future (today is {today})",
            "write the day it was received; the thirty working days begin then",
            "10",
        )
