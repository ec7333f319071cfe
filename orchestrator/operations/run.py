"""What all operations share, opened and closed in one place: clusters, locks, history, journal, the way to the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from orchestrator.applying.freezing import FreezeWatch
from orchestrator.applying.journal import Journal
from orchestrator.applying.lock import RunLocks
from orchestrator.applying.lock_note import holder_text
from orchestrator.applying.stopping import LEAVE_SECONDS, Signals, Stopping
from orchestrator.errors import OrchestratorError
from orchestrator.history.opening import open_history as open_history_at
from orchestrator.interruption import EXIT_CODE
from orchestrator.operations.computer import operator, state_directory
from orchestrator.operations.connecting import connect, connect_api, open_clusters
from orchestrator.operations.events import SILENT, Events
from orchestrator.progress import Progress
from orchestrator.proxmox import Cluster
from orchestrator.sites.model import Provider

if TYPE_CHECKING:
    from orchestrator.history import History

__all__ = [
    "SILENT",
    "Events",
    "Run",
    "connect",
    "connect_api",
    "journal",
    "open_clusters",
    "open_history",
    "open_run",
    "run_name",
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that changes something: what all its steps share.

    Attributes:
        clusters: the API of each site.
        locks: none taken yet.
        stopping: whether somebody asked for its end.
        signals: hears Ctrl-C; told when the changes begin.
    """

    clusters: dict[str, Cluster]
    locks: RunLocks
    stopping: Stopping
    signals: Signals
    _events: Events
    _place: str | None
    _open: ExitStack

    @cached_property
    def history(self) -> History:
        """The history, opened when it is first asked for.

        Raises:
            HistoryUnavailable: it cannot be used; then nothing may be changed.
        """
        return self._open.enter_context(open_history(self._place))

    def begin(self) -> None:
        """From here on things are changed: Ctrl-C ends the run in order, and no longer at once."""
        self.signals.begin()

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked for its end."""
        return self.stopping.asked

    @cached_property
    def progress(self) -> Progress:
        """Told of each step. Begun only now: what moves on a terminal would cover a question."""
        return self._open.enter_context(self._events.steps())

    def journal(self, why: str, *, known: Collection[str] = (), progress: Progress | None = None) -> Journal:
        """A journal of the run: its steps stop where a lock is lost, a site is frozen, or somebody asked for the end.

        Args:
            why: the reason that the history keeps.
            known: sites that were read just now, and not frozen.
            progress: told of each step, instead of the run's own.
        """
        return journal(self.history, why, progress or self.progress, self.clusters, known=known, run=self)


@contextmanager
def open_run(
    provider: Provider,
    what: str = "",
    *,
    only: Collection[str] | None = None,
    history: str | None = None,
    events: Events = SILENT,
) -> Iterator[Run]:
    """Open a run that changes something at every site, or at some only. Its locks go when it ends.

    An error by which it ends has the exit code of an interrupted command if somebody asked for the end.

    Args:
        provider: the sites.
        what: what the run does, for others who want the same locks.
        only: these sites.
        history: a file or URL; by default the one in the state directory.
        events: who is told what.
    """
    stopping = Stopping()
    holder = holder_text(operator(), dt.datetime.now(dt.UTC), what)

    def interrupted(running: list[str]) -> None:
        events.notice(_interrupted(running))

    try:
        with (
            Signals(stopping, interrupted) as signals,
            open_clusters(provider, only=only, notice=events.notice) as clusters,
            RunLocks(clusters, holder, tell=events.notice) as locks,
            ExitStack() as opened,
        ):
            for site, cluster in clusters.items():
                cluster.leaves_task = stopping.leaves_task
                cluster.before_write = locks.fence(site)
            yield Run(
                clusters=clusters,
                locks=locks,
                stopping=stopping,
                signals=signals,
                _events=events,
                _place=history,
                _open=opened,
            )
    except OrchestratorError as error:
        if stopping.asked:
            error.exit_code = EXIT_CODE
        raise


def _interrupted(running: list[str]) -> str:
    waited = (
        f" Waiting up to {LEAVE_SECONDS:.0f} s for what runs, then it continues in Proxmox alone: "
        f"{', '.join(sorted(running))}."
        if running
        else ""
    )
    return f"interrupted: nothing new is started.{waited} Interrupt again to end at once."


def run_name(moment: dt.datetime) -> str:
    """Name a run by its time: ``20261123T080000.000000Z``."""
    return f"{moment.astimezone(dt.UTC):%Y%m%dT%H%M%S.%fZ}"


def journal(
    history: History,
    why: str,
    progress: Progress,
    clusters: Mapping[str, Cluster],
    *,
    known: Collection[str] = (),
    run: Run | None = None,
) -> Journal:
    """A journal, also for what has no :class:`Run` because it changes nothing in Proxmox.

    Args:
        history: where entries go.
        why: the reason that the history keeps.
        progress: told of each step.
        clusters: the API of the sites that it changes: a freeze there stops it.
        known: sites that were read just now, and not frozen.
        run: the run, if it has locks: without them it goes no further, nor after an interruption.
    """
    watch = FreezeWatch(clusters, known=known, look=run.locks.look if run else None)

    def gate(site: str) -> None:
        if run is not None:
            run.locks.check(site)
        watch(site)

    return Journal(
        history=history,
        who=operator(),
        why=why,
        run=run_name(dt.datetime.now(dt.UTC)),
        progress=progress,
        gate=gate,
        stopping=run.stopping if run else Stopping(),
    )


def open_history(place: str | None, *, create: bool = True) -> History:
    """Open the history: a file, a URL, or by default the one in the state directory.

    Args:
        place: where.
        create: make it if there is none.

    Raises:
        HistoryMissing: there is none, and none is to be made.
        HistoryUnavailable: it cannot be used.
    """
    return open_history_at(place or state_directory() / "history.db", create=create)
