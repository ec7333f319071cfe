"""Machines are made of templates as they are: read before anything is made, and nothing of them is lost."""

from __future__ import annotations

from typing import Any

from tests.api.desk import Desk, machine, subscription
from tests.api.fakepve_handle import FakePve


def _ask(desk: Desk, **changes: Any) -> None:
    desk.write(subscription("dupont", [machine("web-1", **changes)]))


def _made(desk: Desk) -> dict[str, dict[str, Any]]:
    """Apply; the machines as they are then, of which nothing is left to do in Proxmox."""
    answer = desk.apply()
    assert answer.code == 0, answer
    left = {change["what"] for change in _plan(desk) if change["kind"] != "waiting"}
    assert left == {"firewall"}, left
    return desk.machines()


def _plan(desk: Desk) -> list[dict[str, Any]]:
    return [change for item in desk.plan()["machines"] for change in item["changes"]]


def _two_nodes(desk: Desk, fake: FakePve) -> None:
    """A second node with room, and a shared storage that machines go to."""
    fake.control("add_nodes", names=["pve2"])
    fake.add_storage("pool", type="nfs", content="images", shared=True, path="/mnt/pve/pool")
    fake.add_vms(3, first=1000, config={"memory": "8192"})  # pve1 is the fuller one
    desk.sites["paris"]["storage"] = "pool"
    desk.write_sites()


def test_a_template_on_a_local_storage_is_cloned_on_its_own_node(desk: Desk, fakepve: FakePve) -> None:
    _two_nodes(desk, fakepve)
    _ask(desk)
    assert ", on pve1, where its template is" in _plan(desk)[0]["after"]
    assert _made(desk)["web-1"]["node"] == "pve1"


def test_a_node_uses_its_own_copy_of_the_template_if_it_has_one_that_is_fit(
    desk: Desk, fakepve: FakePve
) -> None:
    _two_nodes(desk, fakepve)
    fakepve.control("remove_vm", vmid=9000)
    fakepve.control("add_template", vmid=9000, name="debian-12", storage="pool")
    fakepve.control("add_template", vmid=9100, name="debian-12", node="pve2")
    _ask(desk)
    assert "where its template is" not in _plan(desk)[0]["after"], "every node can make it"
    assert _made(desk)["web-1"]["node"] == "pve2"
    fakepve.set_lock(9100, "backup")
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2")]))
    assert _made(desk)["web-2"]["node"] == "pve2", "of the shared one, while the other is locked"
    clones = [call.split("/clone")[0].rpartition("/")[2] for call in fakepve.calls("POST") if "clone" in call]
    assert clones == ["9100", "9000"]


def test_machines_that_are_to_be_apart_go_to_different_nodes_where_their_template_lets_them(
    desk: Desk, fakepve: FakePve
) -> None:
    _two_nodes(desk, fakepve)
    for vmid in (1001, 1002):
        fakepve.control("remove_vm", vmid=vmid)
    fakepve.control("set_config", vmid=1000, memory="4096")
    fakepve.control("remove_vm", vmid=9000)
    fakepve.control("add_template", vmid=9000, name="debian-12", storage="pool")
    fakepve.control("add_template", vmid=9100, name="debian-12", node="pve2")
    desk.write(subscription("dupont", [machine("web-1"), machine("web-2", apart_from=["web-1"])]))
    made = _made(desk)
    assert {made[name]["node"] for name in ("web-1", "web-2")} == {"pve1", "pve2"}
    fakepve.set_storage("pool", nodes="pve1")  # the only node that can take another one
    desk.write(
        subscription(
            "dupont",
            [
                machine("web-1", apart_from=["web-3"]),
                machine("web-2", apart_from=["web-3", "web-1"]),
                machine("web-3"),
            ],
        )
    )
    assert _made(desk)["web-3"]["node"] == "pve1"


def test_a_template_may_boot_from_any_bus(desk: Desk, fakepve: FakePve) -> None:
    system = fakepve.dump()["vms"]["9000"]["config"]["scsi0"]
    fakepve.control(
        "set_config", vmid=9000, scsi0=None, scsihw=None, boot="order=ide2;virtio0;net0", virtio0=system
    )
    fakepve.control("add_template", vmid=9001, name="debian-13")
    system = fakepve.dump()["vms"]["9001"]["config"]["scsi0"]
    fakepve.control("set_config", vmid=9001, scsi0=None, boot=None, sata0=system)
    _ask_for_two(desk, "6GiB")
    made = _made(desk)
    for name, disk in (("web-1", "virtio0"), ("web-2", "sata0")):
        config = made[name]["config"]
        assert config[disk].endswith("size=6G") and config["scsi2"].endswith("size=1G"), config
        assert "cloudinit" in config["scsi1"] and config["scsihw"] == "virtio-scsi-pci", config
    _ask_for_two(desk, "8GiB")
    assert _made(desk)["web-1"]["config"]["virtio0"].endswith("size=8G"), "it is grown where it is"


