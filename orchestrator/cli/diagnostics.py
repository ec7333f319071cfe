"""How the program speaks: words for people or one JSON object a line for a log, more of it or less, on any terminal.

Results go to standard output, as each command prints them. Everything else goes to standard error: errors, and with
``--log-format json`` or ``--verbose`` what is done, step by step and call by call. No secret is ever part of it: the
parameters of calls are not logged.
"""

from __future__ import annotations

import codecs
import datetime as dt
import json
import logging
import os
import sys
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TextIO

from orchestrator.shown import json_safe, visible

ROOT = "orchestrator"
"""The logger above all of the program's."""

_PLAIN = {
    **dict.fromkeys("–—−·", "-"),
    **dict.fromkeys("«»", '"'),
    "→": "->",
    "←": "<-",
    "…": "...",
    "✓": "ok",
    "’": "'",
}


class LogFormat(StrEnum):
    """The form of all that is told besides results.

    ``auto``: words; a night's events as JSON where nobody watches, for then they go into a log.
    """

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


@dataclass
class Diagnostics:
    """What was chosen for this run of the program."""

    form: LogFormat = LogFormat.AUTO
    quiet: bool = False
    verbose: bool = False


diagnostics = Diagnostics()
"""Set once, before the command runs."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "pid": os.getpid(), "event": record.getMessage()}
        return json_for(sys.stderr, json.dumps(line | fields, default=str, ensure_ascii=False))


class _Words(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        from orchestrator.contract.calendar import paris_time

        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        rest = "  ".join(f"{key} {value}" for key, value in fields.items() if value not in (None, ""))
        line = f"{paris_time(at, seconds=True)}  {record.getMessage()}  {rest}"
        return visible(line.rstrip())


def begin(form: LogFormat, *, quiet: bool, verbose: bool) -> None:
    """Choose how this run speaks."""
    diagnostics.form, diagnostics.quiet, diagnostics.verbose = form, quiet, verbose
    logging.raiseExceptions = False  # a log that cannot be written must not print a traceback
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form is LogFormat.JSON else _Words())
    logger = logging.getLogger(ROOT)
    logger.handlers = [handler]
    logger.propagate = False
    usual = logging.INFO if form is LogFormat.JSON else logging.CRITICAL
    level = logging.DEBUG if verbose else usual
    logger.setLevel(max(level, logging.ERROR) if quiet else level)


def write_on_any_terminal() -> None:
    """Let no character stop the program: where the terminal cannot show one, it shows the nearest plain one."""
    codecs.register_error("orchestrator-plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="orchestrator-plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_nearest(character) for character in text), error.end


def json_for(stream: TextIO, text: str) -> str:
    r"""JSON text as a stream can carry it: whole where it has the characters, else all but ASCII as ``\uXXXX``.

    A nearest plain character would change the data, and a plain quote for a French one would end a string. What a
    terminal would obey rather than show, and what ends a line of a log, is escaped in any case: it means the same.
    """
    text = json_safe(text)
    try:
        text.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), indent=2 if "\n" in text else None)
    return text


def _nearest(character: str) -> str:
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _PLAIN.get(character) or bare or "?"
