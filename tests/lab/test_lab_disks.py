"""What the lab does with disks: clones of every kind, templates, snapshots, and what a crash leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.lab_handle import Client, Lab

VM = "/nodes/pve1/qemu/100"
COPY = "/nodes/pve1/qemu/101"
PATTERN = b"orchestrator lab" * 4096


def image(lab: Lab, api: Client, machine: str = VM, slot: str = "scsi0") -> Path:
    """The file behind a disk."""
    volume = api.get(f"{machine}/config")[slot].partition(",")[0]
    path = api.get(f"/nodes/pve1/storage/local/content/{volume}")["path"]
    assert Path(path).is_relative_to(lab.state)
    return Path(path)


def write(path: Path, content: bytes) -> None:
    """Write to the beginning of a stopped machine's disk."""
    source = path.with_suffix(".content")
    source.write_bytes(content)
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -s {source} 0 {len(content)}", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    source.unlink()


def read(path: Path) -> bytes:
    """The beginning of a stopped machine's disk."""
    copied = path.with_suffix(".raw-copy")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(copied)], check=True)
    content = copied.read_bytes()[: len(PATTERN)]
    copied.unlink()
    return content


def test_full_clone_of_a_running_machine_has_its_content(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/status/start")
    api.run("POST", f"{VM}/clone", newid=101, full=1, name="hot")
    assert api.get(f"{VM}/status/current")["status"] == "running"
    assert read(image(lab, api, COPY)) == PATTERN
    api.run("POST", f"{COPY}/status/start")


def test_linked_clones_stand_on_the_template_that_then_cannot_be_removed(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/template")
    assert "base-100-disk-0.qcow2" in api.get(f"{VM}/config")["scsi0"]
    api.run("POST", f"{VM}/clone", newid=101, full=0)
    assert api.get(f"{COPY}/config")["scsi0"].startswith("local:100/base-100-disk-0.qcow2/101/vm-101-disk-0")
    assert read(image(lab, api, COPY)) == PATTERN
    refused = api.end_of(api.call("DELETE", VM).data)
    assert refused == "base volume '100/base-100-disk-0.qcow2' is still in use by linked clones"
    started = api.end_of(api.call("POST", f"{VM}/status/start").data)
    assert started == "you can't start a vm if it's a template"


def test_snapshot_brings_content_and_configuration_back(lab: Lab, api: Client) -> None:
    path = image(lab, api)
    write(path, PATTERN)
    api.run("POST", f"{VM}/snapshot", snapname="before", description="of an upgrade")
    write(path, b"\0" * len(PATTERN))
    api.put(f"{VM}/config", memory=64, scsi1="local:0.01,format=qcow2")

    listed = {entry["name"]: entry for entry in api.get(f"{VM}/snapshot")}
    assert listed["before"]["description"] == "of an upgrade"
    assert listed["current"]["parent"] == "before"

    api.run("POST", f"{VM}/snapshot/before/rollback")
    config = api.get(f"{VM}/config")
    assert (config["memory"], "scsi1" in config) == ("32", False)
    assert config["unused0"].startswith("local:100/vm-100-disk-1")
    assert read(path) == PATTERN
    api.run("DELETE", f"{VM}/snapshot/before")
    assert [entry["name"] for entry in api.get(f"{VM}/snapshot")] == ["current"]


def test_clone_of_a_snapshot_has_the_content_of_then(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/snapshot", snapname="then")
    write(image(lab, api), b"\0" * len(PATTERN))
    api.put(f"{VM}/config", memory=64)
    api.run("POST", f"{VM}/status/start")
    api.run("POST", f"{VM}/clone", newid=101, full=1, snapname="then")
    assert read(image(lab, api, COPY)) == PATTERN
    assert api.get(f"{COPY}/config")["memory"] == "32"
    assert [entry["name"] for entry in api.get(f"{COPY}/snapshot")] == ["current"]
    linked = api.call("POST", f"{VM}/clone", {"newid": 102, "full": 0, "snapname": "then"})
    disk = "local:100/vm-100-disk-0.qcow2"
    assert linked.reason == f"Linked clone feature is not supported for a snapshot of '{disk}' (scsi0)"


def test_snapshot_of_a_running_machine_is_taken_and_removed_through_it(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/status/start")
    api.run("POST", f"{VM}/snapshot", snapname="one")
    api.run("POST", f"{VM}/snapshot", snapname="two")
    parents = {entry["name"]: entry.get("parent") for entry in api.get(f"{VM}/snapshot")}
    assert parents == {"one": None, "two": "one", "current": "two"}
    api.run("DELETE", f"{VM}/snapshot/one")
    api.run("POST", f"{VM}/snapshot/two/rollback", start=1)
    assert api.get(f"{VM}/status/current")["status"] == "running"
    with_memory = api.call("POST", f"{VM}/snapshot", {"snapname": "ram", "vmstate": 1})
    assert with_memory.status == 501


def test_raw_disk_cannot_be_snapshotted(api: Client) -> None:
    api.put(f"{VM}/config", scsi1="local:0.01")
    assert api.get(f"{VM}/config")["scsi1"].startswith("local:100/vm-100-disk-1.raw")
    refused = api.end_of(api.call("POST", f"{VM}/snapshot", {"snapname": "aa"}).data)
    assert refused == "snapshot feature is not available"


def test_disk_is_unplugged_from_a_running_machine(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    api.put(f"{VM}/config", scsi3="local:0.01,format=qcow2")
    api.put(f"{VM}/config", delete="scsi3")
    config = api.get(f"{VM}/config")
    assert ("scsi3" in config, config["unused0"]) == (False, "local:100/vm-100-disk-1.qcow2")
    api.put(f"{VM}/config", scsi3=config["unused0"])
    assert api.get(f"{VM}/config")["scsi3"].startswith("local:100/vm-100-disk-1.qcow2,size=")


def test_cloud_init_drive_follows_the_settings_at_the_next_start(lab: Lab, api: Client) -> None:
    api.put(f"{VM}/config", scsi1="local:cloudinit", ciuser="first", ipconfig0="ip=10.94.1.20/24")
    drive = image(lab, api, slot="scsi1")
    api.run("POST", f"{VM}/status/start")
    written = drive.stat().st_ino
    api.put(f"{VM}/config", ciuser="second")
    assert api.get(f"{VM}/config")["ciuser"] == "second"
    assert drive.stat().st_ino == written

    api.run("POST", f"{VM}/status/stop")
    api.run("POST", f"{VM}/status/start")
    assert drive.stat().st_ino != written


def test_second_cloud_init_drive_is_refused(api: Client) -> None:
    api.put(f"{VM}/config", scsi1="local:cloudinit")
    refused = api.call("PUT", f"{VM}/config", {"scsi2": "local:cloudinit"})
    assert refused.reason == "scsi2 - cloud-init drive is already attached at 'scsi1'"


def test_protection_keeps_the_machine_and_its_disks(api: Client) -> None:
    api.put(f"{VM}/config", protection=1)
    assert api.call("DELETE", VM).reason == "can't remove VM 100 - protection mode enabled"
    refused = api.call("PUT", f"{VM}/config", {"delete": "scsi0"})
    assert refused.reason == "can't remove drive 'scsi0' - protection mode enabled"
    assert "scsi0" in api.get(f"{VM}/config")
    api.put(f"{VM}/config", protection=0)


def test_machine_that_cannot_be_made_leaves_nothing(lab: Lab, api: Client) -> None:
    upid = api.call(
        "POST",
        "/nodes/pve1/qemu",
        {"vmid": 102, "scsi0": "local:0.01", "scsi1": "local:0,import-from=local:import/none.qcow2"},
    ).data
    ended = api.end_of(upid)
    assert ended.startswith("unable to create VM 102 - cannot import from 'local:import/none.qcow2'")
    assert "102" not in [str(vm["vmid"]) for vm in api.get("/nodes/pve1/qemu")]
    assert not list(lab.state.glob("sites/paris/local/images/102/*"))


def test_clone_cut_short_by_a_crash_is_left_locked_and_can_be_removed_by_root(lab: Lab, api: Client) -> None:
    # A disk of zeros that are really there: copying it takes longer than the way to the kill.
    path = image(lab, api)
    subprocess.run(["qemu-img", "resize", "-q", str(path), "1G"], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 768M", str(path)], check=True, capture_output=True
    )
    upid = api.call("POST", f"{VM}/clone", {"newid": 101, "full": 1}).data
    lab.kill()
    lab.start()
    assert api.end_of(upid) == "unexpected status"
    assert api.get(f"{COPY}/config")["lock"] == "clone"
    assert api.call("PUT", f"{COPY}/config", {"description": "x"}).reason == "VM is locked (clone)"
    root = lab.client(user="root@pam")
    root.put(f"{COPY}/config", delete="lock", skiplock=1)
    root.run("DELETE", COPY, **{"destroy-unreferenced-disks": 1})
    assert not list(lab.state.glob("sites/paris/local/images/101/*"))


def test_running_task_can_be_stopped(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    upid = api.call("POST", f"{VM}/status/shutdown", {"timeout": 600}).data
    assert api.call("DELETE", f"/nodes/pve1/tasks/{upid}").status == 200
    assert api.end_of(upid) == "interrupted by signal"
    log = [line["t"] for line in api.get(f"/nodes/pve1/tasks/{upid}/log")]
    assert log[-1] == "TASK ERROR: interrupted by signal"
    newest = api.get("/nodes/pve1/tasks", errors=1, vmid=100, limit=1)
    assert [task["upid"] for task in newest] == [upid]


def test_busy_machine_lets_a_clone_wait_one_second_only(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    shutting_down = api.call("POST", f"{VM}/status/shutdown", {"timeout": 600}).data
    ended = api.end_of(api.call("POST", f"{VM}/clone", {"newid": 101}).data)
    assert ended == "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    assert api.call("GET", f"{COPY}/config").status == 500
    api.call("DELETE", f"/nodes/pve1/tasks/{shutting_down}").data  # noqa: B018 (a refusal fails)
    assert api.end_of(shutting_down) == "interrupted by signal"


def test_figures_come_from_real_counters(api: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    status = api.get(f"{VM}/status/current")
    assert status["mem"] > 1024**2  # QEMU itself, with the firmware that looks for something to boot
    assert status["cpus"] == 1
