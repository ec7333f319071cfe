"""``orchestrator figures``: graphs from what the hypervisor measured (articles 3.2, 3.3, 3.7 and 3.8.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from orchestrator.proxmox.measurements import Timeframe, read_measurements
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.recorded import calls

GIB = 1024**3
TEN = 1_795_510_800
"""Tuesday 24 November 2026, 10:00 in Paris."""
MINUTE, HOUR = 60, 3600
BUSY = {"cpu": 0.5, "mem": 3.0 * GIB, "netin": 125_000.0, "netout": 250_000.0, "diskread": 4096.0}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakePve]:
    with FakePve() as fake:
        yield fake


@pytest.fixture(scope="module")
def measured(fake: FakePve, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A machine of 2 vCPU and 4 GiB that was stopped from 10:00 to 10:30; it is 11:00. Tests leave it as it is."""
    fake.control("add_template", vmid=9000, name="debian-12")
    desk = Desk(tmp_path_factory.mktemp("desk"), {"paris": fake})
    desk.write(subscription("dupont", [machine("web-1", vcpus=2, memory="4GiB")]))
    assert desk.apply().code == 0
    desk.put_in_service()
    measure(desk, TEN - HOUR, TEN, BUSY)
    measure(desk, TEN, TEN + 30 * MINUTE, {}, stopped=True)
    measure(desk, TEN + 30 * MINUTE, TEN + HOUR, BUSY)
    fake.set_clock(TEN + HOUR)
    return desk


def measure(desk: Desk, start: int, end: int, figures: dict[str, float], *, stopped: bool = False) -> None:
    vmid = desk.machines()["web-1"]["vmid"]
    desk.fakes["paris"].control("measure", vmid=vmid, start=start, end=end, figures=figures, stopped=stopped)


def data(desk: Desk, *options: str) -> dict[str, Any]:
    answer = desk.run("figures", "dupont/web-1", "--format", "json", *options)
    assert answer.code == 0, answer
    found: dict[str, Any] = json.loads(answer.out)
    return found


def line(found: dict[str, Any], graph: str, name: str) -> dict[str, Any]:
    graphs = {item["name"]: item for item in found["graphs"]}
    return next(item for item in graphs[graph]["lines"] if item["name"] == name)


@pytest.mark.parametrize("release", ["8", "9"])
def test_busy_loop_is_50_per_cent_3_of_4_gib_are_75_and_off_is_a_gap_that_says_stopped(
    measured: Desk, fake: FakePve, release: str
) -> None:
    fake.control("release", release=release)
    found = data(measured, "--timeframe", "day")
    assert line(found, "vcpu", "used")["statistics"] == {"min": 50.0, "mean": 50.0, "max": 50.0}
    assert line(found, "memory", "used")["percent_of_capacity"]["mean"] == 75.0
    assert line(found, "network", "in")["statistics"]["mean"] == 1_000_000.0
    assert line(found, "network", "out")["statistics"]["mean"] == 2_000_000.0
    assert [gap for gap in found["gaps"] if gap["reason"] == "stopped"] == [
        {"from": "2026-11-24T09:00:00+00:00", "to": "2026-11-24T09:30:00+00:00", "reason": "stopped"}
    ]
    at_ten = found["starts"].index(TEN)
    assert line(found, "vcpu", "used")["values"][at_ten] is None
    assert len(found["starts"]) == (70 if release == "8" else 1440)


def test_a_graph_is_one_call_and_one_for_the_storage_of_its_disks(measured: Desk, fake: FakePve) -> None:
    fake.control("reset_calls")
    found = data(measured)
    asked = {call: count for call, count in fake.calls().items() if "rrddata" in call or "content" in call}
    assert sorted(asked.values()) == [1, 1]
    (disk,) = found["disks"]
    assert (disk["name"], disk["size_bytes"]) == ("system", 4 * GIB)
    assert set(fake.calls()) == set(fake.calls("GET")), "nothing is changed"


@pytest.mark.parametrize("release", ["8", "9"])
def test_every_timeframe_has_its_rows_and_what_was_not_measured_is_empty(
    measured: Desk, fake: FakePve, release: str
) -> None:
    fake.control("release", release=release)
    vmid = measured.machines()["web-1"]["vmid"]
    cluster = fake.cluster()
    read = {name: read_measurements(cluster, "pve1", vmid, name) for name in get_args(Timeframe)}
    assert {name: len(rows) for name, rows in read.items()} == {
        "8": dict.fromkeys(get_args(Timeframe), 70),
        "9": {"hour": 60, "day": 1440, "week": 336, "month": 1440, "year": 1440},
    }[release]
    for name, rows in read.items():
        assert rows[0].values == {} or name == "hour"
        assert rows == tuple(sorted(rows, key=lambda row: row.ends))


def test_text_has_least_mean_and_most_fits_100_columns_and_names_the_gap(measured: Desk) -> None:
    answer = measured.run("figures", "dupont/web-1", "--timeframe", "hour")
    assert answer.code == 0, answer
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 100
    text = answer.out.replace("\u00a0", " ")
    assert "50.0%" in text and "75.0%" in text and "3.0 GiB" in text and "of 4.0 GiB" in text
    assert "stopped: 2026-11-24 10:00 CET to 2026-11-24 10:30 CET (30 min)" in text


