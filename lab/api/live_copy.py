"""Copying disks of a running guest, as they are at one moment, through its QEMU."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from qemu.qmp import QMPClient

from lab import disks
from lab.api.cluster import Cluster
from lab.api.errors import Refused
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.guest_spec import node_name


async def copy_running(
    cluster: Cluster, vmid: int, slot: str, source: Volume, target: Volume, log: Log
) -> None:
    """Fill `target` (an empty file that the caller has reserved) with the disk in `slot` of a running guest.

    Raises:
        Refused: QEMU could not finish the copy.
    """
    target.path.unlink()
    await disks.create(target.path, size=source.virtual_size(), format=target.format)
    job = f"clone-{slot}-{target.owner}"
    async with cluster.guests.monitor(cluster.node, vmid) as monitor:
        await monitor.execute("blockdev-add", _target_node(job, target))
        try:
            await _run_job(monitor, job, slot)
        finally:
            await monitor.execute("blockdev-del", {"node-name": job})
    log(f"{slot}: copied from the running machine")


async def copy_all_running(
    cluster: Cluster,
    vmid: int,
    disks_: Mapping[str, tuple[Volume, Path]],
    begun: Callable[[], Awaitable[None]],
) -> None:
    """Copy several disks of a running guest into raw images, all as they are at the same moment.

    Args:
        cluster, vmid: the guest.
        disks_: by slot, the disk and its image, which is made.
        begun: called as soon as the moment is fixed: from then on the guest may write again.

    Raises:
        Refused: QEMU could not finish a copy.
    """
    jobs = {slot: f"backup-{slot}" for slot in disks_}
    async with cluster.guests.monitor(cluster.node, vmid) as monitor:
        added: list[str] = []
        try:
            for slot, (source, image) in disks_.items():
                await disks.create(image, size=source.virtual_size(), format="raw")
                file = {"driver": "file", "filename": str(image)}
                node = {"driver": "raw", "node-name": jobs[slot], "discard": "unmap", "file": file}
                await monitor.execute("blockdev-add", node)
                added.append(jobs[slot])
            await _run_together(monitor, jobs, begun)
        finally:
            for job in added:
                await monitor.execute("blockdev-del", {"node-name": job})


async def _run_together(
    monitor: QMPClient, jobs: Mapping[str, str], begun: Callable[[], Awaitable[None]]
) -> None:
    actions = [
        {
            "type": "blockdev-backup",
            "data": {"job-id": job, "device": node_name(slot), "target": job, "sync": "full"},
        }
        for slot, job in jobs.items()
    ]
    waiting, failures = set(jobs.values()), list[str]()
    with monitor.listener(("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")) as ended:
        try:
            await monitor.execute("transaction", {"actions": actions})
        finally:
            await begun()
        try:
            await _all_ended(ended, waiting, failures)
        except asyncio.CancelledError:
            for job in sorted(waiting):
                await monitor.execute("block-job-cancel", {"device": job, "force": True})
            await _all_ended(ended, waiting, failures)
            raise
    if failures:
        raise Refused(f"backup of a running disk failed: {'; '.join(failures)}")


async def _all_ended(events: Any, waiting: set[str], failures: list[str]) -> None:
    if not waiting:
        return
    async for event in events:
        data = cast(dict[str, Any], event["data"])
        if data.get("device") in waiting:
            waiting.discard(data["device"])
            if data.get("error"):
                failures.append(str(data["error"]))
        if not waiting:
            return
    failures.append("the machine was stopped")


def _target_node(job: str, target: Volume) -> dict[str, object]:
    file = {"driver": "file", "filename": str(target.path)}
    return {"driver": target.format, "node-name": job, "file": file}


async def _run_job(monitor: QMPClient, job: str, slot: str) -> None:
    with monitor.listener(("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")) as ended:
        arguments = {"job-id": job, "device": node_name(slot), "target": job, "sync": "full"}
        await monitor.execute("blockdev-backup", arguments)
        try:
            failure = await _end_of_job(ended, job)
        except asyncio.CancelledError:
            await monitor.execute("block-job-cancel", {"device": job, "force": True})
            await _end_of_job(ended, job)
            raise
    if failure:
        raise Refused(f"block job (copy) of {slot} failed: {failure}")


async def _end_of_job(events: Any, job: str) -> str | None:
    async for event in events:
        data = cast(dict[str, Any], event["data"])
        if data.get("device") == job:
            return cast(str | None, data.get("error"))
    return "the machine was stopped"
