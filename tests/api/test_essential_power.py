"""Power of machines of Cloud VM Essentiel: article 3.3 lists neither stop, start nor restart on the client's behalf."""

from __future__ import annotations

from typing import Any

from orchestrator.nightly.drift_step import DriftLine
from orchestrator.nightly.report import render_night
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk


def _write(desk: Desk, **changes: Any) -> None:
    desk.write(subscription("martin", [machine("shop-1", **changes)], offer="cloud-vm-essential"))


def _delivered(desk: Desk) -> None:
    _write(desk)
    answer = desk.apply()
    assert answer.code == 0, answer
    desk.put_in_service()


def _power(desk: Desk, action: str) -> None:
    vm = desk.machines()["shop-1"]
    cluster = desk.fakes["paris"].cluster()
    upid = cluster.post(f"/nodes/{vm['node']}/qemu/{vm['vmid']}/status/{action}")
    cluster.wait_for_task(str(upid), timeout_seconds=30)
    desk.fakes["paris"].control("report")


def _changes(desk: Desk, *arguments: str) -> dict[str, dict[str, Any]]:
    (item,) = desk.plan(*arguments)["machines"]
    return {change["what"]: change for change in item["changes"]}


def test_restart_now_on_essentiel_restarts_nothing_and_says_what_does(desk: Desk) -> None:
    _delivered(desk)
    _write(desk, memory="2GiB")
    planned = _changes(desk, "--restart-now")
    assert planned["memory"]["kind"] == "update" and planned["restart"]["kind"] == "notice", planned
    assert "--restart-now has no effect" in planned["restart"]["why"]
    assert "not part of cloud-vm-essential (art. 3.3)" in planned["restart"]["why"]
    answer = desk.apply("--restart-now")
    assert answer.code == 0, answer
    calls = desk.fakes["paris"].calls()
    assert [call for call in calls if call.endswith(("/status/reboot", "/status/shutdown"))] == []
    waiting = _changes(desk)["restart"]
    assert waiting["kind"] == "waiting" and "the client shuts it down from inside" in waiting["why"]
    _power(desk, "stop")
    started = _changes(desk)["power"]
    assert started["kind"] == "start" and "takes up what was ordered: memory" in started["why"], started
    assert desk.apply().code == 0
    assert not {"memory", "power", "restart"} & _changes(desk).keys(), "it runs with what was ordered"
    assert desk.machines()["shop-1"]["status"] == "running"


def test_a_machine_of_essentiel_that_was_shut_down_from_inside_is_a_notice_and_not_drift(desk: Desk) -> None:
    night = NightDesk(desk)
    _delivered(desk)
    _power(desk, "stop")
    change = _changes(desk)["power"]
    assert (change["kind"], change["drift"]) == ("notice", False), change
    assert "shut down from inside" in change["why"] and "(art. 3.3)" in change["why"]
    assert desk.apply().code == 0
    assert desk.machines()["shop-1"]["status"] == "stopped"
    report = night.night()
    (line,) = report.of(DriftLine)
    assert report.well and line.notice
    text = render_night(report, form="md", language="en")
    assert "No drift: nothing was changed outside the files." in text and "Notices" in text
