"""What machines do under the calls that plans are made of, as real nodes were seen to answer them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from orchestrator.proxmox import (
    AlreadyExists,
    BadParameters,
    Cluster,
    DigestMismatch,
    Locked,
    NotFound,
    PermissionDenied,
    Protected,
    ServerError,
    StorageFull,
    TaskFailed,
    VmConfig,
    parse_disk,
    parse_tags,
    read_cluster,
    read_vm,
)
from tests.api.fakepve_handle import FakePve

CLONE = "/nodes/pve1/qemu/9000/clone"
CONFIG = "/nodes/pve1/qemu/100/config"
KEY = quote("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMg1Bl/wH1SydQoVGPUVW0mIrhq6uCjSHOqPM3D1ETuc alice", safe="")


@pytest.fixture
def image(fakepve: FakePve) -> None:
    fakepve.control("add_template", vmid=9000, name="debian-12", gib=2)


@pytest.fixture
def machine(image: None, cluster: Cluster) -> None:
    """VM 100, a full clone of the image."""
    cluster.run_task("POST", CLONE, params={"newid": 100, "name": "web-1", "full": 1})


def read(cluster: Cluster, vmid: int = 100) -> VmConfig:
    return read_vm(cluster, "pve1", vmid)


@pytest.mark.usefixtures("image")
def test_a_clone_takes_over_the_images_configuration(fakepve: FakePve, cluster: Cluster) -> None:
    cluster.post("/pools", poolid="client-dupont")
    vmid = cluster.get("/cluster/nextid")
    cluster.run_task(
        "POST",
        CLONE,
        params={
            "newid": vmid,
            "name": "web-1",
            "pool": "client-dupont",
            "description": "provisioning",
            "full": True,
            "storage": "local",
            "format": "qcow2",
        },
    )
    config = read(cluster)
    assert vmid == "100"
    assert {key: config.current[key] for key in ("name", "description", "cores", "memory", "tags")} == {
        "name": "web-1",
        "description": "provisioning",
        "cores": "1",
        "memory": "512",
        "tags": "image",
    }
    assert config.current["net0"] != read(cluster, 9000).current["net0"]
    assert config.current["smbios1"] != read(cluster, 9000).current["smbios1"]
    assert "template" not in config.current
    disk = parse_disk(config.current["scsi0"])
    assert (disk.volume, disk.size_gib) == ("local:100/vm-100-disk-0.qcow2", 2)
    assert read_cluster(cluster).vms[0].pool == "client-dupont"
    assert fakepve.dump()["pools"]["client-dupont"]["vms"] == [100]


@pytest.mark.usefixtures("image")
def test_an_id_taken_between_asking_and_using(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("take_ids", times=1)
    with pytest.raises(AlreadyExists, match="unable to create VM 100: config file already exists"):
        cluster.post(CLONE, newid=cluster.get("/cluster/nextid"), name="web-1")
    cluster.post(CLONE, newid=cluster.get("/cluster/nextid"), name="web-1")
    assert {vm.vmid: vm.name for vm in read_cluster(cluster).vms if not vm.template} == {
        100: "faster",
        101: "web-1",
    }


@pytest.mark.usefixtures("image")
def test_a_full_storage_fails_the_clone_and_leaves_nothing(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("set_storage", name="local", avail=1024**3)
    with pytest.raises(TaskFailed) as caught:
        cluster.run_task("POST", CLONE, params={"newid": 100, "name": "web-1", "full": 1, "storage": "local"})
    assert isinstance(caught.value.cause, StorageFull)
    assert "make room" in str(caught.value)
    assert [vm.vmid for vm in read_cluster(cluster).vms] == [9000]


@pytest.mark.usefixtures("machine")
def test_a_full_storage_refuses_a_new_disk(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("set_storage", name="local", avail=1024**3)
    with pytest.raises(StorageFull):
        cluster.put(CONFIG, scsi2="local:10,format=qcow2")
    assert "scsi2" not in read(cluster).current


@pytest.mark.usefixtures("machine")
def test_a_write_with_an_old_digest_is_refused(cluster: Cluster) -> None:
    digest = read(cluster).digest
    cluster.put(CONFIG, cores=2, digest=digest)
    with pytest.raises(DigestMismatch):
        cluster.put(CONFIG, cores=3, digest=digest)
    assert read(cluster).current["cores"] == "2"


@pytest.mark.usefixtures("machine")
def test_pending_changes_change_the_digest(cluster: Cluster) -> None:
    cluster.run_task("POST", "/nodes/pve1/qemu/100/status/start")
    digest = read(cluster).digest
    cluster.put(CONFIG, memory=1024)
    assert read(cluster).digest != digest
    assert read(cluster).pending == {"memory": "1024"}


@pytest.mark.usefixtures("machine")
def test_tags_are_lower_case_and_sorted(cluster: Cluster) -> None:
    cluster.put(CONFIG, tags="orchestrator;Client-Dupont;orchestrator")
    assert read(cluster).current["tags"] == "client-dupont;orchestrator"
    assert parse_tags(read(cluster).current["tags"]) == {"client-dupont", "orchestrator"}
    with pytest.raises(BadParameters, match="invalid characters in tag"):
        cluster.put(CONFIG, tags="b a;é")


@pytest.mark.usefixtures("machine")
def test_disks_are_allocated_detached_and_erased(fakepve: FakePve, cluster: Cluster) -> None:
    cluster.put(CONFIG, scsi1="local:cloudinit", scsi2="local:10,format=qcow2")
    config = read(cluster)
    assert config.current["scsi1"] == "local:100/vm-100-cloudinit.qcow2,media=cdrom"
    assert config.current["scsi2"] == "local:100/vm-100-disk-1.qcow2,size=10G"
    assert "100/vm-100-disk-1.qcow2" in fakepve.dump()["volumes"]["local"]
    cluster.put(CONFIG, delete="scsi2")
    assert read(cluster).current["unused0"] == "local:100/vm-100-disk-1.qcow2"
    assert "100/vm-100-disk-1.qcow2" in fakepve.dump()["volumes"]["local"]
    cluster.put(CONFIG, delete="unused0")
    assert "unused0" not in read(cluster).current
    assert "100/vm-100-disk-1.qcow2" not in fakepve.dump()["volumes"]["local"]


@pytest.mark.usefixtures("machine")
def test_a_running_machine_takes_a_disk_at_once(cluster: Cluster) -> None:
    cluster.run_task("POST", "/nodes/pve1/qemu/100/status/start")
    cluster.put(CONFIG, scsi2="local:1,format=qcow2")
    assert read(cluster).pending == {}
    assert "scsi2" in read(cluster).current


@pytest.mark.usefixtures("machine")
def test_cloud_init_keeps_keys_and_hides_passwords(cluster: Cluster) -> None:
    cluster.put(
        CONFIG, ciuser="admin", cipassword="hunter2", sshkeys=KEY, ipconfig0="ip=10.77.0.11/24,gw=10.77.0.1"
    )
    config = read(cluster)
    assert (config.current["sshkeys"], config.current["cipassword"]) == (KEY, "**********")
    with pytest.raises(BadParameters, match="invalid urlencoded string"):
        cluster.put(CONFIG, sshkeys="ssh-rsa AAA plain")
    with pytest.raises(ServerError, match="SSH public key validation error"):
        cluster.put(CONFIG, sshkeys="not%20a%20key")


@pytest.mark.usefixtures("machine")
def test_a_disk_grows_and_never_shrinks(cluster: Cluster) -> None:
    path = "/nodes/pve1/qemu/100/resize"
    cluster.run_task("PUT", path, params={"disk": "scsi0", "size": "4G"})
    assert parse_disk(read(cluster).current["scsi0"]).size_gib == 4
    with pytest.raises(TaskFailed, match="shrinking disks is not supported"):
        cluster.run_task("PUT", path, params={"disk": "scsi0", "size": "3G"})
    assert parse_disk(read(cluster).current["scsi0"]).size_gib == 4


@pytest.mark.usefixtures("machine")
def test_a_protected_machine_stays(cluster: Cluster) -> None:
    cluster.put(CONFIG, protection=1)
    with pytest.raises(Protected):
        cluster.delete("/nodes/pve1/qemu/100", purge=1)
    with pytest.raises(Protected):
        cluster.put(CONFIG, delete="scsi0")
    assert "scsi0" in read(cluster).current


@pytest.mark.usefixtures("machine")
def test_a_locked_machine_refuses_writes(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("set_vm", vmid=100, lock="backup")
    with pytest.raises(Locked) as caught:
        cluster.put(CONFIG, description="x")
    assert caught.value.mark == "backup"
    assert read_cluster(cluster).vms[0].lock == "backup"


@pytest.mark.usefixtures("machine")
def test_writes_that_say_nothing_or_nonsense(cluster: Cluster) -> None:
    with pytest.raises(ServerError, match="no options specified"):
        cluster.put(CONFIG)
    with pytest.raises(BadParameters, match="unknown option 'nosuchopt'"):
        cluster.put(CONFIG, delete="nosuchopt")
    with pytest.raises(BadParameters, match="property is not defined"):
        cluster.put(CONFIG, nosuch=1)
    with pytest.raises(PermissionDenied, match="only root can set 'args'"):
        cluster.put(CONFIG, args="-foo")


@pytest.mark.usefixtures("image")
def test_a_clone_into_nowhere_is_refused_before_it_begins(cluster: Cluster) -> None:
    for params in ({"pool": "nopool"}, {"storage": "nosuch", "full": 1}, {"target": "nosuch"}):
        with pytest.raises(NotFound):
            cluster.post(CLONE, params={"newid": 100, "name": "web-1", **params})


@pytest.mark.usefixtures("image")
def test_a_clone_is_locked_until_it_is_done(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("pace", time_scale=1.0, clone_seconds=3600)
    upid = cluster.post(CLONE, newid=100, name="web-1", full=1)
    assert read_cluster(cluster).vms[0].lock == "clone"
    fakepve.control("pace")
    cluster.wait_for_task(upid)
    assert read_cluster(cluster).vms[0].lock is None
