"""The kill test: the process is killed at each API call in turn, started again, and the end is the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve

_PARTS = 4
_DISKS = [{"name": "system", "size": "6GiB"}, {"name": "data", "size": "1GiB"}]
REFERENCE = (
    subscription("dupont", [machine("web-1", vcpus=2, disks=_DISKS), machine("db-1")]),
    subscription("martin", [machine("shop-1")], offer="cloud-vm-essential"),
)
_INCIDENTAL = ("digest", "meta", "net0", "smbios1", "vmgenid")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, fakepve_module: FakePve) -> Callable[[], Desk]:
    """Make desks with an empty cluster, one after the other: the cluster is each time again what it was."""
    fakepve_module.control("add_template", vmid=9000, name="debian-12")
    fakepve_module.save()

    def make() -> Desk:
        fakepve_module.bring_back()
        fakepve_module.control("reset_calls")
        desk = Desk(tmp_path_factory.mktemp("desk"), {"paris": fakepve_module})
        desk.write(*REFERENCE)
        return desk

    return make


@pytest.fixture(scope="module")
def reference(fresh: Callable[[], Desk]) -> tuple[dict[str, Any], int]:
    """What a run that nobody kills ends with, and how many calls it makes."""
    desk = fresh()
    assert desk.apply().code == 0
    wanted = end_state(desk)
    assert wanted["orphaned volumes"] == []
    return wanted, sum(desk.fakes["paris"].calls().values())


def end_state(desk: Desk) -> dict[str, Any]:
    """What the cluster holds, without what is random or depends on the order of creation."""
    dump = desk.fakes["paris"].dump()
    state: dict[str, Any] = {"pools": sorted(dump["pools"])}
    for vm in dump["vms"].values():
        assert vm["name"] not in state, f"a second {vm['name']}"
        text = {key: str(value) for key, value in vm["config"].items() if key not in _INCIDENTAL}
        config = {key: re.sub(rf"\b{vm['vmid']}\b", "ID", value) for key, value in text.items()}
        state[vm["name"]] = (vm["status"], vm["pool"], vm["lock"], config)
    used = {
        value.split(",")[0].split(":", 1)[1]
        for vm in dump["vms"].values()
        for key, value in vm["config"].items()
        if re.fullmatch(r"(scsi|unused)\d+", key)
    }
    state["orphaned volumes"] = sorted(set(dump["volumes"]["local"]) - used)
    return state


@pytest.mark.parametrize("part", range(_PARTS))
def test_killed_at_any_call_and_started_again_the_end_is_the_same(
    fresh: Callable[[], Desk], reference: tuple[dict[str, Any], int], part: int
) -> None:
    wanted, calls = reference
    kills = 0
    for number in range(part, calls, _PARTS):
        desk = fresh()
        killed = desk.run_killed(number, "apply", "--yes", "--no-guests")
        kills += killed.killed
        again = desk.apply()
        assert again.code == 0, (number, again)
        assert end_state(desk) == wanted, number
        assert not desk.fakes["paris"].calls("DELETE"), "nothing was thrown away and made again"
        assert desk.run("history", "verify").code == 0
    # Machines are made in parallel, so a run may need a few calls less than the reference did.
    assert kills >= (calls // _PARTS) * 0.8
