"""A Proxmox Backup Server as backup storage, as fakepve has it after Proxmox's own storage plugin (PBSPlugin.pm)."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest

from orchestrator.applying.restore_task import running_restore
from orchestrator.nightly.archive_step import DamagedArchive
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.retention_step import HeldArchives, RetentionLine
from orchestrator.nightly.storage_step import StorageLine
from orchestrator.proxmox import read_archives, read_cluster
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes, read_archive_mark
from tests.api.desk import Desk
from tests.api.night_desk import MONDAY_NIGHT, STORE, NightDesk

_DAY = 86400
_GIB = 1024**3


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    made = NightDesk(desk)
    _server(made, STORE)
    return made


def _server(night: NightDesk, name: str, total: int = 100 * _GIB) -> None:
    night.fake.add_storage(
        name, type="pbs", shared=True, server="pbs.example.net", datastore="tank", total=total
    )


def _seed(night: NightDesk, ages: list[float], *, at: dt.datetime = MONDAY_NIGHT, size: int = _GIB) -> None:
    """Archives of web-1 that are so many days old."""
    notes = archive_notes(ArchiveMark(client="dupont", machine="web-1", contract="C-dupont", days=7))
    vmid = night.vmid("web-1")
    night.fake.add_archives(
        [
            {
                "storage": STORE,
                "vmid": vmid,
                "ctime": int(at.timestamp() - age * _DAY),
                "size": size,
                "notes": notes,
            }
            for age in ages
        ]
    )


def test_a_night_backs_up_to_a_backup_server_tests_a_restore_and_removes_what_is_over(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    _seed(night, [8, 2])
    night.fake.backup_behaviour(default_size=80 * _GIB)
    report = night.night()
    assert report.well, report
    (made,) = report.of(BackupLine)
    assert made.result == "done" and made.size == 80 * _GIB
    name = rf"{STORE}:backup/vm/{night.vmid('web-1')}/[0-9-]{{10}}T[0-9:]{{8}}Z"
    assert all(re.fullmatch(name, archive["volid"]) for archive in night.archives())
    assert [line.result for line in report.of(RetentionLine)] == ["removed"]
    assert len(night.archives()) == 2
    (tested,) = report.of(RestoreTestLine)
    assert tested.result == "sound" and tested.volid == night.archives()[-1]["volid"]
    mark = read_archive_mark(night.archives()[-1]["notes"])
    assert mark and mark.test and mark.test.sound and mark.volume == tested.volid.partition(":")[2]
    assert set(night.desk.machines()) == {"web-1"}
    # 80 GiB before deduplication, seven times, on 100 GiB: that says nothing of the room that they take.
    (store,) = [line for line in report.of(StorageLine) if line.name == STORE]
    assert store.forecast == () and store.full_on is None and store.message == ""
    assert report.of(MachineLine)[0].deduplicated
    assert "avant déduplication" in render_night(report, form="html", client="dupont")
    assert "before deduplication" in render_night(report, form="md", language="en")


def test_the_same_night_finds_its_archive_on_a_backup_server_and_makes_no_other(night: NightDesk) -> None:
    night.deliver("web-1")
    assert night.night().well
    again = night.night(MONDAY_NIGHT + dt.timedelta(hours=3))
    assert {line.result for line in again.of(BackupLine)} == {"earlier"} and len(night.archives()) == 1


def test_a_failed_verification_makes_an_archive_not_good_and_is_told(night: NightDesk) -> None:
    night.deliver("web-1")
    _seed(night, [2, 1])
    older, newer = night.archives()
    night.fake.control("verify_archive", volid=older["volid"], state="ok")
    night.fake.control("verify_archive", volid=newer["volid"], state="failed")
    night.fake.backup_behaviour(fail={night.vmid("web-1"): "backup connect failed: command error"})
    report = night.night()
    (damaged,) = report.of(DamagedArchive)
    assert (damaged.machine, damaged.volid) == ("web-1", newer["volid"]) and not report.well
    newest = report.of(MachineLine)[0].newest_good
    assert newest is not None and int(newest.timestamp()) == older["ctime"]
    assert [line.volid for line in report.of(RestoreTestLine)] == [older["volid"]]
    provider = render_night(report, form="md", language="en")
    assert "Verification of a backup failed" in provider and newer["volid"] in provider
    client = render_night(report, form="html", client="dupont")
    assert "Vérification d’une sauvegarde échouée" in client and newer["volid"] not in client
    text = night.desk.run("backup", "list").out
    assert "verification FAILED" in text and "verification ok" in text
    assert "before deduplication" in text
    listed = json.loads(night.desk.run("backup", "list", "--format", "json").out)[0]["archives"]
    states = {archive["volid"]: archive["verification"] for archive in listed}
    assert states == {older["volid"]: "ok", newer["volid"]: "failed"}
    assert all(archive["before_deduplication"] for archive in listed)


def test_a_token_that_may_only_back_up_judges_the_retention_and_says_so_once(night: NightDesk) -> None:
    night.deliver("web-1")
    _seed(night, [30, 20, 10, 9, 8])
    night.fake.control("set_storage", name=STORE, role="DatastoreBackup")
    report = night.night()
    assert report.well, "the server's own prune job removes them"
    assert report.of(RetentionLine) == () and len(night.archives()) == 6
    (held,) = report.of(HeldArchives)
    assert (held.storage, held.archives, held.size) == (STORE, 5, 5 * _GIB)
    assert "missing Datastore.Modify|Datastore.Prune on /datastore/tank" in held.reason
    removals = [count for call, count in night.fake.calls("DELETE").items() if "/content/" in call]
    assert sum(removals) == 1, "tried once a night, not once an archive"
    assert "The token may only back up" in render_night(report, form="md", language="en")
    assert "Datastore" not in render_night(report, form="md", client="dupont")


def test_what_a_backup_server_still_writes_or_keeps_for_others_is_no_backup_of_ours(night: NightDesk) -> None:
    night.deliver("web-1")
    _seed(night, [1])
    vmid = night.vmid("web-1")
    now = int(MONDAY_NIGHT.timestamp())
    night.fake.add_archives(
        [
            {
                "storage": STORE,
                "vmid": vmid,
                "ctime": now - 60,
                "size": 1,
                "notes": night.archives()[0]["notes"],
            },
            {"storage": STORE, "vmid": 4711, "ctime": now - 99, "size": 5, "encrypted": "aa:bb:cc"},
        ]
    )
    night.fake.backup_behaviour(fail={vmid: "backup connect failed"})
    report = night.night()
    newest = report.of(MachineLine)[0].newest_good
    assert newest is not None and int(newest.timestamp()) == now - _DAY, "one without a size is not complete"
    assert len(night.archives()) == 3


def test_archives_of_a_backup_server_are_restored_beside_the_machine_verified_and_protected(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    assert night.desk.run("backup", "now", "dupont/web-1").code == 0
    volid = night.archives()[0]["volid"]
    beside = night.desk.run("backup", "restore", "dupont/web-1", "--as", "web-1-tuesday", "--archive", volid)
    assert beside.code == 0 and "web-1-tuesday" in night.desk.machines(), beside
    verified = night.desk.run("backup", "verify", "dupont/web-1", "--archive", volid)
    assert verified.code == 0, verified
    volume = json.loads(night.desk.run("backup", "volume", "--format", "json").out)
    assert volume["clients"] == {"dupont": _GIB}
    night.fake.cluster().put(f"/nodes/pve1/storage/{STORE}/content/{volid}", params={"protected": 1})
    assert "protected" in night.desk.run("backup", "list").out


def test_the_second_copy_goes_to_another_backup_server_of_the_same_site(night: NightDesk) -> None:
    other = "pbs-lyon-2"
    _server(night, other)
    night.desk.sites["paris"]["backup_storages"].append({"name": other, "site": "lyon"})
    night.desk.write_sites()
    night.deliver("web-1", days=None, backup={"retention_days": 7, "copies": 2})
    report = night.night()
    assert report.well, report
    assert len(night.fake.archives(STORE)) == len(night.fake.archives(other)) == 1


def test_a_running_restore_is_told_by_machine_and_time_for_other_machines_have_archives_of_that_second(
    night: NightDesk,
) -> None:
    night.deliver("web-1")
    own = night.vmid("web-1")
    now = int(MONDAY_NIGHT.timestamp())
    pair = [{"storage": STORE, "vmid": vmid, "ctime": now, "size": _GIB} for vmid in (own, own + 1000)]
    night.fake.add_archives(pair)
    cluster = night.fake.cluster()
    archives = {vmid: list(read_archives(cluster, "pve1", STORE, vmid=vmid)) for vmid in (own, own + 1000)}
    night.fake.restore_behaviour(default_seconds=3600.0)
    volid = archives[own + 1000][0].volid
    upid = cluster.post("/nodes/pve1/qemu", params={"vmid": 5000, "archive": volid, "storage": "local"})
    state = read_cluster(cluster)
    assert running_restore(cluster, state, archives[own + 1000]) == upid
    assert running_restore(cluster, state, archives[own]) is None
