"""The last look: what is kept of sites, clients and machines, and what becomes of it when a site is away."""

from __future__ import annotations

import datetime as dt
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from orchestrator.history import open_history
from orchestrator.history.database import Database
from orchestrator.history.delays import SEEN
from orchestrator.interface import looks
from orchestrator.interface.database import open_interface
from orchestrator.interface.look_tables import MACHINES, SITES
from orchestrator.interface.look_writing import end_turn, keep_site, take_turn
from orchestrator.interface.looked import LookedSite
from orchestrator.interface.looks import ClientSort, MachineFilter
from orchestrator.operations.look import LookRequest, refresh_looks
from orchestrator.resources.machine_archives import ArchiveMark, RestoreTest, archive_notes
from orchestrator.resources.notes import UpdateNote, read_mark, write_mark
from orchestrator.web.desk import Desk as WebDesk
from orchestrator.web.desk import open_desk
from orchestrator.web.settings import Settings
from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.web.signed_in import signed_in

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


def _rows(database: Database, **wanted: Any) -> list[str]:
    found = looks.machine_rows(database, MachineFilter(**wanted), _now())
    return [f"{row.client}/{row.machine}" for row in found.rows]


def test_rows_say_what_needs_somebody(looked: Database) -> None:
    assert _rows(looked, held=True) == ["dupont/db-1"]
    assert _rows(looked, late=True) == ["dupont/db-1"], "new-1 is not made, shop-1 has no backup"
    assert _rows(looked, updates_due=True) == ["dupont/web-1"]
    assert _rows(looked, states=("missing",)) == ["dupont/new-1"]
    assert _rows(looked, sites=("lyon",)) == []
    (row,) = looks.machine_rows(looked, MachineFilter(text="db-1"), _now()).rows
    assert (row.held, row.held_from, row.held_since) == (
        "nginx is down",
        "updates",
        dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
    )


def test_a_client_has_its_contract_and_the_counts_of_its_machines(looked: Database) -> None:
    found = looks.client(looked, "dupont")
    assert found is not None
    row, client = found
    assert (row.machines, row.running, row.missing, row.held, row.vcpus) == (3, 2, 1, 1, 4)
    assert row.backup_bytes == 2576980377
    contract = client.contract
    assert contract is not None
    assert (contract.reference, contract.free_changes, contract.free_used) == ("C-dupont", 4, 0)
    assert [(quote.reference, quote.until) for quote in contract.quotes] == [("D-1", dt.date(2099, 12, 31))]
    assert [
        item.client for item in looks.clients(looked, sort=ClientSort.MACHINES, descending=True).rows
    ] == [
        "dupont",
        "martin",
    ]
    assert [item.client for item in looks.clients(looked, text="d-1 DUP").rows] == ["dupont"]
    assert looks.client(looked, "nobody") is None


def test_a_machine_that_is_not_there_has_what_its_file_says(looked: Database) -> None:
    new = looks.machine(looked, "dupont", "new-1")
    assert new is not None
    assert (new.state, new.vmid, new.memory_mib, new.image) == ("missing", None, 1024, "debian-12")
    assert new.firewall.loaded is None and new.firewall.asked is not None


def test_a_look_makes_the_calls_of_show_and_writes_what_has_changed_alone(
    desk: Desk, looked: Database
) -> None:
    fake = desk.fakes["paris"]
    counted = []
    for look in (lambda: desk.run("show"), lambda: refresh_looks(request_of(desk))):
        fake.control("reset_calls")
        look()
        counted.append(fake.calls())
    assert counted[0] == counted[1], "no call is made for the Interface"
    assert refresh_looks(request_of(desk)).written == 0
    vmid = desk.machines()["shop-1"]["vmid"]
    fake.control("set_vm", vmid=vmid, status="stopped")
    try:
        done = refresh_looks(request_of(desk))
        assert (done.written, done.removed) == (1, 0)
        assert _rows(looked, states=("stopped",)) == ["martin/shop-1"]
    finally:
        fake.control("set_vm", vmid=vmid, status="running")
        assert refresh_looks(request_of(desk)).written == 1


def test_what_is_no_longer_there_goes(desk: Desk, looked: Database) -> None:
    path = desk.folder / "subscriptions" / "dupont.yaml"
    before = path.read_text()
    whole = yaml.safe_load(before)
    machines = whole["services"][0]["machines"]
    whole["services"][0]["machines"] = [item for item in machines if item["name"] != "new-1"]
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    try:
        assert refresh_looks(request_of(desk)).removed == 1
        assert looks.machine(looked, "dupont", "new-1") is None
    finally:
        path.write_text(before)
        refresh_looks(request_of(desk))


def test_a_site_that_is_away_keeps_what_was_last_read_of_it(desk: Desk, looked: Database) -> None:
    before = looks.site_looks(looked)[0]
    rows = looks.machine_rows(looked, MachineFilter(), _now()).rows
    token = desk.folder / "paris.token"
    secret = token.read_text()
    token.write_text("another")
    try:
        answer = desk.run("look")
        assert answer.code == 1 and "not read: paris" in answer.out, answer
        after = looks.site_looks(looked)[0]
        assert after.problem and after.at == before.at and after.tried >= before.tried
        assert looks.machine_rows(looked, MachineFilter(), _now()).rows == rows
        assert looks.client(looked, "dupont") is not None
    finally:
        token.write_text(secret)
    assert desk.run("look").code == 0
    assert looks.site_looks(looked)[0].problem == ""


