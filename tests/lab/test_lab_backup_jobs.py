"""What a backup does to the machine and to the storage, while it runs and when it ends badly."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.backups import (
    CONTENT,
    STORE,
    archives,
    ask,
    back_up,
    folder,
    log,
    mounted,
    remove_archives,
    tell_qemu,
    until,
)
from tests.lab.lab_handle import Client, Lab
from tests.lab.test_lab_disks import COPY, VM, image, write

SLOW = 4096
"""KiB a second: a backup of one of the small disks then takes some seconds."""


@pytest.fixture
def root(lab: Lab, api: Client) -> Iterator[Client]:
    """Root's token: only it may limit a backup's speed. Nothing is on the storage before and after."""
    remove_archives(api)
    api.put(f"{VM}/config", agent="0")
    yield lab.client(user="root")
    remove_archives(api)


def status(api: Client) -> tuple[str, str | None]:
    """Status and lock of VM 100."""
    shown = api.get(f"{VM}/status/current")
    return shown["status"], shown.get("lock")


def traces(api: Client) -> list[str]:
    """All that is in the storage's folder."""
    return [path.name for path in (folder(api) / "dump").iterdir()]


def bytes_of(path: Path) -> set[int]:
    """Which bytes there are in the first 10 MiB of a disk."""
    raw = path.with_suffix(".raw-copy")
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(path), str(raw)], check=True)
    content = raw.read_bytes()[: 10 * 1024**2]
    raw.unlink()
    return set(content)


def test_disks_are_as_they_were_when_it_began(lab: Lab, api: Client, root: Client) -> None:
    api.put(f"{VM}/config", scsi1="local:0.01,format=qcow2")
    for slot in ("scsi0", "scsi1"):
        fill = ["qemu-io", "-f", "qcow2", "-c", "write -P 0x41 0 10M", str(image(lab, api, slot=slot))]
        subprocess.run(fill, check=True, capture_output=True)
    api.run("POST", f"{VM}/status/start")
    upid = ask(root, bwlimit=SLOW)
    until(lambda: "started backup task" in log(api, upid))
    for slot in ("scsi1", "scsi0"):  # as the guest would write
        write_all = f'qemu-io -d {slot} "write -P 0x55 0 10M"'
        tell_qemu(lab, "human-monitor-command", **{"command-line": write_all})
    assert status(api) == ("running", "backup")
    assert api.end_of(upid) == "OK"
    (archive,) = archives(api)
    api.run("POST", "/nodes/pve1/qemu", vmid=101, archive=archive)
    api.run("POST", f"{VM}/status/stop")
    for slot in ("scsi0", "scsi1"):
        assert bytes_of(image(lab, api, COPY, slot)) == {ord("A")}
        assert bytes_of(image(lab, api, VM, slot)) == {0x55}


