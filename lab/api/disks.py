"""Making the disks that a request asks for: new, imported, cloud-init, or a volume that exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab import disks
from lab.api.access import Caller
from lab.api.cluster import Cluster
from lab.api.drives import Drive, parse_drive
from lab.api.errors import Refused, WrongParameters
from lab.api.sizes import gibibytes_to_bytes
from lab.api.storage import Storage, Volume
from lab.api.tasks import Log
from lab.api.vm_config import VmConfig
from lab.commands import CommandFailedError

_CLOUD_INIT_BYTES = 4 * 1024**2
_SYNTAX = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"


def check_drives(cluster: Cluster, caller: Caller, vmid: int, drives: Mapping[str, Drive]) -> None:
    """Refuse what a request asks for in vain: a storage that is not there or not allowed, a wrong source.

    Raises:
        WrongParameters, Forbidden, Refused: as a node answers.
    """
    for slot, drive in drives.items():
        source = drive.options.get("import-from")
        if source is not None and (drive.new_disk is None or float(drive.new_disk[1]) != 0):
            raise WrongParameters({slot: _SYNTAX})
        if drive.new_disk is not None:
            storage = cluster.storages.find(drive.new_disk[0])
            caller.check(f"/storage/{storage.name}", "Datastore.AllocateSpace")
            cluster.storages.for_images(storage.name)
        elif drive.file.endswith(":cloudinit"):
            cluster.storages.for_images(drive.file.partition(":")[0])
        else:
            _check_volume(cluster, caller, vmid, drive.file)
        if source is not None:
            _check_source(cluster, caller, vmid, slot, str(source))


def _check_volume(cluster: Cluster, caller: Caller, vmid: int, volid: str) -> None:
    if volid in ("none", "cdrom"):
        return
    volume = cluster.storages.volume(volid)
    path = f"/storage/{volume.storage.name}"
    if volume.kind in ("iso", "import"):
        caller.check(path, "Datastore.AllocateSpace", "Datastore.Audit", any_of=True)
    elif volume.owner not in (None, vmid):
        caller.check(path, "Datastore.Audit")
        caller.check(f"/vms/{volume.owner}", "VM.Config.Disk")


def _check_source(cluster: Cluster, caller: Caller, vmid: int, slot: str, source: str) -> None:
    volume = cluster.storages.volume(source)
    if volume.kind not in ("images", "import"):
        text = f"{source} has wrong type '{volume.kind}' - needs to be 'images' or 'import'"
        raise WrongParameters({slot: text})
    if volume.owner is not None:
        caller.check(f"/vms/{volume.owner}", "VM.Clone")
    else:
        _check_volume(cluster, caller, vmid, source)


@dataclass
class DiskMaker:
    """Makes disks for one VM and remembers them, so that they can be taken back when something fails."""

    cluster: Cluster
    vmid: int
    log: Log
    made: list[Volume] = field(default_factory=list)

    async def make(self, slot: str, drive: Drive, config: VmConfig) -> Drive:
        """Make what a drive of a request asks for, and return the drive as the configuration names it.

        Raises:
            Refused: there is no such volume, no space, or a second cloud-init drive.
        """
        if drive.file.endswith(":cloudinit"):
            made = await self._cloud_init(slot, drive, config)
        elif drive.new_disk is not None and "import-from" in drive.options:
            made = await self._imported(drive, str(drive.options["import-from"]))
        elif drive.new_disk is not None:
            made = await self._empty(drive, drive.new_disk[0], gibibytes_to_bytes(drive.new_disk[1]))
        else:
            volume = self.cluster.storages.volume(drive.file)
            if not volume.path.exists():
                raise Refused(f"volume {drive.file} does not exist")
            return drive.having(size=volume.virtual_size())
        self.log(f"{slot}: successfully created disk '{made}'")
        return made

    async def copy(self, source: Volume, storage: Storage, format: str) -> Volume:
        """A full copy of a disk, for a clone or an import.

        Raises:
            CommandFailedError: it could not be written.
        """
        target = await self.cluster.storages.reserve(storage, self.vmid, format)
        self.made.append(target)
        await disks.copy(
            source.path,
            target.path,
            source_format=source.format,
            target_format=format,
            report=self.log,
        )
        return target

    def take_back(self) -> None:
        """Erase all that was made."""
        for volume in self.made:
            self.cluster.storages.free(volume)
        self.made.clear()

    async def _empty(self, drive: Drive, storage_name: str, size: int) -> Drive:
        storage = self.cluster.storages.find(storage_name)
        format = str(drive.options.get("format", "raw"))
        volume = await self.cluster.storages.reserve(storage, self.vmid, format)
        self.made.append(volume)
        volume.path.unlink()
        await disks.create(volume.path, size=size, format=format)
        return drive.having(file=volume.volid, size=size)

    async def _imported(self, drive: Drive, source_id: str) -> Drive:
        source = self.cluster.storages.volume(source_id)
        if not source.path.exists():
            raise Refused(f"cannot import from '{source_id}' - volume '{source_id}' does not exist")
        storage = self.cluster.storages.find(drive.file.partition(":")[0])
        format = str(drive.options.get("format", source.format))
        try:
            target = await self.copy(source, storage, format)
        except CommandFailedError as error:
            raise Refused(f"cannot import from '{source_id}' - {error.reason}") from error
        return drive.having(file=target.volid, size=target.virtual_size())

    async def _cloud_init(self, slot: str, drive: Drive, config: VmConfig) -> Drive:
        present = {key: known for key, known in config.drives().items() if key != slot and known.cloud_init}
        present |= {
            key: known
            for key, value in config.pending.items()
            if key.startswith("scsi") and key[4:].isdigit() and key != slot
            if (known := parse_drive(value, key)).cloud_init
        }
        if present:
            raise Refused(f"{slot} - cloud-init drive is already attached at '{next(iter(present))}'")
        storage_name = drive.file.partition(":")[0]
        format = str(drive.options.get("format", "qcow2"))
        volid = f"{storage_name}:{self.vmid}/vm-{self.vmid}-cloudinit.{format}"
        volume = self.cluster.storages.volume(volid)
        if not volume.path.exists():
            volume.path.parent.mkdir(parents=True, exist_ok=True)
            await disks.create(volume.path, size=_CLOUD_INIT_BYTES, format=format)
            self.made.append(volume)
        return drive.having(file=volid, media="cdrom")
