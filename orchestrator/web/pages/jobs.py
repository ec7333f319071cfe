"""Jobs: what is carried out for the Interface, live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from orchestrator.contract.calendar import paris_time
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface import jobs as kept
from orchestrator.interface.jobs import MOST_EVENTS, OVER, Job, JobEvent, JobState
from orchestrator.interface.roles import Right, rights_of
from orchestrator.operations import carrying_out
from orchestrator.web.listing import Asked, Column
from orchestrator.web.page import Page
from orchestrator.web.sign_in import account_still
from orchestrator.web.tones import Tone

if TYPE_CHECKING:
    from starlette.responses import Response

    from orchestrator.web.desk import Desk
    from orchestrator.web.visit import Visit

COLUMNS = (
    Column(key="number", heading="Job"),
    Column(key="state", heading="State"),
    Column(key="what", heading="What"),
    Column(key="asked", heading="Asked"),
    Column(key="ended", heading="Ended"),
    Column(key="result", heading="Result", quiet=True),
)
EVENT_COLUMNS = (
    Column(key="at", heading="When"),
    Column(key="about", heading="Machine"),
    Column(key="text", heading="Step"),
)
TONES: dict[JobState, Tone] = {
    JobState.WAITING: "wait",
    JobState.RUNNING: "busy",
    JobState.DONE: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "off",
    JobState.LOST: "bad",
}
_SHOWN = 200
"""Events of a job's page; the stream has all."""

_EVERY = 1.0
"""Seconds between two looks for new events."""

_LONGEST = 600
"""Looks of one stream: browsers connect again by themselves, and are asked again who they are."""

_ASKS = 10
"""Looks after which it is asked again whether the session lives."""

_AT_ONCE = 500


def jobs(visit: Visit) -> Response:
    """The jobs, the latest first."""
    asked = Asked.of(visit, sorts=("-number",), filters=("state",))
    states = [state for state in JobState if state == asked.filters.get("state")]
    with visit.desk.database.reading() as connection:
        rows = kept.listed(connection, states=states, offset=asked.offset, limit=asked.size)
        total = kept.how_many(connection, states=states)
    return visit.page(
        "jobs.html",
        asked=asked,
        rows=rows,
        total=total,
        columns=COLUMNS,
        states=[state.value for state in JobState],
        tones=TONES,
        words_of=carrying_out.words_of,
    )


def job(visit: Visit) -> Response:
    """One job, as far as it is."""
    found = _found(visit)
    with visit.desk.database.reading() as connection:
        events = kept.last_events(connection, found.number, _SHOWN)
    return visit.page(
        "job.html",
        item=found,
        events=events,
        columns=EVENT_COLUMNS,
        words=carrying_out.words_of(found),
        tones=TONES,
        over=found.state in OVER,
        last=events[-1].position if events else 0,
        earlier=events[0].position - 1 if events else 0,
        most=MOST_EVENTS if events and events[-1].position >= MOST_EVENTS else 0,
        may_act=visit.may(Right.ACT),
    )


def cancel(visit: Visit) -> Response:
    """Have a job ended in order."""
    found = _found(visit)
    carrying_out.cancel(visit.desk.history, found.number, by=visit.who, now=visit.desk.now())
    return visit.see(f"/jobs/{found.number}")


def live(visit: Visit) -> Response:
    """The events of a job as they come."""
    found = _found(visit)
    last = visit.request.headers.get("last-event-id") or visit.query.get("after", "0")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 9 else 0

    def still() -> bool:
        account = account_still(visit.request, visit.desk)
        return account is not None and Right.LOOK in rights_of(account.role)

    return visit.stream(stream(visit.desk, found.number, after, still))


async def stream(desk: Desk, number: int, after: int, still: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: each step, then ``over`` with how the job ended.

    Args:
        number: of the job.
        after: the position of the last event that the browser has.
        still: whether whoever asked may still read it.
    """
    for look in range(1, _LONGEST):
        try:
            if look % _ASKS == 0 and not await run_in_threadpool(still):
                return
            found, events = await run_in_threadpool(_since, desk, number, after)
        except HistoryUnavailable:
            return  # the browser asks again
        for event in events:
            after = event.position
            yield _written(event)
        if found is None or (found.state in OVER and not events):
            state = found.state.value if found else "gone"
            yield f"event: over\ndata: {json.dumps({'state': state})}\n\n"
            return
        if len(events) < _AT_ONCE:
            yield ": going on\n\n"
            await asyncio.sleep(_EVERY)


def _since(desk: Desk, number: int, after: int) -> tuple[Job | None, list[JobEvent]]:
    with desk.database.reading() as connection:
        return kept.find(connection, number), kept.events_of(connection, number, after=after, limit=_AT_ONCE)


def _written(event: JobEvent) -> str:
    about = f"{event.client}/{event.machine}" if event.machine else event.client
    said = {
        "at": paris_time(event.at),
        "about": about,
        "kind": event.kind,
        "text": event.text,
    }
    return f"id: {event.position}\nevent: step\ndata: {json.dumps(said)}\n\n"


def _found(visit: Visit) -> Job:
    text = visit.path["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        visit.missing()
    with visit.desk.database.reading() as connection:
        found = kept.find(connection, int(text))
    if found is None:
        visit.missing()
    return found


PAGES = [
    Page(path="/jobs", answer=jobs, need=Right.LOOK),
    Page(path="/jobs/{number}", answer=job, need=Right.LOOK),
    Page(path="/jobs/{number}/cancel", answer=cancel, need=Right.ACT, method="POST"),
    Page(path="/live/jobs/{number}", answer=live, need=Right.LOOK),
]
