"""Tasks: waiting for them, and how they end."""

from __future__ import annotations

import pytest

from orchestrator.proxmox import (
    AlreadyRunning,
    BadAnswer,
    Cluster,
    Locked,
    LockTimeout,
    NotFound,
    ServerError,
    StorageFull,
    TaskFailed,
    TaskTimeout,
)
from orchestrator.proxmox.tasks import parse_upid
from tests.api.fakepve_handle import FakePve

START = "/nodes/pve1/qemu/1000/status/start"


@pytest.fixture(autouse=True)
def one_vm(fakepve: FakePve) -> None:
    fakepve.add_vms(1)


def failing(cluster: Cluster, path: str = START, **params: object) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        cluster.run_task("POST", path, params=params)
    return caught.value


def test_a_task_that_ends_well(cluster: Cluster) -> None:
    result = cluster.run_task("POST", START)
    assert (result.node, result.kind, result.exitstatus, result.warnings) == ("pve1", "qmstart", "OK", 0)
    assert parse_upid(result.upid) is not None
    assert result.seconds >= 0


def test_a_task_that_takes_its_time_is_waited_for(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("pace", time_scale=0.05)
    fakepve.control("set_vm", vmid=1000, start_secs=20)
    cluster.run_task("POST", START)
    assert fakepve.dump()["vms"]["1000"]["status"] == "running"
    assert cluster.calls["GET"] > 1


def test_warnings_are_counted_and_no_failure(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.fault("POST", START, "task", text="WARNINGS: 3")
    assert cluster.run_task("POST", START).warnings == 3


def test_a_task_that_fails(fakepve: FakePve, cluster: Cluster) -> None:
    log = [f"line {n}" for n in range(30)]
    fakepve.fault("POST", START, "task", text="start failed: QEMU exited with code 1", log=log)
    error = failing(cluster)
    assert error.exitstatus == error.text == "start failed: QEMU exited with code 1"
    assert error.cause is None
    assert error.call == "task qmstart 1000 on pve1"
    assert error.log_tail[-1] == "TASK ERROR: start failed: QEMU exited with code 1"
    assert len(error.log_tail) == 20
    assert error.upid in error.remedy
    assert str(error).startswith("paris: task qmstart 1000 on pve1: start failed")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("VM is locked (backup)", Locked),
        ("can't lock file '/var/lock/qemu-server/lock-1000.conf' - got timeout", LockTimeout),
        ("clone failed: cfs-lock 'storage-ceph' error: got lock request timeout", LockTimeout),
        ("clone failed: unable to write to storage 'local': No space left on device", StorageFull),
        ("VM 1000 already running", AlreadyRunning),
        ("snapshot 'nosuch' does not exist", NotFound),
        ("volume 'local:snippets/u.yaml' does not exist", NotFound),
        ("snapshot feature is not available", ServerError),
        ("VM quit/powerdown failed - got timeout", ServerError),
    ],
)
def test_why_a_task_failed_is_told_as_for_calls(
    fakepve: FakePve, cluster: Cluster, text: str, kind: type[Exception]
) -> None:
    fakepve.fault("POST", START, "task", text=text)
    error = failing(cluster)
    assert type(error.cause) is kind
    assert error.cause.remedy in error.remedy


def test_the_remedy_of_a_locked_machine_names_it(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("set_vm", vmid=1000, lock="backup")
    error = failing(cluster)
    assert isinstance(error.cause, Locked)
    assert error.cause.mark == "backup"
    assert "`qm unlock 1000` on node pve1" in str(error)


def test_the_reason_of_a_backup_job_stands_in_its_log(fakepve: FakePve, cluster: Cluster) -> None:
    log = ["INFO: starting new backup job", "ERROR: Backup of VM 999 failed - unable to find VM '999'"]
    fakepve.fault("POST", "/nodes/pve1/vzdump", "task", text="job errors", log=log)
    error = failing(cluster, "/nodes/pve1/vzdump", vmid="999", storage="local")
    assert isinstance(error.cause, NotFound)
    assert error.exitstatus == "job errors"
    assert "unable to find VM '999'" in str(error)


def test_a_task_fails_the_same_if_its_log_cannot_be_had(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.fault("POST", START, "task", text="VM is locked (backup)")
    fakepve.fault("GET", "/nodes/pve1/tasks/.*/log", "error", text="boom", times=3)
    error = failing(cluster)
    assert isinstance(error.cause, Locked)
    assert error.log_tail == ()


def test_a_task_that_does_not_end_in_time(fakepve: FakePve, cluster: Cluster) -> None:
    fakepve.control("pace", time_scale=1.0)
    fakepve.control("set_vm", vmid=1000, start_secs=3600)
    with pytest.raises(TaskTimeout, match=r"did not end within 0\.05 s") as caught:
        cluster.run_task("POST", START, timeout_seconds=0.05)
    assert parse_upid(caught.value.upid) is not None
    assert caught.value.upid in str(caught.value)


def test_trouble_while_waiting_is_lived_through(fakepve: FakePve, cluster: Cluster) -> None:
    for kind, options in (
        ("reset", {}),
        ("error", {"status": 595, "text": "Connection refused"}),
        ("error", {"text": "cluster not ready - no quorum?"}),
        ("html", {"status": 503}),
    ):
        fakepve.fault("GET", "/nodes/pve1/tasks/.*/status", kind, times=3, **options)
    assert cluster.run_task("POST", START).exitstatus == "OK"
    assert cluster.calls["GET"] == 13


def test_an_api_that_restarts_while_waiting_is_waited_for(fakepve: FakePve) -> None:
    looks: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "GET":
            looks.append(path)
            if len(looks) in (1, 4):
                fakepve.control("listen", listening=len(looks) == 4)

    assert fakepve.cluster(on_call=before).run_task("POST", START).exitstatus == "OK"
    assert len(looks) == 4


def test_an_api_that_stays_away_ends_the_wait(fakepve: FakePve, cluster: Cluster) -> None:
    upid = cluster.post(START)
    fakepve.control("listen", listening=False)
    with pytest.raises(TaskTimeout, match="Connection refused"):
        cluster.wait_for_task(upid, timeout_seconds=0.05)


def test_a_task_that_nobody_knows(cluster: Cluster) -> None:
    with pytest.raises(NotFound):
        cluster.wait_for_task("UPID:pve1:00000001:00000001:00000001:qmstart:1000:root@pam:")


def test_what_is_no_task_is_not_waited_for(cluster: Cluster) -> None:
    with pytest.raises(BadAnswer, match="not the name of a task"):
        cluster.wait_for_task("OK")
    with pytest.raises(ServerError, match="instead of a task"):
        cluster.run_task("PUT", "/nodes/pve1/qemu/1000/config", params={"description": "x"})
