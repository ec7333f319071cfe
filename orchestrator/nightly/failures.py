"""What went wrong in a night: first on the page, the most urgent first, one table per kind with what to do about it."""

from __future__ import annotations

from orchestrator.nightly.steps import REPORT
from orchestrator.nightly.telling import Failures, Telling, Urgency
from orchestrator.reports.page import Cell, Section, Table, table_of


def failures_section(telling: Telling) -> Section:
    """The failures with their reasons; for the provider with their remedies."""
    words = telling.speech.words
    tables = tuple(table for kind in _kinds(telling) for table in _table(telling, kind))
    return Section(title=words.failures, empty=words.no_failures, tables=tables)


def culprits(telling: Telling, at_most: int) -> tuple[str, ...]:
    """Name what went wrong, in a few words each; the last one says how many more there are."""
    words = telling.speech.words
    all_of_them = [
        words.culprit.format(kind=kind.name, what=f"{what} ({where})" if where else reason)
        for kind in _kinds(telling)
        for what, where, reason in kind.found
    ]
    rest = len(all_of_them) - at_most
    return (*all_of_them[:at_most], words.others(rest)) if rest > 0 else tuple(all_of_them)


def _table(telling: Telling, kind: Failures) -> tuple[Table, ...]:
    words = telling.speech.words
    named = any(what for what, _, _ in kind.found)
    rows = [(what, where, Cell(reason, "bad")) for what, where, reason in kind.found]
    return table_of(
        words.culprit.format(kind=kind.name, what=telling.speech.number(len(rows))),
        (words.what, words.site, words.reason) if named else (words.reason,),
        rows if named else [row[2:] for row in rows],
        note=words.what_to_do.format(remedy=kind.remedy) if kind.remedy and telling.provider else "",
    )


def _kinds(telling: Telling) -> list[Failures]:
    """Every failure that the report counts, exactly once."""
    words = telling.speech.words
    problems = tuple(("", "", text or words.no_reason) for text in telling.report.problems)
    kinds = [Failures(words.problem, words.problem_remedy, problems, Urgency.RUN)]
    kinds += [kind for step in REPORT for kind in step.failure_kinds(telling)]
    return sorted((kind for kind in kinds if kind.found), key=lambda kind: kind.urgency)
