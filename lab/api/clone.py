"""Cloning: a machine from a template or from another machine."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field

from lab.api import formats
from lab.api.disks import DiskMaker
from lab.api.drives import Drive, parse_net, print_net, random_mac
from lab.api.errors import ApiError, NotImplementedHere, Refused, task_text
from lab.api.moment import DiskImage, copy_running
from lab.api.routing import Call, Routes, needs
from lab.api.schemas import BWLIMIT, VM, VMID
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.values import REQUIRED_NODE, Property
from lab.api.vm_calls import check_pool
from lab.api.vm_config import VmConfig
from lab.commands import CommandFailedError, run

routes = Routes()

_PATIENCE = 1.0
"""Seconds that a clone waits for each of its two locks: far less than any other request."""

_NOT_COPIED = re.compile(r"(unused\d+|parent|snaptime|vmstate|snapstate|template|lock)")


@dataclass
class _Plan:
    """What the clone will be: its configuration, and which drives are copied whole or stand on a template's."""

    config: VmConfig
    drives: dict[str, Drive] = field(default_factory=dict)
    full: bool = True
    running: bool = False


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/clone",
    VM
    | BWLIMIT
    | {
        "newid": VMID,
        "name": Property(check=formats.dns_name),
        "description": Property(),
        "pool": Property(check=formats.pool_id),
        "snapname": Property(check=formats.configuration_id, max_length=40),
        "storage": Property(check=formats.storage_id),
        "format": Property(choices=("raw", "qcow2", "vmdk")),
        "full": Property("boolean"),
        "target": Property(pattern=REQUIRED_NODE.pattern),
    },
    needs("/vms/{vmid}", "VM.Clone"),
)
async def clone_vm(call: Call) -> object:
    """Clone a VM or a template; the new number is taken when the answer comes, the disks follow in the task."""
    newid = call.number("newid", 0)
    call.caller.check(f"/vms/{newid}", "VM.Allocate")
    await _plan(call)
    try:
        call.cluster.configurations.create(newid, "clone")
    except FileExistsError:
        raise Refused(f"unable to create VM {newid}: config file already exists") from None

    async def work(log: Log) -> None:
        locks = call.cluster.locks
        running = await call.cluster.is_running(call.vmid)
        source = locks.exclusive if running else locks.shared
        try:
            async with source(call.vmid, _PATIENCE), locks.exclusive(newid, _PATIENCE):
                await _clone(call, newid, log)
        except BaseException:
            call.cluster.configurations.remove(newid)
            raise

    return call.cluster.tasks.start("qmclone", str(call.vmid), call.caller, work)


async def _plan(call: Call) -> _Plan:
    """Check a clone and say what it will be.

    Raises:
        Refused, WrongParameters, Forbidden: as a node answers.
    """
    cluster = call.cluster
    if not cluster.configurations.exists(call.vmid):
        raise Refused(f"unable to find configuration file for VM {call.vmid} on node '{cluster.node}'")
    pool, target, storage = (call.text(name) for name in ("pool", "target", "storage"))
    if pool is not None:
        check_pool(call, pool)
    if target not in (None, cluster.node):
        raise Refused(f"no such cluster node '{target}'")
    if storage is not None:
        cluster.storages.for_images(storage)
    config = cluster.configurations.load(call.vmid)
    config.check_lock()
    full = call.flag("full", default=not config.template)
    for name in ("storage", "format"):
        if call.text(name) is not None and not full:
            raise Refused(f"parameter '{name}' not allowed for linked clones")
    snapshot = call.text("snapname")
    if snapshot is not None and snapshot not in config.snapshots:
        raise Refused(f"snapshot '{snapshot}' does not exist")
    if call.text("format") == "vmdk":
        raise NotImplementedHere("Disk format 'vmdk'")
    plan = _copied(call, VmConfig(config.snapshots[snapshot]) if snapshot else config, full)
    plan.running = await cluster.is_running(call.vmid)
    return plan


