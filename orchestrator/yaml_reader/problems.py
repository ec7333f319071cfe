"""A problem found in a file, and how it is shown: place, the line itself, what was found, what is allowed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from orchestrator.counting import counted, plural
from orchestrator.errors import OrchestratorError
from orchestrator.shown import visible

Severity = Literal["error", "warning"]

_WIDTH = 110
_NARROWEST_HINT = 40
_LONGEST_LINE = 100
_LONGEST_NAME = 40

MOST_PROBLEMS = 100
"""Problems of one file that are told; of more, only how many there are."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake of one file.

    Attributes:
        file: the file, as the caller named it.
        line: counted from 1.
        column: counted from 1, in characters.
        end_column: the first column after the marked text; greater than ``column``.
        severity: ``error`` (the file is not carried out) or ``warning``.
        message: what was found.
        allowed: what is allowed instead, or what to do.
        article: the contract's article that the rule comes from, such as ``3.3``.
        source_line: the text of that line; a secret in it is already masked.
        unshown: for the last of too many problems: how many are not shown.
    """

    file: str
    line: int
    column: int
    end_column: int
    severity: Severity
    message: str
    allowed: str
    article: str | None = None
    source_line: str = ""
    unshown: int = 0

    def as_json(self) -> dict[str, str | int | None]:
        """Return the problem as plain JSON data, one key an attribute but ``unshown``, which the message says."""
        return {name: value for name, value in asdict(self).items() if name != "unshown"}


class ProblemsFound(OrchestratorError):
    """A file cannot be used. Carries every problem that was found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(render_problem(problem) for problem in self.problems))


def shorten(text: str) -> str:
    """Return a word of a file as a message shows it: on one line, and not longer than people read."""
    clean = "".join(character if character.isprintable() else "·" for character in text)
    return clean if len(clean) <= _LONGEST_NAME else clean[: _LONGEST_NAME - 1] + "…"


def count_errors(problems: Iterable[Problem]) -> int:
    """Return how many of the problems are errors."""
    return sum(problem.severity == "error" for problem in problems)


def first_problems(problems: Sequence[Problem], *, more: int = 0) -> list[Problem]:
    """Return the problems of one file in its order, errors rather than warnings where there are too many to tell.

    Args:
        problems: at least one where ``more`` is given.
        more: how many errors there are beside these.
    """
    cut = [problem for problem in problems if problem.unshown]  # a list that was cut before
    errors = bool(more) or any(problem.severity == "error" for problem in cut)
    more += sum(problem.unshown for problem in cut)
    known = [problem for problem in problems if not problem.unshown]
    by_weight = sorted(known, key=lambda problem: problem.severity == "warning")
    told, rest = by_weight[:MOST_PROBLEMS], by_weight[MOST_PROBLEMS:]
    told.sort(key=lambda problem: (problem.line, problem.column))
    if hidden := len(rest) + more:
        severity: Severity = (
            "error" if errors or any(item.severity == "error" for item in rest) else "warning"
        )
        told.append(
            replace(
                told[-1],
                severity=severity,
                message=f"{counted(hidden, 'more problem')} in this file {plural(hidden, 'is', 'are')} not shown",
                allowed="correct the ones above first",
                article=None,
                source_line="",
                unshown=hidden,
            )
        )
    return told


def render_problem(problem: Problem) -> str:
    """Return the problem as text for people, several lines without a final line break.

    The first line is ``FILE:LINE:COLUMN  SEVERITY  MESSAGE (art. N)``, which editors turn into a link.
    """
    article = f" (art. {problem.article})" if problem.article else ""
    place = f"{problem.file}:{problem.line}:{problem.column}"
    head = visible(f"{place}  {problem.severity}  {problem.message}{article}")
    shown, start, end = _excerpt(problem)
    gutter = " " * 5
    if not shown:
        return "\n".join([head, *_hint(problem.allowed, f"{gutter} | ", f"{gutter} | ")])
    carets = " " * start + "^" * max(1, end - start)
    first = f"{gutter} | {carets} "
    rest = f"{gutter} | {' ' * (len(carets) + 1)}"
    return "\n".join([head, f"{problem.line:5d} | {shown}", *_hint(problem.allowed, first, rest)])


def _hint(text: str, first: str, rest: str) -> list[str]:
    if _WIDTH - len(first) < _NARROWEST_HINT:
        # No room beside the marks: the text goes below them.
        below = rest[: rest.index("|")] + "|   "
        return [first.rstrip(), *_hint(text, below, below)]
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _excerpt(problem: Problem) -> tuple[str, int, int]:
    """Return the part of the line to show, and where the marks start and end in it (from 0)."""
    line = "".join(character if character.isprintable() else " " for character in problem.source_line)
    start = min(problem.column - 1, len(line))
    end = max(start + 1, min(problem.end_column - 1, len(line)))
    line = line.rstrip()
    if len(line) <= _LONGEST_LINE:
        return line, start, end
    cut = max(0, start - 30) if start > _LONGEST_LINE - 20 else 0
    shown = ("…" if cut else "") + line[cut : cut + _LONGEST_LINE]
    if cut + _LONGEST_LINE < len(line):
        shown += "…"
    shift = cut - (1 if cut else 0)
    return shown, start - shift, min(end - shift, len(shown))
