"""What the commands share: options, printing, asking, and ending with a clear message."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from orchestrator.cli.diagnostics import LogFormat, diagnostics, json_for
from orchestrator.interruption import EXIT_CODE
from orchestrator.shown import hanging, said_once, visible
from orchestrator.yaml_reader.problems import Problem, render_problem

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen


class OutputFormat(StrEnum):
    """How an answer is printed: for people or for programs."""

    TEXT = "text"
    JSON = "json"


class Language(StrEnum):
    """The language of a document."""

    FR = "fr"
    EN = "en"


Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PATH]...", help="Subscription files or folders.  [default: ./subscriptions]"),
]
Inventory = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        envvar="ORCHESTRATOR_INVENTORY",
        help="The sites: a folder with sites.yaml, or its name below ./inventories.",
    ),
]
ADMIN_SECRET = "ORCHESTRATOR_ADMIN_SECRET"  # noqa: S105  (a name)
Wording = Annotated[
    Path | None,
    typer.Option(
        "--wording",
        envvar="ORCHESTRATOR_WORDING",
        metavar="FILE",
        help="Texts of your own; see `orchestrator wording`.",
    ),
]
Only = Annotated[
    str | None, typer.Option(metavar="CLIENT[/MACHINE|/KIND/NAME]", help="Only this client, machine or item.")
]
HistoryPath = Annotated[
    str | None,
    typer.Option("--history", envvar="ORCHESTRATOR_HISTORY", help="The history: a file, or a database URL."),
]


def use_wording(path: Path | None) -> None:
    """Put a provider's own wording of reports in force; None: there is none.

    Raises:
        ProblemsFound: the file has errors.
    """
    from orchestrator.reports import wording  # not for `--help`

    wording.use_wording(path)


_BEGINS_AS_ERROR = re.compile(r"(?i)^(?:error: *)+")


def fail(message: str, *, code: str = "request-refused") -> NoReturn:
    """Print an error and end with exit code 1; the log also has its code (:mod:`orchestrator.errors`)."""
    message = _BEGINS_AS_ERROR.sub("", said_once(message))
    if diagnostics.form is LogFormat.JSON:
        logging.getLogger("orchestrator.cli").error(
            "error", extra={"fields": {"message": message, "code": code}}
        )
        raise typer.Exit(1)
    out = console(stderr=True)
    out.print("error", style="bold red", end="  ")
    _print_lines(out, hanging(message, len("error  ")))
    raise typer.Exit(1)


def end_if(interrupted: bool) -> None:
    """End with the exit code of an interrupted command, if it was."""
    if interrupted:
        raise typer.Exit(EXIT_CODE)


def complain(message: str, *, style: str | None = None) -> None:
    """Tell on standard error what went wrong, and go on."""
    message = said_once(message)
    if diagnostics.form is LogFormat.JSON:
        fields = {"message": message.strip()}
        logging.getLogger("orchestrator.cli").error("error", extra={"fields": fields})
    else:
        _print_lines(console(stderr=True), hanging(message, 4), style)


def echo(text: str) -> None:
    """Print a document on standard output: Markdown, HTML, YAML, a script. Whoever made it has escaped its values."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def echo_json(text: str) -> None:
    """Print JSON on standard output, valid and complete whatever characters that can carry."""
    echo(json_for(sys.stdout, text))


def agreed(question: str) -> bool:
    """Ask whoever sits at the terminal."""
    return typer.confirm(visible(question))


def answer_to(question: str, *, hidden: bool = False) -> str:
    """Ask whoever sits at the terminal for a line.

    Args:
        question: what for.
        hidden: a secret: what is typed is not shown, and the question goes to standard error.
    """
    text = typer.prompt(
        visible(question), default=None if hidden else "", show_default=False, hide_input=hidden, err=hidden
    )
    return str(text).strip()


def secret_of_administrator(token_id: str) -> str:
    """The secret of an administrator's token: from the environment, or of whoever sits at the terminal. Kept nowhere.

    Raises:
        typer.Exit: there is neither.
    """
    secret = os.environ.get(ADMIN_SECRET, "").strip()
    if secret:
        return secret
    if not interactive():
        fail(f"the administrator's secret is not in {ADMIN_SECRET}, and this is not an interactive terminal")
    return answer_to(f"Secret of {token_id}", hidden=True)


def console(*, stderr: bool = False) -> Screen:
    """The one place that prints for people: colours on a terminal, plain text elsewhere. Texts are never markup."""
    from orchestrator.cli.screen import Screen  # rich is a fifth of what `--help` would take

    return Screen(stderr=stderr)


def _print_lines(out: Screen, text: str, style: str | None = None) -> None:
    for line in text.split("\n"):
        out.print(line, style=style)


def tell_problems(problems: Iterable[Problem]) -> None:
    """Tell the problems of files on standard error: as text with the lines they stand in, or as lines of the log."""
    log = logging.getLogger("orchestrator.cli")
    out = console(stderr=True)
    for problem in problems:
        if diagnostics.form is LogFormat.JSON:
            fields = problem.as_json()
            del (
                fields["severity"],
                fields["source_line"],
            )  # the first is the level, the second the file's content
            level = logging.ERROR if problem.severity == "error" else logging.WARNING
            log.log(level, "problem", extra={"fields": fields})
        else:
            _print_lines(out, render_problem(problem))


def interactive() -> bool:
    """Whether a person can answer a question."""
    return sys.stdin.isatty()
