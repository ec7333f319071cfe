"""From what a hypervisor measured to graphs: articles 3.2, 3.7 and 3.8.1, and what is no figure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS
from orchestrator.proxmox.measurements import Measurement, Timeframe
from orchestrator.reports.graph_svg import svg
from orchestrator.reports.series import MachineGraphs, Slot, condensed, graphs_of, ticks, to_data
from tests.hostile_texts import HOSTILE
from tools.graph_picture import PICTURE, model_day

GIB = 1024**3
SIZES = {"maxcpu": 2.0, "maxmem": 4.0 * GIB, "maxdisk": 32.0 * GIB, "disk": 0.0}
RUNNING = {
    **SIZES,
    "cpu": 0.5,
    "mem": 3.0 * GIB,
    "netin": 1e6,
    "netout": 2e6,
    "diskread": 10.0,
    "diskwrite": 20.0,
}


def paris(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(dt.UTC)


def minutes(begins: str, ends: str, values: dict[str, float]) -> list[Measurement]:
    first, last = (int(paris(text).timestamp()) for text in (begins, ends))
    return [Measurement(ends=end, values=values) for end in range(first + 60, last + 1, 60)]


def graphs(
    measured: Iterable[Measurement], timeframe: Timeframe = "day", machine: str = "web-1"
) -> MachineGraphs:
    return graphs_of(list(measured), client="dupont", machine=machine, timeframe=timeframe)


def means(found: MachineGraphs) -> dict[tuple[str, str], float]:
    return {
        (graph.name, line.name): known.mean
        for graph in found.graphs
        for line in graph.lines
        if (known := found.statistics(line))
    }


def test_two_vcpus_with_one_busy_loop_are_used_to_50_per_cent() -> None:
    found = graphs(minutes("2026-11-23 10:00", "2026-11-23 11:00", RUNNING))
    assert means(found)["vcpu", "used"] == 50.0


def test_three_of_four_gib_are_75_per_cent() -> None:
    found = graphs(minutes("2026-11-23 10:00", "2026-11-23 11:00", RUNNING))
    memory = next(graph for graph in found.graphs if graph.name == "memory")
    share = found.share(memory, memory.lines[0])
    assert share is not None and share.mean == 75.0
    assert means(found)["memory", "used"] == 3 * GIB


def test_traffic_is_in_bits_and_disks_in_bytes_per_second() -> None:
    found = means(graphs(minutes("2026-11-23 10:00", "2026-11-23 11:00", RUNNING)))
    assert (found["network", "in"], found["network", "out"]) == (8e6, 16e6)
    assert (found["disk", "read"], found["disk", "written"]) == (10.0, 20.0)


def test_off_from_10_00_to_10_30_is_a_gap_of_30_minutes_that_says_stopped() -> None:
    found = graphs(
        [
            *minutes("2026-11-23 09:00", "2026-11-23 10:00", RUNNING),
            *minutes("2026-11-23 10:00", "2026-11-23 10:30", SIZES),
            *minutes("2026-11-23 10:30", "2026-11-23 11:00", RUNNING),
        ]
    )
    (gap,) = found.gaps
    assert (gap.start, gap.end, gap.reason) == (
        paris("2026-11-23 10:00"),
        paris("2026-11-23 10:30"),
        "stopped",
    )
    assert means(found)["vcpu", "used"] == 50.0, "a gap is never 0"


def test_what_nobody_measured_is_a_gap_and_never_0() -> None:
    found = graphs(
        [
            *minutes("2026-11-23 09:00", "2026-11-23 10:00", RUNNING),
            *minutes("2026-11-23 10:00", "2026-11-23 10:15", {}),
            *minutes("2026-11-23 10:15", "2026-11-23 11:00", RUNNING),
        ]
    )
    assert [(gap.reason, gap.end - gap.start) for gap in found.gaps] == [
        ("no data", dt.timedelta(minutes=15))
    ]
    cpu = found.graphs[0].lines[0].values
    assert cpu.count(None) == 15 and 0.0 not in cpu
    assert cpu.count(None) == to_data(found)["graphs"][0]["lines"][0]["values"].count(None)


def test_a_counter_that_fell_has_no_rate_and_the_machine_is_no_gap() -> None:
    fell = {name: value for name, value in RUNNING.items() if name not in ("netin", "diskread")}
    found = graphs(
        [
            *minutes("2026-11-23 10:00", "2026-11-23 10:01", RUNNING),
            *minutes("2026-11-23 10:01", "2026-11-23 10:02", fell),
            *minutes("2026-11-23 10:02", "2026-11-23 10:03", RUNNING),
        ]
    )
    values = {line.name: line.values for graph in found.graphs for line in graph.lines}
    assert values["in"] == (8e6, None, 8e6) and values["out"] == (16e6, 16e6, 16e6)
    assert found.gaps == ()


def test_rows_that_are_missing_are_a_gap() -> None:
    found = graphs(
        [
            *minutes("2026-11-23 09:00", "2026-11-23 10:00", RUNNING),
            *minutes("2026-11-23 14:00", "2026-11-23 15:00", RUNNING),
        ]
    )
    (gap,) = found.gaps
    assert gap.reason == "no data" and gap.start == paris("2026-11-23 10:00")
    assert [slot.start for slot in found.slots[1:]] == [slot.end for slot in found.slots[:-1]]


def test_after_an_upgrade_from_8_the_coarse_rows_count_as_long_as_they_are() -> None:
    begins = int(paris("2026-11-23 00:00").timestamp())
    coarse = [Measurement(ends=begins + 1800 * row, values={**RUNNING, "cpu": 0.1}) for row in (1, 2)]
    fine = minutes("2026-11-23 01:00", "2026-11-23 02:00", {**RUNNING, "cpu": 0.3})
    assert means(graphs([*coarse, *fine]))["vcpu", "used"] == pytest.approx(20.0)


def test_the_minute_that_has_just_ended_and_is_not_written_yet_is_no_gap() -> None:
    found = graphs(
        [
            *minutes("2026-11-23 10:00", "2026-11-23 10:05", RUNNING),
            *minutes("2026-11-23 10:05", "2026-11-23 10:06", {}),
        ]
    )
    assert found.gaps == () and found.slots[-1].end == paris("2026-11-23 10:05")


def test_a_machine_that_was_never_measured_has_graphs_without_a_line() -> None:
    found = graphs([])
    assert found.gaps == () and found.slots == () and means(found) == {}
    assert "aucune mesure" in svg(found)


@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        ("2026-10-25 00:00", "2026-10-26 00:00", 25),
        ("2026-03-29 00:00", "2026-03-30 00:00", 23),
        ("2026-11-23 00:00", "2026-11-24 00:00", 24),
    ],
)
def test_the_axis_has_the_same_hours_on_days_when_clocks_change(begins: str, ends: str, hours: int) -> None:
    start, end = paris(begins), paris(ends)
    assert (end - start).total_seconds() == hours * 3600
    said = [f"{tick.astimezone(PARIS):%H:%M}" for tick in ticks("day", start, end)]
    assert said == [f"{hour:02}:00" for hour in range(0, 24, 3)] + ["00:00"]


def test_weeks_months_and_years_have_midnights_of_paris() -> None:
    week = ticks("week", paris("2026-10-20 00:00"), paris("2026-10-27 00:00"))
    assert len(week) == 8 and {tick.astimezone(PARIS).hour for tick in week} == {0}
    year = ticks("year", paris("2026-01-01 00:00"), paris("2026-12-31 00:00"))
    assert [tick.astimezone(PARIS).month for tick in year] == list(range(1, 13))


@given(values=st.lists(st.none() | st.floats(0, 1e12), min_size=1, max_size=200), columns=st.integers(1, 250))
def test_fewer_columns_say_what_the_line_says(values: list[float | None], columns: int) -> None:
    begins = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    minute = dt.timedelta(minutes=1)
    slots = [
        Slot(start=begins + minute * index, end=begins + minute * (index + 1), state="measured")
        for index in range(len(values))
    ]
    shown = condensed(slots, values, columns)
    known = [value for value in values if value is not None]
    assert len(shown) == min(columns, len(values))
    drawn = [value for value in shown if value is not None]
    assert bool(drawn) == bool(known)
    for value in drawn:
        assert min(known) * (1 - 1e-6) - 1e-6 <= value <= max(known) * (1 + 1e-6) + 1e-6


def test_a_picture_is_the_same_twice_says_all_in_words_and_shows_gaps_apart() -> None:
    found = graphs(
        [
            *minutes("2026-11-23 09:00", "2026-11-23 10:00", RUNNING),
            *minutes("2026-11-23 10:00", "2026-11-23 10:30", SIZES),
            *minutes("2026-11-23 10:30", "2026-11-23 11:00", RUNNING),
        ]
    )
    drawn = svg(found)
    assert drawn == svg(found)
    root = ElementTree.fromstring(drawn)
    names = {"svg": "http://www.w3.org/2000/svg"}
    said = root.find("svg:desc", names)
    assert said is not None and said.text is not None
    assert "arrêtée" in said.text and "50,0\u00a0%" in said.text and "75,0\u00a0%" in said.text
    assert root.get("role") == "img" and root.get("aria-labelledby") == "graphs-title graphs-desc"
    assert "du 23 nov. 2026, 10 h 00 CET au 23 nov. 2026, 10 h 30 CET" in drawn.replace("\u00a0", " ")
    paths = root.findall(".//svg:path", names)
    assert len(paths) == 6
    assert all((path.get("d") or "").count("M") == 2 for path in paths), "no line is drawn over a gap"
    assert "stopped" in svg(found, language="en")


def test_the_picture_of_the_documentation_is_what_the_program_draws() -> None:
    assert PICTURE.read_text() == svg(model_day(), language="en"), (
        "out of date: python -m tools.graph_picture"
    )


@given(text=HOSTILE)
def test_no_name_gets_out_of_a_picture(text: str) -> None:
    drawn = svg(graphs(minutes("2026-11-23 09:00", "2026-11-23 09:10", RUNNING), machine=text))
    root = ElementTree.fromstring(drawn)
    known = {"svg", "title", "desc", "style", "rect", "text", "line", "path"}
    assert {element.tag.partition("}")[2] for element in root.iter()} <= known
    assert len(root.findall(".//{http://www.w3.org/2000/svg}text")) == drawn.count("<text ")
