"""What a job tells while it runs: its steps as rows for the pages, and a sign of life for other runners."""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.history.database import Database
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface import jobs
from orchestrator.interface.jobs import Job, JobEvent
from orchestrator.operations.events import Events
from orchestrator.progress import End, Progress

if TYPE_CHECKING:
    from orchestrator.yaml_reader.problems import Problem

_EVERY = 1.0
"""Seconds between two signs of life, each with what happened meanwhile."""

_ENDS: dict[End, str] = {"done": "ended", "failed": "failed", "interrupted": "interrupted"}


class Told(Progress):
    """Collects what happens, from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._position = 0
        self._new: list[JobEvent] = []

    def expect(self, machines: Iterable[tuple[str, str]]) -> None:
        """These machines are what the run has to do."""
        for client, machine in machines:
            self.tell("expected", client, machine)

    def step(self, client: str, machine: str, what: str) -> None:
        """A step begins."""
        self.tell("step", client, machine, what)

    def ended(self, client: str, machine: str, end: End, message: str = "") -> None:
        """The run is through with a machine."""
        self.tell(_ENDS[end], client, machine, message)

    def notice(self, text: str) -> None:
        """Something went wrong, or is waited for, and the work goes on."""
        self.tell("notice", text=text)

    def problems(self, problems: Sequence[Problem]) -> None:
        """What is wrong with files."""
        for problem in problems:
            self.notice(f"{problem.severity}: {problem.file}:{problem.line}: {problem.message}")

    def tell(self, kind: str, client: str = "", machine: str = "", text: str = "") -> None:
        """Add an event."""
        with self._guard:
            self._position += 1
            event = JobEvent(
                position=self._position,
                at=dt.datetime.now(dt.UTC),
                kind=kind,
                client=client,
                machine=machine,
                text=text,
            )
            self._new.append(event)

    def taken(self) -> list[JobEvent]:
        """What is new since the last time."""
        with self._guard:
            new, self._new = self._new, []
            return new

    def put_back(self, events: list[JobEvent]) -> None:
        """What was taken could not be kept: it is taken again the next time."""
        with self._guard:
            self._new[:0] = events

    @contextmanager
    def _steps(self) -> Iterator[Progress]:
        yield self

    @property
    def events(self) -> Events:
        """What an operation tells."""
        return Events(notice=self.notice, problems=self.problems, steps=self._steps)


@contextmanager
def alive(database: Database, job: Job, runner: str, told: Told) -> Iterator[None]:
    """Say every second that the job goes on, and what happened; hear whether somebody wants its end.

    The end comes as Ctrl-C: nothing new is begun, and what runs is waited for. It comes also where the job was given
    up meanwhile, because this process was frozen for so long that it was taken for dead.
    """
    over = threading.Event()

    def go_on() -> None:
        interrupted = False
        while not over.wait(_EVERY):
            try:
                now = _say(database, job, runner, told)
            except HistoryUnavailable:
                continue  # the run hears of it by its own entries
            if not interrupted and (now is None or now.cancelled_by):
                interrupted = True
                os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=go_on, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _say(database, job, runner, told)


def _say(database: Database, job: Job, runner: str, told: Told) -> Job | None:
    new = told.taken()
    try:
        with database.writing() as connection:
            jobs.add_events(connection, job.number, new)
            return jobs.beat(connection, job.number, runner, dt.datetime.now(dt.UTC))
    except HistoryUnavailable:
        told.put_back(new)
        raise
