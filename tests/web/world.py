"""The site that pages are tested over: two clients on fakepve, a night behind them, people who may sign in."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.history import History
from orchestrator.interface import accounts, sessions
from orchestrator.interface.accounts import Account
from orchestrator.interface.database import open_interface
from orchestrator.interface.passwords import hash_password
from orchestrator.interface.roles import Role
from orchestrator.operations import plan_review
from orchestrator.operations.look import LookRequest, refresh_looks
from orchestrator.operations.plan_review import Filing
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import AGENT, NightDesk
from tests.unit.test_alarms import alert, webhook

PEOPLE = {
    "reader": Account(name="rachel", role=Role.READER),
    "operator": Account(name="oscar", role=Role.OPERATOR),
    "approver": Account(name="aline", role=Role.APPROVER),
    "administrator": Account(name="adele", role=Role.ADMINISTRATOR),
    "dupont": Account(name="camille", role=Role.CLIENT, client="dupont"),
    "martin": Account(name="marcel", role=Role.CLIENT, client="martin"),
}
"""Who may sign in, by the role at the provider, or by the client."""

PASSWORD = "correct horse battery staple"
"""Everybody's."""

_GIB = 1024**3
_STEP = 1800
_OPEN = {"open": [{"port": 443, "protocol": "tcp", "from": "any"}]}
_WEB = machine("web-1", vcpus=2, memory="4GiB", fee="400.00", firewall=_OPEN, backup={"retention_days": 7})
_DB = machine("db-1", fee="250.00", backup={"retention_days": 7})


