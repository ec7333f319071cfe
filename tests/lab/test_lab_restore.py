"""What a restore makes of an archive and of the machine that it replaces."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab.backups import CONTENT, STORE, archives, back_up, folder, log, remove_archives
from tests.lab.lab_handle import Client, Lab
from tests.lab.test_lab_disks import COPY, PATTERN, VM, image, read, write

OTHER = b"something else!!" * 4096


@pytest.fixture
def archive(lab: Lab, api: Client) -> Iterator[str]:
    """An archive of VM 100, whose disk then gets another content."""
    remove_archives(api)
    write(image(lab, api), PATTERN)
    yield back_up(api, compress="zstd")
    remove_archives(api)


def restore(api: Client, archive: str, **options: object) -> str:
    """Restore as VM 101 unless told; how the task ended."""
    asked = {"vmid": 101, "archive": archive, "storage": "local", **options}
    return api.end_of(api.call("POST", "/nodes/pve1/qemu", asked).data)


def images(api: Client, vmid: int) -> list[str]:
    """Names of a machine's disks."""
    listed = api.get("/nodes/pve1/storage/local/content", content="images", vmid=vmid)
    return [volume["volid"].rpartition("/")[2] for volume in listed]


def test_machine_is_replaced(lab: Lab, api: Client, archive: str) -> None:
    before = api.get(f"{VM}/config")
    api.put(f"{VM}/config", memory=64, scsi1="local:0.01,format=qcow2")
    write(image(lab, api), OTHER)
    api.run("POST", f"{VM}/snapshot", snapname="later")
    kept = api.get(f"{VM}/config")["scsi1"].partition(",")[0]

    assert restore(api, archive, vmid=100, force=1, description="again") == "OK"

    after = api.get(f"{VM}/config")
    assert read(image(lab, api)) == PATTERN
    assert (after["memory"], after["net0"], after["smbios1"]) == ("32", before["net0"], before["smbios1"])
    assert after["vmgenid"] != before["vmgenid"]
    assert after["description"] == "again"
    assert (after["unused0"], "scsi1" in after) == (kept, False)
    assert [entry["name"] for entry in api.get(f"{VM}/snapshot")] == ["current"]
    assert len(images(api, 100)) == 2
    api.run("POST", f"{VM}/status/start")


def test_machine_is_not_replaced_while_it_runs_or_is_protected_or_locked(
    lab: Lab, api: Client, archive: str
) -> None:
    write(image(lab, api), OTHER)
    api.run("POST", f"{VM}/status/start")
    assert restore(api, archive, vmid=100, force=1) == "unable to restore VM 100 - vm is running"
    assert api.get(f"{VM}/status/current")["status"] == "running"
    api.run("POST", f"{VM}/status/stop")
    api.put(f"{VM}/config", protection=1)
    ended = restore(api, archive, vmid=100, force=1)
    api.put(f"{VM}/config", protection=0)
    assert ended == "unable to restore VM 100 - protection mode enabled"
    root = lab.client(user="root@pam")
    root.put(f"{VM}/config", lock="backup")
    refused = api.call("POST", "/nodes/pve1/qemu", {"vmid": 100, "archive": archive, "force": 1})
    root.put(f"{VM}/config", delete="lock", skiplock=1)
    assert refused.reason == "unable to restore VM 100 - VM is locked (backup)"
    assert read(image(lab, api)) == OTHER
    assert "lock" not in api.get(f"{VM}/config")


def test_damaged_archive_leaves_of_a_replaced_machine_what_a_node_leaves(lab: Lab, api: Client) -> None:
    remove_archives(api)
    write(image(lab, api), os.urandom(2 * 1024**2))
    volid = back_up(api, compress="zstd")
    path = folder(api) / "dump" / volid.rpartition("/")[2]
    path.write_bytes(path.read_bytes()[:-500_000])
    asked = {"vmid": 100, "archive": volid, "force": 1}
    upid = api.call("POST", "/nodes/pve1/qemu", asked).data
    ended = api.end_of(upid)
    assert ended.startswith(f"command 'set -o pipefail && zstd -q -d -c {path} | vma extract ")
    assert ended.endswith(" failed: exit code 1")
    said = log(api, upid)
    assert "vma: restore failed - short vma extent (" in said
    assert "temporary volume 'local:100/vm-100-disk-0.qcow2' successfully removed\n" in said
    assert "error before or during data restore, some or all disks were not completely restored." in said
    config = api.get(f"{VM}/config")
    assert {key: config[key] for key in config if key != "digest"} == {"memory": "128"}
    assert images(api, 100) == []
    remove_archives(api)


def test_archive_whose_beginning_is_damaged_leaves_the_machine_as_it_was(
    lab: Lab, api: Client, archive: str
) -> None:
    write(image(lab, api), OTHER)
    before = api.get(f"{VM}/config")
    path = folder(api) / "dump" / archive.rpartition("/")[2]
    path.write_bytes(path.read_bytes()[:-8])
    assert restore(api, archive, vmid=100, force=1).endswith(" failed: exit code 1")
    assert api.get(f"{VM}/config") == before
    assert read(image(lab, api)) == OTHER


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_changed_byte_in_the_data_is_noticed_by_the_compression(lab: Lab, api: Client, compress: str) -> None:
    remove_archives(api)
    write(image(lab, api), os.urandom(1024**2))
    volid = back_up(api, compress=compress)
    path = folder(api) / "dump" / volid.rpartition("/")[2]
    content = path.read_bytes()
    for place in (len(content) // 2, len(content) - 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert "exit code 1" in restore(api, volid), place
        api.run("DELETE", COPY)
    remove_archives(api)


@pytest.mark.parametrize("compress", ["0", "gzip", "zstd"])
def test_archive_that_ends_too_early(lab: Lab, api: Client, compress: str) -> None:
    remove_archives(api)
    write(image(lab, api), PATTERN)
    volid = back_up(api, compress=compress)
    path = folder(api) / "dump" / volid.rpartition("/")[2]
    content = path.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 20, 0):
        path.write_bytes(content[:length])
        assert "exit code 1" in restore(api, volid), length
        assert images(api, 101) == []
        api.run("DELETE", COPY)
    remove_archives(api)


