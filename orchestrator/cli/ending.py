"""How a run of the program ends: the one place where what went wrong becomes a message and an exit code."""

from __future__ import annotations

import datetime as dt
import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from orchestrator.cli import session
from orchestrator.cli.diagnostics import diagnostics
from orchestrator.cli.main_options import WithMainOptions
from orchestrator.cli.outlet import outlets
from orchestrator.errors import REMEDIES, OrchestratorError, is_meant_for_people, told
from orchestrator.interruption import ends_soon
from orchestrator.operations import computer
from orchestrator.operations.settings import forget, secrets_known
from orchestrator.redaction import secrets_of, without
from orchestrator.shown import visible
from orchestrator.yaml_reader.problems import ProblemsFound


class Commands(WithMainOptions):
    """The program's commands, ended by :func:`end`."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command that the arguments name."""
        forget()  # of a run before, in the same process
        return end(lambda: WithMainOptions.main(self, *arguments, **options))


def end(work: Callable[[], Any]) -> Any:
    """Run something with safe outlets. What it raises is told, and ends the program with exit code 1.

    Raises:
        SystemExit: the program is to end.
    """
    with ends_soon(), outlets() as (out, _):
        try:
            try:
                return work()
            except Exception as error:
                _end_by(error)
        except SystemExit as ending:
            out.flush()
            if out.lost is None or out.lost.errno == errno.EPIPE or ending.code:
                raise  # a reader who has seen enough (`| head`) is no error
            closed = "leave standard output open, or send it to /dev/null"
            what_to_do = {**REMEDIES, errno.EBADF: closed}.get(out.lost.errno or 0, "see where it goes")
            why = f"{out.lost.strerror}: {what_to_do}"
            _fail(f"the output could not be written, and is lost: {why}")


def _end_by(error: Exception) -> NoReturn:
    written = without("".join(traceback.format_exception(error)), _secrets())
    if diagnostics.verbose:
        sys.stderr.write(written)
    if isinstance(error, ProblemsFound):
        session.tell_problems(error.problems)
        raise SystemExit(error.exit_code)
    if is_meant_for_people(error):
        if isinstance(error, OSError) and not error.filename:
            error.filename = _somewhere()
        _fail(
            told(error), exit_code=getattr(error, "exit_code", 1), code=getattr(error, "code", "local-error")
        )
    kind = type(error).__name__
    kept = _keep(written)
    _fail(
        f"internal error ({kind}), please report it with the traceback, which is in {kept}; what was done is in "
        "`orchestrator history`, and the next run continues from there"
        if kept
        else f"internal error ({kind}), please report it with the traceback, which `orchestrator --verbose` prints"
    )


def _somewhere() -> str:
    """Where something could not be written, if the system does not say it: when a disk is full, for one."""
    try:
        return f"the state directory {computer.state_directory()}, or a file that was named"
    except OrchestratorError:
        return "a file of this computer"


def _secrets() -> frozenset[str]:
    """What this run was given that no traceback may hold: the passwords of URLs, and addresses that are secrets."""
    ping = os.environ.get("ORCHESTRATOR_PING_URL", "")
    given = [os.environ.get("ORCHESTRATOR_HISTORY", ""), ping, *sys.argv[1:]]
    urls = [text.partition("=")[2] if text.startswith("--") else text for text in given]
    return frozenset({ping} - {""}).union(secrets_known(), *(secrets_of(url) for url in urls if "://" in url))


def _keep(written: str) -> Path | None:
    """Write a traceback where only this account reads it. Return the file; None if there is no room for it."""
    try:
        folder = computer.state_directory() / "internal-errors"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}.txt"
        computer.replace_file(path, visible(written, lines=True, longest=None), mode=0o600)
    except (OSError, OrchestratorError):
        return None
    return path


def _fail(message: str, *, exit_code: int = 1, code: str = "internal-error") -> NoReturn:
    """Tell an error where no command is run any more, and end the program."""
    with suppress(typer.Exit):
        session.fail(message, code=code)
    raise SystemExit(exit_code)