def test_machine_is_locked_and_can_be_looked_at_meanwhile(api: Client, root: Client) -> None:
    api.run("POST", f"{VM}/status/start")
    upid = ask(root, bwlimit=SLOW // 2)
    until(lambda: status(api) == ("running", "backup"))
    seen = {vm["vmid"]: vm.get("lock") for vm in api.get("/cluster/resources", type="vm")}
    refused = api.call("PUT", f"{VM}/config", {"description": "x"})
    second = ask(api)
    until(lambda: bool(log(api, second)))
    waits = log(api, second)
    stopped = api.end_of(api.call("POST", f"{VM}/status/stop").data)
    assert api.get(f"/nodes/pve1/tasks/{upid}/status")["status"] == "running", "too quick to look at"
    assert seen == {100: "backup"}
    assert (refused.status, refused.reason) == (500, "VM is locked (backup)")
    assert waits == "INFO: trying to get global lock - waiting..."
    assert stopped == "VM is locked (backup)"
    assert traces(api) and not archives(api), "what is not complete is not listed"
    assert [api.end_of(upid), api.end_of(second)] == ["OK", "OK"]
    assert status(api) == ("running", None)
    assert len(archives(api)) == 2


def test_killed_lab_leaves_the_lock_and_the_next_backup_finds_its_way(
    lab: Lab, api: Client, root: Client
) -> None:
    api.run("POST", f"{VM}/status/start")
    upid = ask(root, bwlimit=64)
    until(lambda: "started backup task" in log(api, upid))
    lab.kill()
    lab.start()
    assert api.end_of(upid) == "unexpected status"
    assert status(api) == ("running", "backup")
    locked = ask(api)
    assert api.end_of(locked) == "job errors"
    assert "ERROR: Backup of VM 100 failed - VM is locked (backup)\n" in log(api, locked)
    (left,) = (folder(api) / "dump").iterdir()
    left.rmdir()
    lab.client(user="root@pam").put(f"{VM}/config", delete="lock", skiplock=1)
    assert back_up(api) in archives(api)
    assert tell_qemu(lab, "query-jobs") == []


@pytest.mark.parametrize("runs", [True, False])
def test_stopped_task_leaves_no_archive_and_no_lock(api: Client, root: Client, runs: bool) -> None:
    if runs:
        api.run("POST", f"{VM}/status/start")
    upid = ask(root, bwlimit=64, compress="zstd")
    until(lambda: "started backup task" in log(api, upid))
    assert root.call("DELETE", f"/nodes/pve1/tasks/{upid}").status == 200
    assert api.end_of(upid) == "interrupted by signal"
    said = log(api, upid)
    assert "INFO: aborting backup job\n" in said
    assert "ERROR: Backup of VM 100 failed - interrupted by signal\n" in said
    assert said.endswith("failed - interrupted by signal\nTASK ERROR: interrupted by signal")
    assert status(api) == ("running" if runs else "stopped", None)
    assert traces(api) == []
    assert back_up(api).endswith(".vma"), "nothing in QEMU is in the next one's way"


def test_one_machine_that_fails_does_not_keep_the_others(api: Client, root: Client) -> None:
    upid = ask(api, vmid="999,100")
    assert api.end_of(upid) == "job errors"
    assert "ERROR: Backup of VM 999 failed - unable to find VM '999'\n" in log(api, upid)
    assert "INFO: Backup job finished with errors\n" in log(api, upid)
    assert len(archives(api)) == 1
    assert upid.split(":")[6] == ""


def test_storage_that_cannot_be_written_to_or_is_not_there(api: Client, root: Client) -> None:
    place = folder(api)
    with mounted(place / "dump", "ro"):
        upid = ask(api)
        assert api.end_of(upid) == "job errors"
        assert "failed - unable to create temporary directory '" in log(api, upid)
        assert status(api) == ("stopped", None)
    away = place.rename(place.with_name("away"))
    try:
        text = f"unable to activate storage '{STORE}' - directory '{place}' does not exist or is unreachable"
        assert api.end_of(ask(api)) == f"could not activate storage '{STORE}': {text}"
        assert api.call("GET", CONTENT).reason == text
        listed = {item["storage"]: item for item in api.get("/cluster/resources", type="storage")}
        assert (listed[STORE]["status"], listed[STORE]["maxdisk"]) == ("unknown", 0)
    finally:
        away.rename(place)


@pytest.mark.parametrize("compress", ["0", "gzip", "zstd"])
def test_full_storage(lab: Lab, api: Client, root: Client, compress: str) -> None:
    write(image(lab, api), os.urandom(6 * 1024**2))
    with mounted(folder(api), "size=2m"):
        figures = {item["storage"]: item for item in api.get("/cluster/resources", type="storage")}[STORE]
        upid = ask(api, compress=compress)
        assert api.end_of(upid) == "job errors"
        # Whether the stream or the program behind it notices first is a matter of buffers.
        noticed = r"(vma_queue_write: write error - Broken pipe|.+ failed - wrong exit status \d+)"
        assert re.search(rf"^ERROR: Backup of VM 100 failed - {noticed}$", log(api, upid), re.MULTILINE)
        assert "No space left on device" in log(api, upid)
        assert traces(api) == []
    assert (figures["plugintype"], figures["maxdisk"], figures["status"]) == ("dir", 2 * 1024**2, "available")
    assert status(api) == ("stopped", None)


def test_notes(api: Client, root: Client) -> None:
    template = "{{cluster}}/{{node}}/{{vmid}}/{{guestname}} \\\\ {{literal }}\\nsecond"
    volid = back_up(api, **{"notes-template": template})
    expected = "standalone node/pve1/100/tiny \\ {{literal }}\nsecond"
    assert api.get(f"{CONTENT}/{volid}")["notes"] == expected
    assert (folder(api) / "dump" / f"{volid.rpartition('/')[2]}.notes").read_text() == expected


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"bwlimit": 1}, 403, "Permission check failed (/, Sys.Modify)"),
        ({"mode": "suspend"}, 501, "Backup mode 'suspend' not implemented"),
        ({"compress": "lzo"}, 501, "Compression 'lzo' not implemented"),
        ({"vmid": ""}, 400, "property is missing"),
        ({"vmid": "1x"}, 400, "invalid format - value does not look like a valid VM ID\n"),
        ({"notes-template": "\\t"}, 400, "found unknown: escape sequence '\\t' at char 0\n"),
        ({"notes-template": "a\nb"}, 400, "contains a line feed\n"),
    ],
)
def test_what_is_refused_at_once(
    api: Client, root: Client, options: dict[str, object], status: int, words: str
) -> None:
    answer = api.call("POST", "/nodes/pve1/vzdump", {"vmid": 100, "storage": STORE, **options})
    said = {answer.reason, *(answer.body.get("errors") or {}).values()}
    assert (answer.status, words in said) == (status, True), answer
