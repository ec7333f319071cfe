"""The monthly reports that a night makes: of the month before, for each client, once."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import night_of
from orchestrator.contract.months import Month, midnight
from orchestrator.errors import told
from orchestrator.history import HistoryUnavailable
from orchestrator.operations.inputs import open_sound_subscriptions
from orchestrator.operations.inventory import DEFAULT_FOLDER
from orchestrator.operations.monthly_report import gathered, rendered, with_graphs
from orchestrator.operations.run import SILENT, Events
from orchestrator.reports.pdf import PdfUnavailable

if TYPE_CHECKING:
    from orchestrator.sites.model import Provider
    from orchestrator.subscriptions.model import Subscription

_FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def month_due(now: dt.datetime) -> Month:
    """The month whose reports are due: the one before the night's own, all of whose nights are over."""
    night = night_of(now)
    return Month.of(midnight(night.replace(day=1)) - dt.timedelta(hours=1))


def write_due_reports(
    provider: Provider,
    paths: tuple[Path, ...],
    folder: Path,
    *,
    language: Literal["fr", "en"],
    history: str | None,
    now: dt.datetime,
    events: Events = SILENT,
) -> list[str]:
    """Write last month's report of each client that has none yet: ``CLIENT/month-2026-11.html``, and as PDF.

    The first night of a month does it; a later one makes up for it. A PDF is left out where none can be made.

    Args:
        provider: the sites.
        paths: subscription files or folders; the usual folder if there are none.
        folder: of the clients' reports.
        language: of the reports.
        history: a file or URL; None: the usual one.
        now: the time (aware).
        events: who is told what.

    Returns:
        What could not be written, for people: one client's report that fails stops no other.

    Raises:
        HistoryUnavailable: the history cannot be read, which is no report's own trouble.
    """
    month = month_due(now)
    there = [path for path in paths or (DEFAULT_FOLDER,) if path.exists()]
    problems: list[str] = []
    notices: set[str] = set()
    for subscription in open_sound_subscriptions(there, provider) if there else ():
        if subscription.contract.starts >= month.following.first_day:
            continue
        try:
            notices |= _write(subscription, month, provider, folder, language, history, now, events)
        except HistoryUnavailable:
            raise
        except Exception as error:
            problems.append(
                f"the report of {month} for the client {subscription.client} could not be written: {told(error)}"
            )
    for notice in notices:
        events.notice(notice)
    return problems


def _write(
    subscription: Subscription,
    month: Month,
    provider: Provider,
    folder: Path,
    language: Literal["fr", "en"],
    history: str | None,
    now: dt.datetime,
    events: Events,
) -> set[str]:
    """Write one client's report, unless it is there. Return why there is no PDF, if there is none."""
    if not _FOLDER.fullmatch(subscription.client):
        raise ValueError("this is not the name of a client")
    page = folder / subscription.client / f"month-{month}.html"
    if page.exists():
        return set()
    monthly = with_graphs(
        gathered(subscription, month, provider, history, now), subscription, provider, events
    )
    notices = set()
    try:
        rendered(monthly, "pdf", language=language, output=page.with_suffix(".pdf"))
    except PdfUnavailable as error:
        notices.add(str(error))
    rendered(monthly, "html", language=language, output=page)  # the last: it says that all of it is written
    return notices
