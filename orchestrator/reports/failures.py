"""What went wrong in a night: first on the page, one table a kind, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.nightly.result import BackupLine
from orchestrator.reports.page import Cell, Column, Section, Table
from orchestrator.reports.scope import Telling
from orchestrator.reports.updates import Trouble, trouble_reason, trouble_words, unseen_reason

_HARMING: tuple[Trouble, ...] = ("broken", "unreachable", "rolled-back")
"""Updates after which a machine's services may not run now: told before what only fails tomorrow."""

_WAITING: tuple[Trouble, ...] = ("untouched", "not-started")


@dataclass(frozen=True)
class _Kind:
    """Failures of one kind.

    Attributes:
        found: what is concerned, where, and the reason.
    """

    name: str
    remedy: str
    found: tuple[tuple[str, str, str], ...]


def failures_section(telling: Telling) -> Section:
    """The failures with their reasons; for the provider with their remedies."""
    words = telling.speech.words
    tables = tuple(_table(telling, kind) for kind in _kinds(telling) if kind.found)
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


def _table(telling: Telling, kind: _Kind) -> Table:
    words = telling.speech.words
    count = telling.speech.number(len(kind.found))
    named = any(what for what, _, _ in kind.found)
    columns = (Column(words.what), Column(words.site), Column(words.reason))
    rows = [(Cell(what), Cell(where), Cell(reason, "bad")) for what, where, reason in kind.found]
    return Table(
        caption=words.culprit.format(kind=kind.name, what=count),
        columns=columns if named else columns[2:],
        rows=tuple(rows) if named else tuple(row[2:] for row in rows),
        note=words.what_to_do.format(remedy=kind.remedy) if kind.remedy and telling.client is None else "",
    )


def _kinds(telling: Telling) -> Iterable[_Kind]:
    """Every failure that the report counts, exactly once."""
    report, words = telling.report, telling.speech.words
    none = words.no_reason

    yield _Kind(
        words.problem, words.problem_remedy, tuple(("", "", text or none) for text in report.problems)
    )
    for trouble in _HARMING:
        yield _updates(telling, trouble)
    for result, name, remedy, default in (
        ("failed", words.backup_failed, words.backup_failed_remedy, none),
        ("not-started", words.backup_not_started, words.backup_not_started_remedy, words.out_of_time),
    ):
        yield _Kind(
            name,
            remedy,
            tuple(
                (telling.name(line), line.site, line.message or default)
                for line in report.backups
                if line.result == result
            ),
        )
    yield _Kind(
        words.backup_missing,
        words.backup_missing_remedy,
        tuple(
            (telling.name(line), line.site, missing_reason(telling, line))
            for line in report.backups
            if line.result == "missing"
        )
        + tuple((telling.name(line), line.site, none) for line in telling.unmade),
    )
    yield _Kind(
        words.storage_unwell,
        words.storage_unwell_remedy,
        tuple((line.name, line.site, line.message) for line in report.storages if not line.healthy),
    )
    for result, name, remedy, default in (
        ("failed", words.test_failed, words.test_failed_remedy, none),
        ("not-started", words.test_not_started, words.test_not_started_remedy, none),
    ):
        yield _Kind(
            name,
            remedy,
            tuple(
                (telling.name(line), line.site, line.message or default)
                for line in report.tests
                if line.result == result
            ),
        )
    for action, name, remedy in (
        ("failed", words.snapshot_failed, words.snapshot_failed_remedy),
        ("refused", words.snapshot_refused, words.snapshot_refused_remedy),
    ):
        yield _Kind(
            name,
            remedy,
            tuple(
                (f"{telling.name(line)} {line.snapshot}", line.site, line.message or none)
                for line in report.snapshots
                if line.action == action
            ),
        )
    yield _Kind(
        words.retention_failed,
        words.retention_failed_remedy,
        tuple(
            (telling.name(line), line.site, line.message or none)
            for line in report.retention
            if line.result == "failed"
        ),
    )
    yield _Kind(
        words.end_failed,
        words.end_failed_remedy,
        tuple((line.client, "", line.message or none) for line in report.contracts if line.failed),
    )
    for trouble in _WAITING:
        yield _updates(telling, trouble)
    yield _Kind(
        words.guest_unseen,
        words.guest_unseen_remedy,
        tuple(
            (telling.name(line), line.site, unseen_reason(telling, line))
            for line in report.guests
            if line.unseen
        ),
    )
    yield _Kind(
        words.unsupervised,
        words.unsupervised_remedy,
        tuple(
            (
                telling.name(line),
                line.site,
                line.unsupervised if telling.client is None else words.unsupervised_client,
            )
            for line in report.guests
            if line.unsupervised
        ),
    )


def missing_reason(telling: Telling, line: BackupLine) -> str:
    """Why a backup could not even be tried; for a client in our own words: the reason may be another's, or a site's."""
    return line.message if telling.client is None else telling.speech.words.backup_missing_client


def _updates(telling: Telling, trouble: Trouble) -> _Kind:
    name, remedy = trouble_words(telling, trouble)
    return _Kind(
        name,
        remedy,
        tuple(
            (telling.name(line), line.site, trouble_reason(telling, line))
            for line in telling.report.updates
            if line.failed and line.result == trouble
        ),
    )
