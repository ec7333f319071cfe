"""Reading in bulk, and trusting an absence only when everything can be seen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.proxmox import (
    AgentNotRunning,
    Cluster,
    NotFound,
    PermissionDenied,
    Unreachable,
    guest_interfaces,
    ping_agent,
    read_cluster,
    read_guest_file,
    read_lists,
    read_vm,
)
from orchestrator.proxmox.cluster_state import NodeSummary, VmSummary
from orchestrator.resources.privileges import check_privileges
from tests.api.fakepve_handle import FakePve

EVERYTHING = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "Pool.Allocate",
    "Pool.Audit",
    "Sys.Audit",
    "SDN.Use",
]
AGENT = {"8": ["VM.Monitor"], "9": ["VM.GuestAgent.Audit", "VM.GuestAgent.FileRead"]}


def test_the_whole_cluster_in_three_calls(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("release", release="8")
    fakepve.control("add_nodes", names=["pve2"])
    fakepve.control("node_online", name="pve2", online=False)
    fakepve.control("add_storage", name="ceph", type="rbd", content="images,rootdir", shared=1)
    fakepve.control("add_template", vmid=9000, name="debian-12")
    cluster.post("/pools", poolid="client-dupont")
    fakepve.add_vms(
        1, pool="client-dupont", lock="backup", status="running", config={"tags": "b;a", "cores": 2}
    )
    fakepve.control("reset_calls")
    state = read_cluster(cluster)
    assert fakepve.calls() == {"GET /version": 1, "GET /pools": 1, "GET /cluster/resources": 1}
    assert (state.site, state.version, set(state.pools)) == ("paris", "8.4.1", {"client-dupont"})
    assert state.vms[0] == VmSummary(
        vmid=1000,
        name="vm-1000",
        node="pve1",
        status="running",
        template=False,
        tags=frozenset({"a", "b"}),
        pool="client-dupont",
        lock="backup",
        maxmem=512 * 1024**2,
        maxcpu=2,
    )
    assert [(vm.vmid, vm.template) for vm in state.vms] == [(1000, False), (9000, True)]
    assert state.nodes[0].online
    assert state.nodes[1] == NodeSummary(name="pve2", online=False, maxmem=0, mem=0, maxcpu=0)
    assert {(storage.name, storage.node, storage.shared) for storage in state.storages} == {
        ("local", "pve1", False),
        ("local", "pve2", False),
        ("ceph", "pve1", True),
        ("ceph", "pve2", True),
    }
    assert next(storage for storage in state.storages if storage.name == "ceph").content == {
        "images",
        "rootdir",
    }


def test_a_machine_made_seconds_ago_has_its_name(fakepve: FakePve, cluster: Cluster) -> None:
    """Until pvestatd's next round a real cluster lists a new VM as "VM 110"."""
    fakepve.add_vms(3, first=110)
    fakepve.control("stale_names", vmids=[110, 112])
    assert [vm.name for vm in read_cluster(cluster).vms] == ["vm-110", "vm-111", "vm-112"]
    assert fakepve.calls()["GET /nodes/pve1/qemu"] == 1


