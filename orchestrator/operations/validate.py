"""Checking files, without any network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import RequestRefused
from orchestrator.operations.inventory import DEFAULT_FOLDER, open_provider
from orchestrator.subscriptions.loading import load
from orchestrator.yaml_reader import Problem, ProblemsFound


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What is wrong with files.

    Attributes:
        problems: all of all files, warnings too.
        files: how many clients' files were read.
    """

    problems: tuple[Problem, ...]
    files: int

    @property
    def errors(self) -> int:
        """How many problems are errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """How many are not."""
        return len(self.problems) - self.errors


def validate(paths: Sequence[Path], inventory: str | None) -> Checked:
    """Check clients' files, and the site file if one is named.

    Raises:
        RequestRefused: there is nothing to check.
    """
    if not paths and not DEFAULT_FOLDER.is_dir():
        raise RequestRefused(
            f"there is no folder ./{DEFAULT_FOLDER} here: name files or folders to check, "
            "or write one with `orchestrator new`"
        )
    provider = None
    problems: list[Problem] = []
    if inventory is not None:
        try:
            provider = open_provider(inventory)
        except ProblemsFound as error:
            problems += error.problems
    loaded = load(list(paths) or [DEFAULT_FOLDER], provider, today=day_in_paris(dt.datetime.now(dt.UTC)))
    return Checked(problems=(*problems, *loaded.problems), files=loaded.files)
