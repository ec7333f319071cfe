"""The modelled cluster's restores, snapshots and removals, held against what a real Proxmox VE was seen to answer."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.proxmox import (
    AgentNotRunning,
    AlreadyExists,
    BadParameters,
    Cluster,
    Locked,
    NotFound,
    Protected,
    ServerError,
    guest_interfaces,
    ping_agent,
    read_guest_file,
)
from tests.api.fakepve_handle import FakePve
from tests.api.vzdump_calls import ARCHIVE, NIGHT, SIZE, begin, config_lock, failure, finish, prepare

UUID = "uuid=03d89260-0c6d-4b1c-8f0a-af660efc139d"


@pytest.fixture(autouse=True)
def machines(fakepve: FakePve) -> None:
    prepare(fakepve)
    fakepve.control("set_config", vmid=141, smbios1=UUID, protection=0, tags="a", cipassword="x")


@pytest.fixture
def archive(fakepve: FakePve, cluster: Cluster) -> str:
    """A backup of machine 141."""
    finish(fakepve, cluster, begin(cluster))
    return ARCHIVE


def restore(cluster: Cluster, vmid: int = 900, **more: Any) -> str:
    usual = {"vmid": vmid, "archive": ARCHIVE, "storage": "local", "unique": 1}
    return str(cluster.post("/nodes/pve1/qemu", params={**usual, **more}))


def config(fakepve: FakePve, vmid: int = 900) -> dict[str, Any]:
    found: dict[str, Any] = fakepve.dump()["vms"][str(vmid)]["config"]
    return found


@pytest.mark.usefixtures("archive")
def test_a_restored_copy_is_as_the_machine_was(fakepve: FakePve, cluster: Cluster) -> None:
    before = config(fakepve, 141)
    fakepve.control("set_config", vmid=141, memory="4096", tags="changed")
    cluster.post("/pools", poolid="tests")
    upid = restore(cluster, name="copy", pool="tests", cores=4)
    assert upid.split(":")[5:7] == ["qmrestore", "900"]
    cluster.wait_for_task(upid)
    copy = fakepve.dump()["vms"]["900"]
    assert (copy["status"], copy["lock"], copy["pool"]) == ("stopped", None, "tests")
    assert fakepve.dump()["pools"]["tests"]["vms"] == [900]
    own = {key: copy["config"].pop(key) for key in ("net0", "smbios1", "scsi0", "name", "cores")}
    assert copy["config"] == {key: value for key, value in before.items() if key not in own}
    assert own["net0"] != before["net0"] and own["net0"].endswith(",bridge=vmbr0")
    assert own["smbios1"] != UUID
    assert (own["scsi0"], own["name"], own["cores"]) == ("local:900/vm-900-disk-0.qcow2,size=4G", "copy", 4)
    assert "900/vm-900-disk-0.qcow2" in fakepve.dump()["volumes"]["local"]


@pytest.mark.usefixtures("archive")
def test_not_unique_keeps_the_addresses(fakepve: FakePve, cluster: Cluster) -> None:
    cluster.wait_for_task(restore(cluster, unique=0))
    assert config(fakepve)["net0"] == config(fakepve, 141)["net0"]
    assert config(fakepve)["smbios1"] == UUID


@pytest.mark.usefixtures("archive")
def test_a_restore_takes_its_time(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.restore_behaviour(seconds={141: 60})
    upid = restore(cluster)
    assert config_lock(fakepve, 900) == "create"
    with pytest.raises(Locked):
        cluster.put("/nodes/pve1/qemu/900/config", description="x")
    fakepve.set_clock(fakepve.now() + 60)
    cluster.wait_for_task(upid)
    assert config_lock(fakepve, 900) is None


@pytest.mark.usefixtures("archive")
def test_a_taken_number_needs_force(fakepve: FakePve, cluster: Cluster) -> None:
    with pytest.raises(
        AlreadyExists, match="unable to restore VM 142 - VM 142 already exists on node 'pve1'"
    ):
        restore(cluster, 142)
    running = failure(cluster, restore(cluster, 142, force=1))
    assert running.exitstatus == "unable to restore VM 142 - vm is running"
    assert config(fakepve, 142)["name"] == "vm-142"
    cluster.run_task("POST", "/nodes/pve1/qemu/142/status/stop")
    fakepve.add_snapshot(142, "old", snaptime=NIGHT)
    cluster.wait_for_task(restore(cluster, 142, force=1))
    assert config(fakepve, 142)["name"] == "vm-141"
    assert fakepve.dump()["vms"]["142"]["snapshots"] == []


def test_a_protected_machine_is_not_replaced(fakepve: FakePve, cluster: Cluster, archive: str) -> None:
    fakepve.control("set_vm", vmid=141, status="stopped")
    fakepve.control("set_config", vmid=141, protection=1)
    error = failure(cluster, restore(cluster, 141, force=1))
    assert isinstance(error.cause, Protected)
    assert config(fakepve, 141)["smbios1"] == UUID


def test_a_broken_archive_leaves_an_empty_machine(fakepve: FakePve, cluster: Cluster, archive: str) -> None:
    fakepve.break_archive(archive)
    error = failure(cluster, restore(cluster))
    assert error.exitstatus.startswith(
        "command 'set -o pipefail && zstd -q -d -c /srv/backup-b/dump/vzdump-qemu-141-"
    )
    assert any("Decoding error" in line for line in error.log_tail)
    assert "VM 900 state is NOT cleaned up." in error.log_tail[-2]
    assert config(fakepve) == {}
    assert config_lock(fakepve, 900) is None
    assert not [name for name in fakepve.dump()["volumes"]["local"] if name.startswith("900/")]


@pytest.mark.usefixtures("archive")
def test_what_a_restore_refuses(fakepve: FakePve, cluster: Cluster) -> None:
    with pytest.raises(BadParameters) as caught:
        restore(cluster, scsi0="local:1")
    assert caught.value.errors == {"scsi0": "option conflicts with option 'archive'"}
    with pytest.raises(NotFound, match="does not exist"):
        restore(cluster, archive="backup-b:backup/vzdump-qemu-141-2020_01_01-00_00_00.vma.zst")
    for storage, text in (
        ("backup-b", "Content type 'images' is not available on storage 'backup-b'"),
        ("nosuch", "storage 'nosuch' does not exist"),
    ):
        error = failure(cluster, restore(cluster, 901, storage=storage))
        assert error.exitstatus.endswith(f" failed: {text}"), error.exitstatus
        assert config(fakepve, 901) == {}, "left by the failed restore"
        assert cluster.get("/nodes/pve1/qemu/901/config").keys() == {"digest"}
        with pytest.raises(AlreadyExists, match="VM 901 already exists on node 'pve1'"):
            restore(cluster, 901)
        cluster.run_task("DELETE", "/nodes/pve1/qemu/901", params={"purge": 1})
    fakepve.set_storage("backup-b", active=False)
    with pytest.raises(ServerError, match="does not exist or is unreachable"):
        restore(cluster)


def test_a_seeded_archive_holds_the_machine_as_it_is(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_archives([{"storage": "backup-b", "vmid": 141, "ctime": NIGHT, "size": SIZE}])
    fakepve.control("set_config", vmid=141, memory="2048")
    cluster.wait_for_task(restore(cluster))
    assert config(fakepve)["memory"] == "2048"


def test_the_configuration_in_an_archive(fakepve: FakePve, cluster: Cluster, archive: str) -> None:
    fakepve.control("set_config", vmid=141, memory="2048")
    lines = cluster.get("/nodes/pve1/vzdump/extractconfig", volume=archive).splitlines()
    assert "memory: 512" in lines
    assert not [line for line in lines if line.startswith("lock:")]


@pytest.mark.usefixtures("archive")
def test_a_copys_agent_answers_as_the_originals(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.guest_agent(
        {"files": {"/etc/machine-id": "abc\n"}, "get-host-name": {"host-name": "web"}}, vmid=141
    )
    cluster.wait_for_task(restore(cluster, start=1))
    agent = "/nodes/pve1/qemu/900/agent"
    assert ping_agent(cluster, "pve1", 900)
    assert read_guest_file(cluster, "pve1", 900, "/etc/machine-id") == "abc\n"
    assert cluster.get(f"{agent}/get-host-name") == {"result": {"host-name": "web"}}
    with pytest.raises(ServerError, match="No such file or directory"):
        read_guest_file(cluster, "pve1", 900, "/etc/other")
    (card,) = guest_interfaces(cluster, "pve1", 900)
    assert card.mac.upper() in config(fakepve)["net0"]
    fakepve.guest_agent({"ping": False}, vmid=900)
    assert not ping_agent(cluster, "pve1", 900)
    with pytest.raises(AgentNotRunning):
        cluster.get(f"{agent}/get-host-name")
    assert ping_agent(cluster, "pve1", 141)
    assert not ping_agent(cluster, "pve1", 142)


def test_snapshots_of_any_age(fakepve: FakePve, cluster: Cluster) -> None:
    vm = "/nodes/pve1/qemu/141"
    fakepve.add_snapshot(141, "old", snaptime=NIGHT - 8 * 86400, description="before")
    cluster.run_task("POST", f"{vm}/snapshot", params={"snapname": "new"})
    listed = {entry["name"]: entry for entry in cluster.get(f"{vm}/snapshot")}
    assert (listed["old"]["snaptime"], listed["old"]["description"]) == (NIGHT - 8 * 86400, "before")
    assert (listed["new"]["snaptime"], listed["new"]["parent"]) == (NIGHT, "old")
    assert listed["current"]["parent"] == cluster.get(f"{vm}/config")["parent"] == "new"
    assert {"key": "parent", "value": "new"} in cluster.get(f"{vm}/pending")


def test_raw_disks_in_a_directory_have_no_snapshots(fakepve: FakePve, cluster: Cluster) -> None:
    vm = "/nodes/pve1/qemu/141"
    assert cluster.get(f"{vm}/feature", feature="snapshot") == {"hasFeature": 1, "nodes": ["pve1"]}
    fakepve.control("set_config", vmid=141, scsi0="local:141/vm-141-disk-0.raw,size=4G")
    assert cluster.get(f"{vm}/feature", feature="snapshot")["hasFeature"] == 0
    error = failure(cluster, cluster.post(f"{vm}/snapshot", snapname="aa"))
    assert error.exitstatus == "snapshot feature is not available"


def test_a_machine_is_removed_with_its_disks_and_without_its_archives(
    fakepve: FakePve, cluster: Cluster, archive: str
) -> None:
    cluster.wait_for_task(restore(cluster))
    vm = "/nodes/pve1/qemu/900"
    fakepve.control("set_vm", vmid=900, status="running")
    with pytest.raises(ServerError, match="VM 900 is running - destroy failed"):
        cluster.delete(vm)
    fakepve.control("set_vm", vmid=900, status="stopped")
    fakepve.control("set_config", vmid=900, protection=1)
    with pytest.raises(Protected, match="can't remove VM 900 - protection mode enabled"):
        cluster.delete(vm)
    fakepve.control("set_config", vmid=900, protection=0)
    cluster.run_task("DELETE", vm, params={"purge": 1, "destroy-unreferenced-disks": 1})
    dump = fakepve.dump()
    assert "900" not in dump["vms"]
    assert not [name for name in dump["volumes"]["local"] if name.startswith("900/")]
    assert [kept["volid"] for kept in fakepve.archives("backup-b")] == [archive]
