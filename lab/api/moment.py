"""Copies of disks of a machine, as they are at one moment: for backups all of them, for a clone one by one.

Of a running guest QEMU makes them: one block job a disk, all begun in one transaction. What the guest
overwrites meanwhile is copied before it is. The monitor is held for moments only: QEMU serves one client at
a time, and whoever asks for the guest's state meanwhile must get an answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from lab import disks
from lab.api.cluster import Cluster
from lab.api.errors import Refused
from lab.api.storage import Volume
from lab.commands import run_reporting
from lab.guest_spec import node_name
from lab.qemu import GuestNotRunningError

_PREFIX = "copy-"
_SECTOR = 512
_LOOK_SECONDS = 0.2
_LINE_SECONDS = 2
_PERCENT = re.compile(r"\((\d+\.\d+)/100%\)")

Report = Callable[[int], None]
"""Is told how many bytes of all disks were looked at so far."""


@dataclass(frozen=True)
class DiskImage:
    """One disk, and the image that is made of it.

    Attributes:
        slot: `scsi0` to `scsi30`.
        volume: the disk.
        size: bytes that the guest sees.
        path: the image.
        format: the image's.
    """

    slot: str
    volume: Volume
    size: int
    path: Path
    format: str = "raw"

    @property
    def job(self) -> str:
        """QEMU's name of the block job and of its target."""
        return f"{_PREFIX}{self.slot}"


