"""Names and archives outlive each other: a renamed machine comes back as what it was called last, and only once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from orchestrator.history import open_history
from orchestrator.resources.notes import read_mark
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import NightDesk
from tests.api.test_recreate import erase, recreate

_OLD, _NEW = "dupont/web-1", "dupont/www-1"


def _backed(name: str, **changes: Any) -> dict[str, Any]:
    return machine(name, backup={"retention_days": 7}, **changes)


@pytest.fixture
def renamed(desk: Desk) -> NightDesk:
    """www-1 in service, which was web-1 when its archive was made."""
    night = NightDesk(desk)
    night.deliver("web-1")
    desk.put_in_service(firewall=True)
    assert desk.run("backup", "now", _OLD).code == 0
    desk.write(subscription("dupont", [_backed("www-1", was="web-1")]))
    assert desk.apply().code == 0
    return night


def test_a_machine_that_has_another_name_by_now_is_not_made_a_second_time(renamed: NightDesk) -> None:
    refused = recreate(renamed.desk, "--address", "auto", "--no-start", target=_OLD)
    assert refused.code == 1 and "dupont/www-1" in refused.err, refused
    assert set(renamed.desk.machines()) == {"www-1"}


def test_it_comes_back_under_its_new_name_from_an_archive_made_under_the_old_one(renamed: NightDesk) -> None:
    desk, before = renamed.desk, erase(renamed, "www-1")
    refused = recreate(desk, "--no-start", target=_OLD)
    assert refused.code == 1 and "dupont/www-1" in refused.err and not desk.machines(), refused
    done = recreate(desk, "--no-start", target=_NEW)
    assert done.code == 0, done
    vm = desk.machines()["www-1"]
    mark = read_mark(vm["config"]["description"])
    assert mark is not None and (mark.key, mark.former) == (("dupont", "www-1"), (("dupont", "web-1"),))
    assert vm["vmid"] == before["vmid"] and vm["config"]["description"].startswith("dupont / www-1, contract")
    assert desk.plan()["summary"]["create"] == 0
    assert desk.run("backup", "list", _NEW, "--format", "json").out.count("vzdump-qemu") == 1


def test_a_rename_that_was_killed_before_its_write_makes_no_second_machine(desk: Desk) -> None:
    """The history has a rename that may have been made; the machine still has its old name."""
    night = NightDesk(desk)
    night.deliver("web-1")
    assert desk.run("backup", "now", _OLD).code == 0
    _rename_in_history(desk, "web-1", "www-1", vmid=night.vmid("web-1"))
    for target in (_OLD, _NEW):
        refused = recreate(desk, "--address", "auto", "--no-start", target=target)
        assert refused.code == 1 and "exists: " in refused.err, refused
    assert set(desk.machines()) == {"web-1"}


def test_archives_of_a_renamed_machine_are_not_those_of_the_next_one_of_its_name(renamed: NightDesk) -> None:
    desk = renamed.desk
    desk.write(subscription("dupont", [_backed("www-1"), _backed("web-1", memory="2GiB")]))
    assert desk.apply().code == 0
    desk.put_in_service()
    (theirs,) = renamed.archives()
    erase(renamed, "www-1")
    erase(renamed, "web-1")
    # Its newest archive is the other machine's: it has none of its own.
    for more in ((), ("--archive", theirs["volid"])):
        refused = recreate(desk, "--no-start", *more, target=_OLD)
        assert refused.code == 1 and "renamed to dupont/www-1" in refused.err, refused
    assert not desk.machines()


def test_a_clients_name_that_another_client_has_by_now_gives_it_no_archives(desk: Desk) -> None:
    night = NightDesk(desk)
    night.deliver("web-1")
    assert desk.run("backup", "now", _OLD).code == 0
    first = subscription("durand", [_backed("web-1")], was="dupont")
    first["contract"]["reference"] = "C-dupont"
    desk.write(first)
    assert desk.apply().code == 0
    erase(night, "web-1")
    second = subscription("dupont", [_backed("web-1")])
    second["contract"]["reference"] = "C-2"
    desk.write({k: v for k, v in first.items() if k != "was"}, second)
    refused = recreate(desk, "--no-start", target=_OLD)
    assert refused.code == 1 and "renamed to durand/web-1" in refused.err and not desk.machines(), refused
    done = recreate(desk, "--no-start", target="durand/web-1")
    assert done.code == 0, done
    vm = desk.machines()["web-1"]
    assert (vm["pool"], vm["config"]["tags"]) == ("client-durand", "client-durand;orchestrator")
    mark = read_mark(vm["config"]["description"])
    assert mark is not None and mark.key == ("durand", "web-1")


def test_a_lost_mark_is_written_back_under_the_new_name(renamed: NightDesk) -> None:
    number = renamed.vmid("www-1")
    renamed.fake.control("set_config", vmid=number, description="")
    done = renamed.desk.run("rescue", _NEW, "--choose", "mark", "--yes")
    assert done.code == 0, done
    mark = read_mark(renamed.desk.machines()["www-1"]["config"]["description"])
    assert mark is not None and (mark.key, mark.former) == (("dupont", "www-1"), (("dupont", "web-1"),))


def _rename_in_history(desk: Desk, was: str, now: str, *, vmid: int) -> None:
    with open_history(desk.folder / "state" / "orchestrator" / "history.db") as history:
        history.append(
            who="alice", why="apply", client="dupont", machine=now, site="paris", action="rename", result="unknown",
            run="r", details={"was": {"client": "dupont", "machine": was}, "vmid": vmid},
        )  # fmt: skip


@pytest.mark.parametrize("call", range(4))
def test_a_recreation_under_a_new_name_that_was_killed_anywhere_ends_in_one_machine(
    renamed: NightDesk, call: int
) -> None:
    desk, before = renamed.desk, erase(renamed, "www-1")
    desk.run_killed(
        call,
        "backup",
        "restore",
        _NEW,
        "--recreate",
        "--confirm",
        _NEW,
        "--boot-timeout",
        "1",
        method="P(OST|UT)",
    )
    deadline = time.monotonic() + 30
    while any(vm["lock"] for vm in renamed.fake.dump()["vms"].values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    again = recreate(desk, "--no-start", target=_NEW)
    assert again.code == 0 or "dupont/www-1 exists" in again.err, again
    assert desk.apply().code == 0
    (vm,) = desk.machines().values()
    assert (vm["name"], vm["vmid"], vm["status"]) == ("www-1", before["vmid"], "running")
    assert desk.plan()["summary"]["create"] == 0
