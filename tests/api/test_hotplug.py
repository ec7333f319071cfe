"""What a running machine does not take is 400 and pending all the same: it must not lie in wait for the next start."""

from __future__ import annotations

from typing import Any

from tests.api.desk import Desk, machine, subscription


def _changes(desk: Desk) -> dict[str, dict[str, Any]]:
    return {change["what"]: change for item in desk.plan()["machines"] for change in item["changes"]}


def test_a_card_that_the_running_machine_refused_does_not_wait_for_its_next_start(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    before = desk.machines()["web-1"]
    fake.control("unpluggable", net0="interface vmbr9 does not exist")
    desk.sites["paris"]["networks"][0]["bridge"] = "vmbr9"
    desk.write_sites()
    planned = _changes(desk)
    assert len([what for what in planned if "network" in what or "bridge" in what]) == 1, planned
    answer = desk.apply("--restart-now")
    assert answer.code == 1 and "net0: interface vmbr9 does not exist" in answer.out, answer
    assert "taken back" in answer.out
    after = desk.machines()["web-1"]
    assert after["config"] == before["config"] and not after["pending"]
    again = _changes(desk)
    assert again.keys() == planned.keys(), "it is asked for again, and is nobody's change by hand"
    assert all(change["drift"] == planned[what]["drift"] for what, change in again.items())


def test_memory_that_the_running_machine_refused_waits_for_its_window(desk: Desk) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.fakes["paris"].control("unpluggable", memory="error unplug memory module")
    desk.write(subscription("dupont", [machine("web-1", memory="2GiB")]))
    answer = desk.apply()
    assert answer.code == 0, answer
    assert _changes(desk)["restart"]["kind"] == "waiting"
    assert desk.machines()["web-1"]["pending"]["memory"] in ("2048", 2048)
