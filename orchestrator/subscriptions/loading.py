"""Reading subscription files: all of them, with every mistake of every file.

No network, no clock, no environment: the same files (and the same provider's side) give the same answer.
"""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.subscriptions.across import across_files
from orchestrator.subscriptions.contract_rules import check_dates
from orchestrator.subscriptions.model import Subscription
from orchestrator.subscriptions.offers import check_offers
from orchestrator.subscriptions.placement import check_placement
from orchestrator.yaml_reader.checking import Checked, check
from orchestrator.yaml_reader.files import read_text, yaml_files
from orchestrator.yaml_reader.places import YamlPath
from orchestrator.yaml_reader.problems import Problem, count_errors, first_problems
from orchestrator.yaml_reader.reading import Document, read
from orchestrator.yaml_reader.shape import keys_of

if TYPE_CHECKING:
    from orchestrator.sites.model import Provider


@dataclass(frozen=True)
class LoadedSubscription:
    """One client's file without errors.

    Attributes:
        path: the file.
        subscription: what it says.
    """

    path: Path
    subscription: Subscription
    document: Document = field(repr=False)

    def locate(self, path: YamlPath) -> tuple[int, int]:
        """Return line and column, from 1, of the value at a path such as ``("services", 0, "machines", 1)``.

        Steps are the file's own keys (``from``, not ``starts``). A list or a mapping is found by its key;
        what is not in the file, by what should hold it.
        """
        mark = self.document.mark(path)
        return mark.line + 1, mark.column + 1


@dataclass(frozen=True)
class Loaded:
    """What was read.

    Attributes:
        subscriptions: the files without errors, in the order of their paths. Where there are errors, clients
            are missing here, and a machine that is missing would be retired: refuse to plan.
        problems: every error and warning of every file, in the order of the files and their lines.
        files: how many files were read.
    """

    subscriptions: tuple[LoadedSubscription, ...]
    problems: tuple[Problem, ...]
    files: int = 0

    @property
    def errors(self) -> int:
        """How many of the problems are errors."""
        return count_errors(self.problems)


def load(paths: Sequence[Path], provider: Provider | None = None, *, today: dt.date | None = None) -> Loaded:
    """Read and check subscription files. Mistakes never raise; they are returned, all of them.

    Args:
        paths: files, and folders that stand for every ``*.yaml`` and ``*.yml`` below them. No link is followed but
            those that lead to a given folder.
        provider: the provider's own side. Without it the names of sites, networks and images are not checked,
            nor whether addresses fit their networks.
        today: the day in Paris. Without it nothing is checked that depends on it.
    """
    with _collector_paused():
        files, read_files, problems = _read(paths, provider, today)
    problems += across_files([checked for _, checked in read_files])
    faulty = {problem.file for problem in problems if problem.severity == "error"}
    sound = tuple(
        LoadedSubscription(path, checked.value, checked.document)
        for path, checked in read_files
        if checked.value is not None and checked.document.file not in faulty
    )
    of_file: dict[str, list[Problem]] = {file: [] for file in files}
    for problem in problems:
        of_file[problem.file].append(problem)
    told = [problem for found in of_file.values() for problem in first_problems(found)]
    return Loaded(sound, tuple(told), sum(files.values()))


_ReadFiles = list[tuple[Path, Checked[Subscription]]]


def _read(
    paths: Sequence[Path], provider: Provider | None, today: dt.date | None
) -> tuple[dict[str, bool], _ReadFiles, list[Problem]]:
    """Read every file; return their names (and whether each is a file at all), what they say, and the problems."""
    names: dict[str, bool] = {}
    read_files: _ReadFiles = []
    problems: list[Problem] = []
    for file in yaml_files(paths):
        if isinstance(file, Problem):
            names.setdefault(file.file, False)
            problems.append(file)
            continue
        names[file.shown] = True
        text = read_text(file)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        document = read(text, file.shown, keys=keys_of(Subscription), kind="subscription file")
        checked = check(document, Subscription)
        problems += [*checked.problems, *_judge(checked, provider, today)]
        read_files.append((file.path, checked))
    return names, read_files, problems


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking, again and again, thousands of values that all stay alive.

    Reading makes no cycles; for a thousand files the collector took more than half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _judge(checked: Checked[Subscription], provider: Provider | None, today: dt.date | None) -> list[Problem]:
    if checked.value is None:
        return []
    problems = checked.judge(check_offers(checked.value))
    if provider is not None:
        problems += checked.judge(check_placement(checked.value, provider))
    if today is not None:
        problems += checked.judge(check_dates(checked.value, today))
    return problems
