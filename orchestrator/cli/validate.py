"""``orchestrator validate``: check subscription files, without any network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.counting import counted
from orchestrator.operations import inventory as sites_file

if TYPE_CHECKING:
    from orchestrator.documents import Problem

FORMAT_VERSION = 1
"""Version of the JSON output; it grows when a key changes its meaning or goes."""


def validate(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Check the clients' files and show every error of every file. Needs no network and no hypervisor.

    Names of sites, networks and images, and the addresses' place in their networks, are checked only with an
    inventory. Exit code: 0 (there may be warnings), 1 where there is an error.
    """
    from orchestrator.documents import ProblemsFound
    from orchestrator.sites import load_provider
    from orchestrator.subscriptions import load

    if not paths and not sites_file.DEFAULT_FOLDER.is_dir():
        session.fail(f"there is no folder ./{sites_file.DEFAULT_FOLDER} here: name files or folders to check")
    provider = None
    problems: list[Problem] = []
    if inventory is not None:
        try:
            provider = load_provider(sites_file.find_inventory(inventory))
        except ProblemsFound as error:
            problems += error.problems
    loaded = load(paths or [sites_file.DEFAULT_FOLDER], provider)
    problems += loaded.problems
    if format is session.OutputFormat.JSON:
        session.echo_json(_as_json(problems, loaded.files))
    else:
        _print(problems, loaded.files)
    if _errors(problems):
        raise typer.Exit(1)


def _errors(problems: list[Problem]) -> int:
    return sum(problem.severity == "error" for problem in problems)


def _print(problems: list[Problem], files: int) -> None:
    from orchestrator.documents import render_problem

    for problem in problems:
        session.echo(render_problem(problem))
    errors = _errors(problems)
    warnings = len(problems) - errors
    counts = counted(errors, "error") if errors else "no errors"
    if warnings:
        counts += f", {counted(warnings, 'warning')}"
    session.echo(f"{counts} in {counted(files, 'file')}")


def _as_json(problems: list[Problem], files: int) -> str:
    errors = _errors(problems)
    document = {
        "version": FORMAT_VERSION,
        "files": files,
        "errors": errors,
        "warnings": len(problems) - errors,
        "problems": [problem.as_json() for problem in problems],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
