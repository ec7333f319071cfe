"""What a night did, section by section: storages, restore tests, snapshots, retention, drift."""

from __future__ import annotations

from orchestrator.nightly.result import StorageLine
from orchestrator.reports.page import Bar, Cell, Column, Section, Table, Tone, table_of
from orchestrator.reports.scope import Telling

_FILLING_PERCENT = 80
"""From this share on a storage is marked, before anything fails."""


def storages_section(telling: Telling) -> Section:
    """The storages: how full, what is wrong, and whether the coming nights fit."""
    speech, words = telling.speech, telling.speech.words
    columns = (
        Column(words.storage),
        Column(words.site),
        Column(words.data_centre),
        Column(words.purpose),
        Column(words.state),
        Column(words.fill),
        Column(words.first_night_too_full),
        Column(words.remark),
    )
    rows = []
    for line in telling.report.storages:
        available = line.status == "available"
        fits = Cell(words.nothing)
        if line.full_on is not None:
            fits = Cell(speech.day(line.full_on), "bad")
        elif line.forecast:
            fits = Cell(words.every_night_fits, "good")
        rows.append(
            (
                Cell(line.name),
                Cell(line.site),
                Cell(line.stands_at),
                Cell(words.purpose_backups if line.purpose == "backups" else words.purpose_machines),
                Cell(words.state_available if available else line.status, "plain" if available else "bad"),
                _fill(telling, line),
                fits,
                Cell(line.message, "bad"),
            )
        )
    tables = table_of(words.storages, columns, rows) + _forecast(telling)
    return Section(title=words.storages, empty=words.no_storages, tables=tables)


def _fill(telling: Telling, line: StorageLine) -> Cell:
    speech = telling.speech
    amounts = speech.words.of.format(part=speech.size(line.used), whole=speech.size(line.total))
    if line.total <= 0:
        return Cell(amounts)
    percent = line.used * 100 // line.total
    tone: Tone = "warn" if percent >= _FILLING_PERCENT else "plain"
    return Cell(
        f"{speech.share(line.used, line.total)}, {amounts}", tone, Bar(percent=min(max(percent, 0), 100))
    )


def _forecast(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    foretold = [line for line in telling.report.storages if line.forecast]
    nights = sorted({night for line in foretold for night, _ in line.forecast})
    columns = (Column(words.storage), *(Column(speech.short_day(night), figures=True) for night in nights))
    rows = []
    for line in foretold:
        expected = dict(line.forecast)
        cells = [Cell(f"{line.name} ({line.site})")]
        for night in nights:
            if night not in expected:
                cells.append(Cell(words.nothing))
                continue
            used = expected[night]
            full = used > line.total or (line.full_on is not None and night >= line.full_on)
            cells.append(
                Cell(f"{speech.size(used)}, {speech.share(used, line.total)}", "bad" if full else "plain")
            )
        rows.append(tuple(cells))
    return table_of(words.fill_forecast, columns, rows)


def tests_section(telling: Telling) -> Section:
    """The restore tests of this night."""
    speech, words = telling.speech, telling.speech.words
    results: dict[str, tuple[str, Tone]] = {
        "sound": (words.sound, "good"),
        "failed": (words.failed, "bad"),
        "not-started": (words.not_started, "warn"),
    }
    columns = (
        Column(words.machine),
        Column(words.site),
        Column(words.taken_at),
        Column(words.result),
        Column(words.duration),
        Column(words.finding),
    )
    rows = [
        (
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(speech.moment(line.taken_at)),
            Cell(*results[line.result]),
            Cell(speech.duration(line.seconds) if line.result != "not-started" else words.nothing),
            Cell(line.message),
        )
        for line in telling.report.tests
    ]
    return Section(title=words.tests, empty=words.no_tests, tables=table_of(words.tests, columns, rows))


def snapshots_section(telling: Telling) -> Section:
    """What became of snapshots."""
    speech, words = telling.speech, telling.speech.words
    actions: dict[str, tuple[str, Tone]] = {
        "taken": (words.snapshot_taken, "good"),
        "removed": (words.snapshot_removed, "plain"),
        "refused": (words.refused, "bad"),
        "failed": (words.failed, "bad"),
        "foreign": (words.snapshot_foreign, "warn"),
    }
    columns = (
        Column(words.machine),
        Column(words.site),
        Column(words.snapshot),
        Column(words.result),
        Column(words.expires),
        Column(words.remark),
    )
    rows = [
        (
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(line.snapshot),
            Cell(*actions[line.action]),
            Cell(words.nothing if line.expires_at is None else speech.moment(line.expires_at)),
            Cell(line.message),
        )
        for line in telling.report.snapshots
    ]
    tables = table_of(words.snapshots, columns, rows)
    return Section(title=words.snapshots, empty=words.no_snapshots, tables=tables)


def retention_section(telling: Telling) -> Section:
    """The backups whose days are over, and what became of them; a client is not shown where they lie."""
    speech, words = telling.speech, telling.speech.words
    results: dict[str, tuple[str, Tone]] = {
        "removed": (words.archive_removed, "plain"),
        "kept": (words.archive_kept, "plain"),
        "failed": (words.failed, "bad"),
    }
    columns = [
        Column(words.machine),
        Column(words.site),
        Column(words.taken_at),
        Column(words.volume, figures=True),
        Column(words.result),
        Column(words.why),
    ]
    if telling.client is None:
        columns.append(Column(words.archive))
    rows = []
    for line in telling.report.retention:
        cells = [
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(speech.moment(line.taken_at)),
            Cell(speech.size(line.size)),
            Cell(*results[line.result]),
            Cell(line.message),
        ]
        if telling.client is None:
            cells.append(Cell(line.volid))
        rows.append(tuple(cells))
    tables = table_of(words.retention, tuple(columns), rows)
    return Section(title=words.retention, empty=words.no_retention, tables=tables)


def drift_section(telling: Telling) -> Section:
    """What was changed outside the files."""
    words = telling.speech.words
    columns = (
        Column(words.machine),
        Column(words.site),
        Column(words.setting),
        Column(words.found),
        Column(words.in_the_file),
        Column(words.why),
    )
    rows = [
        (
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(line.what),
            Cell(line.before or words.nothing),
            Cell(line.after or words.nothing),
            Cell(line.why or ""),
        )
        for line in telling.report.drift
    ]
    return Section(title=words.drift, empty=words.no_drift, tables=table_of(words.drift, columns, rows))
