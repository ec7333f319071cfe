"""The figures of graphs as tables: a gap is a gap and never zero, and the hours are those of Paris."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from orchestrator.proxmox.measurements import Measurement, Timeframe
from orchestrator.reports.graph_tables import gaps_table, periods_table, statistics_table
from orchestrator.reports.page import Table
from orchestrator.reports.series import MachineGraphs, graphs_of

TEN = 1_795_510_800
"""Tuesday 24 November 2026, 10:00 in Paris."""
BUSY = {"cpu": 0.5, "mem": 3.0 * 1024**3, "maxmem": 4.0 * 1024**3, "netin": 125_000.0}
STOPPED = {"maxmem": 4.0 * 1024**3, "maxcpu": 2.0}


def hour(*minutes: tuple[int, dict[str, float]]) -> MachineGraphs:
    """The hour from 10:00: so many minutes of each."""
    rows, at = [], TEN
    for count, values in minutes:
        for _ in range(count):
            at += 60
            rows.append(Measurement(ends=at, values=values))
    return graphs_of(
        rows, client="dupont", machine="web-1", timeframe="hour", consolidation="AVERAGE", disks=()
    )


def texts(table: Table) -> list[list[str]]:
    return [[cell.text.replace("\u00a0", " ") for cell in row] for row in table.rows]


def test_a_time_without_figures_is_never_zero() -> None:
    graphs = hour((30, BUSY), (15, STOPPED), (15, {}))
    assert texts(statistics_table(graphs, "en"))[:2] == [
        ["vCPU (share of all)", "50.0%", "50.0%", "50.0%", ""],
        ["RAM (used, of the configured RAM)", "3.0 GiB", "3.0 GiB", "3.0 GiB", "4.0 GiB"],
    ]
    rows = texts(periods_table(graphs, "en"))
    assert [row[1] for row in rows] == ["50.0%"] * 6 + ["stopped"] * 3 + ["no data"] * 3
    assert rows[0][0] == "24 Nov 2026, 10:00 CET"
    (gaps,) = gaps_table(graphs, "en")
    assert [row[2:] for row in texts(gaps)] == [["no data", "14 min"], ["stopped", "15 min"]]


def test_a_counter_that_fell_is_no_figure_of_that_line_alone() -> None:
    fell = {name: value for name, value in BUSY.items() if name != "netin"}
    rows = texts(periods_table(hour((55, BUSY), (5, fell)), "fr"))
    assert rows[-1][1] == "50,0 %" and rows[-1][-2] == "pas de données"


@pytest.mark.parametrize("table", [statistics_table, periods_table])
def test_nothing_measured_is_said(table: Callable[..., Table]) -> None:
    assert all("0" not in cell for row in texts(table(hour(), "en")) for cell in row[1:])
    assert gaps_table(hour(), "en") == ()


def test_many_gaps_are_counted() -> None:
    graphs = hour(*[(1, BUSY), (1, STOPPED)] * 50)
    (table,) = gaps_table(graphs, "en")
    assert len(table.rows) == 40 and table.note == "and 10 more"


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    autumn = int(dt.datetime(2026, 10, 25, 0, 0, tzinfo=dt.UTC).timestamp())
    rows = [Measurement(ends=autumn + 60 * number, values=BUSY) for number in range(1, 24 * 60)]
    graphs = graphs_of(rows, client="a", machine="b", timeframe="day", consolidation="AVERAGE", disks=())
    assert [row[0] for row in texts(periods_table(graphs, "en"))][:3] == [
        "25 Oct 2026, 02:00 CEST",
        "25 Oct 2026, 02:00 CET",
        "25 Oct 2026, 03:00 CET",
    ]


@pytest.mark.parametrize(
    ("timeframe", "step", "first", "second", "rows"),
    [
        ("week", 1800, "18 Nov 2026, 10:00 CET", "18 Nov 2026, 12:00 CET", 29),
        ("month", 1800, "26 Oct 2026, 10:00 CET", "27 Oct 2026, 00:00 CET", 31),
        ("year", 21_600, "30 Nov 2025, 13:00 CET", "1 Dec 2025, 00:00 CET", 13),
    ],
)
def test_periods_begin_at_round_times_and_a_mean_is_by_time(
    timeframe: Timeframe, step: int, first: str, second: str, rows: int
) -> None:
    count = {"week": 7 * 48, "month": 30 * 48, "year": 360 * 4}[timeframe]
    end = TEN + (86_400 if timeframe != "year" else 97_200)
    found = [
        Measurement(ends=end - step * (count - number), values={"cpu": 0.25 if number % 2 else 0.75})
        for number in range(1, count + 1)
    ]
    graphs = graphs_of(found, client="a", machine="b", timeframe=timeframe, consolidation="AVERAGE", disks=())
    table = texts(periods_table(graphs, "en"))
    assert (table[0][0], table[1][0], len(table)) == (first, second, rows)
    assert {row[1] for row in table[1:-1]} == {"50.0%"}
