"""The backup of one machine: marked, its disks as at one moment, an archive that is named when it is whole."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from lab.api.backup_options import BackupOptions
from lab.api.errors import Refused, task_text
from lab.api.freezing import frozen
from lab.api.moment import (
    DiskImage,
    ProgressLines,
    RunningCopy,
    copy_stopped,
    disk_image,
    render_bytes,
)
from lab.api.notes_template import fill_in
from lab.api.routing import Call
from lab.api.storage import Storage
from lab.api.tasks import Log
from lab.api.threads import in_thread
from lab.api.vm_config import VmConfig, render
from lab.archive import COMPRESSIONS, ArchiveError, write_archive
from lab.qemu import GuestNotRunningError
from lab.vma import Device, Header

CONFIG_FILE = "qemu-server.conf"
_NOT_IN_ARCHIVE = ("lock", "parent")


class MachineBackup:
    """One machine's backup in a job.

    Attributes:
        vmid: the machine.
    """

    def __init__(self, call: Call, vmid: int, options: BackupOptions, storage: Storage, log: Log) -> None:
        self.vmid = vmid
        self._cluster = call.cluster
        self._caller = call.caller
        self._options = options
        self._storage = storage
        self._log = log
        self._was_running = False

    async def run(self) -> None:
        """Make the backup.

        Raises:
            ApiError, ArchiveError, CommandFailedError, GuestNotRunningError, QMPError, OSError: what went
                wrong; the machine is as it was, and nothing of the archive is left.
        """
        if not self._cluster.configurations.exists(self.vmid):
            raise Refused(f"unable to find VM '{self.vmid}'")
        target = await self._free_name()
        scratch = target.with_name(target.name.partition(".")[0] + ".tmp")
        part = target.with_suffix(".dat")
        self._info(f"Starting Backup of VM {self.vmid} (qemu)")
        self._info(f"Backup started at {time.strftime('%Y-%m-%d %H:%M:%S')}")
        try:
            scratch.mkdir()
        except OSError as error:
            raise Refused(f"unable to create temporary directory '{scratch}' - {error.strerror}") from error
        try:
            async with self._marked() as config:
                await self._archive(config, target, part)
        finally:
            with suppress(OSError):  # a storage that has gone keeps what it has
                part.unlink(missing_ok=True)
                scratch.rmdir()
        self._finish_volume(target, config)

    async def _archive(self, config: VmConfig, target: Path, part: Path) -> None:
        self._was_running = await self._cluster.is_running(self.vmid)
        self._info(f"status = {'running' if self._was_running else 'stopped'}")
        images = self._images(config)
        self._tell(config, images)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        began = time.time()
        try:
            self._info(f"creating vzdump archive '{target}'")
            header = Header(
                configs={CONFIG_FILE: self._config_file(config, images)},
                devices={
                    number: Device(f"drive-{image.slot}", image.size)
                    for number, image in enumerate(images, 1)
                },
                ctime=int(began),
            )
            await self._copy(images)
            await self._write(part, header, images, began)
        except (asyncio.CancelledError, Exception) as error:
            self._tell_failure(error)
            raise
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        part.rename(target)
        self._info(f"archive file size: {_file_size(target.stat().st_size)}")

    # The machine

    @asynccontextmanager
    async def _marked(self) -> AsyncIterator[VmConfig]:
        """Mark the machine as being backed up; nobody changes it meanwhile."""
        configurations, locks = self._cluster.configurations, self._cluster.locks
        async with locks.exclusive(self.vmid):
            config = configurations.load(self.vmid)
            config.check_lock()
            config.values["lock"] = "backup"
            configurations.save(self.vmid, config)
        try:
            yield config
        finally:
            async with locks.exclusive(self.vmid):
                left = configurations.load(self.vmid)
                left.values.pop("lock", None)
                configurations.save(self.vmid, left)

    # Its disks

    @property
    def _folder(self) -> Path:
        """Where the raw images are meanwhile."""
        return self._cluster.scratch / str(self.vmid)

    def _images(self, config: VmConfig) -> list[DiskImage]:
        storages = self._cluster.storages
        drives = {slot: drive for slot, drive in config.drives().items() if not drive.cdrom}
        return [
            disk_image(slot, storages.volume(drive.file), self._folder)
            for slot, drive in sorted(drives.items())
            if drive.options.get("backup", 1)
        ]

    def _tell(self, config: VmConfig, images: list[DiskImage]) -> None:
        """What is backed up, in the order of a node's log: of a stopped machine it says another mode, first."""
        about = [f"VM Name: {config.values['name']}"] if "name" in config.values else []
        included = {image.slot for image in images}
        for slot, drive in config.drives().items():
            if slot in included:
                size = f" {drive.options['size']}" if "size" in drive.options else ""
                about.append(f"include disk '{slot}' '{drive.file}'{size}")
            elif not drive.cdrom:
                about.append(f"exclude disk '{slot}' '{drive.file}' (backup=no)")
        how = [f"backup mode: {'snapshot' if self._was_running else 'stop'}"]
        if self._options.rate:
            how.append(f"bandwidth limit: {self._options.rate // 1024} KiB/s")
        how.append("ionice priority: 7")
        for line in [*about, *how] if self._was_running else [*how, *about]:
            self._info(line)

    async def _copy(self, images: list[DiskImage]) -> None:
        """Raw images of all disks, as they are at one moment."""
        progress = ProgressLines(images, self._info)
        if not self._was_running:
            self._info(f"started backup task '{uuid.uuid4()}'")
            await copy_stopped(images, self._options.rate, progress.report)
            return
        copy = RunningCopy(self._cluster, self.vmid, images)
        try:
            async with self._quiet():
                await copy.begin(self._options.rate)
            self._info(f"started backup task '{uuid.uuid4()}'")
            await copy.finish(progress.report)
        finally:
            with suppress(GuestNotRunningError):
                await copy.end()

    def _quiet(self) -> AbstractAsyncContextManager[None]:
        """The guest's file systems held still, where its mode and its agent allow that."""
        value = self._cluster.configurations.load(self.vmid).values.get("agent")
        return frozen(self._cluster.guests.agent(self._cluster.node, self.vmid), value, self._log)

    # The archive

    async def _free_name(self) -> Path:
        """The archive's name; it ends with the second, so that a second one in it has to wait."""
        ending = COMPRESSIONS[self._options.compress]
        while True:
            stamp = time.strftime("%Y_%m_%d-%H_%M_%S")
            name = f"vzdump-qemu-{self.vmid}-{stamp}"
            if not list(self._storage.dump_dir.glob(f"{name}.*")):
                return self._storage.dump_dir / f"{name}.{ending}"
            await asyncio.sleep(1.0 - time.time() % 1.0)

    def _config_file(self, config: VmConfig, images: list[DiskImage]) -> bytes:
        kept = {key: value for key, value in config.values.items() if key not in _NOT_IN_ARCHIVE}
        for key in [key for key in kept if key.startswith("unused")]:
            self._info(f"skip unused drive '{kept.pop(key)}' (not included into backup)")
        if config.snapshots:
            self._info("snapshots found (not included into backup)")
        if config.pending or config.pending_delete:
            self._info("pending configuration changes found (not included into backup)")
        maps = [
            f"#qmdump#map:{image.slot}:drive-{image.slot}:{image.volume.storage.name}:{image.volume.format}:\n"
            for image in images
        ]
        return (render(VmConfig(kept)) + "".join(maps)).encode()

    async def _write(self, part: Path, header: Header, images: list[DiskImage], began: float) -> None:
        disks = {number: image.path for number, image in enumerate(images, 1)}
        form = COMPRESSIONS[self._options.compress]
        zeros = await in_thread(lambda stop: write_archive(part, form, header, disks, stop))
        total = sum(image.size for image in images)
        if zeros:
            share = zeros * 100 // total
            self._info(f"backup is sparse: {render_bytes(zeros)} ({share}%) total zero data")
        seconds = int(time.time() - began)
        rate = f"{seconds} seconds ({render_bytes(total / seconds, 1)}/s)" if seconds else "<1 seconds"
        self._info(f"transferred {render_bytes(total)} in {rate}")

    def _finish_volume(self, target: Path, config: VmConfig) -> None:
        """Its notes."""
        volume = self._cluster.storages.volume(f"{self._storage.name}:backup/{target.name}")
        if self._options.notes_template:
            self._info("adding notes to backup")
            notes = fill_in(self._options.notes_template, self._variables(config))
            try:
                volume.notes_file.write_text(notes)
            except OSError as error:
                self._log(f"WARN: unable to add notes - {error.strerror}")

    def _variables(self, config: VmConfig) -> dict[str, str]:
        name = config.values.get("name", f"VM {self.vmid}")
        shown = {"cluster": "standalone node", "guestname": name}
        return shown | {"node": self._cluster.node, "vmid": str(self.vmid)}

    def _tell_failure(self, error: BaseException) -> None:
        if isinstance(error, ArchiveError):
            for line in error.said:
                self._log(line)
        text = "interrupted by signal" if isinstance(error, asyncio.CancelledError) else task_text(error)
        self._log(f"ERROR: {text}")
        self._info("aborting backup job")

    def _info(self, text: str) -> None:
        self._log(f"INFO: {text}")


def _file_size(size: int) -> str:
    if size < 1024**2:
        return f"{size // 1024}KB"
    return f"{size // 1024**2}MB" if size < 1024**3 else f"{size / 1024**3:.2f}GB"