def _copied(call: Call, config: VmConfig, full: bool) -> _Plan:
    plan = _Plan(VmConfig(), full=full)
    drives = config.drives()
    for key, value in config.values.items():
        if _NOT_COPIED.fullmatch(key):
            continue
        if re.fullmatch(r"net\d+", key):
            plan.config.values[key] = print_net(parse_net(value, key) | {"macaddr": random_mac()})
        elif key in drives and (not drives[key].cdrom or drives[key].cloud_init):
            _check_drive(call, config, key, drives[key], full)
            plan.drives[key] = drives[key]
        else:
            plan.config.values[key] = value
    plan.config.values["smbios1"] = f"uuid={uuid.uuid4()}"
    if "vmgenid" in plan.config.values:
        plan.config.values["vmgenid"] = str(uuid.uuid4())
    name = config.values.get("name", str(call.vmid))
    plan.config.values["name"] = call.text("name") or f"Copy-of-VM-{name}"
    if call.text("description"):
        plan.config.values["description"] = call.required("description")
    return plan


def _check_drive(call: Call, config: VmConfig, slot: str, drive: Drive, full: bool) -> None:
    volume = call.cluster.storages.volume(drive.file)
    target = call.text("storage") or volume.storage.name
    call.caller.check(f"/storage/{target}", "Datastore.AllocateSpace")
    linkable = (
        config.template
        and call.text("snapname") is None
        and volume.format == "qcow2"
        and "/base-" in f"/{volume.name}"
    )
    if not (full or drive.cloud_init or linkable):
        of = "a snapshot of " if call.text("snapname") else ""
        raise Refused(f"Linked clone feature is not supported for {of}'{drive.file}' ({slot})")


async def _clone(call: Call, newid: int, log: Log) -> None:
    plan = await _plan(call)
    log(f"creating a clone of VM {call.vmid} with ID {newid}")
    maker = DiskMaker(call.cluster, newid, log)
    plan.config.values["lock"] = "clone"
    try:
        for slot, drive in plan.drives.items():
            plan.config.values[slot] = str(await _clone_drive(call, maker, plan, slot, drive))
            call.cluster.configurations.save(newid, plan.config)
        del plan.config.values["lock"]
        call.cluster.configurations.save(newid, plan.config)
        pool = call.text("pool")
        if pool is not None:
            call.cluster.pools.add_vm(pool, newid)
    except asyncio.CancelledError:
        maker.take_back()
        raise
    except (ApiError, CommandFailedError) as error:
        maker.take_back()
        raise Refused(f"clone failed: {task_text(error)}") from error


async def _clone_drive(call: Call, maker: DiskMaker, plan: _Plan, slot: str, drive: Drive) -> Drive:
    storages = call.cluster.storages
    source = storages.volume(drive.file)
    storage = storages.find(call.text("storage") or source.storage.name)
    if drive.cloud_init:
        return await maker.make(slot, Drive(f"{storage.name}:cloudinit", {}), VmConfig())
    format, snapshot = call.text("format") or source.format, call.text("snapname")
    if not plan.full:
        target = await _linked(maker, source)
    elif snapshot is not None:
        maker.log(f"create full clone of drive {slot} ({drive.file})")
        target = await storages.reserve(storage, maker.vmid, format)
        maker.made.append(target)
        # What a snapshot holds does not change any more, so that a running guest is no hindrance (-U).
        of = ("-U", "-l", f"snapshot.name={snapshot}", "-f", source.format, "-O", format)
        await run("qemu-img", "convert", *of, str(source.path), str(target.path))
    elif plan.running:
        maker.log(f"create full clone of drive {slot} ({drive.file})")
        target = await storages.reserve(storage, maker.vmid, format)
        maker.made.append(target)
        image = DiskImage(slot, source, source.virtual_size(), target.path, target.format)
        await copy_running(call.cluster, call.vmid, image)
    else:
        maker.log(f"create full clone of drive {slot} ({drive.file})")
        target = await maker.copy(source, storage, format)
    return drive.having(file=target.volid, size=target.virtual_size())


async def _linked(maker: DiskMaker, source: Volume) -> Volume:
    """A disk that stands on a template's: it holds only what differs."""
    reserved = await maker.cluster.storages.reserve(source.storage, maker.vmid, "qcow2")
    target = maker.cluster.storages.volume(f"{source.volid}/{reserved.name}")
    maker.made.append(target)
    maker.log(f"create linked clone of drive ({source.volid})")
    base = ("-b", f"../{source.name}", "-F", source.format)
    await run("qemu-img", "create", "-q", "-f", "qcow2", *base, str(target.path))
    return target
