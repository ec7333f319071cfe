"""Outages that observation saw become records: notified by supervision, at the second failed look (article 6).

A machine is unavailable when its file wants it running, its contract is in service, and its node, a storage or the
site's network keeps it from running. The guest's own fault counts only where the client has no access
(``level: full``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from orchestrator.history.intervals import Cause, Span, moment
from orchestrator.history.records import RecordRefused
from orchestrator.history.supervised_outages import outage_begins, outage_ends

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.history.observations import Observations
    from orchestrator.history.observed_site import Known
    from orchestrator.operations.watch_round import Wanted

_THE_PROVIDERS = frozenset({Cause.NODE, Cause.STORAGE, Cause.NETWORK, Cause.PROCESS})
_THE_GUESTS = frozenset({Cause.UNKNOWN, Cause.INSIDE, Cause.UNANSWERED})
_WORDS = {
    Cause.PROCESS: "its process ended on the node",
    Cause.UNKNOWN: "it stopped, and nothing says why",
    Cause.INSIDE: "it was shut down from inside",
    Cause.UNANSWERED: "it does not answer",
    Cause.NETWORK: "no machine of the site answers",
}


def counts(span: Span, wanted: Wanted | None) -> bool:
    """Whether an interval is an outage by article 6, as far as supervision can tell."""
    if wanted is None or not wanted.running or not span.outage:
        return False
    return span.cause in _THE_PROVIDERS or (wanted.full and span.cause in _THE_GUESTS)


def record_outages(
    observations: Observations,
    site: str,
    wanted: Mapping[tuple[str, str], Wanted],
    now: int,
    open_history: Callable[[], History],
) -> list[str]:
    """Record the outages of a site that began or ended. What was recorded is not recorded twice, also after a crash.

    Args:
        observations: what was observed.
        site: where.
        wanted: what the files say.
        now: when supervision is sure of them (seconds since the epoch).
        open_history: opens the history; called only if there is something to record.

    Returns:
        What could not be recorded, for people.

    Raises:
        HistoryUnavailable: it could not be written; the next round goes on from there.
    """
    problems: list[str] = []
    with ExitStack() as opened:
        history: History | None = None
        for known, span in observations.to_settle(site):
            count = span.settled == 1 or counts(span, wanted.get((known.client, known.machine)))
            over = span.end is not None
            if (not count and not over) or (span.settled == 1 and not over):
                continue
            if not observations.claim(site, known, span, now):
                continue
            if count:
                history = history or opened.enter_context(open_history())
                try:
                    _record(history, known, span, now)
                except RecordRefused as error:
                    problems.append(str(error))
            observations.settle(site, known, span, 2 if over else 1)
    return problems


def _record(history: History, known: Known, span: Span, now: int) -> None:
    if span.settled == 0:
        outage_begins(
            history,
            client=known.client,
            machine=known.machine,
            start=moment(span.start),
            seen=moment(now),
            cause=span.detail or _WORDS.get(span.cause, ""),
        )
    if span.end is not None:
        outage_ends(history, client=known.client, machine=known.machine, end=moment(span.end))
