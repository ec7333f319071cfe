"""Restoring a VM from an archive, under a new number."""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from pathlib import Path

from lab import disks
from lab.api.archives import extract_archive, read_archive_config
from lab.api.disks import DiskMaker
from lab.api.drives import Drive, parse_drive, parse_net, print_net, random_mac
from lab.api.errors import ApiError, Refused, WrongParameters, task_text
from lab.api.options import check_option_privileges
from lab.api.routing import Call
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.vm_config import VmConfig, parse
from lab.api.vm_update import option_values
from lab.commands import CommandFailedError

_MAP = re.compile(r"#qmdump#map:(?P<slot>\w+):(?P<device>[\w-]+):(?P<storage>[^:]*):(?P<format>\w*):")
_LEFT_OUT = re.compile(r"unused\d+|parent|snaptime|snapstate|vmstate|lock|template")


def start_restore(call: Call) -> str:
    """Begin the task of a restore and return its UPID; the number is taken when the answer comes.

    Raises:
        Refused, WrongParameters, Forbidden: as a node answers.
    """
    cluster, vmid = call.cluster, call.vmid
    values = option_values(call.parameters)
    conflicting = [name for name in values if re.fullmatch(r"scsi\d+", name)]
    if conflicting:
        raise WrongParameters(dict.fromkeys(conflicting, "option conflicts with option 'archive'"))
    archive = cluster.storages.volume(call.required("archive"))
    if archive.kind != "backup":
        raise Refused(f"unable to restore VM {vmid} - '{archive.volid}' is no backup archive")
    call.caller.check(f"/storage/{archive.storage.name}", "Datastore.AllocateSpace")
    target = call.text("storage")
    if target is not None:
        call.caller.check(f"/storage/{target}", "Datastore.AllocateSpace")
        cluster.storages.for_images(target)
    check_option_privileges(call.caller, vmid, sorted(values))
    try:
        cluster.configurations.create(vmid, "create")
    except FileExistsError:
        text = f"unable to restore VM {vmid} - VM {vmid} already exists on node '{cluster.node}'"
        raise Refused(text) from None

    async def work(log: Log) -> None:
        async with cluster.locks.exclusive(vmid, patience=1):
            await _restore(call, archive, values, log)

    return cluster.tasks.start("qmrestore", str(vmid), call.caller, work)


async def _restore(call: Call, archive: Volume, values: dict[str, str], log: Log) -> None:
    """Restore; where that fails the number stays taken, by a VM without disks and settings, as on a node."""
    cluster, vmid = call.cluster, call.vmid
    maker = DiskMaker(cluster, vmid, log)
    folder = cluster.settings.node_dir(cluster.site) / "backup" / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        config = await _config(call, archive, values, maker, folder, log)
    except (ApiError, CommandFailedError, asyncio.CancelledError) as error:
        maker.take_back()
        cluster.configurations.save(vmid, VmConfig())
        log(
            "error before or during data restore, some or all disks were not completely restored. "
            f"VM {vmid} state is NOT cleaned up."
        )
        if isinstance(error, asyncio.CancelledError):
            raise
        raise Refused(f"unable to restore VM {vmid} - {task_text(error)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    cluster.configurations.save(vmid, config)
    pool = call.text("pool")
    if pool is not None:
        cluster.pools.add_vm(pool, vmid)


async def _config(
    call: Call, archive: Volume, values: dict[str, str], maker: DiskMaker, folder: Path, log: Log
) -> VmConfig:
    """The restored VM's configuration, its disks made."""
    log(f"restore vma archive: {archive.path}")
    _, text = await read_archive_config(archive.path)
    mapped = {found["slot"]: found for line in text.splitlines() if (found := _MAP.fullmatch(line))}
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("#qmdump#"))
    old = parse(f"{plain}\n")
    images = {found["device"]: folder / f"{slot}.raw" for slot, found in mapped.items()}
    await extract_archive(archive.path, images)
    config = VmConfig()
    for key, value in old.values.items():
        if _LEFT_OUT.fullmatch(key):
            continue
        if re.fullmatch(r"net\d+", key) and call.flag("unique"):
            config.values[key] = print_net(parse_net(value, key) | {"macaddr": random_mac()})
        elif key in mapped:
            image, found = images[mapped[key]["device"]], mapped[key]
            target = call.text("storage") or found["storage"]
            drive = await _disk(maker, parse_drive(value, key), image, target, found["format"], log)
            config.values[key] = str(drive)
        elif re.fullmatch(r"scsi\d+", key) and parse_drive(value, key).cloud_init:
            target = call.text("storage") or value.partition(":")[0]
            config.values[key] = str(await maker.make(key, Drive(f"{target}:cloudinit", {}), VmConfig()))
        else:
            config.values[key] = value
    if call.flag("unique"):
        config.values["smbios1"] = f"uuid={uuid.uuid4()}"
    if "vmgenid" in config.values:
        config.values["vmgenid"] = str(uuid.uuid4())
    config.values |= values
    return config


async def _disk(maker: DiskMaker, drive: Drive, image: Path, target: str, format: str, log: Log) -> Drive:
    """Make a disk of a raw image on the storage that it goes to."""
    storage = maker.cluster.storages.for_images(target)
    volume = await maker.cluster.storages.reserve(
        storage, maker.vmid, format if format in ("raw", "qcow2") else "raw"
    )
    maker.made.append(volume)
    await disks.copy(image, volume.path, source_format="raw", target_format=volume.format)
    image.unlink()
    log(f"new volume ID is '{volume.volid}'")
    return drive.having(file=volume.volid, size=volume.virtual_size())