def _ask_for_two(desk: Desk, size: str) -> None:
    disks = {
        name: [{"name": "system", "size": size}, {"name": "data", "size": "1GiB"}]
        for name in ("web-1", "web-2")
    }
    two = [
        machine("web-1", disks=disks["web-1"]),
        machine("web-2", image="debian-13", disks=disks["web-2"]),
    ]
    desk.write(subscription("dupont", two))


def test_what_a_template_has_besides_is_kept_and_told(desk: Desk, fakepve: FakePve) -> None:
    fakepve.control(
        "set_config",
        vmid=9000,
        scsi1="local:9000/base-9000-disk-1.qcow2,size=8G",
        scsi2="local:9000/base-9000-disk-2.qcow2,size=1G",
        efidisk0="local:9000/base-9000-disk-3.qcow2,efitype=4m,size=528K",
        tpmstate0="local:9000/base-9000-disk-4.raw,size=4M,version=v2.0",
        net1="virtio=BC:24:11:44:91:80,bridge=vmbr7",
    )
    _ask(desk, disks=[{"name": "system", "size": "4GiB"}, {"name": "data", "size": "3GiB"}])
    assert [change["after"] for change in _plan(desk) if change["kind"] == "notice"] == [
        "debian-12 has a further disk scsi1 (8GiB)",
        "debian-12 has a further disk scsi2 (1GiB)",
        "debian-12 has a further network card net1 (vmbr7)",
    ]
    config = _made(desk)["web-1"]["config"]
    drives = [key for key in sorted(config) if key.startswith(("scsi", "unused"))]
    assert drives == ["scsi0", "scsi1", "scsi2", "scsi3", "scsi4", "scsihw"]
    assert "cloudinit" in config["scsi3"] and config["scsi4"].endswith("size=3G")
    assert {"efidisk0", "tpmstate0"} <= config.keys() and "bridge=vmbr7" in config["net1"]


def test_a_template_that_no_machine_can_be_made_of_is_refused_by_the_plan(
    desk: Desk, fakepve: FakePve
) -> None:
    fakepve.control("set_config", vmid=9000, scsi0="local:9000/base-9000-disk-0.qcow2,size=5G")
    _ask(desk)
    (refused,) = _plan(desk)
    assert refused["kind"] == "refused"
    assert "VM 9000 on pve1: the image debian-12 itself needs 5GiB" in refused["why"]
    assert desk.apply().code == 1 and not desk.machines(), "nothing half made"


def test_what_is_not_listed_is_not_taken_for_absent(desk: Desk, fakepve: FakePve) -> None:
    """A node that is off has a template, whether the list still has its name or not: nobody is told to make it."""
    _two_nodes(desk, fakepve)
    _ask(desk)
    fakepve.node_online("pve1", False)
    answer = desk.run("plan")
    assert "make the template" not in answer.out + answer.err, answer
    assert "pve1" in answer.out + answer.err, "the node is named"
    fakepve.control("stale_names", vmids=[9000, 1000, 1001, 1002])
    answer = desk.run("plan")
    assert "make the template" not in answer.out + answer.err, answer


def test_a_template_costs_one_call_however_many_fresh_machines_are_made_of_it(
    desk: Desk, fakepve: FakePve
) -> None:
    desk.write(subscription("dupont", [machine(f"web-{number}") for number in range(6)]))
    fakepve.control("reset_calls")
    assert desk.plan()["summary"]["create"] == 6
    reads = fakepve.calls("GET")
    assert [n for call, n in reads.items() if "/qemu/9000/" in call] == [1], reads
    assert desk.apply().code == 0
    fakepve.control("report")
    fakepve.control("reset_calls")
    assert all(vm["pool"] == "client-dupont" for vm in _made(desk).values())
    assert not [call for call in fakepve.calls() if "/qemu/9000/" in call], "nothing is made, nothing is read"
