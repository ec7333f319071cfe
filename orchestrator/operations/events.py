"""Who is told what while an operation runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.progress import Progress

if TYPE_CHECKING:
    from orchestrator.yaml_reader import Problem


def _nothing(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """Who is told what while an operation runs; nobody, if nothing is given.

    Attributes:
        notice: something went wrong, or is waited for, and the work goes on.
        problems: what is wrong with files.
        steps: entered before the first change; gives what is told of each step.
    """

    notice: Callable[[str], None] = _nothing
    problems: Callable[[Sequence[Problem]], None] = _nothing
    steps: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(Progress())


SILENT = Events()
