"""Snapshots, backups, restores and a night, with a machine that really runs.

One booted guest for the whole module; the tests run in their order and each leaves it as the next one finds it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from lab.vma import CLUSTER, VmaReader, VmaWriter
from tests.api.desk import CLIENT_KEY, machine, subscription
from tests.lab.lab_handle import Client
from tests.lab.stage import CLIENT, PARIS, Stage

_NAME = "dupont/web-1"
_HOST = "web-1.dupont"
_FILE = "/home/admin/precious"
_BOOT_SECONDS = 300.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("nights"))
    disks = [{"name": "system", "size": "3GiB"}, {"name": "data", "size": "1GiB"}]
    web = machine("web-1", vcpus=2, memory="512MiB", disks=disks, backup={"retention_days": 7})
    made.files = {"dupont": subscription("dupont", [web])}
    made.files["dupont"]["administration"] = {
        "ssh_keys": [CLIENT_KEY],
        "allowed_from": [f"{PARIS}{CLIENT}/32"],
    }
    made.open()
    try:
        made.write()
        answer = made.run("apply", "--yes")
        assert answer.code == 0, answer
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def api(stage: Stage) -> Client:
    return stage.lab.client()


def _vm(api: Client, name: str = "web-1") -> dict[str, Any]:
    return next(vm for vm in api.machines() if vm["name"] == name)


def _write(stage: Stage, text: str) -> None:
    done = stage.inside(_HOST).run(f"echo {text} > {_FILE} && sync")
    assert done.rc == 0, done


def _content(stage: Stage) -> str | None:
    found = stage.inside(_HOST).run(f"cat {_FILE}")
    return found.stdout.strip() if found.rc == 0 else None


def test_nothing_is_wrong_with_the_lab_and_its_guests_can_ask_what_updates_are_due(stage: Stage) -> None:
    looked = stage.run("doctor")
    assert looked.code == 0, looked
    stage.files["dupont"]["managed_services"] = {
        "level": "supervision",
        "maintenance_window": {"days": ["tuesday"], "from": "22:00", "to": "23:30"},
    }
    stage.write()
    due = stage.run("updates", "dupont", "--format", "json")
    assert due.code == 0, due
    (found,) = json.loads(due.out)["machines"]
    assert (found["machine"], found["problem"], found["packages"]) == ("web-1", None, []), found
    del stage.files["dupont"]["managed_services"]
    stage.write()


def test_a_file_that_was_deleted_is_back_after_a_rollback(stage: Stage, api: Client) -> None:
    _write(stage, "before-the-upgrade")
    taken = stage.run("snapshot", "create", _NAME, "before-upgrade")
    assert taken.code == 0, taken
    assert stage.inside(_HOST).run(f"rm {_FILE} && sync").rc == 0
    stage.inside(_HOST).run("sudo nft delete table inet orchestrator")
    back = stage.run("snapshot", "rollback", _NAME, "before-upgrade", "--yes")
    assert back.code == 0, back
    assert "Everything written since then to these disks is lost" in back.out
    assert "it runs, its firewall and its clock are right" in back.out
    assert _content(stage) == "before-the-upgrade"
    assert "policy drop" in stage.inside(_HOST).run("sudo nft list table inet orchestrator").stdout
    assert _vm(api)["status"] == "running"
    assert "no changes" in stage.run("plan").out
    assert stage.run("snapshot", "delete", _NAME, "before-upgrade", "--yes").code == 0


def test_the_clock_of_a_guest_that_is_behind_is_set(stage: Stage) -> None:
    assert stage.run("snapshot", "create", _NAME, "clock").code == 0
    stage.inside(_HOST).run("sudo date -s '2026-01-01 00:00:00' && sudo hwclock --systohc; true")
    assert stage.run("snapshot", "rollback", _NAME, "clock", "--yes").code == 0
    assert abs(float(stage.inside(_HOST).run("date +%s").stdout) - time.time()) < 60
    assert stage.run("snapshot", "delete", _NAME, "clock", "--yes").code == 0


def test_a_backup_restored_beside_the_original_boots_unplugged_with_its_files(
    stage: Stage, api: Client
) -> None:
    _write(stage, "worth-keeping")
    made = stage.run("backup", "now", _NAME)
    assert made.code == 0 and "backup-lyon:backup/vzdump-qemu-" in made.out, made
    restored = stage.run("backup", "restore", _NAME, "--as", "web-1-copy")
    assert restored.code == 0 and "stopped and unplugged" in restored.out, restored
    copy = _vm(api, "web-1-copy")
    path = f"/nodes/{copy['node']}/qemu/{copy['vmid']}"
    config, original = (
        api.get(f"{path}/config"),
        api.get(f"/nodes/{copy['node']}/qemu/{_vm(api)['vmid']}/config"),
    )
    assert "link_down=1" in config["net0"] and config["net0"].split(",")[0] != original["net0"].split(",")[0]
    assert "no changes" in stage.run("plan").out, "the copy is not taken for the original"
    api.run("POST", f"{path}/status/start")
    _await_agent(api, path)
    content = api.get(f"{path}/agent/file-read", file=_FILE)["content"]
    assert content.strip() == "worth-keeping"
    assert _content(stage) == "worth-keeping", "the original still answers at its address"
    api.run("POST", f"{path}/status/stop")
    api.run("DELETE", path, purge=1)


def _await_agent(api: Client, path: str) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while api.call("POST", f"{path}/agent/ping").status != 200:
        assert time.monotonic() < deadline, "its agent stays silent"
        time.sleep(1)


def test_a_restore_into_the_original_brings_the_file_back_and_keeps_its_number(
    stage: Stage, api: Client
) -> None:
    before = _vm(api)["vmid"]
    assert stage.inside(_HOST).run(f"rm {_FILE} && sync").rc == 0
    refused = stage.run("backup", "restore", _NAME, "--in-place")
    assert refused.code == 1 and "--confirm dupont/web-1" in refused.err, refused
    restored = stage.run("backup", "restore", _NAME, "--in-place", "--confirm", _NAME)
    assert restored.code == 0, restored
    assert _content(stage) == "worth-keeping" and _vm(api)["vmid"] == before
    assert len([vm for vm in api.machines() if not vm["template"]]) == 1
    config = api.get(f"/nodes/{_vm(api)['node']}/qemu/{before}/config")
    assert not [key for key in config if key.startswith("unused")], "the replaced disks are gone"
    assert "no changes" in stage.run("plan").out


def test_a_night_backs_up_and_proves_that_the_machine_can_be_brought_back(stage: Stage, api: Client) -> None:
    metrics = stage.folder / "night.prom"
    answer = stage.run(
        "nightly",
        "--in-working-hours",
        "--metrics-file",
        str(metrics),
        "--report-dir",
        str(stage.folder / "reports"),
    )
    assert answer.code == 0, answer
    events = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    names = [event["event"] for event in events]
    assert names[0] == "night-started" and "night-ended" in names
    tested = next(event for event in events if event["event"] == "restore-test-ended")
    assert tested["sound"] is True and "with the host keys of the original" in tested["found"]
    assert "file systems sound: / (ext4)" in tested["found"]
    report = next((stage.folder / "reports").glob("night-*.md")).read_text()
    assert "dupont" in report and "web-1" in report
    assert (
        'orchestrator_restore_tested_timestamp_seconds{client="dupont",machine="web-1",site="paris"}'
        in metrics.read_text()
    )
    again = stage.run("nightly", "--in-working-hours", "--report-dir", str(stage.folder / "reports"))
    assert again.code == 0 and "1 of 1 backup" in again.out, "the same night does nothing twice"
    assert "backup-started" not in again.out and "restore-test-started" not in again.out


def test_a_restore_that_does_not_boot_gives_the_machine_its_own_disks_back(stage: Stage, api: Client) -> None:
    _write(stage, "still-mine")
    made = stage.run("backup", "now", _NAME)
    assert made.code == 0, made
    volid = made.out.split()[-3]
    _empty_the_disks(Path(api.get(f"/nodes/{_vm(api)['node']}/storage/backup-lyon/content/{volid}")["path"]))
    before = _vm(api)["vmid"]
    arguments = ("--in-place", "--archive", volid, "--confirm", _NAME, "--boot-timeout", "60")
    failed = stage.run("backup", "restore", _NAME, *arguments)
    assert failed.code == 1 and "its guest agent was silent for 60 s" in failed.err, failed
    assert "Its own disks are back, and it runs again" in failed.err
    assert (_vm(api)["vmid"], _vm(api)["status"]) == (before, "running")
    own = api.get(f"/nodes/{_vm(api)['node']}/qemu/{before}/agent/file-read", file=_FILE)["content"]
    assert own.strip() == "still-mine"
    assert [vm["name"] for vm in api.machines() if not vm["template"]] == ["web-1"]
    assert "no changes" in stage.run("plan").out
    api.run("DELETE", f"/nodes/{_vm(api)['node']}/storage/backup-lyon/content/{volid}")


def _empty_the_disks(archive: Path) -> None:
    """Make an archive one of empty disks: whole, restorable, and nothing to boot from."""
    with subprocess.Popen(["zstd", "-q", "-d", "-c", str(archive)], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        header = VmaReader(cast(BinaryIO, source.stdout)).header
        source.kill()
    plain = archive.with_suffix(".plain")
    with plain.open("wb") as target:
        writer = VmaWriter(target, header)
        for number, device in header.devices.items():
            for cluster in range(-(-device.size // CLUSTER)):
                writer.write(number, cluster, b"")
        writer.close()
    subprocess.run(["zstd", "-q", "-f", str(plain), "-o", str(archive)], check=True)
    plain.unlink()


def test_a_damaged_archive_fails_its_restore_test_and_says_so(stage: Stage, api: Client) -> None:
    listed = json.loads(stage.run("backup", "list", _NAME, "--format", "json").out)
    volid = listed[0]["archives"][-1]["volid"]
    path = Path(api.get(f"/nodes/{_vm(api)['node']}/storage/backup-lyon/content/{volid}")["path"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    failed = stage.run("backup", "verify", _NAME, "--archive", volid)
    assert failed.code == 1 and volid in failed.err and "vma extract" in failed.err, failed
    assert "FAILED" in stage.run("backup", "list", _NAME).out
    assert [vm["name"] for vm in api.machines() if not vm["template"]] == ["web-1"]
    history = json.loads(stage.run("history", _NAME, "--format", "json", "--limit", "3").out)
    assert ("restore test", "failed") in [(entry["action"], entry["result"]) for entry in history]
