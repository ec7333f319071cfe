"""What is told while an operation runs: notices, problems of files, and steps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orchestrator.cli import session
from orchestrator.cli.diagnostics import LogFormat, diagnostics
from orchestrator.operations.events import Events
from orchestrator.progress import End, Progress

if TYPE_CHECKING:
    from orchestrator.cli.board import Board
    from orchestrator.cli.screen import Screen

_LOG = logging.getLogger("orchestrator.progress")
_TENTHS = 10


@contextmanager
def progress(*, timed: bool = True) -> Iterator[Progress]:
    """A line a machine that moves on a terminal, a line a step elsewhere, or the same as events in JSON.

    Args:
        timed: whether a line says how long the command has run.
    """
    out = session.console()
    if diagnostics.quiet:
        yield Progress()
    elif diagnostics.form is LogFormat.JSON:
        yield _Logged()
    elif out.is_terminal:
        from orchestrator.cli.board import shown  # rich's moving parts, for terminals alone

        with shown(out) as board:
            yield _Moving(out, board)
    else:
        yield _Lines(out, timed=timed)


def name_of(client: str, machine: str) -> str:
    """How a machine, or a client, is called."""
    return f"{client}/{machine}" if machine else client


class _Lines(Progress):
    """A line a step."""

    def __init__(self, out: Screen, *, timed: bool) -> None:
        self._out, self._timed = out, timed
        self._started = time.monotonic()
        self._guard = threading.Lock()

    def step(self, client: str, machine: str, what: str) -> None:
        since = f"{time.monotonic() - self._started:6.1f}s  " if self._timed else ""
        with self._guard:
            self._out.print(f"{since}{name_of(client, machine)}  {what}")

    def ended(self, client: str, machine: str, end: End, message: str = "") -> None:
        self.step(client, machine, f"failed: {message}" if end == "failed" else message or end)


class _Moving(Progress):
    """What is under way at the foot of a terminal; what has ended above it."""

    wants_shares = True

    def __init__(self, out: Screen, board: Board) -> None:
        self._out, self._board = out, board

    def expect(self, machines: Iterable[tuple[str, str]]) -> None:
        self._board.expect(name_of(*key) for key in machines)

    def step(self, client: str, machine: str, what: str) -> None:
        self._board.step(name_of(client, machine), what)

    def share(self, client: str, machine: str, share: float) -> None:
        self._board.share(name_of(client, machine), share)

    def step_ended(self, client: str, machine: str) -> None:
        if not machine:  # what is done for a client as a whole is one step, and no machine is through with it
            self._board.leave(client)

    def ended(self, client: str, machine: str, end: End, message: str = "") -> None:
        name = name_of(client, machine)
        seconds = self._board.ended(name, failed=end == "failed")
        if end == "done":
            self._out.print(f"✓ {name}  done in {seconds:.0f} s" + (f": {message}" if message else ""))
        else:
            self._out.print(f"✗ {name}  {end}: {message}", style="red")


class _Logged(Progress):
    """Events in JSON: what a terminal shows. Steps are not among them: the log has each with its result."""

    wants_shares = True

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def expect(self, machines: Iterable[tuple[str, str]]) -> None:
        _tell("expected", machines=[name_of(*key) for key in machines])

    def share(self, client: str, machine: str, share: float) -> None:
        name, tenths = name_of(client, machine), int(share * _TENTHS)
        if self._told.get(name) != tenths:
            self._told[name] = tenths
            _tell("share", client=client, machine=machine, percent=round(share * 100))

    def ended(self, client: str, machine: str, end: End, message: str = "") -> None:
        _tell("machine-ended", client=client, machine=machine, end=end, message=message)


def _tell(event: str, **fields: object) -> None:
    _LOG.info(event, extra={"fields": fields})


@contextmanager
def _one_by_one() -> Iterator[Progress]:
    with progress(timed=False) as told:
        yield told


EVENTS = Events(notice=session.complain, problems=session.tell_problems, steps=_one_by_one)
"""For an operation on one machine."""

PROGRESS = Events(notice=session.complain, problems=session.tell_problems, steps=progress)
"""For an operation on many."""