def test_a_site_that_was_never_read_has_the_machines_of_its_files(desk: Desk, tmp_path: Path) -> None:
    secret = (desk.folder / "paris.token").read_text()
    (desk.folder / "paris.token").write_text("another")
    try:
        refresh_looks(replace(request_of(desk), history=str(tmp_path / "history.db")))
    finally:
        (desk.folder / "paris.token").write_text(secret)
    database = open_interface(tmp_path / "history.db")
    try:
        assert {row.state for row in looks.machine_rows(database, MachineFilter(), _now()).rows} == {
            "unknown"
        }
        assert looks.site_looks(database)[0].at is None
        assert _rows(database, unread=True) == ["dupont/db-1", "dupont/new-1", "dupont/web-1"]
    finally:
        database.close()


def test_two_looks_are_never_made_at_once_and_a_killed_one_blocks_for_its_time_only(
    desk: Desk, looked: Database
) -> None:
    now = _now()
    assert take_turn(looked, "killed", now, dt.timedelta(minutes=10))
    assert looks.under_way(looked, now) is not None
    answer = desk.run("look")
    assert answer.code == 1 and "another look is under way" in answer.err, answer
    assert not take_turn(looked, "next", now + dt.timedelta(minutes=9), dt.timedelta(minutes=10))
    assert take_turn(looked, "next", now + dt.timedelta(minutes=11), dt.timedelta(minutes=10))
    end_turn(looked, "killed")
    assert looks.under_way(looked, now + dt.timedelta(minutes=12)) is not None, "another's turn is not ended"
    end_turn(looked, "next")
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert take_turn(looked, f"{socket.gethostname()} {ended.pid} x", now, dt.timedelta(minutes=10))
    assert desk.run("look").code == 0, "the process that was at it is there no more"


def test_a_look_that_was_overtaken_changes_nothing(looked: Database) -> None:
    before = looks.machine_rows(looked, MachineFilter(), _now()).rows
    kept = keep_site(looked, LookedSite(site="paris"), (), _now() - dt.timedelta(days=1))
    assert (kept.written, kept.removed) == (0, 0)
    assert looks.machine_rows(looked, MachineFilter(), _now()).rows == before


def test_a_look_by_a_clock_that_was_ahead_holds_nothing_up(desk: Desk, looked: Database) -> None:
    ahead = _now() + dt.timedelta(days=365)
    assert take_turn(looked, "of a computer without the time", ahead, dt.timedelta(minutes=10))
    with looked.writing() as connection:
        connection.execute(sa.update(SITES).values(at=int(ahead.timestamp()), tried=int(ahead.timestamp())))
        connection.execute(sa.update(MACHINES).values(vcpus=99, digest="of then"))
    answer = desk.run("look")
    assert answer.code == 0, answer
    (site,) = looks.site_looks(looked)
    assert site.at is not None and site.at <= _now() and site.tried <= _now()
    assert all(row.vcpus != 99 for row in looks.machine_rows(looked, MachineFilter(), _now()).rows)


@pytest.fixture(scope="module")
def web_desk(desk: Desk, looked: Database) -> Iterator[WebDesk]:
    request = request_of(desk)
    settings = Settings(
        public_url="https://panel.example",
        inventory=request.inventory,
        files=request.files,
        history=request.history or "",
        reports=desk.folder / "reports",
    )
    with open_desk(settings) as opened:
        yield opened


def test_no_page_of_lists_asks_a_hypervisor(desk: Desk, web_desk: WebDesk) -> None:
    pages = ("/", "/machines", "/clients", "/clients/dupont", "/clients/martin", "/search?q=web", "/nights",
             "/machines/dupont/web-1")  # fmt: skip
    with signed_in(web_desk, "rachel") as browser:
        desk.fakes["paris"].control("reset_calls")
        for path in pages:
            browser.get(path)
        assert desk.fakes["paris"].calls(locks=True) == {}


def test_the_button_renews_the_look_and_goes_back(desk: Desk, web_desk: WebDesk, looked: Database) -> None:
    before = looks.site_looks(looked)[0].at
    assert before is not None
    vmid = desk.machines()["shop-1"]["vmid"]
    desk.fakes["paris"].control("set_vm", vmid=vmid, status="stopped")
    with signed_in(web_desk, "rachel") as browser:
        answer = browser.send("/machines", "/look", {"back": "/machines?state=stopped"})
        assert answer.headers["location"] == "/machines?state=stopped"
        web_desk.renewal.ask().join()
        assert "martin/shop-1" in browser.get("/machines?state=stopped").text
        answer = browser.send("/machines", "/look", {"back": "//evil.example"})
        assert answer.headers["location"] == "/"
    with signed_in(web_desk, "camille") as client:
        client.get("/machines", status=404)
    web_desk.renewal.ask().join()


@pytest.mark.parametrize("ahead", [dt.timedelta(0), dt.timedelta(days=365)], ids=["old", "by a clock ahead"])
def test_the_look_is_renewed_by_itself_when_it_is_old(
    web_desk: WebDesk, looked: Database, ahead: dt.timedelta
) -> None:
    settings = replace(web_desk.settings, look_every=dt.timedelta(seconds=1))
    before = int((_now() - dt.timedelta(hours=1) + ahead).timestamp())
    with looked.writing() as connection:
        connection.execute(sa.update(SITES).values(at=before, tried=before))
    with open_desk(settings) as opened, opened.renewal.running():
        ends = time.monotonic() + 120
        while looks.site_looks(looked)[0].tried.timestamp() == before:
            assert time.monotonic() < ends
            time.sleep(0.1)


def test_a_document_of_another_version_is_told_and_renewed(
    desk: Desk, web_desk: WebDesk, looked: Database
) -> None:
    with looked.writing() as connection:
        connection.execute(sa.update(SITES).values(document='{"site": 1}'))
    with signed_in(web_desk, "rachel") as browser:
        assert "another version" in browser.get("/machines", status=503).text
        refresh_looks(request_of(desk))
        browser.get("/machines")
