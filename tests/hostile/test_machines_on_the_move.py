"""What changes between two looks: machines that migrate, and addresses that guests still use."""

from __future__ import annotations

import json
from typing import Any

from tests.api.desk import Desk, machine, subscription


def _in_service(desk: Desk, *names: str) -> None:
    desk.write(subscription("dupont", [machine(name) for name in names]))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)


def test_a_machine_that_migrates_while_it_is_read_is_neither_gone_nor_made_again(desk: Desk) -> None:
    """The cluster's list is read first, each configuration on its node afterwards."""
    _in_service(desk, "web-1", "web-2")
    fake = desk.fakes["paris"]
    cluster = fake.cluster()
    fake.control("add_nodes", names=["pve2"])
    vmid = desk.machines()["web-1"]["vmid"]
    fake.control("set_config", vmid=vmid, name="old-web-server")  # its name tells nothing
    fake.add_vms(1, first=500, config={"ipconfig0": "ip=203.0.113.12/24"})
    before = json.dumps({"data": cluster.get("/cluster/resources")})
    fake.control("set_vm", vmid=vmid, node="pve2")
    fake.control("set_vm", vmid=500, node="pve2")
    desk.write(
        subscription("dupont", [machine("web-1"), machine("web-2")]),
        subscription("martin", [machine("shop-1")]),
    )
    fake.fault("GET", "/cluster/resources", "answer", text=before)
    plans = {item["machine"]: item for item in desk.plan()["machines"]}
    assert (plans["web-1"]["vmid"], plans["web-1"]["node"]) == (vmid, "pve2")
    assert [change["what"] for change in plans["web-1"]["changes"]] == ["name"]
    assert plans["shop-1"]["address"] == "203.0.113.13", "what moved has its address all the same"

    # On its way it is on no node for a moment.
    gone = f"Configuration file 'nodes/pve2/qemu-server/{vmid}.conf' does not exist"
    fake.fault("GET", f"/nodes/pve2/qemu/{vmid}/pending", "error", text=gone, times=99)
    answer = desk.apply()
    assert answer.code == 1 and "its node pve2 does not have it" in answer.out, answer
    assert "no address at paris is known to be free" in answer.out, answer
    assert sorted(desk.machines()) == ["old-web-server", "vm-500", "web-2"], "nothing is made beside it"
    fake.control("clear_faults")
    assert desk.apply().code == 0
    assert sorted(desk.machines()) == ["shop-1", "vm-500", "web-1", "web-2"]


def _new_machine(desk: Desk, address: str = "auto") -> dict[str, Any]:
    """What is planned for another client's new machine beside web-1, which has an address of its own now."""
    desk.write(
        subscription("dupont", [machine("web-1", address="203.0.113.51")]),
        subscription("martin", [machine("shop-1", address=address)]),
    )
    (plan,) = [item for item in desk.plan()["machines"] if item["machine"] == "shop-1"]
    return dict(plan)


def test_an_address_that_a_guest_uses_until_its_restart_is_not_given_away(desk: Desk) -> None:
    _in_service(desk, "web-1")
    for address in ("203.0.113.50", "203.0.113.51"):
        desk.write(subscription("dupont", [machine("web-1", address=address)]))
        assert desk.apply().code == 0
        assert _new_machine(desk)["address"] == "203.0.113.11", "it is pending"
        desk.fakes["paris"].control("settle_pending", vmid=100)
        assert _new_machine(desk)["address"] == "203.0.113.11", "Proxmox has forgotten it"
    named = _new_machine(desk, "203.0.113.10")
    assert named["refused"] and "web-1 (VM 100), until its restart" in named["changes"][0]["why"]
    desk.write(subscription("dupont", [machine("web-1", address="203.0.113.51")]))
    assert desk.apply("--restart-now").code == 0
    assert _new_machine(desk)["address"] == "203.0.113.10"


def test_a_rollback_takes_no_address_that_another_machine_has_by_now(desk: Desk) -> None:
    """A snapshot brings the address of its day back, and starts the machine with it."""
    _in_service(desk, "web-1")
    assert desk.run("snapshot", "create", "dupont/web-1", "before").code == 0
    moved = subscription("dupont", [machine("web-1", address="203.0.113.50")])
    desk.write(moved)
    assert desk.apply("--restart-now").code == 0
    desk.write(moved, subscription("martin", [machine("shop-1", address="203.0.113.10")]))
    assert desk.apply().code == 0
    answer = desk.run("snapshot", "rollback", "dupont/web-1", "before", "--yes")
    assert answer.code == 1, answer
    assert (
        "shop-1 (VM 101) is configured with 203.0.113.10, which this machine had at the snapshot"
        in answer.err
    )
    assert desk.machines()["web-1"]["config"]["ipconfig0"].startswith("ip=203.0.113.50/")
