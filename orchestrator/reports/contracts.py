"""Contracts that are suspended or end, in the report: how many working days are left, and what was erased."""

from __future__ import annotations

from orchestrator.contract.life import Standing
from orchestrator.reports.page import Cell, Column, Section, Tone, table_of
from orchestrator.reports.scope import Telling

_SOON_DAYS = 5
"""From so many working days on a line is marked."""


def contracts_section(telling: Telling) -> Section:
    """The contracts that are not simply in force (articles 9 and 10); shown only if there are any."""
    speech, words = telling.speech, telling.speech.words
    standings = {
        Standing.SUSPENDED: words.standing_suspended,
        Standing.ENDING: words.standing_ending,
        Standing.ENDED: words.standing_ended,
    }
    columns = [
        Column(words.client),
        Column(words.contract),
        Column(words.state),
        Column(words.last_day),
        Column(words.working_days_left, figures=True),
    ]
    if telling.client is None:
        columns.append(Column(words.remark))
    rows = []
    for line in telling.report.contracts:
        ending = line.standing is Standing.ENDING
        tone: Tone = "warn" if ending and line.days_left <= _SOON_DAYS else "plain"
        cells = [
            Cell(line.client),
            Cell(line.contract),
            Cell(standings[line.standing]),
            Cell(speech.day(line.last_day) if line.last_day else words.nothing, tone),
            Cell(speech.number(line.days_left) if line.last_day else words.nothing, tone),
        ]
        if telling.client is None:
            cells.append(Cell(line.message, "bad" if line.failed else "plain"))
        rows.append(tuple(cells))
    return Section(
        title=words.contracts, empty=words.nothing, tables=table_of(words.contracts, tuple(columns), rows)
    )
