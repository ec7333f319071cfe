"""Copying the disk of a running guest, as it is at one moment, through its QEMU."""

from __future__ import annotations

import asyncio
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
