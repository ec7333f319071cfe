"""The lab keeps its VMs' figures as a node of Proxmox VE 8 does, and `rrddata` answers with them."""

from __future__ import annotations

from typing import Any

from lab.api.graphs import Graphs
from lab.api.server import ROUTES

_HOUR = 1_764_540_000
"""A full hour."""

_SIZES: dict[str, Any] = {"maxcpu": 2, "maxmem": 2**30, "disk": 0, "maxdisk": 2**32}


def _told(graphs: Graphs, at: int, *, cpu: float = 0.5, netin: int = 0, status: str = "running") -> None:
    figures = {"cpu": cpu, "mem": 2**29, "netin": netin, "netout": 0, "diskread": 0, "diskwrite": 0}
    graphs.tell(at, 100, {**_SIZES, **figures, "status": status})


def test_a_node_answers_seventy_rows_and_what_nobody_measured_is_a_time_alone() -> None:
    rows = Graphs().rows(_HOUR + 5, 100, "hour", largest=False)
    assert [row["time"] for row in rows] == list(range(_HOUR - 69 * 60, _HOUR + 1, 60))
    assert {len(row) for row in rows} == {1}


def test_a_row_has_the_average_or_the_largest_of_its_interval_and_counters_as_rates() -> None:
    graphs = Graphs()
    for round_, (cpu, netin) in enumerate(((0.2, 1000), (0.4, 3000), (0.6, 2000))):
        _told(graphs, _HOUR - 50 + 10 * round_, cpu=cpu, netin=netin)
    (average,) = (row for row in graphs.rows(_HOUR, 100, "hour", largest=False) if len(row) > 1)
    (largest,) = (row for row in graphs.rows(_HOUR, 100, "hour", largest=True) if len(row) > 1)
    assert (average["time"], round(average["cpu"], 6), largest["cpu"]) == (_HOUR, 0.4, 0.6)
    assert (average["netin"], average["maxcpu"]) == (200.0, 2.0), "the counter fell once: no rate then"
    assert "netin" in average and average["diskread"] == 0


def test_of_a_stopped_machine_the_sizes_alone_are_known() -> None:
    graphs = Graphs()
    _told(graphs, _HOUR - 10, status="stopped")
    (row,) = (row for row in graphs.rows(_HOUR, 100, "hour", largest=False) if len(row) > 1)
    assert set(row) == {"time", *_SIZES}
    graphs.forget(100)
    assert all(len(row) == 1 for row in graphs.rows(_HOUR, 100, "hour", largest=False)), "removed"


def test_a_row_of_which_less_than_half_was_measured_has_no_figures() -> None:
    graphs = Graphs()
    for minute in range(14):
        _told(graphs, _HOUR - 1790 + 60 * minute)
    assert "cpu" not in graphs.rows(_HOUR, 100, "day", largest=False)[-1]
    _told(graphs, _HOUR - 10)
    assert graphs.rows(_HOUR, 100, "day", largest=False)[-1]["cpu"] == 0.5


def test_the_call_is_one_of_the_lab() -> None:
    assert ROUTES.find("GET", "/nodes/pve-paris/qemu/100/rrddata") is not None
