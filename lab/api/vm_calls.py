"""Calls that list, make, show, change and remove VMs."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Any

from lab.api import formats
from lab.api.disks import DiskMaker, check_drives
from lab.api.drives import parse_drive
from lab.api.errors import Forbidden, Refused, task_text
from lab.api.graphs import ROWS
from lab.api.options import LACKING, OPTIONS, check_option_privileges
from lab.api.power import start_guest
from lab.api.restore import start_restore
from lab.api.routing import Call, Routes, needs, needs_any
from lab.api.schemas import DIGEST, SKIPLOCK, VM, VMID
from lab.api.tasks import Log
from lab.api.values import REQUIRED_NODE, Property, lacking, words
from lab.api.vm_config import VmConfig, shown
from lab.api.vm_status import vm_status
from lab.api.vm_update import (
    apply_update,
    check_update,
    option_values,
    read_update,
    root_only,
)
from lab.commands import CommandFailedError

routes = Routes()

_SETTABLE = {name: kind for name, kind in OPTIONS.items() if not name.startswith("unused")} | LACKING
_CREATE = _SETTABLE | {
    "node": REQUIRED_NODE,
    "vmid": VMID,
    "pool": Property(check=formats.pool_id),
    "storage": Property(check=formats.storage_id),
    "start": Property("boolean"),
    "archive": Property(),
    "unique": Property("boolean", requires="archive"),
    "force": Property("boolean", requires="archive"),
    **lacking("bwlimit", "ha-managed", "live-restore"),
}
_UPDATE = _SETTABLE | VM | SKIPLOCK | DIGEST
_UPDATE |= {"delete": Property(), "revert": Property(), "force": Property("boolean")}
_CHANGE_NEEDS = needs_any(
    "/vms/{vmid}",
    *(f"VM.Config.{kind}" for kind in words("Disk CDROM CPU Memory Network HWType Options Cloudinit")),
)
_QEMU_VERSION = "7.2.0"
"""Stands in `meta`; a node puts the version of its QEMU there."""


@routes.add("GET", "/nodes/{node}/qemu", {"node": REQUIRED_NODE, "full": Property("boolean")})
async def list_vms(call: Call) -> object:
    """All VMs that the caller may see."""
    configurations = call.cluster.configurations
    visible = [vmid for vmid in configurations.vmids() if call.caller.may(f"/vms/{vmid}", "VM.Audit")]
    return [await vm_status(call.cluster, vmid, configurations.load(vmid)) for vmid in visible]


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/rrddata",
    VM
    | {
        "timeframe": Property(optional=False, choices=tuple(ROWS)),
        "cf": Property(choices=("AVERAGE", "MAX")),
    },
    needs("/vms/{vmid}", "VM.Audit"),
)
async def read_figures(call: Call) -> object:
    """What was measured of a VM while the lab ran; of one that is new, rows without figures."""
    call.cluster.configurations.load(call.vmid)
    return call.cluster.reports.graphs.rows(
        time.time(), call.vmid, call.required("timeframe"), largest=call.text("cf") == "MAX"
    )


@routes.add("POST", "/nodes/{node}/qemu", _CREATE)
async def create_vm(call: Call) -> object:
    """Make a VM, or restore one; its disks are made in the task."""
    cluster, vmid, pool = call.cluster, call.vmid, call.text("pool")
    if pool is not None:
        check_pool(call, pool)
    call.caller.check(f"/vms/{vmid}", "VM.Allocate")
    if call.text("archive") is not None:
        return start_restore(call)
    values = option_values(call.parameters)
    drives = {
        slot: parse_drive(text, slot) for slot, text in values.items() if re.fullmatch(r"scsi\d+", slot)
    }
    check_drives(cluster, call.caller, vmid, drives)
    check_option_privileges(call.caller, vmid, sorted(values))
    try:
        cluster.configurations.create(vmid, "create")
    except FileExistsError:
        text = f"unable to create VM {vmid} - VM {vmid} already exists on node '{cluster.node}'"
        raise Refused(text) from None

    async def work(log: Log) -> None:
        async with cluster.locks.exclusive(vmid, patience=1):
            await _create(call, vmid, values, log)
        if call.flag("start"):
            await start_guest(call)

    return cluster.tasks.start("qmcreate", str(vmid), call.caller, work)


async def _create(call: Call, vmid: int, values: dict[str, str], log: Log) -> None:
    cluster, maker = call.cluster, DiskMaker(call.cluster, vmid, log)
    slots = sorted(key for key in values if re.fullmatch(r"scsi\d+", key))
    config = VmConfig(values={key: text for key, text in values.items() if key not in slots})
    try:
        for slot in slots:
            config.values[slot] = str(await maker.make(slot, parse_drive(values[slot], slot), config))
        config.values.setdefault("boot", _default_boot(config))
        config.values.setdefault("smbios1", f"uuid={uuid.uuid4()}")
        config.values.setdefault("vmgenid", str(uuid.uuid4()))
        config.values["meta"] = f"creation-qemu={_QEMU_VERSION},ctime={int(time.time())}"
        cluster.configurations.save(vmid, config)
    except (Refused, CommandFailedError, asyncio.CancelledError) as error:
        maker.take_back()
        cluster.configurations.remove(vmid)
        if isinstance(error, asyncio.CancelledError):
            raise
        raise Refused(f"unable to create VM {vmid} - {task_text(error)}") from error
    pool = call.text("pool")
    if pool is not None:
        cluster.pools.add_vm(pool, vmid)


def check_pool(call: Call, pool: str) -> None:
    """Demand that a pool exists.

    Raises:
        Forbidden: it does not; so says Proxmox.
    """
    if pool not in call.cluster.pools.all():
        raise Forbidden(f"pool '{pool}' does not exist")


def _default_boot(config: VmConfig) -> str:
    drives = config.drives()
    disks = [slot for slot, drive in drives.items() if not drive.cdrom][:1]
    disks += [slot for slot, drive in drives.items() if drive.cdrom and not drive.cloud_init][:1]
    cards = sorted((key for key in config.values if re.fullmatch(r"net\d+", key)), key=len)[:1]
    return f"order={';'.join(disks + cards)}" if disks or cards else " "


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/config",
    VM
    | {"current": Property("boolean"), "snapshot": Property(check=formats.configuration_id, max_length=40)},
    needs("/vms/{vmid}", "VM.Audit"),
)
async def get_config(call: Call) -> object:
    """A VM's configuration: with its pending changes, unless `current` or `snapshot` say otherwise."""
    config = call.cluster.configurations.load(call.vmid)
    snapshot = call.text("snapshot")
    if snapshot is not None:
        if snapshot not in config.snapshots:
            raise Refused(f"snapshot '{snapshot}' does not exist")
        return shown(config.snapshots[snapshot]) | {"digest": config.digest}
    values = config.values if call.flag("current") else config.with_pending
    return shown(values) | {"digest": config.digest}


