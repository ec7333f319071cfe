"""A desk whose machines are observed at a simulated time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.history.intervals import Seen
from orchestrator.history.observations import Observations
from orchestrator.operations.watch import Round, WatchRequest, watch
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

START = dt.datetime(2026, 11, 10, 9, 0, tzinfo=dt.UTC)
"""A Tuesday, 10:00 in Paris."""


class WatchDesk:
    """Machines of the client dupont, web-1 (101), web-2 (102), …, and rounds of observation."""

    def __init__(self, desk: Desk, *names: str) -> None:
        self.desk = desk
        self.fake: FakePve = desk.fakes["paris"]
        self.fake.clock(
            START.timestamp(), 0.001
        )  # it all but stands still: no test depends on how fast it runs
        self.history = desk.folder / "history.db"
        self.names = names or ("web-1", "web-2")
        self.file()
        for number, name in enumerate(self.names):
            self.add(101 + number, name)

    def add(self, vmid: int, name: str, **options: Any) -> None:
        """Add a running machine that is ours by pool and tags."""
        now = self.fake.now()
        self.fake.set_clock(now - 3600)
        usual: dict[str, Any] = {"status": "running", "pool": "client-dupont"}
        config = {"tags": "client-dupont;orchestrator", "name": name, "memory": "512"}
        self.fake.control("add_vms", vms=[{**usual, "vmid": vmid, "name": name, "config": config, **options}])
        self.fake.set_clock(now)

    def file(self, *machines: dict[str, Any], **changes: Any) -> None:
        """Write the client's file."""
        wanted = list(machines) or [machine(name) for name in self.names]
        self.desk.write(subscription("dupont", wanted, **changes))

    @property
    def now(self) -> dt.datetime:
        """The time on the cluster's clock, whole seconds."""
        return dt.datetime.fromtimestamp(int(self.fake.now()), dt.UTC)

    def go(self, **time: float) -> None:
        """Let time pass."""
        self.fake.set_clock(self.now.timestamp() + dt.timedelta(**time).total_seconds())

    def round(self, *, ahead: float = 0.0) -> Round:
        """Observe once, with a clock that is so many seconds ahead of the cluster's."""
        inventory = str(self.desk.folder / "sites.yaml")
        request = WatchRequest(
            inventory=inventory, paths=(self.desk.folder / "subscriptions",), history=str(self.history)
        )
        return watch(request, clock=lambda: self.now + dt.timedelta(seconds=ahead))

    def rounds(self, minutes: float, every: float = 2.0) -> Round:
        """Let time pass, and observe meanwhile. Return the last round."""
        done = None
        for _ in range(round(minutes / every)):
            self.go(minutes=every)
            done = self.round()
        assert done is not None
        return done

    def seen(
        self, name: str = "web-1", start: dt.datetime = START, end: dt.datetime | None = None
    ) -> list[Seen]:
        """What was observed."""
        with Observations(Path(self.history)) as observations:
            return observations.seen("dupont", name, start, end or self.now)

    def told(self, name: str = "web-1", **times: dt.datetime) -> list[tuple[str, str, int]]:
        """State, cause and seconds of what was observed."""
        return [
            (item.state, item.cause, int((item.end - item.start).total_seconds()))
            for item in self.seen(name, **times)
        ]


def at(minutes: float) -> dt.datetime:
    """A time so many minutes after the beginning."""
    return START + dt.timedelta(minutes=minutes)


def states(seen: Sequence[tuple[str, str, int]]) -> list[tuple[str, str]]:
    """States and causes without their lengths."""
    return [(state, cause) for state, cause, _ in seen]