def test_what_the_request_says_goes_over_the_archive(lab: Lab, api: Client, archive: str) -> None:
    api.call("POST", "/pools", {"poolid": "client-restored"})
    options: dict[str, object] = {"name": "copy", "tags": "B;a", "onboot": 0, "memory": 48, "protection": 0}
    options |= {"net0": "virtio,bridge=vmbr0,link_down=1", "pool": "client-restored"}
    assert restore(api, archive, unique=1, **options) == "OK"
    original, copy = api.get(f"{VM}/config"), api.get(f"{COPY}/config")
    assert (copy["name"], copy["tags"], copy["memory"], copy["onboot"]) == ("copy", "a;b", "48", 0)
    assert "link_down=1" in copy["net0"]
    assert original["net0"].split(",")[0] not in copy["net0"]
    assert copy["smbios1"] != original["smbios1"]
    assert [member["vmid"] for member in api.get("/pools/client-restored")["members"]] == [101]
    assert read(image(lab, api, COPY)) == PATTERN
    api.run("DELETE", COPY)
    api.call("DELETE", "/pools/client-restored").data  # noqa: B018 (a refusal fails)


def test_the_configuration_in_an_archive_is_the_machines_of_that_day(api: Client, archive: str) -> None:
    before = api.get(f"{VM}/config")
    api.put(f"{VM}/config", description="changed since")
    text = api.get("/nodes/pve1/vzdump/extractconfig", volume=archive)
    assert f"smbios1: {before['smbios1']}\n" in text and "changed since" not in text
    assert "#qmdump#map:scsi0:drive-scsi0:local:" in text


def test_cloud_init_drive_is_made_anew_and_the_copy_starts(lab: Lab, api: Client) -> None:
    remove_archives(api)
    api.put(f"{VM}/config", scsi1="local:cloudinit", ciuser="someone", ipconfig0="ip=10.96.1.20/24")
    drive = image(lab, api, slot="scsi1").read_bytes()
    volid = back_up(api)
    assert b"drive-scsi1" not in (folder(api) / "dump" / volid.rpartition("/")[2]).read_bytes()
    assert restore(api, volid, unique=1, start=1) == "OK"
    copy = api.get(f"{COPY}/config")
    assert copy["scsi1"].startswith("local:101/vm-101-cloudinit.qcow2,")
    assert copy["ciuser"] == "someone"
    assert image(lab, api, COPY, "scsi1").read_bytes() != drive
    assert api.get(f"{COPY}/status/current")["status"] == "running"
    remove_archives(api)


def test_disk_without_backup_is_left_out(api: Client) -> None:
    remove_archives(api)
    api.put(f"{VM}/config", scsi1="local:0.01,backup=0", description="mine")
    volid = back_up(api)
    assert restore(api, volid) == "OK"
    copy = api.get(f"{COPY}/config")
    assert "scsi1" not in copy
    assert copy["description"].startswith("mine\nscsi1: local:100/vm-100-disk-1.raw,backup=0")
    remove_archives(api)


def test_template_is_restored_as_one(lab: Lab, api: Client) -> None:
    remove_archives(api)
    write(image(lab, api), PATTERN)
    api.run("POST", f"{VM}/template")
    volid = back_up(api)
    assert restore(api, volid) == "OK"
    assert api.get(f"{COPY}/config")["scsi0"].startswith("local:101/base-101-disk-0.qcow2")
    assert api.machines()[-1]["template"] == 1
    assert read(image(lab, api, COPY)) == PATTERN
    remove_archives(api)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"archive": "local:100/vm-100-disk-0.qcow2"}, "unable to use volume local:100/vm-100-disk-0.qcow2"),
        ({"archive": f"{STORE}:backup/vzdump-qemu-100-2026_01_01-00_00_00.vma"}, "can't find archive file"),
        ({"archive": "nosuch:backup/x.vma"}, "storage 'nosuch' does not exist"),
        ({"unique": 1}, "missing property - 'unique' requires this property"),
        ({"force": 1}, "missing property - 'force' requires this property"),
        ({"live-restore": 1}, "Parameter 'live-restore' not implemented"),
    ],
)
def test_what_is_refused_at_once(api: Client, options: dict[str, object], words: str) -> None:
    answer = api.call("POST", "/nodes/pve1/qemu", {"vmid": 101, **options})
    said = [answer.reason, *(answer.body.get("errors") or {}).values()]
    assert any(text.startswith(words) for text in said), answer
    assert api.call("GET", f"{COPY}/config").status == 500


def test_archive_of_another_format_is_told_by_its_content(api: Client) -> None:
    remove_archives(api)
    path = folder(api) / "dump" / "vzdump-qemu-100-2026_01_01-00_00_00.vma"
    path.write_bytes(b"not an archive at all".ljust(20000))
    (volid,) = archives(api)
    upid = api.call("POST", "/nodes/pve1/qemu", {"vmid": 101, "archive": volid}).data
    assert api.end_of(upid).endswith("failed: exit code 1")
    assert "vma: restore failed - not a vma file - wrong magic number\n" in log(api, upid)
    api.run("DELETE", f"{CONTENT}/{volid}")
