"""A machine that its node does not have may have been migrated: it is neither made again nor counted as gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.applying.erasing import erase_machine
from orchestrator.applying.journal import Journal
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.history import open_history
from tests.api.desk import Desk, machine, subscription

_MOVED = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"


def test_a_machine_that_moves_while_it_is_read_is_not_made_a_second_time(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2", address="203.0.113.77")]))
    fake.fault("GET", "/nodes/pve1/qemu/100/pending", "error", text=_MOVED)
    by_name = {item["machine"]: item for item in desk.plan()["machines"]}
    assert by_name["web-1"]["refused"] and not by_name["web-2"]["refused"]
    assert "run this again" in by_name["web-1"]["changes"][0]["why"]
    fake.fault("GET", "/nodes/pve1/qemu/100/pending", "error", text=_MOVED)
    desk.apply()
    assert set(desk.machines()) == {"web-1", "web-2"}, "one of each name"
    fake.control("remove_vm", vmid=100)
    fake.control("reset_calls")
    (made,) = (item for item in desk.plan()["machines"] if item["machine"] == "web-1")
    assert [change["kind"] for change in made["changes"]][:1] == ["create"], "what was removed is made again"


def test_an_erasure_does_not_take_a_machine_that_moved_for_erased(desk: Desk, tmp_path: Path) -> None:
    desk.write(subscription("dupont", [machine("web-1")]))
    assert desk.apply().code == 0
    fake = desk.fakes["paris"]
    fake.control("add_nodes", names=["pve2"])
    with open_history(tmp_path / "h.db") as history:
        journal = Journal(history=history, who="test", why="test", run="r")
        vm = Vm(
            cluster=fake.cluster(), journal=journal, site="paris", client="dupont", machine="web-1",
            node="pve2", vmid=100,
        )  # fmt: skip
        with pytest.raises(Stopped, match="moved from pve2 to pve1"):
            erase_machine(vm, contract="C-dupont")
        fake.control("remove_vm", vmid=100)
        erase_machine(vm, contract="C-dupont")
    assert not desk.machines()
