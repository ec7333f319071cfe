"""Backups as the tests of the modelled cluster ask for them, at the time of the recorded ones."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.proxmox import Cluster, TaskFailed
from tests.api.fakepve_handle import FakePve

NIGHT = 1795415587
"""2026-11-23 06:33:07 UTC, when the recorded backup of VM 141 began."""
ARCHIVE = "backup-b:backup/vzdump-qemu-141-2026_11_23-06_33_07.vma.zst"
ON_B = "/nodes/pve1/storage/backup-b"
SIZE = 129 * 1024**2


def prepare(fakepve: FakePve) -> None:
    """Two machines, a storage for backups, and a clock that all but stands still: it moves when it is set."""
    fakepve.add_vms(2, first=141, status="running", config={"agent": "1"})
    fakepve.add_storage("backup-b", path="/srv/backup-b", total=1024**3, used=0)
    fakepve.clock(NIGHT, speed=0.001)
    fakepve.backup_behaviour(default_seconds=9, default_size=SIZE)


def begin(cluster: Cluster, vmid: int | str = 141, node: str = "pve1", **more: Any) -> str:
    usual = {"vmid": str(vmid), "storage": "backup-b", "mode": "snapshot", "compress": "zstd"}
    return str(cluster.post(f"/nodes/{node}/vzdump", params={**usual, **more}))


def finish(fakepve: FakePve, cluster: Cluster, *upids: str) -> None:
    """Let the time of all these backups pass."""
    for upid in upids:
        fakepve.set_clock(fakepve.now() + 10)
        cluster.wait_for_task(upid)


def log_of(cluster: Cluster, upid: str) -> list[str]:
    node = upid.split(":")[1]
    return [line["t"] for line in cluster.get(f"/nodes/{node}/tasks/{upid}/log", limit=500)]


def failure(cluster: Cluster, upid: str) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        cluster.wait_for_task(upid)
    return caught.value


def config_lock(fakepve: FakePve, vmid: int = 141) -> object:
    return fakepve.dump()["vms"][str(vmid)]["lock"]
