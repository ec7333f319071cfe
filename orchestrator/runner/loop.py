"""The runner: takes one job after the other, and has each carried out by a process of its own.

A job in its own process can be interrupted as a command can, and its crash is nobody else's. A queue that several
computers share would take the place of :mod:`orchestrator.interface.jobs` alone.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from orchestrator.errors import OrchestratorError, RequestRefused, told
from orchestrator.history import History
from orchestrator.history.errors import HistoryUnavailable
from orchestrator.interface import jobs
from orchestrator.interface.database import open_interface
from orchestrator.interface.jobs import Job, JobState
from orchestrator.operations.carrying_out import Around, Ended, carry_out, give_up_silent, settle
from orchestrator.operations.computer import state_directory
from orchestrator.operations.plan_review import give_up_old
from orchestrator.runner.telling import Told, alive

_LOG = logging.getLogger("orchestrator.runner")
_LOOKS_EVERY = 1.0
"""Seconds between two looks at the list of jobs."""

_HEARS_WITHIN = 0.2
"""Seconds until the process of a job is told to end, or its end is seen."""


@dataclass(frozen=True, kw_only=True)
class RunnerSettings:
    """What a runner works on.

    Attributes:
        inventory: where the site file is.
        files: the clients' files and folders; none: ./subscriptions. Saved plans name their files as they were given,
            so a runner works in the folder that plans are made in.
        history: the database, a file or a URL; None: the usual one.
        leave_guests: do the hypervisor's part only.
    """

    inventory: str | None
    files: tuple[Path, ...] = ()
    history: str | None = None
    leave_guests: bool = False

    @property
    def place(self) -> str:
        """Of the database."""
        return self.history or str(state_directory() / "history.db")

    def command(self, *more: str) -> list[str]:
        """The command line of a runner with these settings; a database's URL goes by the environment."""
        inventory = ["--inventory", self.inventory] if self.inventory else []
        files = [part for path in self.files for part in ("--files", str(path))]
        guests = ["--no-guests"] if self.leave_guests else []
        return [sys.executable, "-m", "orchestrator", "runner", *inventory, *files, *guests, *more]

    @property
    def environment(self) -> dict[str, str]:
        """Of a runner with these settings: a URL may hold a password, and command lines are read by everybody."""
        return {**os.environ, "ORCHESTRATOR_HISTORY": self.place}


def run(settings: RunnerSettings, *, once: bool = False, beside_another: bool = False) -> None:
    """Carry jobs out until told to end (SIGTERM, Ctrl-C): the job that runs is then ended in order.

    Args:
        settings: what the runner works on.
        once: end as soon as no job waits.
        beside_another: end when standard input does: whoever started it is gone then, however it went.

    Raises:
        HistoryUnavailable: the database cannot be used.
    """
    database = open_interface(settings.place)
    history = History(database)
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    try:
        with _told_to_end() as end:
            if beside_another:
                threading.Thread(target=_wait_for_the_other, args=(end,), daemon=True).start()
            while not end.is_set():
                job = _next(history, name)
                if job is not None:
                    _LOG.info("job %s begins", job.number)
                    _in_a_process(settings, history, job, name, end)
                elif once:
                    return
                else:
                    end.wait(_LOOKS_EVERY)
    finally:
        database.close()


def _wait_for_the_other(end: threading.Event) -> None:
    sys.stdin.read()
    end.set()


def carry_out_taken(settings: RunnerSettings, number: int, runner: str) -> None:
    """Carry out a job that a runner took: what its process does.

    Raises:
        RequestRefused: it is not that runner's.
        HistoryUnavailable: the database cannot be used.
    """
    database = open_interface(settings.place)
    history = History(database)
    try:
        with database.reading() as connection:
            job = jobs.find(connection, number)
        if job is None or job.runner != runner or job.state is not JobState.RUNNING:
            raise RequestRefused(f"job {number} is not one that {runner} took")
        telling = Told()
        around = Around(
            inventory=settings.inventory,
            files=settings.files,
            place=settings.place,
            history=history,
            leave_guests=settings.leave_guests,
            events=telling.events,
        )
        with alive(database, job, runner, telling):
            ended = _ended(job, around)
        settle(history, job, runner, ended, dt.datetime.now(dt.UTC))
    finally:
        database.close()


def _ended(job: Job, around: Around) -> Ended:
    try:
        return carry_out(job, around)
    except KeyboardInterrupt:
        return Ended(state=JobState.CANCELLED, words="interrupted before anything was changed")
    except OrchestratorError as error:
        return Ended(state=JobState.FAILED, words=str(error))
    except Exception as error:
        _LOG.exception("job %s", job.number)
        return Ended(state=JobState.FAILED, words=told(error))


def _next(history: History, name: str) -> Job | None:
    """Take a job; None if none waits, or the database does not answer, which passes."""
    now = dt.datetime.now(dt.UTC)
    try:
        for lost in give_up_silent(history, now):
            _LOG.error("job %s is lost: %s ended without a word", lost.number, lost.runner)
        give_up_old(history, now)
        with history.database.writing() as connection:
            return jobs.take(connection, name, now)
    except HistoryUnavailable as error:
        _LOG.error("%s", error)
        return None


def _in_a_process(
    settings: RunnerSettings, history: History, job: Job, name: str, end: threading.Event
) -> None:
    with subprocess.Popen(
        settings.command("--job", str(job.number), "--taken-by", name),
        env=settings.environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C at a terminal comes to the runner, and from it to the job, once
    ) as process:
        told_to_end = False
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_HEARS_WITHIN)
            if end.is_set() and not told_to_end:
                told_to_end = True
                process.send_signal(signal.SIGINT)
    with history.database.reading() as connection:
        now = jobs.find(connection, job.number)
    if now is None or now.state is not JobState.RUNNING or now.runner != name:
        return
    words = (
        f"its process ended without a word (exit code {process.returncode}): what it did is in the history"
    )
    state = JobState.CANCELLED if now.cancelled_by or told_to_end else JobState.FAILED
    settle(history, job, name, Ended(state=state, words=words), dt.datetime.now(dt.UTC))


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """Set by SIGTERM, SIGINT or SIGHUP, for as long as the context lasts."""
    end = threading.Event()

    def hear(_number: int, _frame: FrameType | None) -> None:
        end.set()

    before = {
        number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def beside(settings: RunnerSettings) -> Iterator[None]:
    """A runner in a process of its own, for as long as the context lasts; one that ended is started again."""
    over = threading.Event()
    current: list[subprocess.Popen[bytes]] = []
    command: Sequence[str] = settings.command("--beside")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, env=settings.environment, stdin=subprocess.PIPE, start_new_session=True
        )

    def watch() -> None:
        while not over.wait(_LOOKS_EVERY):
            if current[0].poll() is not None:
                _LOG.error("the runner ended (exit code %s) and is started again", current[0].returncode)
                current[0] = start()

    current.append(start())
    thread = threading.Thread(target=watch, name="runner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        current[0].terminate()
        current[0].communicate()
