"""What a night tells while it runs: lines for a person who watches, one JSON object a line for a log."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.cli import session
from orchestrator.cli.speaking import LogFormat, json_for, voice

if TYPE_CHECKING:
    from orchestrator.nightly.context import Tell

_QUIET = frozenset({"action"})
"""Too fine for a person: every single step. The log has them."""

_BAD = ("failed",)

_RESULTS = frozenset({"summary", "report-written", "storage-gone"})
"""What ``--quiet`` tells, too."""


@contextmanager
def events(form: str) -> Iterator[Tell]:
    """Yield the function that is told of every event. Callable from any thread.

    Args:
        form: ``text``, ``json``, or ``auto``: text on a terminal, JSON elsewhere.
    """
    if form == "json" or (form == "auto" and (voice.form is LogFormat.JSON or not sys.stdout.isatty())):
        yield _json_lines()
    else:
        yield _text_lines()


def _left_out(event: str, fields: dict[str, Any]) -> bool:
    """Whether ``--quiet`` leaves an event out: what is neither a result nor an error."""
    failed = event.endswith(_BAD) or fields.get("sound") is False
    return voice.quiet and event not in _RESULTS and not failed


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


def _text_lines() -> Tell:
    out = session.console()
    guard = threading.Lock()

    def tell(event: str, **fields: Any) -> None:
        if event in _QUIET or _left_out(event, fields):
            return
        if event == "summary":
            out.print(str(fields["text"]))
            return
        where = "/".join(str(fields.pop(key)) for key in ("client", "machine") if key in fields)
        rest = "  ".join(f"{key} {value}" for key, value in fields.items() if value is not None)
        style = "red" if event.endswith(_BAD) else None
        with guard:
            out.print(
                f"{dt.datetime.now():%H:%M:%S}  {event:<22} {where:<24} {rest}".rstrip(),
                style=style,
            )

    return tell
