"""What commands about one machine share: their options, and the question before a change."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import session

Target = Annotated[str, typer.Argument(metavar="CLIENT/MACHINE", help="One machine.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Reason = Annotated[str, typer.Option(help="Why: recorded in the history (article 3.8.1).")]
Files = Annotated[
    list[Path] | None,
    typer.Option("--files", "-f", help="Subscription files or folders.  [default: ./subscriptions]"),
]
Rules = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules", envvar="ORCHESTRATOR_RULES", help="Files of alert rules.  [default: the shipped ones]"
    ),
]
Procedures = Annotated[
    list[Path] | None,
    typer.Option(envvar="ORCHESTRATOR_PROCEDURES", help="Folders of your own procedures (NAME.md)."),
]
BootTimeout = Annotated[float, typer.Option(min=1, help="Seconds to wait for the guest to boot.")]


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask. Ends the command with an error if nobody can answer."""
    if yes:
        return True
    if not session.interactive():
        session.fail("not running interactively: pass --yes to do it without being asked")
    if session.agreed(question):
        return True
    session.console().print("nothing was changed")
    return False


def named_again(target: str, confirmed: str | None) -> bool:
    """Have the machine's name typed, or given, once more. Ends the command with an error if it is another one.

    Args:
        target: ``CLIENT/MACHINE``.
        confirmed: what an option gave; None: ask.
    """
    if confirmed is None:
        if not session.interactive():
            session.fail(f"not running interactively: pass --confirm {target} to do it without being asked")
        confirmed = session.answer_to(f"Type {target} to continue")
    if confirmed != target:
        session.fail(f"{confirmed!r} is not {target}: nothing was changed")
    return True
