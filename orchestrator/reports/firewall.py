"""What the firewalls in managed machines dropped since the last night: watching their alerts (articles 3.6 and 7)."""

from __future__ import annotations

from orchestrator.nightly.result import GuestLine
from orchestrator.reports.page import Cell, Column, Section, Table, table_of
from orchestrator.reports.scope import Telling
from orchestrator.reports.updates import unseen_reason

_NAMED = 5
"""How many of those who were dropped most are named."""


def firewall_section(telling: Telling) -> Section:
    """What was dropped in each machine, the most first; then the machines where that could not be read."""
    words = telling.speech.words
    return Section(
        title=words.firewall, empty=words.no_firewall, tables=_dropped_table(telling) + _unread_table(telling)
    )


def _dropped_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    read = [(line.dropped, line) for line in telling.report.guests if line.dropped is not None]
    read.sort(key=lambda item: (-item[0], -(item[1].refused_ssh or 0), telling.name(item[1])))
    if not read:
        return ()
    rows = [
        (
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(speech.number(dropped)),
            Cell(words.not_known if line.refused_ssh is None else speech.number(line.refused_ssh)),
            Cell(_most(telling, line) or words.nothing),
        )
        for dropped, line in read
    ]
    return (
        Table(
            caption=words.firewall_since,
            columns=(
                Column(words.machine),
                Column(words.site),
                Column(words.dropped_packets, figures=True),
                Column(words.refused_ssh, figures=True),
                Column(words.dropped_most),
            ),
            rows=tuple(rows),
            total=(
                Cell(words.total),
                Cell(""),
                Cell(speech.number(sum(dropped for dropped, _ in read))),
                Cell(speech.number(sum(line.refused_ssh or 0 for _, line in read))),
                Cell(""),
            ),
        ),
    )


def _most(telling: Telling, line: GuestLine) -> str:
    return "\n".join(f"{telling.speech.number(times)} × {what}" for times, what in line.top[:_NAMED])


def _unread_table(telling: Telling) -> tuple[Table, ...]:
    words = telling.speech.words
    unread = [line for line in telling.report.guests if line.dropped is None]
    rows = [
        (
            Cell(telling.name(line)),
            Cell(line.site),
            Cell(unseen_reason(telling, line) if line.problem else words.counters_unread, "warn"),
        )
        for line in unread
    ]
    shown = telling.client is None and any(not line.problem for line in unread)
    return table_of(
        words.firewall_unread,
        (Column(words.machine), Column(words.site), Column(words.reason)),
        rows,
        note=words.what_to_do.format(remedy=words.counters_remedy) if shown else "",
    )
