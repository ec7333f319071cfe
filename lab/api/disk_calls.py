"""Calls that change disks beyond a configuration's text: resize, and making a template."""

from __future__ import annotations

from lab import disks
from lab.api.drives import DISK_SLOTS, parse_drive
from lab.api.errors import Refused, WrongParameters
from lab.api.routing import Call, Routes, needs
from lab.api.schemas import DIGEST, SKIPLOCK, VM, VMID
from lab.api.sizes import SIZE_PATTERN, parse_size
from lab.api.tasks import Log
from lab.api.values import Property, lacking
from lab.api.vm_config import VmConfig
from lab.api.vm_update import root_only

routes = Routes()

_SLOTS = DISK_SLOTS + tuple(
    f"{bus}{index}" for bus, count in (("ide", 4), ("sata", 6), ("virtio", 16)) for index in range(count)
)


@routes.add(
    "PUT",
    "/nodes/{node}/qemu/{vmid}/resize",
    VM
    | SKIPLOCK
    | DIGEST
    | {
        "disk": Property(optional=False, choices=_SLOTS),
        "size": Property(optional=False, pattern=SIZE_PATTERN),
    },
    needs("/vms/{vmid}", "VM.Config.Disk"),
)
async def resize(call: Call) -> object:
    """Grow a disk, also of a running machine; a call that shrinks fails in its task."""
    root_only(call, "skiplock")

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            await _resize(call)

    return call.cluster.tasks.start("resize", str(call.vmid), call.caller, work)


async def _resize(call: Call) -> None:
    cluster, slot = call.cluster, call.required("disk")
    config = cluster.configurations.load(call.vmid)
    if call.text("digest") not in (None, config.digest):
        raise Refused("checksum mismatch (file change by other user?)")
    if not call.flag("skiplock"):
        config.check_lock()
    drive = config.drives().get(slot)
    if drive is None:
        raise Refused(f"disk '{slot}' does not exist")
    if drive.cdrom:
        raise Refused("you can't resize a cdrom")
    volume = cluster.storages.volume(drive.file)
    call.caller.check(f"/storage/{volume.storage.name}", "Datastore.AllocateSpace")
    current, asked = volume.virtual_size(), call.required("size")
    size = parse_size(asked) + (current if asked.startswith("+") else 0)
    if size < current:
        raise Refused("shrinking disks is not supported")
    if size == current:
        return
    if await cluster.is_running(call.vmid):
        await cluster.guests.resize_disk(cluster.node, call.vmid, slot, size)
    else:
        await disks.resize(volume.path, size=size, format=volume.format)
    config.values[slot] = str(drive.having(size=size))
    cluster.configurations.save(call.vmid, config)


_UNUSED = tuple(f"unused{index}" for index in range(256))


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/move_disk",
    VM
    | DIGEST
    | {
        "disk": Property(optional=False, choices=_SLOTS + _UNUSED),
        "target-vmid": VMID,
        "target-disk": Property(choices=_SLOTS + _UNUSED),
        "target-digest": Property(max_length=40),
    }
    | lacking("storage", "format", "delete", "bwlimit"),
    needs("/vms/{vmid}", "VM.Config.Disk"),
)
async def reassign_disk(call: Call) -> object:
    """Give a disk to another VM of the node; its content stays where it is."""
    target = call.number("target-vmid", 0)
    call.caller.check(f"/vms/{target}", "VM.Config.Disk")
    if target == call.vmid:
        raise WrongParameters({"target-vmid": "must be different than source VMID to reassign disk"})
    await _check_reassign(call, target)

    async def work(log: Log) -> None:
        locks = call.cluster.locks
        async with locks.exclusive(call.vmid), locks.exclusive(target):
            await _reassign(call, target, log)

    return call.cluster.tasks.start("qmmove", f"{call.vmid}-{target}", call.caller, work)