def disk_image(slot: str, volume: Volume, folder: Path) -> DiskImage:
    """A disk and the place of its image; nothing is made yet.

    Raises:
        Refused: there is no such disk.
    """
    size = -(-volume.virtual_size() // _SECTOR) * _SECTOR
    return DiskImage(slot, volume, size, folder / f"{node_name(slot)}.raw")


async def copy_stopped(images: list[DiskImage], rate: int, report: Report) -> None:
    """Copy the disks of a machine that is off and stays so.

    Args:
        images: the disks.
        rate: bytes a second at most, 0 for no limit.
        report: is told how far it is.

    Raises:
        CommandFailedError: a disk cannot be read, or there is no space.
    """
    before = 0
    for image in images:

        def translate(piece: str, image: DiskImage = image, before: int = before) -> None:
            if found := _PERCENT.search(piece):
                report(before + int(image.size * float(found[1]) / 100))

        limit = ("-r", str(rate)) if rate else ()
        formats = ("-f", image.volume.format, "-O", "raw")
        paths = (str(image.volume.path), str(image.path))
        await run_reporting("qemu-img", "convert", "-p", *limit, *formats, *paths, report=translate)
        before += image.size


async def copy_running(cluster: Cluster, vmid: int, image: DiskImage) -> None:
    """Copy one disk of a running guest.

    Raises:
        Refused: QEMU could not finish the copy, or the guest has gone down.
        CommandFailedError: the image cannot be made.
    """
    copy = RunningCopy(cluster, vmid, [image])
    try:
        await copy.begin(rate=0)
        await copy.finish(lambda done: None)
    except (QMPError, GuestNotRunningError) as error:
        raise Refused(f"block job (copy) of {image.slot} failed: {error}") from error
    finally:
        with suppress(GuestNotRunningError):
            await copy.end()


class RunningCopy:
    """The block jobs of one running guest: `begin`, `finish`, and in any case `end`."""

    def __init__(self, cluster: Cluster, vmid: int, images: list[DiskImage]) -> None:
        self._cluster = cluster
        self._vmid = vmid
        self._images = images

    async def begin(self, rate: int) -> None:
        """Begin all jobs at one moment; `rate` is bytes a second at most, 0 for no limit.

        Raises:
            GuestNotRunningError: it has gone down.
            qemu.qmp.ExecuteError: QEMU refused.
        """
        for image in self._images:
            image.path.unlink(missing_ok=True)
            await disks.create(image.path, size=image.size, format=image.format)
        async with self._monitor() as monitor:
            await _clear(monitor)
            for image in self._images:
                await monitor.execute("blockdev-add", _target(image))
            actions = [_action(image, rate) for image in self._images]
            await monitor.execute("transaction", {"actions": actions})

    async def finish(self, report: Report) -> None:
        """Wait until all is copied.

        Raises:
            Refused: a disk could not be copied.
            GuestNotRunningError: the guest has gone down.
        """
        waiting = True
        while waiting:
            await asyncio.sleep(_LOOK_SECONDS)
            async with self._monitor() as monitor:
                jobs = await _jobs(monitor)
            if failed := next((job for job in jobs if "error" in job), None):
                raise Refused(str(failed["error"]))
            waiting = any(job["status"] != "concluded" for job in jobs)
            report(sum(job["current-progress"] for job in jobs))

    async def end(self) -> None:
        """Leave nothing behind in QEMU: jobs that still run are cancelled.

        Raises:
            GuestNotRunningError: the guest has gone down, and took all with it.
        """
        async with self._monitor() as monitor:
            await _clear(monitor)

    def _monitor(self) -> Any:
        return self._cluster.guests.monitor(self._cluster.node, self._vmid)


async def _clear(monitor: QMPClient) -> None:
    """Cancel and forget all such jobs with their targets, also those that a killed server left."""
    for job in await _jobs(monitor):
        if job["status"] != "concluded":
            await monitor.execute("job-cancel", {"id": job["id"]})
    while pending := await _jobs(monitor):
        for job in pending:
            if job["status"] == "concluded":
                await monitor.execute("job-dismiss", {"id": job["id"]})
            else:
                await asyncio.sleep(_LOOK_SECONDS / 10)
    nodes: Any = await monitor.execute("query-named-block-nodes", {"flat": True})
    for name in [str(node["node-name"]) for node in nodes]:
        if name.startswith(_PREFIX):
            await monitor.execute("blockdev-del", {"node-name": name})


async def _jobs(monitor: QMPClient) -> list[dict[str, Any]]:
    jobs: Any = await monitor.execute("query-jobs")
    return [job for job in jobs if str(job["id"]).startswith(_PREFIX)]


def _target(image: DiskImage) -> dict[str, object]:
    file = {"driver": "file", "filename": str(image.path), "discard": "unmap"}
    described: dict[str, object] = {"driver": image.format, "node-name": image.job, "file": file}
    return described | {"discard": "unmap", "detect-zeroes": "unmap"}


def _action(image: DiskImage, rate: int) -> dict[str, object]:
    data: dict[str, object] = {"job-id": image.job, "device": node_name(image.slot), "target": image.job}
    data |= {"sync": "full", "auto-dismiss": False}
    return {"type": "blockdev-backup", "data": data | ({"speed": rate} if rate else {})}


class ProgressLines:
    """Turns progress into the lines of a backup's log: one every few seconds, and the last."""

    def __init__(self, images: list[DiskImage], log: Callable[[str], None]) -> None:
        self._images = images
        self._log = log
        self._total = sum(image.size for image in images)
        self._began = self._last_time = time.monotonic()
        self._read = self._written = 0
        self._percent = -1

    def report(self, done: int) -> None:
        """So many bytes were looked at; QEMU counts whole clusters, and so a little too many."""
        done = min(done, self._total)
        percent = done * 100 // self._total if self._total else 100
        if percent != self._percent and (
            percent == 100 or time.monotonic() - self._last_time > _LINE_SECONDS
        ):
            self._line(done, percent)

    def _line(self, done: int, percent: int) -> None:
        now = time.monotonic()
        seconds = max(int(now - self._last_time), 1)
        written = sum(image.path.stat().st_blocks * 512 for image in self._images if image.path.exists())
        read, wrote = (done - self._read) / seconds, max(written - self._written, 0) / seconds
        so_far = f"({render_bytes(done, 1)} of {render_bytes(self._total, 1)}) in {int(now - self._began)}s"
        rates = f"read: {_rate(read)}, write: {_rate(wrote)}"
        self._log(f"{percent:3d}% {so_far}, {rates}")
        self._last_time, self._percent, self._read, self._written = now, percent, done, written


def render_bytes(size: float, digits: int = 2) -> str:
    """A size as a backup's log shows it, e.g. `177.6 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    exponent = 0
    while size >= 1024 and exponent < len(units) - 1:
        size, exponent = size / 1024, exponent + 1
    return f"{size:.{digits}f} {units[exponent]}"


def _rate(bytes_a_second: float) -> str:
    return "0 B/s" if bytes_a_second < 1 else f"{render_bytes(bytes_a_second, 1)}/s"
