"""What a night tells while it runs: sentences for a person who watches, one JSON object a line for a log."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.cli import session
from orchestrator.cli.diagnostics import LogFormat, diagnostics, json_for
from orchestrator.cli.night_words import BEGINS, ENDS, sentence
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted

if TYPE_CHECKING:
    from orchestrator.cli.board import Board
    from orchestrator.cli.screen import Screen
    from orchestrator.nightly.context import Tell

_QUIET = frozenset({"action", "share"})
"""Too fine for a line of its own: every single step, and how far it is."""

_BAD = ("failed",)

_ROUNDS = frozenset({"updates-started", "restarts-started"})
"""Events after which each machine's steps are shown until it has ended."""

_RESULTS = frozenset({"summary", "report-written", "storage-gone"})
"""What ``--quiet`` tells, too."""


@contextmanager
def events() -> Iterator[Tell]:
    """Yield the function that is told of every event, in the form that was chosen. Callable from any thread."""
    if diagnostics.form is LogFormat.JSON or (diagnostics.form is LogFormat.AUTO and not sys.stdout.isatty()):
        yield _json_lines()
    else:
        with _text_lines() as tell:
            yield tell


def _failed(event: str, fields: dict[str, Any]) -> bool:
    return event.endswith(_BAD) or fields.get("sound") is False


def _left_out(event: str, fields: dict[str, Any]) -> bool:
    """Whether ``--quiet`` leaves an event out: what is neither a result nor an error."""
    return diagnostics.quiet and event not in _RESULTS and not _failed(event, fields)


def _json_lines() -> Tell:
    guard = threading.Lock()

    def tell(event: str, **fields: Any) -> None:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        if _left_out(event, fields):
            return
        line = json.dumps({"at": at, "event": event, **fields}, default=str, ensure_ascii=False)
        line = json_for(sys.stdout, line)
        with guard:
            print(line, flush=True)  # noqa: T201  (a log, not words for people: no colours, no wrapping)

    return tell


@contextmanager
def _text_lines() -> Iterator[Tell]:
    out = session.console()
    if not out.is_terminal or diagnostics.quiet:
        yield _Lines(out).tell
        return
    from orchestrator.cli.board import shown  # rich's moving parts, for terminals alone

    with shown(out) as board:
        yield _Lines(out, board).tell


class _Lines:
    """A sentence an event, with its time; on a terminal also what is under way, and what is left.

    Args:
        out: where they go.
        board: what moves; None where nothing does.
    """

    def __init__(self, out: Screen, board: Board | None = None) -> None:
        self._out, self._board = out, board
        self._guard = threading.Lock()
        self._step = ""
        self._backups = self._backed_up = 0
        self._in_round = False

    def tell(self, event: str, **fields: Any) -> None:
        """Tell of an event. Callable from any thread."""
        where = "/".join(str(fields.pop(key)) for key in ("client", "machine") if fields.get(key))
        with self._guard:
            self._follow(event, where, fields)
            if event in _QUIET or _left_out(event, fields):
                return
            words = sentence(event, fields)
            if event == "summary":
                self._out.print(words)
                return
            at = paris_time(dt.datetime.now(dt.UTC), seconds=True)
            style = "red" if _failed(event, fields) else None
            self._out.print("  ".join(filter(None, [at, where, words])), style=style)

    def _follow(self, event: str, where: str, fields: dict[str, Any]) -> None:
        """Let the board show what an event begins and ends."""
        if self._board is None:
            return
        if event in ("night-ended", "summary"):
            self._board.finish()
        elif event == "night-started":
            self._backups = fields["backups"]
        elif event == "step":
            self._step, self._in_round = str(fields["name"]), False
            self._board.say(self._heading())
        elif event in _ROUNDS:
            self._in_round = True
            self._board.say(f"{self._step}: {counted(fields['machines'], 'machine')}")
        elif event in BEGINS:
            self._board.step(where, BEGINS[event])
        elif event in ENDS:
            self._board.ended(where, failed=_failed(event, fields))
            self._backed_up += event.startswith("backup-")
            if event.startswith("backup-"):
                self._board.heading = self._heading()
        elif event == "action" and (self._in_round or self._board.is_under_way(where)):
            self._board.step(where, str(fields["text"]))
        elif event == "share":
            self._board.share(where, fields["percent"] / 100)

    def _heading(self) -> str:
        return f"{self._step}, {self._backed_up} of {counted(self._backups, 'backup')} ended"
