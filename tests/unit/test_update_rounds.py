"""The night's rounds of updates: whose turn waits for whose."""

from __future__ import annotations

import datetime as dt
import threading
from types import SimpleNamespace
from typing import Any, cast

from orchestrator.applying.machine_update import Updatable
from orchestrator.nightly.context import Night, nobody_else
from orchestrator.nightly.update_round import PlannedUpdate, UpdatePlan, UpdateRound

_NOW = dt.datetime(2026, 11, 23, 22, 0, tzinfo=dt.UTC)


class Hanging(UpdateRound):
    """Rounds in which the machine of an interrupted update hangs until everybody else has had a turn."""

    def __init__(self, *arguments: Any) -> None:
        self.others_done = threading.Event()
        self.waited: list[bool] = []
        super().__init__(*arguments)

    def _round(self, items: list[PlannedUpdate]) -> None:
        if any(item.unfinished for item in items):
            self.waited.append(self.others_done.wait(20))
        else:
            self.others_done.set()


def planned(client: str, *, opens: dt.datetime = _NOW, unfinished: bool = False) -> PlannedUpdate:
    machine = SimpleNamespace(key=(client, "web-1"), desired=SimpleNamespace(client=client))
    closes = _NOW + dt.timedelta(hours=8)
    return PlannedUpdate(machine=cast(Updatable, machine), opens=opens, closes=closes, unfinished=unfinished)


def test_nobody_waits_behind_what_an_earlier_run_left_unfinished() -> None:
    night = SimpleNamespace(
        clock=lambda: _NOW, changing=nobody_else, closed=False, tell=lambda *_, **__: None
    )
    plan = UpdatePlan(planned=(planned("aaa", unfinished=True), planned("dupont")))
    rounds = Hanging(cast(Night, night), plan, None, {})
    rounds.wait()
    assert rounds.waited == [True]
