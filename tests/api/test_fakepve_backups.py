"""The modelled cluster's backups, held against what a real Proxmox VE was seen to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orchestrator.proxmox import BadParameters, Cluster, Locked, NotFound, Unreachable
from tests.api.fakepve_handle import FakePve
from tests.api.vzdump_calls import (
    ARCHIVE,
    NIGHT,
    ON_B,
    SIZE,
    begin,
    config_lock,
    failure,
    finish,
    log_of,
    prepare,
)

RECORDED = """\
INFO: Starting Backup of VM 141 (qemu)
INFO: Backup started at 2026-11-23 06:33:07
INFO: status = running
INFO: VM Name: vm-141
INFO: include disk 'scsi0' 'local:141/vm-141-disk-0.qcow2' 4G
INFO: backup mode: snapshot
INFO: ionice priority: 7
INFO: creating vzdump archive '/srv/backup-b/dump/vzdump-qemu-141-2026_11_23-06_33_07.vma.zst'
INFO: issuing guest-agent 'fs-freeze' command
INFO: issuing guest-agent 'fs-thaw' command
INFO: resuming VM again
INFO: archive file size: 129MB
INFO: Finished Backup of VM 141 (00:00:09)
INFO: Backup finished at 2026-11-23 06:33:16
INFO: Backup job finished successfully
TASK OK"""


@pytest.fixture(autouse=True)
def machines(fakepve: FakePve) -> None:
    prepare(fakepve)


def in_order(lines: list[str]) -> Callable[[str], bool]:
    rest: Iterator[str] = iter(lines)
    return lambda wanted: wanted in rest


def test_a_backup_locks_its_machine_and_leaves_an_archive(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("set_config", vmid=141, agent="1")
    upid = begin(cluster)
    assert (upid.split(":")[1], upid.split(":")[5:7]) == ("pve1", ["vzdump", "141"])
    (listed,) = [vm for vm in cluster.get("/cluster/resources", type="vm") if vm["vmid"] == 141]
    assert listed["lock"] == "backup"
    with pytest.raises(Locked):
        cluster.put("/nodes/pve1/qemu/141/config", description="x")
    assert cluster.get(f"{ON_B}/content", content="backup") == []
    finish(fakepve, cluster, upid)
    assert config_lock(fakepve) is None
    assert cluster.get(f"{ON_B}/content", content="backup", vmid=141) == [
        {
            "volid": ARCHIVE,
            "content": "backup",
            "subtype": "qemu",
            "format": "vma.zst",
            "vmid": 141,
            "ctime": NIGHT,
            "size": SIZE,
        }
    ]
    assert cluster.get(f"{ON_B}/content", content="backup", vmid=142) == []
    seen = in_order(log_of(cluster, upid))
    assert [line for line in RECORDED.splitlines() if not seen(line)] == []
    assert cluster.get(f"{ON_B}/status")["used"] == SIZE


def test_the_clocks_speed_shortens_the_wait_not_the_backup(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.clock(NIGHT, speed=100_000)
    fakepve.backup_behaviour(seconds={141: 3600})
    upid = begin(cluster)
    cluster.wait_for_task(upid)
    (run,) = fakepve.backup_runs()
    assert run["ended"] - run["started"] == 3600
    (task,) = cluster.get("/nodes/pve1/tasks", typefilter="vzdump")
    assert NIGHT <= task["starttime"] <= run["started"]
    assert task["endtime"] >= int(run["ended"])
    assert [archive["ctime"] for archive in fakepve.archives("backup-b")] == [int(run["started"])]
    assert "INFO: Finished Backup of VM 141 (01:00:00)" in log_of(cluster, upid)


def test_notes_are_written_from_their_template(fakepve: FakePve, cluster: Cluster) -> None:
    template = r"{{guestname}} {{vmid}} on {{node}} of {{cluster}}\nback\\slash"
    finish(fakepve, cluster, begin(cluster, **{"notes-template": template}))
    notes = cluster.get(f"{ON_B}/content/{ARCHIVE}")["notes"]
    assert notes == "vm-141 141 on pve1 of fakecluster\nback\\slash"
    (listed,) = cluster.get(f"{ON_B}/content", content="backup")
    assert listed["notes"] == "vm-141 141 on pve1 of fakecluster", "Proxmox lists the first line"
    cluster.put(f"{ON_B}/content/{ARCHIVE}", notes="others")
    assert fakepve.archives("backup-b")[0]["notes"] == "others"


def test_unknown_variables_of_notes_are_refused(cluster: Cluster) -> None:
    with pytest.raises(BadParameters) as caught:
        begin(cluster, **{"notes-template": "{{foo}}"})
    assert caught.value.errors == {"notes-template": "found unknown: variable 'foo' at char 4\n"}


def test_one_backup_at_a_time_on_a_node(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1, first=201, node="pve2", status="running")
    first, second, elsewhere = begin(cluster), begin(cluster, 142), begin(cluster, 201, node="pve2")
    assert log_of(cluster, second) == ["INFO: trying to get global lock - waiting..."]
    assert (config_lock(fakepve), config_lock(fakepve, 142)) == ("backup", None)
    finish(fakepve, cluster, first, second, elsewhere)
    runs = {run["vmid"]: run for run in fakepve.backup_runs()}
    assert runs[142]["started"] >= runs[141]["ended"]
    assert all(run["ok"] for run in runs.values())
    assert fakepve.backup_peaks() == {
        "nodes": {"pve1": 1, "pve2": 1},
        "storages": {"backup-b": 2},
        "cluster": {"all": 2},
    }


def test_a_backup_of_a_machine_elsewhere_does_nothing(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.add_vms(1, first=201, node="pve2")
    assert begin(cluster, 201) == "OK"
    assert cluster.get("/nodes/pve1/tasks", source="all") == []


def test_a_stopped_task_leaves_no_archive(fakepve: FakePve, cluster: Cluster) -> None:
    first, second = begin(cluster), begin(cluster, 142)
    cluster.delete(f"/nodes/pve1/tasks/{first}")
    assert failure(cluster, first).exitstatus == "interrupted by signal"
    seen = in_order(log_of(cluster, first))
    for line in (
        "ERROR: interrupted by signal",
        "INFO: aborting backup job",
        "INFO: resuming VM again",
        "ERROR: Backup of VM 141 failed - interrupted by signal",
        "INFO: Failed at 2026-11-23 06:33:07",
        "ERROR: Backup job failed - interrupted by signal",
        "TASK ERROR: interrupted by signal",
    ):
        assert seen(line), line
    assert config_lock(fakepve) is None
    finish(fakepve, cluster, second)
    assert [archive["vmid"] for archive in fakepve.archives("backup-b")] == [142]
    assert cluster.get(f"{ON_B}/status")["used"] == SIZE


def test_who_waits_can_be_stopped_too(fakepve: FakePve, cluster: Cluster) -> None:
    first, second = begin(cluster), begin(cluster, 142)
    cluster.delete(f"/nodes/pve1/tasks/{second}")
    assert failure(cluster, second).exitstatus == "unexpected status"
    finish(fakepve, cluster, first, begin(cluster, 142))
    assert [run["vmid"] for run in fakepve.backup_runs()] == [141, 142]


def test_nobody_waits_longer_than_three_hours(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.backup_behaviour(seconds={141: 4 * 3600})
    begin(cluster)
    second = begin(cluster, 142)
    fakepve.set_clock(NIGHT + 3 * 3600 + 60)
    error = failure(cluster, second)
    assert error.log_tail[-1] == "ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout"
    assert config_lock(fakepve) == "backup"


def test_failures_stand_in_the_log(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.set_lock(142, "snapshot")
    for vmid, text, cause in (
        (999, "unable to find VM '999'", NotFound),
        (142, "VM is locked (snapshot)", Locked),
    ):
        error = failure(cluster, begin(cluster, vmid))
        assert error.exitstatus == "job errors"
        assert f"ERROR: Backup of VM {vmid} failed - {text}" in error.log_tail
        assert isinstance(error.cause, cause)
    assert config_lock(fakepve, 142) == "snapshot"
    assert [run["ok"] for run in fakepve.backup_runs()] == [False, False]


def test_failures_on_demand(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.backup_behaviour(default_seconds=0, fail={141: 1, 142: "job failed with err -28"})
    log = log_of(cluster, failure(cluster, begin(cluster, "141,142")).upid)
    assert "ERROR: Backup of VM 141 failed - job failed with err -5 - Input/output error" in log
    assert "ERROR: Backup of VM 142 failed - job failed with err -28" in log
    assert failure(cluster, begin(cluster, "141,142")).exitstatus == "job errors"
    assert [archive["vmid"] for archive in fakepve.archives("backup-b")] == [141]


def test_somebody_elses_backup(fakepve: FakePve, cluster: Cluster) -> None:
    theirs = fakepve.run_foreign_backup(141, 9)
    (task,) = cluster.get("/cluster/tasks")
    assert (task["upid"], task["user"], task["id"], "endtime" in task) == (theirs, "root@pam", "141", False)
    with pytest.raises(Locked):
        cluster.put("/nodes/pve1/qemu/141/config", description="x")
    mine = begin(cluster, 142)
    finish(fakepve, cluster, theirs, mine)
    assert [archive["vmid"] for archive in fakepve.archives("backup-b")] == [142]


def test_a_node_that_goes_away_during_its_backup(fakepve: FakePve, cluster: Cluster) -> None:
    upid = begin(cluster)
    fakepve.node_online("pve1", False)
    with pytest.raises(Unreachable):
        cluster.get(f"/nodes/pve1/tasks/{upid}/status")
    fakepve.node_online("pve1", True)
    assert failure(cluster, upid).exitstatus == "unexpected status"
    assert fakepve.archives("backup-b") == []
    assert config_lock(fakepve) == "backup"
    error = failure(cluster, begin(cluster))
    assert isinstance(error.cause, Locked)
    fakepve.set_lock(141, None)
    finish(fakepve, cluster, begin(cluster))
    assert [archive["vmid"] for archive in fakepve.archives("backup-b")] == [141]
