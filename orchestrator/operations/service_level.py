"""The service level of clients in a month (article 6): read the files, records and observations, and compute."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.months import Month
from orchestrator.contract.spans import Span
from orchestrator.errors import RequestRefused, local_reason
from orchestrator.history.declared import Credit, CreditRequest, ExcusableEvent, Maintenance, Outage
from orchestrator.history.delays import INSTALLED
from orchestrator.history.records import read
from orchestrator.history.service_facts import Declarations
from orchestrator.operations.computer import replace_file, state_directory
from orchestrator.operations.inputs import open_subscriptions
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.run import SILENT, Events, open_history
from orchestrator.reports.client_month import ClientMonth, Gathered, client_month
from orchestrator.reports.pdf import pdf_of
from orchestrator.reports.service_level import render_service_level, service_level_text
from orchestrator.reports.service_level_document import document_of

if TYPE_CHECKING:
    from orchestrator.history import Entry, History
    from orchestrator.history.intervals import Seen
    from orchestrator.history.observations import Observations
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription


_MOST = 1_000_000
"""Records that are read for a month; those of all clients and of many years are some hundred thousand."""

_KINDS = (Outage, ExcusableEvent, Maintenance, CreditRequest, Credit)

CLONED = "clone"
"""The action of the entry that creates a machine."""

LevelForm = Literal["text", "json", "html", "pdf"]


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


def opened(
    request: ServiceLevelRequest, events: Events, now: dt.datetime
) -> tuple[Month, Provider, Subscription]:
    """The month that is asked for, the sites, and the client's file.

    Raises:
        RequestRefused: no file has the client, the month is not one, or has not begun.
    """
    month = month_named(request.month)
    if now < month.span.start:
        raise RequestRefused(f"--month {month}: the month has not begun")
    provider = open_provider(request.inventory)
    return (
        month,
        provider,
        client_of(request.client, open_subscriptions(request.files, provider, events.problems)),
    )


def service_level_of(
    request: ServiceLevelRequest, events: Events = SILENT, *, now: dt.datetime | None = None
) -> ClientMonth:
    """Compute a client's month.

    Raises:
        RequestRefused: no file has the client, the month is not one, or has not begun.
        HistoryUnavailable: the history cannot be read.
    """
    now = now or dt.datetime.now(dt.UTC)
    month, _, subscription = opened(request, events, now)
    with open_history(request.history, create=False) as history:
        return month_of(subscription, month, history, now, request.history)


def rendered(
    found: ClientMonth, form: LevelForm, *, language: Literal["fr", "en"] = "fr", output: Path | None = None
) -> str | bytes:
    """A client's month in a form, written to a file if one is named, whole or not at all.

    Raises:
        PdfUnavailable: a PDF cannot be made on this computer.
        RequestRefused: the file cannot be written.
    """
    made: str | bytes
    if form == "json":
        made = document_of(found).model_dump_json(indent=2, by_alias=True) + "\n"
    elif form == "text":
        made = service_level_text(found, language=language)
    else:
        made = render_service_level(found, language=language)
        if form == "pdf":
            made = pdf_of(made)
    if output is not None:
        try:
            replace_file(output, made)
        except OSError as error:
            raise RequestRefused(f"the service level cannot be written: {local_reason(error)}") from error
    return made


def month_of(
    subscription: Subscription, month: Month, history: History, now: dt.datetime, place: str | None
) -> ClientMonth:
    """Compute a client's month from its file and the history: a fixed number of queries, however many machines.

    Args:
        subscription: the client's file.
        month: which.
        history: an open one.
        now: the time of the reckoning (aware).
        place: where the history is, for the observations beside it; None: the usual place.

    Raises:
        HistoryUnavailable: it cannot be read.
    """
    (found,) = months_of([subscription], month, history, now, place, client=subscription.client)
    return found


def months_of(
    subscriptions: Sequence[Subscription],
    month: Month,
    history: History,
    now: dt.datetime,
    place: str | None,
    *,
    client: str | None = None,
) -> list[ClientMonth]:
    """Compute the months of several clients: as many queries as for one. Arguments and errors as :func:`month_of`.

    Args:
        client: read what concerns this client alone; everybody's if None.
    """
    span = month.span
    with open_observations(place) as observations:
        seen = (
            observations.seen_of_all(span.start, span.end)
            if client is None
            else {(client, name): item for name, item in observations.seen_of_client(client, *span).items()}
        )
    gathered = Gathered(
        records=Declarations(read(history, kinds=_KINDS, client=client, most=_MOST)),
        observed={machine: _looked(spans) for machine, spans in seen.items()},
        made=_made(history, client),
        in_service={key: _left(spans) for key, spans in seen.items() if any(map(_in_service, spans))},
        updates=_updates(history, month, client),
    )
    return [client_month(subscription, month, gathered, now) for subscription in subscriptions]


def _looked(seen: Sequence[Seen]) -> list[Span]:
    """When somebody looked at a machine, whatever was seen: ``unknown`` is no look."""
    return [Span(item.start, item.end) for item in seen if item.state != "unknown" and item.start < item.end]


def _in_service(seen: Seen) -> bool:
    """Whether a machine ran, or was down although it was to run."""
    return seen.state == "up" or (seen.state == "down" and seen.cause != "planned")


def _left(seen: Sequence[Seen]) -> dt.datetime | None:
    """When a machine was taken out of service for good, as far as it was observed."""
    last = max(number for number, item in enumerate(seen) if _in_service(item))
    return next((item.start for item in seen[last + 1 :] if item.cause == "planned"), None)


def _made(history: History, client: str | None) -> dict[tuple[str, str], dt.datetime]:
    """When machines were created first: one query. Of those taken over nothing says when they began."""
    found: dict[tuple[str, str], dt.datetime] = {}
    for entry in history.entries(client=client, action=CLONED):  # the latest first
        if entry.result == "ok" and entry.machine:
            found[entry.client, entry.machine] = entry.at
    return found


def open_observations(place: str | None) -> Observations:
    """Open what was observed, in the database of a history that is there."""
    from orchestrator.history.observations import Observations

    return Observations(place or state_directory() / "history.db", create=False)


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


def _updates(history: History, month: Month, client: str | None) -> dict[str, list[Entry]]:
    """The entries about updates that ended in a month or the day after it, by client."""
    found: dict[str, list[Entry]] = {}
    for entry in history.entries(client=client, action=INSTALLED, since=month.span.start):
        if entry.at < month.span.end + dt.timedelta(days=1):
            found.setdefault(entry.client, []).append(entry)
    return found
