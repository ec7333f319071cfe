"""Restoring a machine from an archive: as a new one, or (`force`) in place of one that exists."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from lab import disks
from lab.api.backup_machine import CONFIG_FILE
from lab.api.disk_calls import to_base
from lab.api.disks import DiskMaker
from lab.api.drives import Drive
from lab.api.errors import Refused, WrongParameters, task_text
from lab.api.options import check_option_privileges
from lab.api.power import start_guest
from lab.api.restored_config import (
    ArchivedDisk,
    archived_cloud_init,
    archived_disks,
    restored_config,
)
from lab.api.routing import Call
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.threads import in_thread
from lab.api.vm_config import VmConfig
from lab.api.vm_update import option_values
from lab.archive import ArchiveError, decompression, extract, open_archive
from lab.commands import run
from lab.vma import VmaReader

_IMAGE_FORMATS = ("raw", "qcow2")


def start_restore(call: Call) -> str:
    """Begin the task of a restore and return its UPID; the number is taken when the answer comes.

    Raises:
        Refused, WrongParameters, Forbidden: as a node answers.
    """
    cluster, vmid = call.cluster, call.vmid
    storage = call.text("storage")
    if storage is not None:
        call.caller.check(f"/storage/{storage}", "Datastore.AllocateSpace")
    values = option_values(call.parameters)
    for slot in sorted(values):
        if slot.startswith("scsi") and slot[4:].isdigit():
            raise WrongParameters({slot: "option conflicts with option 'archive'"})
    archive = readable_archive(call, call.required("archive"), vmid)
    check_option_privileges(call.caller, vmid, sorted(values))
    _take_number(call)

    async def work(log: Log) -> None:
        restore = _Restore(call, archive, values, log)
        with _failures_told(call, restore):
            async with cluster.locks.exclusive(vmid, patience=1):
                await restore.run()
        if call.flag("start"):
            log("Execute autostart")
            try:
                await start_guest(call)
            except Refused as error:
                log(str(error))

    return cluster.tasks.start("qmrestore", str(vmid), call.caller, work)


def readable_archive(call: Call, volid: str, vmid: int | None = None) -> Volume:
    """An archive, if the caller may read it. Who may make a VM of its number may read what is that VM's.

    Raises:
        Refused, Forbidden: as a node answers.
    """
    archive = call.cluster.storages.volume(volid)
    if archive.kind != "backup":
        raise Refused(f"unable to use volume {archive.volid} - content type needs to be 'backup'")
    path = f"/storage/{archive.storage.name}"
    if not call.caller.may(path, "Datastore.Allocate"):
        if archive.owner is None:
            raise Refused(f"missing privileges to access {archive.volid}")
        if archive.owner != vmid:
            call.caller.check(path, "Datastore.AllocateSpace")
            call.caller.check(f"/vms/{archive.owner}", "VM.Backup")
    if not archive.path.is_file():
        raise Refused(f"can't find archive file '{archive.volid}'")
    return archive


def archived_configuration(archive: Volume) -> str:
    """The configuration file in an archive. Blocks.

    Raises:
        Refused: the archive is damaged.
    """
    try:
        with open_archive(archive.path, archive.format, whole=False) as reader:
            return reader.header.configs.get(CONFIG_FILE, b"").decode(errors="replace")
    except ArchiveError as error:
        raise Refused(str(error)) from error


def _take_number(call: Call) -> None:
    """Mark the machine's number as taken by this restore.

    Raises:
        Refused: there is such a machine, and `force` was not given or it is marked.
    """
    cluster, vmid = call.cluster, call.vmid
    try:
        cluster.configurations.create(vmid, "create")
    except FileExistsError:
        if not call.flag("force"):
            text = f"unable to restore VM {vmid} - VM {vmid} already exists on node '{cluster.node}'"
            raise Refused(text) from None
        config = cluster.configurations.load(vmid)
        if config.lock:
            raise Refused(f"unable to restore VM {vmid} - VM is locked ({config.lock})") from None
        config.values["lock"] = "create"
        cluster.configurations.save(vmid, config)


@contextmanager
def _failures_told(call: Call, restore: _Restore) -> Iterator[None]:
    """Take the mark away from a machine whose restore failed, and say what became of it."""
    try:
        yield
    except BaseException:
        configurations = call.cluster.configurations
        config = configurations.load(call.vmid)
        config.values.pop("lock", None)
        configurations.save(call.vmid, config)
        if restore.data_restored:
            restore.log(
                "error after data was restored, VM disks should be OK but config may require adaptions."
            )
        else:
            restore.log(
                "error before or during data restore, some or all disks were not completely restored."
            )
        restore.log(f"VM {call.vmid} state is NOT cleaned up.")
        raise


@dataclass
class _Restore:
    """One restore.

    Attributes:
        call, archive, log: what was asked for, of what, and the task's log.
        values: options of the request that go over the archive's.
        data_restored: whether all disks are whole.
    """

    call: Call
    archive: Volume
    values: Mapping[str, str]
    log: Log
    data_restored: bool = False
    volumes: dict[str, Volume] = field(default_factory=dict)

    async def run(self) -> None:
        """Make the disks, then the configuration."""
        cluster, vmid = self.call.cluster, self.call.vmid
        old = cluster.configurations.load(vmid)
        old.check_protection(f"unable to restore VM {vmid}")
        if await cluster.is_running(vmid):
            raise Refused(f"unable to restore VM {vmid} - vm is running")
        maker = DiskMaker(cluster, vmid, self.log)
        try:
            text = await self._disks(maker, old)
        except BaseException:
            made = [volume.volid for volume in maker.made]
            maker.take_back()
            for volid in made:
                self.log(f"temporary volume '{volid}' successfully removed")
            raise
        self.data_restored = True
        volumes = {slot: volume.volid for slot, volume in self.volumes.items()}
        config = restored_config(text, volumes, unique=self.call.flag("unique"))
        config.values |= self.values
        self._rescan(config)
        if config.template:
            self._make_template(config)
        cluster.configurations.save(vmid, config)
        pool = self.call.text("pool")
        if pool is not None:
            cluster.pools.add_vm(pool, vmid)

    # The disks

    async def _disks(self, maker: DiskMaker, old: VmConfig) -> str:
        """Make and fill all disks; returns the archive's configuration file."""
        command = self._command()
        self.log(f"restore vma archive: {command}")
        folder = maker.cluster.scratch / f"restore-{maker.vmid}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            text, archived = await in_thread(lambda stop: self._read_header())
            await self._clear_old(old, {disk.slot for disk in archived} | archived_cloud_init(text).keys())
            await self._make(maker, text, archived)
            images = {disk.number: folder / f"{disk.slot}.raw" for disk in archived}
            await in_thread(lambda stop: self._extract(images, stop))
            for disk in archived:
                volume = self.volumes[disk.slot]
                await disks.copy(
                    images[disk.number], volume.path, source_format="raw", target_format=volume.format
                )
        except (ArchiveError, OSError) as error:
            for line in error.said if isinstance(error, ArchiveError) else ():
                self.log(line)
            self.log(f"vma: restore failed - {task_text(error)}")
            raise Refused(f"command '{command}' failed: exit code 1") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return text

    def _command(self) -> str:
        """What a node would run: its words are in the log, and in the error if it fails."""
        folder = f"/var/tmp/vzdumptmp{os.getpid()}"  # noqa: S108 (only named, in words of a node)
        source = decompression(self.archive.path, self.archive.format)
        extracting = ["vma", "extract", "-v", "-r", f"{folder}.fifo"]
        if not source:
            return shlex.join([*extracting, str(self.archive.path), folder])
        return f"set -o pipefail && {shlex.join(source)} | {shlex.join([*extracting, '-', folder])}"

    def _read_header(self) -> tuple[str, list[ArchivedDisk]]:
        with open_archive(self.archive.path, self.archive.format, whole=False) as reader:
            header = reader.header
        text = header.configs.get(CONFIG_FILE, b"").decode(errors="replace")
        for name, content in header.configs.items():
            self.log(f"CFG: size: {len(content)} name: {name}")
        for number, device in header.devices.items():
            self.log(f"DEV: dev_id={number} size: {device.size} devname: {device.name}")
        self.log(f"CTIME: {time.strftime('%a %b %e %H:%M:%S %Y', time.localtime(header.ctime))}")
        return text, archived_disks(text, header.devices)

    async def _clear_old(self, old: VmConfig, replaced: set[str]) -> None:
        """Erase the disks of a machine that is restored over; those that are not in the archive stay."""
        cluster, vmid = self.call.cluster, self.call.vmid
        if not old.values.keys() - {"lock"}:
            return
        cluster.configurations.save(vmid, VmConfig({"lock": "create", "memory": "128"}))
        for slot, drive in old.drives().items():
            volume = cluster.storages.volume(drive.file)
            if volume.owner != vmid or (drive.cdrom and not drive.cloud_init):
                continue
            if slot in replaced or drive.cloud_init:
                cluster.storages.free(volume)
                continue
            for name in old.snapshots:
                await run("qemu-img", "snapshot", "-d", name, str(volume.path))

    async def _make(self, maker: DiskMaker, text: str, archived: list[ArchivedDisk]) -> None:
        """Take names for all disks, and make the cloud-init drives."""
        storages, wanted = maker.cluster.storages, self.call.text("storage")
        for disk in archived:
            storage = storages.find(wanted or disk.storage or "local")
            if "images" not in storage.content:
                raise Refused(f"Content type 'images' is not available on storage '{storage.name}'")
            format = disk.format if disk.format in _IMAGE_FORMATS else "raw"
            volume = await storages.reserve(storage, maker.vmid, format)
            maker.made.append(volume)
            self.volumes[disk.slot] = volume
            self.log(f"new volume ID is '{volume.volid}'")
            self.log(f"map 'drive-{disk.slot}' to '{volume.path}' (write zeros = 0)")
        for slot, drive in archived_cloud_init(text).items():
            storage_name = wanted or drive.file.partition(":")[0]
            made = await maker.make(slot, Drive(f"{storage_name}:cloudinit", {}), VmConfig())
            self.volumes[slot] = storages.volume(made.file)

    def _extract(self, images: Mapping[int, Path], stop: Event) -> None:
        began = time.monotonic()
        with open_archive(self.archive.path, self.archive.format) as reader:
            extract(reader, images, stop)
            self.log(_progress(reader, time.monotonic() - began))

    # The configuration

    def _rescan(self, config: VmConfig) -> None:
        """Note the disks' real sizes, and what else of the machine's lies about as `unusedN`."""
        self.log("rescan volumes...")
        used = set()
        for slot, drive in config.drives().items():
            used.add(drive.file)
            if slot in self.volumes:
                config.values[slot] = str(drive.having(size=self.volumes[slot].virtual_size()))
        for volume in self.call.cluster.storages.images_of(self.call.vmid):
            if volume.volid not in used:
                config.values[config.free_unused_key()] = volume.volid

    def _make_template(self, config: VmConfig) -> None:
        self.log("Convert to template.")
        for slot, drive in config.drives().items():
            if not drive.cdrom:
                config.values[slot] = str(drive.having(file=to_base(self.call, drive.file)))


def _progress(reader: VmaReader, seconds: float) -> str:
    size = sum(device.size for device in reader.header.devices.values())
    return f"progress 100% (read {size} bytes, duration {int(seconds)} sec)"
