"""The last look: what is kept of sites, clients and machines, and what becomes of it when a site is away."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.history import open_history
from orchestrator.history.database import Database
from orchestrator.history.delays import SEEN
from orchestrator.interface import looks
from orchestrator.interface.database import open_interface
from orchestrator.interface.looks import MachineFilter
from orchestrator.operations.look import LookRequest, refresh_looks
from orchestrator.resources.machine_archives import ArchiveMark, RestoreTest, archive_notes
from orchestrator.resources.notes import UpdateNote, read_mark, write_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

STORE = "backup-lyon"
_GIB = 1024**3


def note(desk: Desk, name: str, **changes: Any) -> None:
    """Write into the mark of a machine."""
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None
    text = write_mark(mark.with_(**changes), vm["config"]["description"])
    desk.fakes["paris"].control("set_config", vmid=vm["vmid"], description=text)


def archive(
    desk: Desk, name: str, hours: float, *, size: int = _GIB, sound: bool | None = None
) -> dict[str, Any]:
    """An archive of a machine that was made so many hours ago."""
    vm = desk.machines()[name]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None
    test = None if sound is None else RestoreTest(on=dt.date(2026, 11, 1), sound=sound, found="it boots")
    notes = archive_notes(
        ArchiveMark(client=mark.client, machine=mark.machine, contract=mark.contract, days=7, test=test)
    )
    at = int(dt.datetime.now().timestamp() - hours * 3600)
    return {"storage": STORE, "vmid": vm["vmid"], "size": size, "notes": notes, "ctime": at}


def request_of(desk: Desk) -> LookRequest:
    return LookRequest(
        inventory=str(desk.folder / "sites.yaml"),
        files=(desk.folder / "subscriptions",),
        history=str(desk.folder / "state" / "orchestrator" / "history.db"),
    )


MANAGED = {"level": "supervision", "standard_changes_per_month": 4, "updates": "automatic",
           "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:30"}}  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """dupont: web-1 with backups, db-1 held, new-1 not made yet; martin without a file."""
    with FakePve() as fake:
        fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path_factory.mktemp("looks"), {"paris": fake})
        desk.sites["paris"]["backup_storages"] = [{"name": STORE, "site": "lyon"}]
        desk.sites["paris"]["data_centre"] = "Paris"
        desk.write_sites()
        fake.add_storage(STORE, shared=True)
        opened = {"open": [{"port": 443, "protocol": "tcp", "from": "any"}]}
        dupont = [
            machine("web-1", vcpus=2, backup={"retention_days": 7}, firewall=opened, fee="400.00"),
            machine("db-1", backup={"retention_days": 7}),
        ]
        desk.write(
            subscription("dupont", dupont),
            subscription("martin", [machine("shop-1", memory="2GiB")], offer="cloud-vm-essential"),
        )
        assert desk.apply().code == 0
        desk.put_in_service(firewall=True)
        held = UpdateNote(state="held", since=dt.datetime(2026, 11, 1, tzinfo=dt.UTC), reason="nginx is down")
        note(desk, "db-1", update=held)
        note(desk, "web-1", tested=dt.date(2026, 11, 20))
        fake.add_archives(
            [archive(desk, "web-1", 29, size=2 * _GIB, sound=True), archive(desk, "web-1", 5, size=429496729)]
        )
        dupont.append(machine("new-1"))
        desk.write(subscription("dupont", dupont, managed_services=MANAGED))
        with open_history(desk.folder / "state" / "orchestrator" / "history.db") as opened_history:
            opened_history.append(
                who="timer", why="night", site="paris", result="ok", run="r", client="dupont", machine="web-1",
                action=SEEN, details={"due": {"curl": "8", "nginx": "2"}},
            )  # fmt: skip
        yield desk


@pytest.fixture(scope="module")
def looked(desk: Desk) -> Iterator[Database]:
    refresh_looks(request_of(desk))
    database = open_interface(request_of(desk).history or "")
    yield database
    database.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def test_a_machine_has_all_that_its_page_shows(desk: Desk, looked: Database) -> None:
    web = looks.machine(looked, "dupont", "web-1")
    assert web is not None
    there = desk.machines()["web-1"]
    assert (web.vmid, web.node, web.state, web.data_centre) == (there["vmid"], "pve1", "running", "Paris")
    assert (web.vcpus, web.memory_mib, web.image, web.contract) == (2, 1024, "debian-12", "C-dupont")
    assert [(disk.name, disk.size, disk.asked_gib) for disk in web.disks] == [("system", 4 * _GIB, 4)]
    assert web.firewall.asked is not None
    assert [(rule.kind, rule.what, rule.others) for rule in web.firewall.asked][:2] == [
        ("open", "tcp 443", ("any",)),
        ("client", "ssh", ("198.51.100.0/24",)),
    ]
    card = web.cards[0]
    assert (card.name, card.model, card.bridge, card.vlan) == ("net0", "virtio", "vmbr0", None)
    assert web.address is not None and card.address == f"{web.address}/24"
    first, second = web.backups.kept
    assert (first.size, second.size, second.test and second.test.sound) == (429496729, 2 * _GIB, True)
    assert web.backups.volume == 2 * _GIB + 429496729
    assert (web.backups.days, web.backups.last_test) == (7, dt.date(2026, 11, 20))
    assert web.services is not None and str(web.services.fee) == "400.00"
    assert web.services.window is not None and web.services.window.starts == "22:00"
    assert web.updates_due == 2
    assert looks.machine(looked, "martin", "web-1") is None


def test_the_volume_is_to_the_byte_that_of_the_command(desk: Desk, looked: Database) -> None:
    answer = json.loads(desk.run("backup", "volume", "--format", "json").out)
    told = {item["machine"]: item["bytes"] for item in answer["machines"]}
    ours = {row.machine: row.backup_bytes for row in looks.machine_rows(looked, MachineFilter(), _now()).rows}
    assert told["web-1"] == 2576980377 == ours["web-1"]
    assert all(ours[name] == told.get(name, 0) for name in ours)
