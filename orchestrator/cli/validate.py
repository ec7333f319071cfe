"""``orchestrator validate``: check subscription files, without any network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import session
from orchestrator.counting import counted
from orchestrator.yaml_reader import render_problem

if TYPE_CHECKING:
    from orchestrator.operations.validate import Checked

FORMAT_VERSION = 1
"""Version of the JSON output; it grows when a key changes its meaning or goes."""


def validate(
    paths: session.Paths = None,
    inventory: session.Inventory = None,
    format: Annotated[
        session.OutputFormat, typer.Option(help="For people or for programs.")
    ] = session.OutputFormat.TEXT,
) -> None:
    """Check clients' files and report every error, offline.

    Needs no network and no hypervisor. Names of sites, networks and images, and whether addresses are in their
    networks, are checked only with an inventory. Exit code: 0 (there may be warnings), 1 where there is an error.
    """
    from orchestrator.operations import validate as operation  # not for `--help`

    checked = operation.validate(paths or (), inventory)
    if format is session.OutputFormat.JSON:
        session.echo_json(_as_json(checked))
    else:
        _print(checked)
    if checked.errors:
        raise typer.Exit(1)


def _print(checked: Checked) -> None:
    for problem in checked.problems:
        session.echo(render_problem(problem))
    counts = counted(checked.errors, "error") if checked.errors else "no errors"
    if checked.warnings:
        counts += f", {counted(checked.warnings, 'warning')}"
    session.echo(f"{counts} in {counted(checked.files, 'file')}")


def _as_json(checked: Checked) -> str:
    document = {
        "version": FORMAT_VERSION,
        "files": checked.files,
        "errors": checked.errors,
        "warnings": checked.warnings,
        "problems": [problem.as_json() for problem in checked.problems],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)
