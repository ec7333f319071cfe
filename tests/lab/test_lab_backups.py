"""Backups in the lab: real archives of stopped and running machines, restored, damaged, pruned, interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.lab_handle import Client, Lab
from tests.lab.test_lab_disks import COPY, PATTERN, VM, image, read, write

STORE = "backup-lyon"
_CONTENT = f"/nodes/pve1/storage/{STORE}/content"


@pytest.fixture(autouse=True)
def _no_archives_of_earlier_tests(api: Client) -> None:
    for archive in _archives(api):
        api.put(f"{_CONTENT}/{archive['volid']}", protected=0)
        api.run("DELETE", f"{_CONTENT}/{archive['volid']}")


def _archives(api: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(_CONTENT, content="backup")
    return found


def _backup(api: Client, **options: object) -> dict[str, Any]:
    before = {archive["volid"] for archive in _archives(api)}
    api.run("POST", "/nodes/pve1/vzdump", vmid=100, storage=STORE, **{"compress": "zstd", **options})
    return next(archive for archive in _archives(api) if archive["volid"] not in before)


def _path(api: Client, volid: str) -> Path:
    return Path(api.get(f"{_CONTENT}/{volid}")["path"])


def _log(api: Client, upid: str) -> list[str]:
    return [line["t"] for line in api.get(f"/nodes/pve1/tasks/{upid}/log", limit=0)]


def test_a_backup_of_a_stopped_machine_is_restored_byte_by_byte_with_its_settings(
    lab: Lab, api: Client
) -> None:
    write(image(lab, api), PATTERN)
    api.put(f"{VM}/config", description="of dupont", tags="a;b", net0="virtio,bridge=vmbr0")
    archive = _backup(api, **{"notes-template": "{{guestname}} is {{vmid}} on {{node}}\\nsecond line"})
    assert archive["volid"].endswith(".vma.zst") and archive["format"] == "vma.zst" and archive["vmid"] == 100
    assert archive["notes"].endswith("is 100 on pve1"), "a list shows the first line alone"
    assert api.get(f"{_CONTENT}/{archive['volid']}")["notes"].endswith("\nsecond line")
    options = {"vmid": 101, "archive": archive["volid"], "storage": "local", "unique": 1, "name": "restored"}
    api.run("POST", "/nodes/pve1/qemu", **options, description="a copy", onboot=0)
    original, copy = api.get(f"{VM}/config"), api.get(f"{COPY}/config")
    assert (copy["name"], copy["description"], copy["tags"]) == ("restored", "a copy", "a;b")
    assert copy["net0"] != original["net0"] and "bridge=vmbr0" in copy["net0"]
    assert "lock" not in original and "lock" not in copy
    assert read(image(lab, api, COPY)) == PATTERN


def test_a_running_machine_is_backed_up_as_it_was_at_one_moment_and_goes_on(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/status/start")
    upid = api.call(
        "POST", "/nodes/pve1/vzdump", {"vmid": 100, "storage": STORE, "mode": "snapshot", "compress": "zstd"}
    ).data
    assert api.end_of(upid) == "OK"
    log = "\n".join(_log(api, upid))
    for told in (
        "INFO: status = running",
        "INFO: backup mode: snapshot",
        "archive file size: ",
        "INFO: Finished Backup of VM 100 (00:0",
    ):
        assert told in log, log
    assert api.get(f"{VM}/status/current")["status"] == "running"
    api.run("POST", "/nodes/pve1/qemu", vmid=101, archive=_archives(api)[0]["volid"], storage="local")
    assert read(image(lab, api, COPY)) == PATTERN


def test_every_compression_and_several_disks(lab: Lab, api: Client) -> None:
    api.put(f"{VM}/config", scsi1="local:0.01,format=raw")
    write(image(lab, api), PATTERN)
    for compress, ending in (("0", ".vma"), ("gzip", ".vma.gz"), ("zstd", ".vma.zst")):
        archive = _backup(api, compress=compress)
        assert archive["volid"].endswith(ending)
        api.run("POST", "/nodes/pve1/qemu", vmid=101, archive=archive["volid"])
        config = api.get(f"{COPY}/config")
        assert config["scsi0"].endswith(".qcow2,size=64M") or ".qcow2" in config["scsi0"]
        assert ".raw" in config["scsi1"]
        assert read(image(lab, api, COPY)) == PATTERN
        api.run("DELETE", COPY)


def test_a_damaged_archive_fails_its_restore_and_leaves_an_empty_machine_as_a_node_does(
    lab: Lab, api: Client
) -> None:
    write(image(lab, api), PATTERN)
    archive = _backup(api)
    path = _path(api, archive["volid"])
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2], whole[:300] + b"\xff" + whole[301:]):
        path.write_bytes(damaged)
        upid = api.call(
            "POST", "/nodes/pve1/qemu", {"vmid": 101, "archive": archive["volid"], "storage": "local"}
        ).data
        assert "vma extract" in api.end_of(upid)
        assert set(api.get(f"{COPY}/config")) == {"digest"}, "VM state is NOT cleaned up, says Proxmox"
        api.run("DELETE", COPY)
    path.write_bytes(whole)
    api.run("POST", "/nodes/pve1/qemu", vmid=101, archive=archive["volid"], storage="local")


def test_what_is_refused(lab: Lab, api: Client) -> None:
    upid = api.call("POST", "/nodes/pve1/vzdump", {"vmid": 999, "storage": STORE}).data
    assert api.end_of(upid) == "job errors"
    assert "ERROR: Backup of VM 999 failed - unable to find VM '999'" in _log(api, upid)
    archive = _backup(api)
    taken = api.call("POST", "/nodes/pve1/qemu", {"vmid": 100, "archive": archive["volid"]})
    assert (
        taken.status == 500
        and "unable to restore VM 100 - VM 100 already exists on node 'pve1'" in taken.reason
    )
    conflict = api.call(
        "POST", "/nodes/pve1/qemu", {"vmid": 101, "archive": archive["volid"], "scsi0": "local:1"}
    )
    assert conflict.status == 400
    api.put(f"{_CONTENT}/{archive['volid']}", protected=1)
    removed = api.end_of(api.call("DELETE", f"{_CONTENT}/{archive['volid']}").data)
    assert removed.startswith("cannot remove protected volume")


def test_disks_change_their_owner_and_keep_their_content(lab: Lab, api: Client) -> None:
    write(image(lab, api), PATTERN)
    api.run("POST", "/nodes/pve1/qemu", vmid=101, memory=32)
    move = {"disk": "scsi0", "target-vmid": 101, "target-disk": "unused0"}
    api.run("POST", f"{VM}/move_disk", **move)
    assert "scsi0" not in api.get(f"{VM}/config")
    assert api.get(f"{COPY}/config")["unused0"].startswith("local:101/vm-101-disk-")
    back = {"disk": "unused0", "target-vmid": 100, "target-disk": "scsi0"}
    api.run("POST", f"{COPY}/move_disk", **back)
    assert read(image(lab, api)) == PATTERN
