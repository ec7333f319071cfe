"""A machine whose site is lost is restored at another one that sees its archives; what comes back is the old one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.resources.notes import read_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.fakepve_handle import FakePve
from tests.api.night_desk import STORE, NightDesk

_WEB = "dupont/web-1"
_NOWHERE = "https://127.0.0.1:1"


@dataclass
class _Two:
    """Two sites; web-1 runs at paris, and lyon sees the storage that has its archive."""

    desk: Desk
    paris: FakePve
    lyon: FakePve
    url: str

    def write(self, site: str = "paris") -> None:
        machines = [machine("web-1", backup={"retention_days": 7})]
        self.desk.write(subscription("dupont", machines, site=site))

    def paris_answers(self, answers: bool) -> None:
        self.desk.sites["paris"]["api"]["url"] = self.url if answers else _NOWHERE
        self.desk.write_sites()

    def recreate(self, *more: str) -> Answer:
        return self.desk.run("backup", "restore", _WEB, "--recreate", "--confirm", _WEB, *more)


@pytest.fixture
def two(fakepve: FakePve, tmp_path: Path) -> Iterator[_Two]:
    with FakePve(site="lyon") as lyon:
        for fake in (fakepve, lyon):
            fake.control("add_template", vmid=9000, name="debian-12")
        desk = Desk(tmp_path, {"paris": fakepve, "lyon": lyon})
        desk.sites["lyon"]["networks"] = [
            {"name": "public", "bridge": "vmbr7", "vlan": 70, "subnet": "198.51.100.0/24", "gateway": "198.51.100.1",
             "range": "198.51.100.50-198.51.100.60", "nameservers": ["198.51.100.2"]}
        ]  # fmt: skip
        desk.sites["lyon"]["backup_storages"] = [{"name": "backup-paris", "site": "paris"}]
        night = NightDesk(desk)
        night.deliver("web-1")
        assert desk.run("backup", "now", _WEB).code == 0
        vm, (archive,) = desk.machines()["web-1"], night.archives()
        lyon.add_storage(STORE, shared=True)
        lyon.add_archives(
            [{"storage": STORE, "vmid": vm["vmid"], "ctime": archive["ctime"], "size": archive["size"],
              "notes": archive["notes"], "name": archive["volid"].partition(":")[2], "config": vm["config"]}]
        )  # fmt: skip
        # Somebody at lyon has that number already.
        lyon.add_vms(1, first=vm["vmid"], pool="client-martin", config={"ipconfig0": "ip=198.51.100.50/24"})
        yield _Two(desk=desk, paris=fakepve, lyon=lyon, url=fakepve.url)


def _kinds(document: dict[str, Any]) -> set[str]:
    return {change["kind"] for item in document["machines"] for change in item["changes"]}


def test_a_machine_of_a_lost_site_runs_at_the_other_one_and_never_twice(two: _Two) -> None:
    desk = two.desk
    there = two.recreate("--site", "lyon")
    assert there.code == 1 and "dupont/web-1 exists: VM" in there.err, there
    two.paris_answers(False)
    may_be = two.recreate("--site", "lyon")
    assert may_be.code == 1 and "paris could not be read, and dupont/web-1 may be there" in may_be.err, may_be
    done = two.recreate("--site", "lyon", "--lost-site", "paris", "--no-start")
    assert done.code == 0 and "write contract.site: lyon" in done.out, done
    assert "its address: 198.51.100.51" in done.out, "the first that nobody has"
    vm = desk.machines("lyon")["web-1"]
    assert vm["config"]["ipconfig0"] == "ip=198.51.100.51/24,gw=198.51.100.1"
    assert "bridge=vmbr7" in vm["config"]["net0"] and "tag=70" in vm["config"]["net0"]
    assert vm["config"]["net0"].split(",")[0] != desk.machines()["web-1"]["config"]["net0"].split(",")[0], (
        "MAC"
    )
    mark = read_mark(vm["config"]["description"])
    assert mark is not None and (mark.vmid, mark.replaces) == (vm["vmid"], ("paris",))

    # Until its file says so, a plan makes nothing at paris, and nothing of it is touched.
    assert desk.plan()["summary"]["create"] == 0
    two.write("lyon")
    planned = desk.plan()
    assert planned["summary"]["create"] == 0 and "refused" not in _kinds(planned), planned
    assert desk.apply().code in (0, 1) and desk.machines("lyon")["web-1"]["status"] == "running"

    # Paris comes back, with the old machine running.
    two.paris_answers(True)
    planned = desk.plan()
    assert planned["summary"]["create"] == 0
    (old,) = [item for item in planned["unreadable"] if item["site"] == "paris"]
    assert "it is the old dupont/web-1, which was restored at lyon" in old["reason"] and old["copy_of_ours"]
    two.write("paris")  # an older file is given again
    assert desk.plan()["summary"]["create"] == 0
    two.write("lyon")
    before = two.paris.dump()["vms"]
    assert desk.apply().code in (0, 1)
    assert two.paris.dump()["vms"] == before, "left as it is"
    assert desk.machines("lyon")["web-1"]["status"] == "running"

    # It is switched off and put aside by command, its disks kept; then nothing is left to say.
    unsaid = desk.run("rescue", _WEB, "--choose", "put-aside", "--yes")
    assert unsaid.code == 1 and "--lose memory" in unsaid.err, unsaid
    aside = desk.run("rescue", _WEB, "--choose", "put-aside", "--yes", "--lose", "memory")
    assert aside.code == 0 and "put aside: VM" in aside.out, aside
    old = desk.machines()["web-1"]
    assert old["status"] == "stopped" and old["config"]["scsi0"] and str(old["config"]["onboot"]) == "0"
    assert read_mark(old["config"]["description"]) is None and old["pool"] == "client-dupont"
    unreadable = desk.plan()["unreadable"]
    assert unreadable == [], unreadable
    assert desk.run("show", _WEB).code == 0


def test_an_engineer_who_moved_the_file_first_needs_no_site_and_an_address_of_the_site(two: _Two) -> None:
    two.paris_answers(False)
    two.write("lyon")
    shown = two.desk.run("rescue", _WEB)
    assert shown.code == 1 and "where nobody answers (--lost-site paris)" in shown.out, shown
    assert "seen from lyon" in shown.out
    wrong = two.recreate("--lost-site", "paris", "--address", "203.0.113.10")
    assert wrong.code == 1 and "203.0.113.10 is not in the network public of lyon" in wrong.err, wrong
    taken = two.recreate("--lost-site", "paris", "--address", "198.51.100.50")
    assert taken.code == 1 and "198.51.100.50 is the address of" in taken.err, taken
    done = two.recreate("--lost-site", "paris", "--address", "198.51.100.55", "--no-start")
    assert done.code == 0 and "its address: 198.51.100.55" in done.out and "contract.site" not in done.out, (
        done
    )
    assert two.recreate("--lost-site", "paris").code == 1, "it exists"


def test_a_site_that_answers_is_not_given_up(two: _Two) -> None:
    refused = two.recreate("--site", "paris", "--lost-site", "lyon")
    assert refused.code == 1 and "exists: VM" in refused.err
    unknown = two.recreate("--lost-site", "nice")
    assert unknown.code == 1 and "there is no site nice" in unknown.err, unknown
