"""``orchestrator restart``: a plain restart on the client's request (article 3.2)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.desk import Desk, machine, subscription

_TARGET = "dupont/web-1"
_SUSPENDED = {"status": "suspended", "suspension": {"since": "2026-03-02", "reference": "LRAR-1"}}


def _write(desk: Desk, *, offer: str = "cloud-vm-advanced", contract: Any = None, **changes: Any) -> None:
    document = subscription("dupont", [machine("web-1", **changes)], offer=offer)
    document["contract"].update(contract or {})
    desk.write(document)


def _delivered(desk: Desk, **changes: Any) -> None:
    _write(desk, **changes)
    answer = desk.apply()
    assert answer.code == 0, answer
    desk.put_in_service()
    desk.fakes["paris"].guest_agent({"files": {}}, vmid=desk.machines()["web-1"]["vmid"])
    desk.fakes["paris"].control("reset_calls")


def _restart(desk: Desk, *options: str) -> Any:
    return desk.run("restart", _TARGET, "--yes", "--boot-timeout", "5", *options)


def _asked_for(desk: Desk) -> list[str]:
    """The changes of power that the cluster was asked for."""
    words = ("reboot", "shutdown", "stop", "start", "reset")
    calls = desk.fakes["paris"].calls()
    return sorted(
        call.rpartition("/")[2] for call in calls if call.endswith(tuple(f"/status/{w}" for w in words))
    )


def _history(desk: Desk) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(desk.run("history", _TARGET, "--format", "json").out)
    return rows


def test_3_2_a_plain_restart_on_the_clients_request_is_one_task_and_in_the_history(desk: Desk) -> None:
    _delivered(desk)
    answer = _restart(desk, "--reason", "ticket 4711")
    assert answer.code == 0 and "restarted; it runs and its guest answers" in answer.out, answer
    assert _asked_for(desk) == ["reboot"]
    (entry,) = [row for row in _history(desk) if row["action"] == "restart"]
    assert (
        (entry["why"], entry["result"]) == ("ticket 4711", "ok")
        and entry["who"]
        and "qmreboot" in entry["upid"]
    )


def test_a_window_that_is_too_short_for_a_restart_is_named(desk: Desk) -> None:
    _delivered(desk)
    window = {"days": ["tuesday"], "from": "22:00"}
    document = subscription("dupont", [machine("web-1")])
    for ends, named in (("22:10", True), ("22:13", False)):
        managed = {"level": "supervision", "maintenance_window": {**window, "to": ends}}
        desk.write({**document, "managed_services": managed})
        answer = desk.run("restart", _TARGET, "--yes", "--boot-timeout", "600")
        assert answer.code == 0, answer
        told = "dupont/web-1: its maintenance window lasts 10 min and a restart may take 13 min"
        assert (told in answer.err) is named, answer
        assert ("maintenance window" in answer.err) is named, answer


def test_what_a_restart_takes_up_is_said_and_is_taken_up(desk: Desk) -> None:
    _delivered(desk)
    _write(desk, memory="2GiB")
    assert desk.apply().code == 0
    answer = _restart(desk)
    assert answer.code == 0 and "takes effect with the restart: memory 2048" in answer.out, answer
    changes = {change["what"] for item in desk.plan()["machines"] for change in item["changes"]}
    assert not changes & {"memory", "restart"}


def test_a_guest_that_ignores_the_power_button_is_switched_off_with_force_only(desk: Desk) -> None:
    _delivered(desk)
    vmid = desk.machines()["web-1"]["vmid"]
    desk.fakes["paris"].control("set_vm", vmid=vmid, acpi=False)
    refused = _restart(desk)
    assert refused.code == 1 and "did not shut down within 180 s" in refused.err, refused
    assert "--force" in refused.err and desk.machines()["web-1"]["status"] == "running"
    assert _asked_for(desk) == ["reboot"]
    forced = _restart(desk, "--force")
    assert forced.code == 0 and "switched off by force" in forced.out, forced
    assert desk.machines()["web-1"]["status"] == "running"
    assert [row["action"] for row in _history(desk) if row["result"] == "ok"][:3] != []
    assert {"switch off", "start"} <= {row["action"] for row in _history(desk)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"offer": "cloud-vm-essential"}, "not part of cloud-vm-essential (art. 3.3)"),
        ({"contract": _SUSPENDED}, "art. 9"),
        (
            {"contract": {"status": "terminated", "termination": {"notice": "2026-03-02", "reference": "L"}}},
            "art. 10",
        ),
        ({"power": "stopped"}, "its file says power: stopped"),
    ],
    ids=["Essentiel", "suspended", "ended", "stopped by its file"],
)
def test_a_restart_is_refused_with_its_article(desk: Desk, changes: dict[str, Any], said: str) -> None:
    _write(desk, **changes)
    answer = _restart(desk)
    assert answer.code == 1 and said in answer.err, answer
    assert desk.fakes["paris"].calls() == {}, "refused before anything was asked"


def test_a_machine_that_is_stopped_or_that_nobody_agreed_to_restart_is_left_alone(desk: Desk) -> None:
    _delivered(desk)
    unasked = desk.run("restart", _TARGET)
    assert unasked.code == 1 and "pass --yes" in unasked.err, unasked
    vm = desk.machines()["web-1"]
    desk.fakes["paris"].control("set_vm", vmid=vm["vmid"], status="stopped", qmpstatus="stopped")
    stopped = _restart(desk)
    assert stopped.code == 1 and "orchestrator apply starts it" in stopped.err, stopped
    assert _asked_for(desk) == []


def test_a_guest_that_does_not_answer_afterwards_is_told(desk: Desk) -> None:
    _delivered(desk)
    desk.fakes["paris"].guest_agent(None, vmid=desk.machines()["web-1"]["vmid"])
    answer = desk.run("restart", _TARGET, "--yes", "--boot-timeout", "1")
    assert answer.code == 1 and "its guest agent did not answer within 1 s" in answer.err, answer
