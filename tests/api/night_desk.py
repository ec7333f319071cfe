"""A desk with machines in service, a backup storage at another site, and a clock: for tests of the night."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.applying.claims import Claims
from orchestrator.applying.clock import TOLERANCE
from orchestrator.applying.journal import Journal
from orchestrator.contract.calendar import window_closes
from orchestrator.guests import SshSettings
from orchestrator.history import open_history
from orchestrator.nightly.clocks import Clocks
from orchestrator.nightly.context import Night
from orchestrator.nightly.night_run import carry_out, plan_night
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.step import Work
from orchestrator.proxmox import Cluster, Patience
from orchestrator.resources.desired import desired_machines
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.sites import load_provider
from orchestrator.subscriptions import load
from tests.api.desk import Desk, machine, subscription

PARIS = ZoneInfo("Europe/Paris")
MONDAY_NIGHT = dt.datetime(2026, 11, 23, 22, 0, tzinfo=PARIS)
STORE = "backup-lyon"
AGENT: dict[str, Any] = {
    "files": {
        "/etc/hostname": "web-1\n",
        "/proc/mounts": "/dev/sda1 / ext4 rw,relatime 0 0\n",
        "/sys/fs/ext4/sda1/errors_count": "0\n",
    }
}


class NightDesk:
    """Machines of one client with backup, and nights that are run at a simulated time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.fake = desk.fakes["paris"]
        desk.sites["paris"]["backup_storages"] = [{"name": STORE, "site": "lyon"}]
        desk.write_sites()
        self.fake.add_storage(STORE, shared=True)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.on_event: Callable[[str], None] | None = None
        self.clock = SimulatedClock(MONDAY_NIGHT, 1.0)
        """The clock of the night that runs, or ran last."""
        self.claims = Claims()

    def deliver(self, *names: str, days: int | None = 7, **changes: Any) -> None:
        """Make machines with backup, and note that they are in service."""
        self.files(*names, days=days, **changes)
        answer = self.desk.apply()
        assert answer.code == 0, answer
        self.desk.put_in_service()
        for name in names:
            files = {**AGENT["files"], "/etc/hostname": f"{name}\n"}
            self.fake.guest_agent({"files": files}, vmid=self.vmid(name))

    def files(self, *names: str, days: int | None = 7, **changes: Any) -> None:
        """Write the client's file."""

        def one(name: str) -> dict[str, Any]:
            backup = {"backup": {"retention_days": days}} if days is not None else {}
            return machine(name, **backup, **copy.deepcopy(changes))

        self.desk.write(subscription("dupont", [one(name) for name in names]))

    def vmid(self, name: str) -> int:
        """A machine's number."""
        return int(self.desk.machines()[name]["vmid"])

    def notes(self, name: str) -> str:
        """A machine's notes as they were when it was delivered: nothing taken, nothing tested."""
        text = self.desk.machines()[name]["config"]["description"]
        mark = read_mark(text)
        assert mark is not None
        return write_mark(mark.with_(snapshots={}, tested=None), text)

    def archives(self) -> list[dict[str, Any]]:
        """What the backup storage holds, the oldest first."""
        return sorted(self.fake.archives(STORE), key=lambda archive: (archive["ctime"], archive["volid"]))

    def hurry(self, speed: float) -> None:
        """Let the time of the night that runs pass so many times as fast as the real one from now on.

        What a night does until something has begun takes as long as the computer is busy: a test that lets hours pass
        hurries from then on, or its night is over before that.
        """
        self.fake.clock(speed=speed)
        self.clock.set(self.fake.now(), speed)

    def night(
        self,
        at: dt.datetime = MONDAY_NIGHT,
        *,
        speed: float = 300.0,
        boot_seconds: float = 60.0,
        closes_at: dt.datetime | None = None,
        silence_seconds: float = 900.0,
    ) -> NightReport:
        """Run a whole night at a simulated time that passes ``speed`` times as fast as the real one."""
        report, _ = self.night_and_plan(
            at, speed=speed, boot_seconds=boot_seconds, closes_at=closes_at, silence_seconds=silence_seconds
        )
        return report

    def preview(self, at: dt.datetime) -> str:
        """What ``--dry-run`` would show of a night at a time. The cluster's clock is set to it."""
        _, plan = self.night_and_plan(at, carried_out=False)
        return "\n".join(text.plain for step in plan.steps for text in step.preview())

    def night_and_plan(
        self,
        at: dt.datetime,
        *,
        speed: float = 300.0,
        boot_seconds: float = 60.0,
        closes_at: dt.datetime | None = None,
        silence_seconds: float = 900.0,
        site_clock: dt.datetime | None = None,
        ssh: SshSettings | None = None,
        gate: Callable[[Cluster], Callable[[str], None]] = lambda _cluster: lambda _site: None,
        carried_out: bool = True,
        **client: Any,
    ) -> tuple[NightReport, Work]:
        """As :meth:`night`, with what it planned. ``client`` replaces options of the cluster's client.

        ``site_clock`` is what the cluster takes for the time, ``at`` if None; ``ssh`` is how guests are reached. With
        ``carried_out`` False the night is only planned.
        """
        self.fake.clock((site_clock or at).timestamp(), speed)
        clock = self.clock = SimulatedClock(at, speed)
        patience = Patience(
            first_wait=0.01, longest_wait=0.05, jitter=0.0, first_poll=0.01, longest_poll=0.02
        )
        cluster = self.fake.cluster(**{"patience": patience, **client})
        self.events = []
        guard = threading.Lock()

        def tell(event: str, **fields: Any) -> None:
            with guard:
                self.events.append((event, fields))
                if self.on_event is not None:
                    self.on_event(event)

        provider = load_provider(self.desk.folder)
        loaded = load([self.desk.folder / "subscriptions"], provider)
        desired = desired_machines((item.subscription for item in loaded.subscriptions), provider)
        with open_history(self.desk.folder / "history.db") as history:
            night = Night(
                provider=provider,
                desired={item.key: item for item in desired},
                clusters={"paris": cluster},
                journal=Journal(
                    history=history,
                    who="timer",
                    why="night",
                    run=f"{at:%Y%m%dT%H%M%S}",
                    gate=gate(cluster),
                    clock=clock,
                ),
                clock=clock,
                tell=tell,
                closes_at=closes_at or window_closes(at),
                ssh=ssh,
                claims=self.claims,
                boot_seconds=boot_seconds / speed,
                check_seconds=300.0 / speed,
                silence_seconds=silence_seconds / speed,
                # What an answer takes is minutes of this time, and seconds on a busy computer.
                clocks=Clocks(max(TOLERANCE, dt.timedelta(seconds=20 * speed))),
                pause=lambda seconds: time.sleep(min(seconds / speed, 0.05)),
            )
            plan = plan_night(night, history)
            report = carry_out(plan) if carried_out else _nothing_done(plan)
        cluster.close()
        return report, plan


def _nothing_done(plan: Work) -> NightReport:
    return NightReport(
        night=plan.tonight,
        run="",
        started_at=plan.started_at,
        ended_at=plan.started_at,
        sites=(),
        problems=(),
        lines=(),
    )


class SimulatedClock:
    """A time that passes ``speed`` times as fast as the real one."""

    def __init__(self, at: dt.datetime, speed: float) -> None:
        self._zone = at.tzinfo
        self.set(at.timestamp(), speed)

    def set(self, now: float, speed: float) -> None:
        """Show a time (seconds since 1970), which passes as fast as told from now on."""
        self._since = (dt.datetime.fromtimestamp(now, self._zone), time.monotonic(), speed)

    def __call__(self) -> dt.datetime:
        """The time."""
        at, started, speed = self._since
        return at + dt.timedelta(seconds=(time.monotonic() - started) * speed)


def cluster_of(desk: NightDesk) -> Cluster:
    """A plain client of the desk's cluster."""
    return desk.fake.cluster()