def test_a_machine_on_a_node_that_is_away_is_listed(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("add_nodes", names=["pve2"])
    fakepve.add_vms(1, node="pve2", name="VM 1000")
    fakepve.control("node_online", name="pve2", online=False)
    (vm,) = read_cluster(cluster).vms
    assert (vm.name, vm.node, vm.status) == ("VM 1000", "pve2", "unknown")


def test_a_configuration_with_what_waits_for_a_restart(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1, status="running", config={"balloon": 0})
    cluster.put("/nodes/pve1/qemu/1000/config", memory=1024, delete="balloon", description="x")
    before = cluster.calls.get("GET", 0)
    config = read_vm(cluster, "pve1", 1000)
    assert cluster.calls["GET"] == before + 1
    assert (config.current["memory"], config.pending) == ("512", {"memory": "1024"})
    assert config.deleted == {"balloon"}
    assert [config.effective(key) for key in ("memory", "balloon", "description", "nosuch")] == [
        "1024",
        None,
        "x",
        None,
    ]
    assert config.digest == fakepve.dump()["vms"]["1000"]["digest"]
    assert "digest" not in config.current
    assert all(isinstance(value, str) for value in config.current.values())


def test_a_machine_that_is_gone(cluster: Cluster) -> None:
    with pytest.raises(NotFound):
        read_vm(cluster, "pve1", 777)


def test_two_hundred_machines_cost_two_hundred_calls_and_three(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(200)
    for vm in read_cluster(cluster).vms:
        read_vm(cluster, vm.node, vm.vmid)
    assert cluster.calls == {"GET": 203}


def documented_role(release: str) -> list[str]:
    """The privileges that docs/proxmox.md tells to give."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "proxmox.md").read_text()
    found = re.search(rf'(?m)^Proxmox VE {release}\b[^"]*pveum role add Orchestrator --privs "([^"]+)"', text)
    assert found
    return found[1].split()


@pytest.mark.parametrize("release", ["8", "9"])
def test_the_documented_role_has_what_is_checked_and_no_more(release: str) -> None:
    assert sorted(documented_role(release)) == sorted([*EVERYTHING, "VM.Console", *AGENT[release]])


def _check(cluster: Cluster) -> None:
    check_privileges(read_lists(cluster), site=cluster.site)


@pytest.mark.parametrize("release", ["8", "9"])
def test_the_documented_role_is_enough(fakepve: FakePve, cluster: Cluster, release: str) -> None:
    fakepve.control("release", release=release)
    fakepve.control("grant", grants={"/": documented_role(release)})
    _check(cluster)
    assert cluster.calls == {"GET": 4}


@pytest.mark.parametrize("release", ["8", "9"])
@pytest.mark.parametrize("privilege", EVERYTHING)
def test_a_missing_privilege_is_named(fakepve_module: FakePve, privilege: str, release: str) -> None:
    fakepve_module.control("release", release=release)
    fakepve_module.control(
        "regrant", grants={"/": [p for p in EVERYTHING + AGENT[release] if p != privilege]}
    )
    with pytest.raises(PermissionDenied) as caught:
        _check(fakepve_module.cluster())
    assert caught.value.privilege == privilege
    assert privilege in str(caught.value)


@pytest.mark.parametrize("release", ["8", "9"])
def test_the_guest_agents_privilege_depends_on_the_release(
    fakepve: FakePve, cluster: Cluster, release: str
) -> None:
    fakepve.control("release", release=release)
    fakepve.control("grant", grants={"/": EVERYTHING})
    with pytest.raises(PermissionDenied) as caught:
        _check(cluster)
    assert caught.value.privilege == ", ".join(AGENT[release])
    assert caught.value.path == "/vms"


def test_privileges_by_path_are_enough(fakepve: FakePve, cluster: Cluster) -> None:
    vm = [name for name in EVERYTHING if name.startswith("VM.")] + AGENT["9"]
    fakepve.control(
        "grant",
        grants={
            "/vms": vm,
            "/storage": ["Datastore.AllocateSpace", "Datastore.Audit"],
            "/pool": ["Pool.Allocate", "Pool.Audit"],
            "/nodes": ["Sys.Audit"],
            "/sdn": ["SDN.Use"],
        },
    )
    _check(cluster)


def test_a_single_hidden_machine_is_noticed(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("grant", grants={"/": EVERYTHING + AGENT["9"], "/vms/1000": ["VM.PowerMgmt"]})
    with pytest.raises(PermissionDenied, match=r"VM\.Audit on /vms/1000"):
        _check(cluster)


def test_the_guest_agent(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1, config={"agent": "enabled=1", "ipconfig0": "ip=10.77.0.11/24,gw=10.77.0.1"})
    assert not ping_agent(cluster, "pve1", 1000)
    fakepve.control("set_vm", vmid=1000, status="running")
    assert not ping_agent(cluster, "pve1", 1000)
    with pytest.raises(AgentNotRunning):
        read_guest_file(cluster, "pve1", 1000, "/etc/hostname")
    fakepve.control("guest_agent", answers={"files": {"/etc/hostname": "web-1\n"}})
    assert ping_agent(cluster, "pve1", 1000)
    assert read_guest_file(cluster, "pve1", 1000, "/etc/hostname") == "web-1\n"
    (card,) = guest_interfaces(cluster, "pve1", 1000)
    assert (card.name, card.mac, card.addresses) == ("eth0", "bc:24:11:00:00:01", ("10.77.0.11/24",))


def test_a_ping_through_a_dead_hypervisor_is_no_answer_of_the_guest(
    fakepve: FakePve, cluster: Cluster
) -> None:
    fakepve.add_vms(1)
    fakepve.control("listen", listening=False)
    with pytest.raises(Unreachable):
        ping_agent(cluster, "pve1", 1000)


def test_a_ping_that_got_lost_is_a_silent_guest(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1, config={"agent": "1"}, status="running")
    fakepve.control("guest_agent", answers={})
    fakepve.fault("POST", "/nodes/pve1/qemu/1000/agent/ping", "reset")
    assert not ping_agent(cluster, "pve1", 1000)
    assert ping_agent(cluster, "pve1", 1000)
