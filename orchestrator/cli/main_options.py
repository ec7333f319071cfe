"""Options that stand before every command: ``orchestrator --log-format json nightly``."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import session
from orchestrator.cli.speaking import LogFormat, begin


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        session.echo(f"orchestrator {version('orchestrator')}")
        raise typer.Exit


def main_options(
    log_format: Annotated[
        LogFormat,
        typer.Option(
            envvar="ORCHESTRATOR_LOG_FORMAT",
            help="Errors and steps on standard error: words, or one JSON object a line.",
        ),
    ] = LogFormat.TEXT,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress: results and errors alone.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every step and every call to Proxmox, on standard error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Hosting subscriptions as code on Proxmox VE.

    Exit codes: 0 done, 1 not or not all done (see the message), 2 wrong use; `plan --detailed-exitcode` and `doctor`
    have more, see their help. NO_COLOR, FORCE_COLOR and TERM=dumb are respected.
    """
    begin(log_format, quiet=quiet, verbose=verbose)
