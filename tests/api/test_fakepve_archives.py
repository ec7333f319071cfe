"""The modelled cluster's storages, archives and task lists, held against what a real Proxmox VE was seen to answer."""

from __future__ import annotations

import pytest

from orchestrator.proxmox import Cluster, Protected, ServerError, StorageFull
from tests.api.fakepve_handle import FakePve
from tests.api.vzdump_calls import ARCHIVE, NIGHT, ON_B, SIZE, begin, config_lock, failure, finish, prepare


@pytest.fixture(autouse=True)
def machines(fakepve: FakePve) -> None:
    prepare(fakepve)


def test_a_protected_archive_stays(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_archives([{"storage": "backup-b", "vmid": 141, "ctime": NIGHT, "size": SIZE}])
    cluster.put(f"{ON_B}/content/{ARCHIVE}", protected=1)
    error = failure(cluster, cluster.delete(f"{ON_B}/content/{ARCHIVE}"))
    name = ARCHIVE.removeprefix("backup-b:")
    assert error.exitstatus == f"cannot remove protected volume '{name}' on 'backup-b'"
    assert isinstance(error.cause, Protected)
    cluster.put(f"{ON_B}/content/{ARCHIVE}", protected=0)
    result = cluster.run_task("DELETE", f"{ON_B}/content/{ARCHIVE}")
    assert result.upid.split(":")[5:7] == ["imgdel", "141@backup-b"]
    assert fakepve.archives("backup-b") == []
    assert cluster.get(f"{ON_B}/status")["used"] == 0


def test_a_storage_that_is_not_there(fakepve: FakePve, cluster: Cluster) -> None:
    missing = "could not activate storage 'nosuch': storage 'nosuch' does not exist"
    also = "could not get storage information for 'nosuch': storage 'nosuch' does not exist"
    assert failure(cluster, begin(cluster, storage="nosuch")).exitstatus == f"{missing} {also}"
    fakepve.set_storage("backup-b", active=False, type="nfs")
    offline = "storage 'backup-b' is not online"
    assert failure(cluster, begin(cluster)).exitstatus == f"could not activate storage 'backup-b': {offline}"
    with pytest.raises(ServerError, match=offline):
        cluster.get(f"{ON_B}/content", content="backup")
    listed = {entry["storage"]: entry for entry in cluster.get("/cluster/resources", type="storage")}
    assert (listed["backup-b"]["status"], listed["local"]["status"]) == ("unknown", "available")
    assert "maxdisk" not in listed["backup-b"]
    fakepve.set_storage("backup-b", active=True)
    finish(fakepve, cluster, begin(cluster))
    assert len(fakepve.archives("backup-b")) == 1


def test_a_storage_that_goes_away_meanwhile(fakepve: FakePve, cluster: Cluster) -> None:
    upid = begin(cluster)
    fakepve.set_storage("backup-b", active=False)
    fakepve.set_clock(NIGHT + 10)
    assert failure(cluster, upid).exitstatus == "job errors"
    assert fakepve.archives("backup-b") == []
    assert config_lock(fakepve) is None


def test_a_storage_that_is_read_only(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_archives([{"storage": "backup-b", "vmid": 141, "ctime": NIGHT - 60}])
    fakepve.set_storage("backup-b", readonly=True)
    assert any(
        "unable to create temporary directory" in line for line in failure(cluster, begin(cluster)).log_tail
    )
    (archive,) = fakepve.archives("backup-b")
    removal = failure(cluster, cluster.delete(f"{ON_B}/content/{archive['volid']}"))
    assert "Read-only file system" in removal.exitstatus
    assert len(fakepve.archives("backup-b")) == 1


def test_a_full_storage(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.set_storage("backup-b", used=1024**3 - SIZE + 1)
    upid = begin(cluster)
    fakepve.set_clock(NIGHT + 10)
    error = failure(cluster, upid)
    assert error.exitstatus == "job errors"
    assert isinstance(error.cause, StorageFull)
    assert any(line.startswith("ERROR: ") and "No space left on device" in line for line in error.log_tail)
    assert fakepve.archives("backup-b") == []
    assert cluster.get(f"{ON_B}/status")["avail"] == SIZE - 1, "what was written is removed"


def test_prune_keeps_the_newest_of_each_day(fakepve: FakePve, cluster: Cluster) -> None:
    day = 86400
    times = [NIGHT, NIGHT - 60, NIGHT - 2 * day, NIGHT - 3 * day]
    fakepve.add_archives(
        [{"storage": "backup-b", "vmid": 141, "ctime": at, "protected": at == times[3]} for at in times]
        + [{"storage": "backup-b", "vmid": 142, "ctime": NIGHT}]
    )
    wanted = {"prune-backups": "keep-daily=1", "type": "qemu", "vmid": 141}
    preview = cluster.get(f"{ON_B}/prunebackups", params=wanted)
    assert {entry["ctime"]: entry["mark"] for entry in preview} == dict(
        zip(times, ("keep", "remove", "remove", "protected"), strict=True)
    )
    assert len(fakepve.archives("backup-b")) == 5
    result = cluster.run_task("DELETE", f"{ON_B}/prunebackups", params=wanted)
    assert result.upid.split(":")[5:7] == ["prunebackups", "141@backup-b"]
    assert [archive["ctime"] for archive in fakepve.archives("backup-b", vmid=141)] == [times[0], times[3]]
    assert len(fakepve.archives("backup-b", vmid=142)) == 1


def test_tens_of_thousands_of_archives(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_archives(
        [
            {"storage": "backup-b", "vmid": 1000 + n % 2000, "ctime": NIGHT - n, "size": 1}
            for n in range(62_000)
        ]
    )
    assert len(cluster.get(f"{ON_B}/content", content="backup")) == 62_000
    assert len(cluster.get(f"{ON_B}/content", content="backup", vmid=1500)) == 31


def test_tasks_are_listed_by_state(fakepve: FakePve, cluster: Cluster) -> None:
    finish(fakepve, cluster, begin(cluster))
    running = begin(cluster, 142)
    (active,) = cluster.get("/nodes/pve1/tasks", source="active")
    assert (active["upid"], active["status"], active["type"]) == (running, "RUNNING", "vzdump")
    (ended,) = cluster.get("/nodes/pve1/tasks", typefilter="vzdump")
    assert (ended["id"], ended["status"], ended["user"], ended["tokenid"]) == (
        "141",
        "OK",
        "orchestrator@pve",
        "apply",
    )
    assert ended["endtime"] >= ended["starttime"] == NIGHT
    assert [task["id"] for task in cluster.get("/nodes/pve1/tasks", source="all")] == ["142", "141"]
    assert [task["id"] for task in cluster.get("/nodes/pve1/tasks", source="all", limit=1)] == ["142"]
    assert cluster.get("/nodes/pve1/tasks", source="all", vmid=141) == [ended]


def test_an_archive_that_is_gone(fakepve: FakePve, cluster: Cluster) -> None:
    with pytest.raises(ServerError, match=f"volume_size_info on '{ARCHIVE}' failed - no format"):
        cluster.get(f"{ON_B}/content/{ARCHIVE}")
    assert cluster.put(f"{ON_B}/content/{ARCHIVE}", notes="x") is None, "Proxmox does not look"
    assert fakepve.archives("backup-b") == []
    cluster.run_task("DELETE", f"{ON_B}/content/{ARCHIVE}")
