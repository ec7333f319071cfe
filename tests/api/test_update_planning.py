"""Which machines a night would update, which are supervised: from marks and files, against the API, without a guest."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from orchestrator.resources.notes import Mark, UpdateNote, read_mark, write_mark
from tests.api.desk import CLOSED, HOST_KEY, Desk, machine, subscription

WINDOW = {"days": ["tuesday"], "from": "22:00", "to": "10:30"}
AUTOMATIC = {"level": "supervision", "updates": "automatic", "maintenance_window": WINDOW}
TUESDAY, WEDNESDAY = "2026-11-24T20:00", "2026-11-25T20:00"
TRIED = UpdateNote(
    state="held",
    since=dt.datetime(2026, 11, 18, 22, 0, tzinfo=dt.UTC),
    reason="nginx.service does not run any more",
    packages=("nginx 1.26",),
)


@pytest.fixture
def served(desk: Desk) -> Desk:
    """Two machines in service, with automatic updates."""
    (desk.folder / "id").touch()
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")], managed_services=AUTOMATIC))
    assert desk.apply().code == 0
    _note(desk, "web-1")
    _note(desk, "web-2")
    return desk


def _note(desk: Desk, name: str, **changes: Any) -> None:
    """Write into a machine's mark what a visit to its guest would have left there."""
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert isinstance(mark, Mark)
    mark = mark.with_(ready=True, host_keys=(HOST_KEY,), supervised=True, firewall=CLOSED, **changes)
    path = f"/nodes/{vm['node']}/qemu/{vm['vmid']}"
    cluster = desk.fakes["paris"].cluster()
    cluster.put(f"{path}/config", description=write_mark(mark, vm["config"]["description"]))


def test_a_night_updates_the_machines_whose_window_opens_before_it_ends(served: Desk) -> None:
    tonight = served.run("nightly", "--dry-run", "--at", TUESDAY).out
    window = "in the window Tue 2026-11-24 22:00 CET to 2026-11-25 10:30 CET"
    assert f"~ updates dupont/web-1   automatic, {window}" in tonight
    assert "2 machines to update" in tonight
    assert "updates" not in served.run("nightly", "--dry-run", "--at", WEDNESDAY).out
    assert "2 machines to update" in served.run("nightly", "--dry-run", "--at", "2026-11-25T01:00").out, (
        "past midnight"
    )


def test_a_missing_ssh_key_is_a_problem_of_the_night_and_stops_nothing_else(served: Desk) -> None:
    (served.folder / "id").unlink()
    answer = served.run("nightly", "--in-working-hours")
    assert answer.code == 1
    events = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    assert [event["failures"] for event in events if event["event"] == "night-ended"] == [3]
    report = next((served.folder / "state/orchestrator/reports").glob("*.md")).read_text()
    assert "so no machine is inspected or updated" in report


def test_a_machine_that_is_held_back_says_why_and_what_to_do(served: Desk) -> None:
    _note(served, "web-1", update=TRIED)
    told = served.run("nightly", "--dry-run", "--at", TUESDAY).out
    assert (
        "! updates dupont/web-1   held back since 2026-11-18 23:00 CET: nginx.service does not run any more"
        in told
    )
    assert "(tried: nginx 1.26)" in told and "orchestrator update dupont/web-1 --release" in told
    assert "~ updates dupont/web-2" in told and "1 machine to update" in told


def test_an_update_that_a_killed_run_began_is_gone_on_with_whatever_the_window(served: Desk) -> None:
    since = dt.datetime(2026, 11, 25, 0, 30, tzinfo=dt.UTC)
    _note(served, "web-2", update=UpdateNote(state="running", since=since, snapshot="before-update-x"))
    told = served.run("nightly", "--dry-run", "--at", WEDNESDAY).out
    assert "~ updates dupont/web-2   goes on with what an earlier run began" in told
    assert "web-1   automatic" not in told


def test_updates_are_refused_where_they_are_no_part_of_the_subscription(desk: Desk) -> None:
    (desk.folder / "id").touch()
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    answer = desk.run("update", "dupont", "--files", "subscriptions", "--yes")
    assert answer.code == 1
    assert "part of the managed services, which its client's file does not have (art. 3.8.3)" in answer.out, (
        answer
    )


def test_a_time_of_request_that_lies_ahead_is_refused(served: Desk) -> None:
    answer = served.run("update", "dupont", "--requested", "2999-01-01T09:00")
    assert answer.code == 1 and "it is when the client asked for it" in answer.err
    assert "write 2026-11-23T09:00" in served.run("update", "dupont", "--requested", "yesterday").err


def test_prometheus_finds_the_supervised_machines(served: Desk) -> None:
    _note(served, "web-2", retired=dt.date(2026, 11, 20))
    listed = json.loads(served.run("targets").out)
    assert [item["labels"]["machine"] for item in listed] == ["web-1"], "a retired one is supervised no more"
    assert listed[0]["targets"] == ["203.0.113.10:9100"]
    assert listed[0]["labels"] | {"offer": ""} == {
        "client": "dupont",
        "contract": "C-dupont",
        "machine": "web-1",
        "offer": "",
        "site": "paris",
    }
    file = served.folder / "prometheus" / "machines.json"
    assert served.run("targets", "--output", str(file)).code == 0
    assert json.loads(file.read_text()) == listed
    assert list(file.parent.iterdir()) == [file]
