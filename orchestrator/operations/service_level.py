"""The service level of clients in a month (article 6): read the files, records and observations, and compute."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.contract.intervals import Span
from orchestrator.contract.months import Month
from orchestrator.errors import RequestRefused
from orchestrator.history.delays import INSTALLED
from orchestrator.history.records import read
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.reports.client_month import ClientMonth, Gathered, client_month

if TYPE_CHECKING:
    from orchestrator.history import Entry, History
    from orchestrator.subscriptions.model import Subscription

Observed = Mapping[tuple[str, str], Sequence[Span]]
"""When machines were observed, whatever was seen, by client and machine."""


@dataclass(frozen=True, kw_only=True)
class ServiceLevelRequest:
    """Whose month.

    Attributes:
        client: its name.
        month: ``2026-11``.
        inventory: where the site file is.
        files: subscription files or folders.
        history: a file or URL; None: the usual one.
    """

    client: str
    month: str
    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None


def month_named(text: str) -> Month:
    """Read a month as people give it.

    Raises:
        RequestRefused: it is not one.
    """
    try:
        return Month.parse(text)
    except ValueError as error:
        raise RequestRefused(f"--month {text}: {error}") from None


def service_level_of(
    request: ServiceLevelRequest, events: Events = SILENT, *, now: dt.datetime | None = None
) -> ClientMonth:
    """Compute a client's month.

    Raises:
        RequestRefused: no file has the client, the month is not one, or has not begun.
        HistoryUnavailable: the history cannot be read.
    """
    month, now = month_named(request.month), now or dt.datetime.now(dt.UTC)
    if now < month.span.start:
        raise RequestRefused(f"--month {month}: the month has not begun")
    provider = open_provider(request.inventory)
    subscription = client_of(request.client, open_subscriptions(request.files, provider, events.problems))
    with open_history(request.history) as history:
        return month_of(subscription, month, history, now)


def month_of(subscription: Subscription, month: Month, history: History, now: dt.datetime) -> ClientMonth:
    """Compute a client's month from its file and the history: a fixed number of queries, however many machines."""
    client = subscription.client
    gathered = Gathered(
        records=read(history, client=client),
        observed={},
        updates=_updates(history, month, client),
    )
    return client_month(subscription, month, gathered, now)


def client_of(client: str, subscriptions: Sequence[Subscription]) -> Subscription:
    """The file of a client.

    Raises:
        RequestRefused: there is none.
    """
    found = next((item for item in subscriptions if item.client == client), None)
    if found is None:
        known = ", ".join(sorted(item.client for item in subscriptions)) or "none"
        raise RequestRefused(f"no file has a client {client}: there are {known}")
    return found


def _updates(history: History, month: Month, client: str | None) -> list[Entry]:
    entries = history.entries(client=client, action=INSTALLED, since=month.span.start)
    return [entry for entry in entries if entry.at < month.span.end + dt.timedelta(days=1)]