@routes.add("GET", "/nodes/{node}/qemu/{vmid}/pending", VM, needs("/vms/{vmid}", "VM.Audit"))
async def get_pending(call: Call) -> object:
    """Every option with its value and what it will be after a restart."""
    config = call.cluster.configurations.load(call.vmid)
    current, pending = shown(config.values), shown(config.pending)
    entries: list[dict[str, Any]] = []
    for key, value in current.items():
        entry = {"key": key, "value": value}
        if key in pending:
            entry["pending"] = pending[key]
        if key in config.pending_delete:
            entry["delete"] = 2 if config.pending_delete[key] else 1
        entries.append(entry)
    entries += [{"key": key, "pending": value} for key, value in pending.items() if key not in current]
    return [*entries, {"key": "digest", "value": config.digest}]


@routes.add("PUT", "/nodes/{node}/qemu/{vmid}/config", _UPDATE, _CHANGE_NEEDS)
async def put_config(call: Call) -> object:
    """Change a VM at once; new disks are made before the answer."""
    update = read_update(call)
    check_update(call, update)
    async with call.cluster.locks.exclusive(call.vmid):
        await apply_update(call, update, lambda line: None)
    return None


@routes.add(
    "DELETE",
    "/nodes/{node}/qemu/{vmid}",
    VM | SKIPLOCK | {"purge": Property("boolean"), "destroy-unreferenced-disks": Property("boolean")},
    needs("/vms/{vmid}", "VM.Allocate"),
)
async def destroy_vm(call: Call) -> object:
    """Remove a VM with the disks it owns."""
    root_only(call, "skiplock")
    await _check_destroy(call)

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            config = await _check_destroy(call)
            if not call.flag("skiplock"):
                config.check_lock()
            _destroy(call, config, log)

    return call.cluster.tasks.start("qmdestroy", str(call.vmid), call.caller, work)


async def _check_destroy(call: Call) -> VmConfig:
    config = call.cluster.configurations.load(call.vmid)
    config.check_protection(f"can't remove VM {call.vmid}")
    if await call.cluster.is_running(call.vmid):
        raise Refused(f"VM {call.vmid} is running - destroy failed")
    return config


def _destroy(call: Call, config: VmConfig, log: Log) -> None:
    cluster, vmid = call.cluster, call.vmid
    if config.template:
        check_no_linked_clones(call, vmid)
    volumes = [
        cluster.storages.volume(text.partition(",")[0])
        for values in (config.values, *config.snapshots.values())
        for key, text in values.items()
        if re.fullmatch(r"(scsi|unused)\d+", key) and text.partition(",")[0] not in ("none", "cdrom")
    ]
    if call.flag("destroy-unreferenced-disks"):
        volumes += cluster.storages.images_of(vmid)
    for volume in volumes:
        if volume.owner == vmid:
            cluster.storages.free(volume)
    if call.flag("purge"):
        log(f"purging VM {vmid} from related configurations..")
    cluster.pools.forget_vm(vmid)
    cluster.reports.forget(vmid)
    cluster.configurations.remove(vmid)


def check_no_linked_clones(call: Call, vmid: int) -> None:
    """Demand that no machine's disk stands on one of a template's.

    Raises:
        Refused: one does.
    """
    configurations = call.cluster.configurations
    for other in configurations.vmids():
        for drive in configurations.load(other).drives().values():
            base, slash, _ = drive.file.rpartition(f"/{other}/")
            if slash and base.partition(":")[2].startswith(f"{vmid}/"):
                name = base.partition(":")[2]
                raise Refused(f"base volume '{name}' is still in use by linked clones")
