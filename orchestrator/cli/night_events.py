"""What a night tells while it runs: sentences for a person who watches, one JSON object a line for a log."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orchestrator.cli import session
from orchestrator.cli.diagnostics import LogFormat, diagnostics, json_for
from orchestrator.cli.night_words import BEGINS, ENDS, sentence
from orchestrator.contract.calendar import paris_time
from orchestrator.shown import visible

if TYPE_CHECKING:
    from rich.status import Status

    from orchestrator.cli.screen import Screen
    from orchestrator.nightly.context import Tell

_QUIET = frozenset({"action"})
"""Too fine for a person: every single step. The log has them."""

_BAD = ("failed",)

_NAMED = 3
"""How many machines the moving line names."""

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
    lines = _Lines(out)
    if not out.is_terminal or diagnostics.quiet:
        yield lines.tell
        return
    with out.status("beginning", spinner="dots") as status:
        lines.status = status
        yield lines.tell


class _Lines:
    """A sentence an event, with its time; on a terminal also a moving line that says what is under way.

    Args:
        out: where they go.

    Attributes:
        status: the moving line; None where there is none.
    """

    def __init__(self, out: Screen) -> None:
        self._out = out
        self._guard = threading.Lock()
        self._under_way: dict[str, str] = {}
        self._step = ""
        self.status: Status | None = None

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
        if self.status is None:
            return
        if event in ("night-ended", "summary"):
            self.status.stop()
            self.status = None
            return
        if event == "step":
            self._step = str(fields["name"])
        elif event in BEGINS:
            self._under_way[where] = BEGINS[event]
        elif event in ENDS:
            self._under_way.pop(where, None)
        elif event in _QUIET and where in self._under_way:
            self._under_way[where] = sentence(event, fields)
        self.status.update(self._moving())

    def _moving(self) -> Text:
        named = [f"{where} {words}" for where, words in list(self._under_way.items())[:_NAMED]]
        if more := len(self._under_way) - len(named):
            named.append(f"{more} more")
        return Text(visible(": ".join(filter(None, [self._step, ", ".join(named)]))))