async def _check_reassign(call: Call, target: int) -> tuple[VmConfig, VmConfig]:
    cluster, disk = call.cluster, call.required("disk")
    place = call.text("target-disk") or disk
    if not cluster.configurations.exists(target):
        raise Refused(f"could not find target VM {target}")
    source, goal = cluster.configurations.load(call.vmid), cluster.configurations.load(target)
    for vmid, config, digest in (
        (call.vmid, source, call.text("digest")),
        (target, goal, call.text("target-digest")),
    ):
        config.check_lock()
        if config.template:
            raise Refused("Can't move disks from or to template VMs")
        if digest not in (None, config.digest):
            raise Refused(f"VM {vmid}: checksum mismatch (file change by other user?)")
    if disk not in source.values:
        raise Refused(f"Disk '{disk}' for VM '{call.vmid}' does not exist")
    if place in goal.values:
        raise Refused(f"Target disk key '{place}' is already in use for VM '{target}'")
    drive = parse_drive(source.values[disk], disk)
    if drive.cdrom:
        raise Refused("CD drive contents can't be moved to another VM")
    if any(drive.file in " ".join(values.values()) for values in source.snapshots.values()):
        raise Refused("Can't move disk used by a snapshot to another VM")
    if not disk.startswith("unused") and await cluster.is_running(call.vmid):
        raise Refused("Cannot move disk to another VM while the source VM is running - detach first")
    return source, goal


async def _reassign(call: Call, target: int, log: Log) -> None:
    source, goal = await _check_reassign(call, target)
    cluster, disk = call.cluster, call.required("disk")
    place = call.text("target-disk") or disk
    log(f"reassign disk '{disk}' from VM '{call.vmid}' as '{place}' to VM '{target}'")
    drive = parse_drive(source.values[disk], disk)
    old = cluster.storages.volume(drive.file)
    new = await cluster.storages.reserve(old.storage, target, old.format)
    old.path.replace(new.path)
    cluster.storages.free(old)
    del source.values[disk]
    order = [slot for slot in source.values.get("boot", "").removeprefix("order=").split(";") if slot != disk]
    if "boot" in source.values:
        source.values["boot"] = f"order={';'.join(order)}"
    log(f"removing disk '{disk}' from VM '{call.vmid}' config")
    cluster.configurations.save(call.vmid, source)
    size = new.virtual_size()
    goal.values[place] = (
        new.volid if place.startswith("unused") else str(drive.having(file=new.volid, size=size))
    )
    cluster.configurations.save(target, goal)


@routes.add(
    "POST", "/nodes/{node}/qemu/{vmid}/template", VM | lacking("disk"), needs("/vms/{vmid}", "VM.Allocate")
)
async def make_template(call: Call) -> object:
    """Make a template of a stopped VM: its disks become base images."""
    await _check_template(call)

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            config = await _check_template(call)
            for slot, drive in config.drives().items():
                if not drive.cdrom:
                    config.values[slot] = str(drive.having(file=to_base(call, drive.file)))
            config.values["template"] = "1"
            call.cluster.configurations.save(call.vmid, config)

    return call.cluster.tasks.start("qmtemplate", str(call.vmid), call.caller, work)


async def _check_template(call: Call) -> VmConfig:
    config = call.cluster.configurations.load(call.vmid)
    config.check_lock()
    if config.snapshots:
        raise Refused("unable to create template, because VM contains snapshots")
    if config.template:
        raise Refused("you can't convert a template to a template")
    if await call.cluster.is_running(call.vmid):
        raise Refused("you can't convert a VM to template if VM is running")
    return config


def to_base(call: Call, volid: str) -> str:
    """Make a disk a template's: its file gets another name. Returns its new id."""
    volume = call.cluster.storages.volume(volid)
    name = volume.name.replace(f"{volume.owner}/vm-", f"{volume.owner}/base-")
    base = call.cluster.storages.volume(f"{volume.storage.name}:{name}")
    volume.path.rename(base.path)
    return base.volid
