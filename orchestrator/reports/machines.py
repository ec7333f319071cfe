"""Where every machine stands in the morning, client by client, with its volume (article 3.5); archives of nobody."""

from __future__ import annotations

from itertools import groupby

from orchestrator.nightly.result import BackupLine, MachineLine
from orchestrator.reports.language import seconds_between
from orchestrator.reports.page import Cell, Column, Section, Table, table_of
from orchestrator.reports.scope import Telling, key

_NAMED = 50
"""So many archives that are not believed are named; of the others there is a number."""

LATE_SECONDS = 36 * 3600
"""A backup is made every day (article 3.5): one older than a day and a half means that a night was missed."""


def machines_section(telling: Telling) -> Section:
    """One table a client, with its total."""
    words = telling.speech.words
    tonight = {key(line): line for line in telling.report.backups}
    ordered = sorted(telling.report.machines, key=lambda line: (line.client, line.machine, line.site))
    tables = tuple(
        _client_table(telling, client, list(lines), tonight)
        for client, lines in groupby(ordered, key=lambda line: line.client)
    )
    return Section(title=words.machines, empty=words.no_machines, tables=tables + _not_created(telling))


def _not_created(telling: Telling) -> tuple[Table, ...]:
    """Machines of the files that nobody has made yet: they get no backup, and that is no failure."""
    words = telling.speech.words
    rows = [
        (Cell(telling.name(line)), Cell(line.site))
        for line in telling.report.backups
        if line.result == "not-created"
    ]
    return table_of(words.not_created, (Column(words.machine), Column(words.site)), rows)


def _client_table(
    telling: Telling, client: str, lines: list[MachineLine], tonight: dict[tuple[str, str, str], BackupLine]
) -> Table:
    speech, words = telling.speech, telling.speech.words
    blank = Cell("")
    return Table(
        caption=words.client_caption.format(
            client=client, contracts=", ".join(sorted({line.contract for line in lines}))
        ),
        columns=(
            Column(words.machine),
            Column(words.site),
            Column(words.newest_good),
            Column(words.age),
            Column(words.tonight),
            Column(words.archives, figures=True),
            Column(words.backup_volume, figures=True),
            Column(words.retention_period),
            Column(words.last_test),
        ),
        rows=tuple(_machine_row(telling, line, tonight.get(key(line))) for line in lines),
        total=(
            Cell(words.total),
            *[blank] * 4,
            Cell(speech.number(sum(line.archives for line in lines))),
            Cell(speech.size(sum(line.size for line in lines))),
            *[blank] * 2,
        ),
    )


def _machine_row(telling: Telling, line: MachineLine, backup: BackupLine | None) -> tuple[Cell, ...]:
    speech, words = telling.speech, telling.speech.words
    due = line.retention_days is not None
    newest, age = Cell(words.no_good_backup, "bad" if due else "plain"), Cell(words.nothing)
    if line.newest_good is not None:
        seconds = seconds_between(line.newest_good, telling.report.ended_at)
        newest = Cell(speech.moment(line.newest_good))
        age = Cell(speech.duration(seconds), "bad" if due and seconds > LATE_SECONDS else "plain")
    tested = Cell(words.never_restored, "warn")
    if line.tested_on is not None:
        tested = Cell(speech.short_day(line.tested_on))
    elif not due and not line.archives:  # there is nothing to restore
        tested = Cell(words.nothing)
    return (
        Cell(line.machine),
        Cell(line.site),
        newest,
        age,
        _tonight(telling, backup, due=due),
        Cell(speech.number(line.archives)),
        Cell(speech.size(line.size)),
        Cell(words.backup_off if line.retention_days is None else words.days(line.retention_days)),
        tested,
    )


def _tonight(telling: Telling, backup: BackupLine | None, *, due: bool) -> Cell:
    speech, words = telling.speech, telling.speech.words
    if backup is None:
        return Cell(words.no_good_backup, "warn") if due else Cell(words.nothing)
    if backup.result == "done":
        made = words.backup_done.format(
            duration=speech.duration(backup.seconds), size=speech.size(backup.size)
        )
        return Cell(made, "good")
    if backup.result == "earlier":
        return Cell(words.backup_earlier.format(size=speech.size(backup.size)), "good")
    return Cell(words.failed if backup.result in ("failed", "missing") else words.backup_not_begun, "bad")


def _unbelieved(telling: Telling) -> tuple[Table, ...]:
    """Archives whose notes claim to be ours and are not believed, the first of them by name."""
    words, found = telling.speech.words, telling.report.unbelieved
    columns = (Column(words.archive), Column(words.site), Column(words.reason))
    rows = [(Cell(line.volid), Cell(line.site), Cell(line.reason, "warn")) for line in found[:_NAMED]]
    rest = len(found) - len(rows)
    if rest > 0:
        rows.append((Cell(words.others(rest)), Cell(""), Cell("")))
    return table_of(words.unbelieved, columns, rows, note=words.unbelieved_note)


def foreign_section(telling: Telling) -> Section:
    """Archives on our storages that belong to no machine of ours."""
    speech, words = telling.speech, telling.speech.words
    columns = (
        Column(words.storage),
        Column(words.site),
        Column(words.archives_count, figures=True),
        Column(words.volume, figures=True),
    )
    rows = [
        (
            Cell(line.storage),
            Cell(line.site),
            Cell(speech.number(line.archives)),
            Cell(speech.size(line.size)),
        )
        for line in telling.report.foreign
    ]
    tables = table_of(words.foreign, columns, rows, note=words.foreign_left) + _unbelieved(telling)
    return Section(title=words.foreign, empty=words.no_foreign, tables=tables)
