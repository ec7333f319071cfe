"""Jobs: operations that somebody asked for in the Interface, and a runner carries out.

This is all that a runner and the pages know of each other, so a queue that several computers share can take its place:
:func:`ask`, :func:`take`, :func:`beat`, :func:`end`, and the events in between.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from orchestrator.history.chain import stamp
from orchestrator.interface.database import METADATA
from orchestrator.redaction import without_secrets
from orchestrator.shown import shortened, storable

SILENT_FOR = dt.timedelta(seconds=60)
"""A job whose runner did not say for so long that it lives is lost."""

MOST_EVENTS = 20_000
"""Events of one job; what comes after is not kept."""

_LONGEST = 500
"""Characters of an event's text."""


class JobState(StrEnum):
    """Where a job is on its way."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its runner ended without a word: what it had begun stands in the history."""


OVER = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST)

JOBS = sa.Table(
    "interface_jobs",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("operation", sa.String(40), nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("asked_at", sa.String(40), nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("runner", sa.Text),
    sa.Column("began_at", sa.String(40)),
    sa.Column("alive_at", sa.String(40)),
    sa.Column("ended_at", sa.String(40)),
    sa.Column("cancelled_by", sa.Text),
    sa.Column("result", sa.Text, nullable=False),
    sa.Index("interface_jobs_by_state", "state", "number"),
    sqlite_autoincrement=True,
)
EVENTS = sa.Table(
    "interface_job_events",
    METADATA,
    sa.Column("job", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("client", "machine", "text")),
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job.

    Attributes:
        operation: its name in :mod:`orchestrator.operations.carrying_out`.
        request: what is asked of it.
        asked_by: the account.
        runner: that took it; None: none did.
        cancelled_by: who asked for its end; None: nobody.
        result: how it ended, for people.
    """

    number: int
    operation: str
    request: Mapping[str, Any]
    asked_at: dt.datetime
    asked_by: str
    state: JobState
    runner: str | None = None
    began_at: dt.datetime | None = None
    alive_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    cancelled_by: str | None = None
    result: str = ""


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """What happened in a job.

    Attributes:
        position: counted from 1.
        kind: ``expected``, ``step``, ``ended``, ``failed``, ``interrupted`` or ``notice``.
        client, machine: whose; empty if it is about none.
        text: the step, or what is said of it.
    """

    position: int
    at: dt.datetime
    kind: str
    client: str = ""
    machine: str = ""
    text: str = ""


def ask(
    connection: sa.Connection, operation: str, request: Mapping[str, Any], *, by: str, now: dt.datetime
) -> int:
    """Ask for an operation. Returns the job's number."""
    done = connection.execute(
        sa.insert(JOBS).values(
            operation=operation,
            request=json.dumps(request),
            asked_at=stamp(now),
            asked_by=by,
            state=JobState.WAITING.value,
            result="",
        )
    )
    (number,) = done.inserted_primary_key or (0,)
    return int(number)


def waiting_like(connection: sa.Connection, operation: str, request: Mapping[str, Any]) -> int | None:
    """The number of a job that waits and does exactly this; None if there is none."""
    asked = sa.select(JOBS.c.number).where(
        JOBS.c.state == JobState.WAITING.value,
        JOBS.c.operation == operation,
        JOBS.c.request == json.dumps(request),
    )
    return connection.execute(asked.order_by(JOBS.c.number)).scalar()


def find(connection: sa.Connection, number: int) -> Job | None:
    """A job by its number; None if there is none."""
    row = connection.execute(sa.select(JOBS).where(JOBS.c.number == number)).first()
    return None if row is None else _from_row(row)


def listed(
    connection: sa.Connection, *, states: Sequence[JobState] = (), offset: int = 0, limit: int = 50
) -> list[Job]:
    """Jobs, the latest first; of these states, or of all."""
    asked = sa.select(JOBS).order_by(JOBS.c.number.desc()).offset(offset).limit(limit)
    if states:
        asked = asked.where(JOBS.c.state.in_([state.value for state in states]))
    return [_from_row(row) for row in connection.execute(asked)]


def how_many(connection: sa.Connection, *, states: Sequence[JobState] = ()) -> int:
    """How many jobs there are, of these states or of all."""
    asked = sa.select(sa.func.count()).select_from(JOBS)
    if states:
        asked = asked.where(JOBS.c.state.in_([state.value for state in states]))
    return int(connection.execute(asked).scalar_one())


def take(connection: sa.Connection, runner: str, now: dt.datetime) -> Job | None:
    """Take the oldest job that waits; None if none does. Of two runners that see it at once, one gets it.

    Args:
        runner: a name that no other run of a runner has.
    """
    waiting = sa.select(JOBS.c.number).where(JOBS.c.state == JobState.WAITING.value).order_by(JOBS.c.number)
    for number in connection.execute(waiting).scalars().all():
        done = connection.execute(
            sa.update(JOBS)
            .where(JOBS.c.number == number, JOBS.c.state == JobState.WAITING.value)
            .values(
                state=JobState.RUNNING.value,
                runner=runner,
                began_at=stamp(now),
                alive_at=stamp(now),
            )
        )
        if done.rowcount == 1:
            return find(connection, number)
    return None


def beat(connection: sa.Connection, number: int, runner: str, now: dt.datetime) -> Job | None:
    """Say that a job is being carried out. Returns it as it is; None: it is not this runner's any more."""
    done = connection.execute(
        sa.update(JOBS)
        .where(JOBS.c.number == number, JOBS.c.runner == runner, JOBS.c.state == JobState.RUNNING.value)
        .values(alive_at=stamp(now))
    )
    return find(connection, number) if done.rowcount == 1 else None


def end(
    connection: sa.Connection, number: int, runner: str, state: JobState, result: str, now: dt.datetime
) -> bool:
    """Say how a job ended. Returns whether it was still this runner's."""
    done = connection.execute(
        sa.update(JOBS)
        .where(JOBS.c.number == number, JOBS.c.runner == runner, JOBS.c.state == JobState.RUNNING.value)
        .values(state=state.value, result=_kept(result, 4 * _LONGEST), ended_at=stamp(now))
    )
    return done.rowcount == 1


def cancel(connection: sa.Connection, number: int, *, by: str, now: dt.datetime) -> JobState | None:
    """Ask for a job's end: one that waits ends at once, one that runs in order.

    Returns:
        What it was; None: it was over, or there is none.
    """
    values = {"cancelled_by": by}
    ended = {
        **values,
        "state": JobState.CANCELLED.value,
        "ended_at": stamp(now),
        "result": f"cancelled by {by}",
    }
    for state, change in ((JobState.WAITING, ended), (JobState.RUNNING, values)):
        done = connection.execute(
            sa.update(JOBS).where(JOBS.c.number == number, JOBS.c.state == state.value).values(**change)
        )
        if done.rowcount == 1:
            return state
    return None


def silent(connection: sa.Connection, now: dt.datetime) -> list[Job]:
    """The jobs whose runners did not say for long that they live."""
    asked = sa.select(JOBS).where(
        JOBS.c.state == JobState.RUNNING.value, JOBS.c.alive_at < stamp(now - SILENT_FOR)
    )
    return [_from_row(row) for row in connection.execute(asked)]


def add_events(connection: sa.Connection, job: int, events: Iterable[JobEvent]) -> None:
    """Add events; beyond :data:`MOST_EVENTS` they are dropped."""
    rows = [
        {
            "job": job,
            "position": event.position,
            "at": stamp(event.at),
            "kind": event.kind,
            "client": event.client,
            "machine": event.machine,
            "text": _kept(event.text, _LONGEST),
        }
        for event in events
        if event.position <= MOST_EVENTS
    ]
    if rows:
        connection.execute(sa.insert(EVENTS), rows)


def events_of(connection: sa.Connection, job: int, *, after: int = 0, limit: int = 500) -> list[JobEvent]:
    """The events of a job behind a position, in their order."""
    asked = (
        sa.select(EVENTS)
        .where(EVENTS.c.job == job, EVENTS.c.position > after)
        .order_by(EVENTS.c.position)
        .limit(limit)
    )
    return [_event(row) for row in connection.execute(asked)]


def last_events(connection: sa.Connection, job: int, limit: int) -> list[JobEvent]:
    """The last events of a job, in their order."""
    asked = sa.select(EVENTS).where(EVENTS.c.job == job).order_by(EVENTS.c.position.desc()).limit(limit)
    return [_event(row) for row in connection.execute(asked)][::-1]


def _kept(text: str, longest: int) -> str:
    """A text as it is kept: hypervisors and guests have a part in it."""
    return shortened(storable(without_secrets(text)), longest)


def _event(row: Any) -> JobEvent:
    return JobEvent(
        position=row.position,
        at=dt.datetime.fromisoformat(row.at),
        kind=row.kind,
        client=row.client,
        machine=row.machine,
        text=row.text,
    )


def _from_row(row: Any) -> Job:
    def moment(text: str | None) -> dt.datetime | None:
        return None if text is None else dt.datetime.fromisoformat(text)

    return Job(
        number=row.number,
        operation=row.operation,
        request=json.loads(row.request),
        asked_at=dt.datetime.fromisoformat(row.asked_at),
        asked_by=row.asked_by,
        state=JobState(row.state),
        runner=row.runner,
        began_at=moment(row.began_at),
        alive_at=moment(row.alive_at),
        ended_at=moment(row.ended_at),
        cancelled_by=row.cancelled_by,
        result=row.result,
    )
