"""The night takes up what waits for a restart, in each machine's maintenance window (articles 3.2, 3.8.3)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from orchestrator.nightly.restart_round import RestartLine
from orchestrator.nightly.restart_step import WaitingRestart
from orchestrator.resources.notes import Mark, read_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import PARIS, NightDesk

_DAY = dt.datetime.now(PARIS).date() + dt.timedelta(days=3)
_NIGHT = dt.datetime.combine(_DAY, dt.time(22), PARIS)
"""Ahead of what is applied now: the window is not open then, for apply would restart machines in it."""

_WINDOW = {"days": [f"{_DAY:%A}".lower()], "from": "22:00", "to": "23:30"}


class _Restarts(NightDesk):
    """Machines of a client with managed services and a window, and nights in which they are restarted."""

    def write(self, *machines: dict[str, Any], window: Any = _WINDOW, **changes: Any) -> None:
        managed = {"level": "supervision", **({"maintenance_window": window} if window else {})}
        document = subscription("dupont", list(machines), managed_services=managed)
        document["contract"].update(changes)
        self.desk.write(document)

    def waits(self, *names: str, window: Any = _WINDOW, apart: bool = False, **changes: Any) -> None:
        """Deliver machines, then apply more memory: it waits for a restart."""

        def one(name: str, memory: str) -> dict[str, Any]:
            others = [other for other in names if other != name] if apart else []
            return machine(name, memory=memory, **({"apart_from": others} if others else {}))

        self.write(*(one(name, "1GiB") for name in names), window=window)
        assert self.desk.apply("--order", "BC-1", "--only", "dupont").code == 0
        self.desk.put_in_service()
        for name in names:
            self.fake.guest_agent({"files": {}}, vmid=self.vmid(name))
        self.write(*(one(name, "2GiB") for name in names), window=window)
        answer = self.desk.apply("--order", "BC-1", "--only", "dupont")
        assert answer.code == 0, answer
        self.write(*(one(name, "2GiB") for name in names), window=window, **changes)
        self.fake.control("report")
        self.fake.control("reset_calls")

    def memory(self, name: str) -> tuple[str, str | None]:
        """What it runs with, and what it will after its next start."""
        vm = self.desk.machines()[name]
        pending = vm["pending"].get("memory")
        return str(vm["config"]["memory"]), None if pending is None else str(pending)

    def mark(self, name: str) -> Mark:
        mark = read_mark(self.desk.machines()[name]["config"]["description"])
        assert mark is not None
        return mark

    def power(self) -> list[str]:
        """The changes of power that the cluster was asked for."""
        words = ("reboot", "shutdown", "stop", "start", "reset")
        calls = self.fake.calls()
        named = {f"/status/{word}": word for word in words}
        return sorted(
            word
            for call, count in calls.items()
            for ending, word in named.items()
            for _ in range(count)
            if call.startswith("POST") and call.endswith(ending)
        )

    def plan(self, name: str) -> dict[str, Any]:
        (item,) = [item for item in self.desk.plan()["machines"] if item["machine"] == name]
        return {change["what"]: change for change in item["changes"]}


@pytest.fixture
def night(desk: Desk) -> _Restarts:
    return _Restarts(desk)


def test_a_setting_that_waits_is_taken_up_in_the_window_and_the_guest_is_waited_for(night: _Restarts) -> None:
    night.waits("web-1")
    assert night.memory("web-1") == ("1024", "2048")
    assert f"~ restart dupont/web-1   memory 2048, in the window {_NIGHT:%a %Y-%m-%d} 22:00" in night.preview(
        _NIGHT
    )
    report = night.night(_NIGHT)
    (line,) = report.of(RestartLine)
    assert (line.result, line.wave, dict(line.settings)) == ("restarted", 1, {"memory": "2048"}), line
    assert report.well and not report.of(WaitingRestart)
    assert night.memory("web-1") == ("2048", None) and night.power() == ["reboot"]
    assert night.mark("web-1").restart is None
    assert "restart" not in night.plan("web-1")
    again = night.night(_NIGHT + dt.timedelta(hours=2))
    assert night.power() == ["reboot"], "nothing waits, so nothing is restarted"
    made = [item for item in again.of(RestartLine) if item.result == "restarted"]
    assert len(made) == 1, "and the next report still says what another run has restarted"
