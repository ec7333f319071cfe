"""Graphs for pages: one call while they hold, the last ones while the hypervisor is away, limited in number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from orchestrator.operations import recent_figures
from orchestrator.operations.recent_figures import Figures, Measured, RecentFigures, has_graphs
from orchestrator.proxmox.measurements import read_measurements
from tests.api.desk import Desk
from tests.api.fakepve_handle import FakePve

TEN = 1_795_510_800
"""Tuesday 24 November 2026, 10:00 in Paris."""
NOW = dt.datetime.fromtimestamp(TEN, dt.UTC)
SECOND = dt.timedelta(seconds=1)
WEB = Measured(client="dupont", machine="web-1", site="paris", vmid=700, node="pve1")
DATABASE = replace(WEB, machine="db-1", vmid=701)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakePve]:
    with FakePve() as fake:
        yield fake


@pytest.fixture(scope="module")
def measured(fake: FakePve, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two machines that were measured until 10:00; it is 10:00."""
    desk = Desk(tmp_path_factory.mktemp("desk"), {"paris": fake})
    fake.add_vms(2, first=700)
    for vmid in (700, 701):
        fake.control("measure", vmid=vmid, start=TEN - 3600, end=TEN, figures={"cpu": 0.5, "mem": 1.0})
    fake.set_clock(TEN)
    return desk


@pytest.fixture
def figures(measured: Desk, fake: FakePve) -> Iterator[RecentFigures]:
    fake.control("reset_calls")
    yield RecentFigures(str(measured.folder))
    fake.control("clear_faults")


def asked(fake: FakePve) -> int:
    return sum(count for call, count in fake.calls().items() if "rrddata" in call)


def mean(found: Figures) -> float:
    assert found.graphs is not None
    statistics = found.graphs.statistics(found.graphs.graphs[0].lines[0])
    assert statistics is not None
    return statistics.mean


def test_a_graph_is_one_call_and_is_kept_while_it_does_not_change(
    figures: RecentFigures, fake: FakePve
) -> None:
    first = figures.of(WEB, "day", NOW)
    assert (mean(first), first.read_at, first.problem) == (50.0, NOW, "")
    assert set(fake.calls()) == {"GET /nodes/pve1/qemu/700/rrddata"}, "one call, and nothing else"
    assert figures.of(WEB, "day", NOW + 59 * SECOND) == first
    assert asked(fake) == 1
    assert figures.of(WEB, "day", NOW + 60 * SECOND).read_at == NOW + 60 * SECOND
    figures.of(WEB, "week", NOW + 60 * SECOND)
    figures.of(DATABASE, "day", NOW + 60 * SECOND)
    figures.of(WEB, "day", NOW + 60 * SECOND, consolidation="MAX")
    assert asked(fake) == 5, "another timeframe, machine or consolidation is another graph"


def test_visitors_who_come_at_once_wait_for_one_call(figures: RecentFigures, fake: FakePve) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: figures.of(WEB, "hour", NOW), range(8)))
    assert {item.read_at for item in found} == {NOW}
    assert asked(fake) == 1


def test_the_last_figures_stay_while_the_hypervisor_is_away_and_it_is_not_asked_again_at_once(
    figures: RecentFigures, fake: FakePve
) -> None:
    figures.of(WEB, "day", NOW)
    fake.fault("GET", ".*/rrddata", "reset", times=1)
    later = figures.of(WEB, "day", NOW + 120 * SECOND)
    assert later.read_at == NOW and mean(later) == 50.0 and later.problem.startswith("paris: GET ")
    assert asked(fake) == 2
    never = figures.of(DATABASE, "day", NOW + 121 * SECOND)
    assert (never.graphs, never.read_at) == (None, None) and never.problem == later.problem
    assert asked(fake) == 2, "the site did not answer a second ago"
    assert figures.of(DATABASE, "day", NOW + 140 * SECOND).problem == "", "it is back"


def test_a_site_that_never_answers_is_waited_for_no_longer_than_is_allowed(
    measured: Desk, fake: FakePve
) -> None:
    impatient = RecentFigures(str(measured.folder), silence=0.3)
    fake.fault("GET", ".*/rrddata", "hang", seconds=600, times=1)
    assert "0.3" in impatient.of(WEB, "day", NOW).problem
    assert impatient.of(WEB, "day", NOW + 20 * SECOND).problem == ""
    fake.control("clear_faults")


def test_more_requests_than_a_site_is_asked_at_once_do_not_wait_for_ever(
    measured: Desk, fake: FakePve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_figures, "_TURN_SECONDS", 0.1)
    monkeypatch.setattr(recent_figures, "_AT_ONCE", 2)
    figures = RecentFigures(str(measured.folder), silence=30)
    fake.control("reset_calls")
    fake.fault("GET", ".*/rrddata", "meet", times=3)  # two wait for a third one
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(figures.of, WEB, timeframe, NOW) for timeframe in ("hour", "day")]
        while asked(fake) < 2:
            pass
        busy = pool.submit(figures.of, WEB, "week", NOW).result()
        assert busy.problem == "the site paris is answering 2 other requests for graphs: try again"
        read_measurements(fake.cluster(), "pve1", 701, "day")
        assert [item.result().problem for item in first] == ["", ""]


def test_a_machine_that_is_gone_says_so_and_nobody_else_is_kept_waiting(
    figures: RecentFigures, fake: FakePve
) -> None:
    fake.fault("GET", ".*/700/rrddata", "error", status=500, text="Configuration file does not exist")
    assert "does not exist" in figures.of(WEB, "day", NOW).problem
    assert figures.of(DATABASE, "day", NOW).problem == ""


def test_figures_of_a_number_that_belongs_to_another_client_now_are_not_those_of_the_first(
    figures: RecentFigures, fake: FakePve
) -> None:
    figures.of(WEB, "day", NOW)
    fake.fault("GET", ".*/rrddata", "reset", times=1)
    theirs = figures.of(replace(WEB, client="martin"), "day", NOW)
    assert theirs.graphs is None and theirs.problem


def test_what_is_kept_is_limited(measured: Desk, fake: FakePve) -> None:
    fake.control("reset_calls")
    small = RecentFigures(str(measured.folder), most_slots=1500)
    for machine in (WEB, DATABASE, WEB):
        small.of(machine, "day", NOW)
    assert asked(fake) == 3, "there is room for one graph of a day"


def test_a_site_that_the_inventory_lost_is_a_problem_and_no_error(figures: RecentFigures) -> None:
    assert "there is no site lyon" in figures.of(replace(WEB, site="lyon"), "day", NOW).problem


@pytest.mark.parametrize(
    ("offer", "managed", "has"),
    [
        ("cloud-vm-advanced", False, True),
        ("cloud-datacenter", False, True),
        ("cloud-vm-essential", False, False),
        ("cloud-vm-essential", True, True),
        ("unknown", False, False),
    ],
)
def test_who_has_graphs(offer: str, managed: bool, has: bool) -> None:
    assert has_graphs(offer, managed=managed) is has