@dataclass(frozen=True)
class World:
    """The site.

    Attributes:
        desk: the folder with the files, and the command.
        fake: its one cluster.
    """

    desk: Desk
    fake: FakePve

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return self.desk.folder

    @property
    def history(self) -> Path:
        """The database."""
        return self.folder / "state" / "orchestrator" / "history.db"

    @property
    def reports(self) -> Path:
        """The nights' reports."""
        return self.folder / "state" / "orchestrator" / "reports"

    def done(self, *arguments: str) -> Answer:
        """Run a command that must succeed."""
        answer = self.desk.run(*arguments)
        assert answer.code == 0, answer
        return answer

    def look(self) -> None:
        """Read the site anew, as the program does every few minutes."""
        refresh_looks(
            LookRequest(
                inventory=str(self.folder / "sites.yaml"),
                files=(self.folder / "subscriptions",),
                history=str(self.history),
            )
        )

    def session(self, who: str) -> str:
        """Open a session of one of :data:`PEOPLE`; its cookie's value."""
        database = open_interface(self.history)
        try:
            with database.writing() as connection:
                opened = sessions.begin(
                    connection,
                    PEOPLE[who].name,
                    now=dt.datetime.now(dt.UTC),
                    longest=dt.timedelta(hours=12),
                    address="192.0.2.1",
                    browser="of a test",
                    second="totp",
                )
        finally:
            database.close()
        return opened.token


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """Make the site: ``dupont`` (Avancé: web-1, db-1) and ``martin`` (Essentiel: shop-1), in service, after a night."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        world = World(Desk(folder, {"paris": fake}), fake)
        world.desk.sites["paris"]["data_centre"] = "Paris-Est"
        NightDesk(world.desk)
        world.desk.write(*_clients(_WEB, _DB))
        world.done("apply", "--yes", "--no-guests")
        world.desk.put_in_service(firewall=True)
        for name, vm in world.desk.machines().items():
            files = {**AGENT["files"], "/etc/hostname": f"{name}\n"}
            fake.guest_agent({"files": files}, vmid=int(vm["vmid"]))
        night = world.desk.run("nightly", "--in-working-hours")  # not well: no guest answers by SSH
        assert '"event": "summary", "text"' in night.err + night.out, night
        _declare(world)
        _raise_alarms(world)
        _add_people(world)
        _measure(world)
        _ask(world)
        _plan(world)
        world.look()
        yield world


def _clients(*dupont: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    managed = {
        "level": "supervision",
        "standard_changes_per_month": 4,
        "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:30"},
    }
    martin = [machine("shop-1", fee="20.00")]
    return (
        subscription("dupont", [dict(one) for one in dupont], managed_services=managed),
        subscription("martin", martin, offer="cloud-vm-essential"),
    )


def _ask(world: World) -> None:
    """What clients ask for: one is open, one was answered."""
    files = ("--files", "subscriptions")
    world.done(
        "request", "add", "dupont/db-1", "--kind", "change", "--words", "8 Gio de RAM pour db-1", *files
    )
    world.done(
        "request", "add", "martin/shop-1", "--kind", "snapshot", "--words", "avant la mise à jour", *files
    )


def _plan(world: World) -> None:
    """A plan that was approved and carried out, and one that waits."""
    database = open_interface(world.history)
    try:
        history = History(database)
        app = machine("app-1", fee="90.00", backup={"retention_days": 7})
        done = _file(world, history, _WEB, _DB, app)
        plan_review.approve(history, done, by="aline", word="as ordered", now=dt.datetime.now(dt.UTC))
        world.done("runner", "--once", "--no-guests")
        world.desk.put_in_service("app-1", firewall=True)
        larger = {**_DB, "memory": "8GiB", "disks": [{"name": "system", "size": "8GiB"}]}
        _file(world, history, {**_WEB, "vcpus": 4}, larger, app)
    finally:
        database.close()


def _file(world: World, history: History, *machines: dict[str, Any]) -> int:
    world.desk.write(*_clients(*machines))
    answer = world.desk.run("plan", "--out", "plan.json")
    assert (world.folder / "plan.json").exists(), answer
    filing = Filing(
        text=(world.folder / "plan.json").read_text(),
        by="oscar",
        link="https://forge.example/hosting/merge_requests/7",
    )
    return plan_review.file_plan(history, filing, dt.datetime.now(dt.UTC)).number


def _declare(world: World) -> None:
    """An outage of the month before that counts, so that there is a credit."""
    first = dt.date.today().replace(day=1)
    day = first - dt.timedelta(days=1)
    while day.weekday() > 3:
        day -= dt.timedelta(days=1)
    outage = ("--from", f"{day} 09:00", "--to", f"{day} 12:00", "--text", "panne d'un nœud")
    notified = ("--notified-at", f"{day} 09:10", "--notified-by", "Mme Durand")
    world.done("outage", "add", "dupont/web-1", *outage, *notified)
    world.done("request", "add", "dupont/db-1", "--kind", "change", "--words", "ouvrir le port 5432")


def _measure(world: World) -> None:
    """Two days of load with a gap, until now."""
    now = int(time.time()) // _STEP * _STEP
    for name, share in (("web-1", 0.35), ("db-1", 0.2)):
        vmid = int(world.desk.machines()[name]["vmid"])
        for step in range(-96, 0):
            wave = share * (1 + 0.5 * math.sin(step * math.pi / 24) + 0.2 * math.sin(step / 2))
            figures = {"cpu": wave, "mem": (0.4 + wave) * _GIB, "netin": 4e5 * wave, "netout": 9e5 * wave}
            start, stopped = now + step * _STEP, -30 < step <= -27
            world.fake.control(
                "measure",
                vmid=vmid,
                start=start,
                end=start + _STEP,
                figures={} if stopped else {**figures, "diskread": 2e5 * wave, "diskwrite": 5e5 * wave},
                stopped=stopped,
            )


def _raise_alarms(world: World) -> None:
    began = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=20)).isoformat()
    shop = {"client": "martin", "machine": "shop-1", "severity": "warning"}
    body = webhook(alert(startsAt=began), alert(startsAt=began, labels=shop, fingerprint="0123456789abcdef"))
    (world.folder / "webhook.json").write_bytes(body)
    world.done("alarms", "receive", "--file", "webhook.json")


def _add_people(world: World) -> None:
    kept = hash_password(PASSWORD)
    database = open_interface(world.history)
    try:
        with database.writing() as connection:
            for account in PEOPLE.values():
                accounts.add(connection, account, password=kept, now=dt.datetime.now(dt.UTC))
    finally:
        database.close()
