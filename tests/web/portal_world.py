"""A site with clients in every state that a portal tells apart; strings of the provider's are everywhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.contract.calendar import day_in_paris
from orchestrator.history import records
from orchestrator.history.declared import Outage, Request
from orchestrator.interface import accounts
from orchestrator.interface.accounts import Account
from orchestrator.interface.roles import Role
from orchestrator.operations.look import LookRequest, refresh_looks
from orchestrator.resources.machine_archives import ArchiveMark, RestoreTest, archive_notes
from orchestrator.resources.notes import read_mark
from orchestrator.web.desk import Desk as WebDesk
from orchestrator.web.desk import open_desk
from orchestrator.web.settings import Settings
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

GIB = 1024**3
STORE = "store-lyon-7"
ALICE = "alice@provider.example"
HIDDEN = (
    "pve1",
    STORE,
    ALICE,
    "durand",
    "192.0.2.10",
    "192.0.2.77",
    "orchestrator@pve",
    "UPID:pve1",
    "vmbr0",
)
"""What no client may read: a node, a storage, an operator, another client, addresses of the provider, a token, a task,
a bridge."""

SAID = f"moved from pve1 to {STORE} by {ALICE} for durand, see 192.0.2.77"
MARKUP = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"

CLIENTS = {
    "dupont": Account(name="camille", role=Role.CLIENT, client="dupont"),
    "martin": Account(name="marie", role=Role.CLIENT, client="martin"),
    "legrand": Account(name="leon", role=Role.CLIENT, client="legrand"),
    "petit": Account(name="paul", role=Role.CLIENT, client="petit"),
    "lemoine": Account(name="fanny", role=Role.CLIENT, client="lemoine"),
    "durand": Account(name="denis", role=Role.CLIENT, client="durand"),
}
STAFF = {
    "reader": Account(name="rachel", role=Role.READER),
    "operator": Account(name="oscar", role=Role.OPERATOR),
    "administrator": Account(name=ALICE, role=Role.ADMINISTRATOR),
}


def today() -> dt.date:
    """The day in Paris."""
    return day_in_paris(dt.datetime.now(dt.UTC))


def _managed(level: str) -> dict[str, Any]:
    return {"level": level, "standard_changes_per_month": 4, "updates": "on-request"}


def _files() -> list[dict[str, Any]]:
    opened = {"open": [{"port": 443, "protocol": "tcp", "from": ["198.51.100.0/24"]}]}

    def backed(name: str, **more: Any) -> dict[str, Any]:
        return machine(name, backup={"retention_days": 7}, fee="400.00", **more)

    web = backed("web-1", vcpus=2, firewall=opened)
    dupont = subscription("dupont", [web, machine("db-1")], managed_services=_managed("supervision"))
    dupont["contract"]["taken_over"] = (today() - dt.timedelta(days=20)).isoformat()
    dupont["contract"]["quotes"] = [
        {"reference": "D-2026-7", "valid_until": (today() + dt.timedelta(days=9)).isoformat()}
    ]
    legrand = subscription("legrand", [backed("app-1")])
    legrand["contract"]["status"] = "suspended"
    legrand["contract"]["suspension"] = {
        "since": (today() - dt.timedelta(days=3)).isoformat(), "reference": "LRAR-1"
    }  # fmt: skip
    petit = subscription("petit", [backed("mail-1")], managed_services=_managed("full"))
    petit["contract"]["status"] = "terminated"
    petit["contract"]["termination"] = {"notice": today().isoformat(), "reference": "LRAR-2"}
    ended = subscription("lemoine", [machine("old-1")])
    ended["contract"]["status"] = "terminated"
    ended["contract"]["termination"] = {
        "notice": (today() - dt.timedelta(days=90)).isoformat(), "reference": "LRAR-3"
    }  # fmt: skip
    return [
        dupont,
        subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"),
        legrand,
        petit,
        ended,
        subscription("durand", [backed("crm-1"), backed("crm-2")]),
    ]


def _archive(desk: Desk, name: str, hours: float, size: int) -> dict[str, Any]:
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None
    test = RestoreTest(on=today() - dt.timedelta(days=2), sound=True, found=SAID)
    notes = archive_notes(
        ArchiveMark(client=mark.client, machine=mark.machine, contract=mark.contract, days=7, test=test)
    )
    at = int(dt.datetime.now().timestamp() - hours * 3600)
    return {"storage": STORE, "vmid": vm["vmid"], "size": size, "notes": notes, "ctime": at}


def _history(desk: WebDesk) -> None:
    """Entries with strings of the provider's, and with markup, in every text."""
    for client, name in (("dupont", "web-1"), ("martin", "shop-1"), ("petit", "mail-1")):
        for said in (SAID, MARKUP):
            for action in ("backup", "snapshot", "change", said):
                desk.history.append(
                    who=ALICE, why=said, client=client, machine=name, site="paris", action=action,
                    result="failed", run=said, message=said, upid="UPID:pve1:0001:qmstart",
                    details={"snapshot": said, "changes": [said, "memory", f"disk {said}"], "order": said},
                )  # fmt: skip
        desk.history.append(
            who="oscar", why="ticket 4711", client=client, machine=name, site="paris", action="snapshot",
            result="ok", run="r", details={"snapshot": "before-migration"},
        )  # fmt: skip
        start = dt.datetime.now(dt.UTC) - dt.timedelta(days=35)
        for said in (SAID, MARKUP):
            outage = {
                "client": client, "machines": [name], "from": start.isoformat(), "text": said, "reference": said[:90],
                "to": (start + dt.timedelta(hours=1)).isoformat(), "notified_by": ALICE,
                "notified_at": start.isoformat(),
            }  # fmt: skip
            records.add(desk.history, Outage.model_validate(outage), who=ALICE, why=said)
            request = {
                "client": client, "machines": [name], "kind": "change", "text": said, "asked_by": ALICE,
                "came": start.isoformat(), "closed": start.isoformat(), "outcome": "done", "result": said,
            }  # fmt: skip
            records.add(desk.history, Request.model_validate(request), who=ALICE, why=said)


@contextmanager
def portal_world(folder: Path) -> Iterator[tuple[WebDesk, Desk]]:
    """The Interface's desk, and that of an engineer beside it."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(folder, {"paris": fake})
        desk.sites["paris"]["backup_storages"] = [{"name": STORE, "site": "lyon"}]
        desk.sites["paris"]["data_centre"] = "DC Paris 3, Saint-Denis"
        desk.write_sites()
        fake.add_storage(STORE, shared=True)
        in_force = _files()
        for one in in_force:
            for key in ("status", "suspension", "termination"):
                one["contract"].pop(key, None)
        desk.write(*in_force)
        done = desk.apply()
        assert done.code == 0, done
        desk.write(*_files())
        desk.put_in_service(firewall=True)
        fake.add_archives([_archive(desk, "web-1", 29, 1024), _archive(desk, "web-1", 5, 1986422374 - 1024)])
        settings = Settings(
            public_url="https://panel.example",
            inventory=str(desk.folder / "sites.yaml"),
            files=(desk.folder / "subscriptions",),
            history=str(desk.folder / "state" / "orchestrator" / "history.db"),
            reports=desk.folder / "reports",
        )
        refresh_looks(
            LookRequest(inventory=settings.inventory, files=settings.files, history=settings.history)
        )
        with open_desk(settings) as opened:
            with opened.database.writing() as connection:
                for account in (*CLIENTS.values(), *STAFF.values()):
                    accounts.add(connection, account, password=None, now=opened.now())
            _history(opened)
            yield opened, desk
