"""A node that is off, a container, a VM whose answer is odd: each is its own trouble, and the site goes on."""

from __future__ import annotations

from typing import Any

from tests.api.desk import Desk, machine, subscription


def _file(*machines: dict[str, Any]) -> dict[str, Any]:
    return subscription("dupont", list(machines))


def test_what_a_node_that_is_off_has_is_known_by_the_list_and_the_other_nodes_go_on(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    fake.control("add_nodes", names=["pve2"])
    fake.control("add_template", vmid=9001, name="debian-12", node="pve2")
    desk.write(_file(machine("web-1"), machine("web-2")))
    assert desk.apply().code == 0
    desk.put_in_service(firewall=True)
    nodes = {name: vm["node"] for name, vm in desk.machines().items()}
    assert set(nodes.values()) == {"pve1", "pve2"}
    (here,) = (name for name, node in nodes.items() if node == "pve1")
    (away,) = (name for name, node in nodes.items() if node == "pve2")
    before = {name: vm["config"] for name, vm in desk.machines().items()}
    fake.node_online("pve2", False)
    fake.control("reset_calls")
    edited = {here: machine(here, memory="2GiB"), away: machine(away, memory="2GiB")}
    desk.write(_file(*edited.values(), machine("auto-1"), machine("named-1", address="203.0.113.77")))
    document = desk.plan()
    by_name = {item["machine"]: item for item in document["machines"]}
    assert {name: item["refused"] for name, item in by_name.items()} == {
        here: False,
        away: True,
        "auto-1": True,
        "named-1": False,
    }
    assert "is off: bring it back" in by_name[away]["changes"][0]["why"]
    assert "no address at paris is known to be free" in by_name["auto-1"]["changes"][0]["why"]
    assert [(item["kind"], item["name"]) for item in document["unreadable"]] == [
        ("node", "pve2"),
        ("machine", away),
    ]
    assert document["failures"] == []
    answer = desk.apply("--restart-now")
    assert answer.code == 1 and f"refused  dupont/{away}" in answer.out, answer
    after = {name: vm["config"] for name, vm in desk.machines().items()}
    assert set(after) == {here, away, "named-1"} and str(after[here]["memory"]) == "2048"
    assert after[away] == before[away]
    assert not [call for call in fake.calls() if "/nodes/pve2" in call], (
        "nothing is asked of a node that is off"
    )
    shown = desk.run("show", f"dupont/{away}")
    assert shown.code == 1 and "is off: bring it back" in shown.out
    assert desk.run("show", f"dupont/{here}").code == 0

    # After five minutes without figures the list has lost the names there: what they hide is not made again.
    fake.control("stale_names", vmids=[int(desk.machines()[away]["vmid"])])
    desk.write(
        _file(
            *edited.values(),
            machine("named-1", address="203.0.113.77"),
            machine("new-1", address="203.0.113.78"),
        )
    )
    planned = {item["machine"]: item["refused"] for item in desk.plan()["machines"]}
    assert planned == {here: False, away: True, "named-1": False, "new-1": True}
    fake.control("stale_names", vmids=[])
    fake.node_online("pve2", True)
    assert desk.apply("--restart-now").code == 0
    assert set(desk.machines()) == {here, away, "named-1", "new-1"} and desk.plan()["unreadable"] == []


def test_addresses_of_containers_are_taken_and_odd_ones_are_nobodys(desk: Desk) -> None:
    fake = desk.fakes["paris"]
    network = "name=eth0,bridge=vmbr0,ip={}/24,gw=203.0.113.1"
    fake.control("add_container", vmid=300, name="dns", config={"net0": network.format("203.0.113.10")})
    fake.control("add_container", vmid=301, name="odd", config={"net1": network.format("203.0.113.300")})
    fake.add_vms(1, first=500, config={"ipconfig0": "ip=203.0.113.11/24", "ipconfig1": "ip=203.0.113.300/24"})
    desk.write(_file(machine("web-1"), machine("web-2", address="203.0.113.10")))
    machines = {item["machine"]: item for item in desk.plan()["machines"]}
    assert machines["web-1"]["address"] == "203.0.113.12"
    assert machines["web-2"]["refused"] and "dns (container 300)" in machines["web-2"]["changes"][0]["why"]

    # One whose configuration cannot be read may have any address: a person has to name one.
    desk.write(_file(machine("web-1"), machine("web-3", address="203.0.113.40")))
    fake.fault(
        "GET", "/nodes/pve1/qemu/500/pending", "error", status=500, text="unable to parse value", times=99
    )
    document = desk.plan()
    refused = {item["machine"]: item["refused"] for item in document["machines"]}
    assert refused == {"web-1": True, "web-3": False}
    assert "VM 500 vm-500 on pve1" in document["machines"][0]["changes"][0]["why"]
    answer = desk.apply()
    assert answer.code == 1 and set(desk.machines()) == {"vm-500", "web-3"}, answer
    fake.control("reset_calls")
    desk.write(_file(machine("web-3", address="203.0.113.40")))
    assert desk.run("plan").code == 0
    assert not [call for call in fake.calls() if "/lxc/" in call or "/500/" in call], (
        "asked only when it is needed"
    )