def test_a_picture_is_written_whole(measured: Desk) -> None:
    answer = measured.run("figures", "dupont/web-1", "--format", "svg", "--output", "web-1.svg")
    assert answer.code == 0 and "written" in answer.out, answer
    root = ElementTree.parse(measured.folder / "web-1.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    refused = measured.run("figures", "dupont/web-1", "--format", "svg", "--output", "sites.yaml/x.svg")
    assert refused.code == 1 and "cannot be written" in refused.err


def test_essential_has_graphs_only_with_managed_services_and_the_refusal_names_article_3_3(
    desk: Desk, fakepve: FakePve
) -> None:
    desk.write(subscription("dupont", [machine("web-1")], offer="cloud-vm-essential"))
    assert desk.apply().code == 0
    desk.put_in_service()
    refused = desk.run("figures", "dupont/web-1")
    assert refused.code == 1 and "article 3.3" in refused.err, refused
    managed = {"level": "full", "updates": "on-request", "standard_changes_per_month": 2}
    desk.write(
        subscription("dupont", [machine("web-1")], offer="cloud-vm-essential", managed_services=managed)
    )
    allowed = desk.run("figures", "dupont/web-1")
    assert allowed.code == 0 and "nothing was measured yet" in allowed.out, allowed


def test_odd_values_are_gaps_and_an_endless_answer_is_refused(measured: Desk, fake: FakePve) -> None:
    rows: list[dict[str, Any]] = [
        {"time": TEN, "cpu": "much", "mem": -5, "maxmem": 1.0, "netin": [], "maxcpu": None},
        {"time": TEN + 60, "cpu": 0.25, "mem": 7.0, "maxmem": 14.0, "netin": -1},
    ]
    fake.fault("GET", ".*/rrddata", "answer", text=json.dumps({"data": rows}))
    found = data(measured)
    assert line(found, "vcpu", "used")["values"] == [None, 25.0]
    assert line(found, "network", "in")["values"] == [None, None]
    assert [gap["reason"] for gap in found["gaps"]] == ["no data"], "rubbish is not a stopped machine"
    many = json.dumps({"data": [{"time": number} for number in range(30_000)]})
    fake.fault("GET", ".*/rrddata", "answer", text=many)
    refused = measured.run("figures", "dupont/web-1")
    assert refused.code == 1 and "30000 rows of measurements" in refused.err
    far = json.dumps({"data": [{"time": 1_000_000_000, "cpu": 0.5}, {"time": 1_900_000_000, "cpu": 0.5}]})
    fake.fault("GET", ".*/rrddata", "answer", text=far)
    refused = measured.run("figures", "dupont/web-1", "--format", "svg")
    assert refused.code == 1 and "measurements over 10416 days, expected 4 at most for a day" in refused.err


def test_the_model_answers_as_real_nodes_did(measured: Desk, fake: FakePve) -> None:
    vmid = measured.machines()["web-1"]["vmid"]
    recorded = [call for call in calls("9.1.7", scenario="rrddata") if call.status == 200]
    fake.control("release", release="9")
    rows = fake.cluster().get(f"/nodes/pve1/qemu/{vmid}/rrddata", timeframe="day", cf="AVERAGE")
    shapes = {frozenset(row) for row in rows}
    real = {frozenset(row) for call in recorded for row in call.data}
    stopped = frozenset({"time", "maxcpu", "maxmem", "maxdisk", "disk"})
    assert shapes & real >= {frozenset({"time"}), stopped}
    assert all(shape <= frozenset().union(*real) for shape in shapes)
    assert rows[-1]["time"] == TEN + HOUR and rows[1]["time"] - rows[0]["time"] == 60


def test_a_machine_that_was_never_measured_has_no_rows(fake: FakePve) -> None:
    fake.add_vms(1, first=700)
    assert read_measurements(fake.cluster(), "pve1", 700, "day") == ()


def test_the_monthly_report_has_a_graph_of_each_machine_cut_to_the_month(
    desk: Desk, fakepve: FakePve
) -> None:
    desk.write(subscription("dupont", [machine("web-1", vcpus=2, memory="4GiB")]))
    assert desk.apply().code == 0
    desk.put_in_service()
    begins, ends = 1_793_484_000, 1_796_076_000  # November 2026 in Paris is from 23:00 to 23:00 UTC
    measure(desk, begins - 12 * HOUR, begins + 24 * HOUR, BUSY)
    measure(desk, begins + 24 * HOUR, begins + 36 * HOUR, {}, stopped=True)
    measure(desk, begins + 36 * HOUR, begins + 60 * HOUR, BUSY)
    fakepve.set_clock(ends + 10 * 24 * HOUR)
    fakepve.control("release", release="9")
    fakepve.control("reset_calls")
    answer = desk.run("report", "dupont", "--month", "2026-11", "--output", "r.html", "--language", "en")
    assert answer.code == 0, answer
    assert sum(count for call, count in fakepve.calls().items() if "rrddata" in call) == 1
    page = (desk.folder / "r.html").read_text()
    (picture,) = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    root = ElementTree.fromstring(picture)
    said = root.find("{http://www.w3.org/2000/svg}desc")
    assert said is not None and said.text is not None
    text = said.text.replace("\u00a0", " ")
    assert "min 50.0%, mean 50.0%, max 50.0%" in text and "stopped from 2 Nov 2026" in text
    assert text.startswith("from 1 Nov 2026, 01:00 CET to 1 Dec 2026, 01:00 CET"), "slots of six hours"
