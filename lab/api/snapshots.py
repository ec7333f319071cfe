"""Snapshots: the configuration in the machine's file, the disks as snapshots inside their qcow2 images.

A snapshot with the guest's memory is something the lab does not have: asking for one of a running
machine is answered with 501. Of a stopped machine a snapshot never has memory, asked for or not.
"""

from __future__ import annotations

import time
from typing import Any

from lab.api.errors import NotImplementedHere, Refused
from lab.api.power import start_guest
from lab.api.routing import Call, Routes, needs, needs_any
from lab.api.schemas import SNAPSHOT, VM
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.values import Property
from lab.api.vm_config import VmConfig
from lab.commands import run
from lab.guest_spec import node_name

routes = Routes()

_OWN_KEYS = ("snaptime", "vmstate", "description", "parent", "snapstate")
_RESERVED = ("current", "pending")


@routes.add("GET", "/nodes/{node}/qemu/{vmid}/snapshot", VM, needs("/vms/{vmid}", "VM.Audit"))
async def list_snapshots(call: Call) -> object:
    """All snapshots, and `current` for the state of now."""
    config = call.cluster.configurations.load(call.vmid)
    listed: list[dict[str, Any]] = []
    for name, values in config.snapshots.items():
        entry: dict[str, Any] = {"name": name, "description": values.get("description", "")}
        entry |= {"snaptime": int(values.get("snaptime", 0)), "vmstate": 0}
        listed.append(entry | {key: values[key] for key in ("parent", "snapstate") if key in values})
    running = int(await call.cluster.is_running(call.vmid))
    current = {"name": "current", "description": "You are here!", "digest": config.digest, "running": running}
    parent = {"parent": config.values["parent"]} if "parent" in config.values else {}
    return [*listed, current | parent]


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/snapshot",
    SNAPSHOT | {"description": Property(), "vmstate": Property("boolean")},
    needs("/vms/{vmid}", "VM.Snapshot"),
)
async def take_snapshot(call: Call) -> object:
    """Take a snapshot."""
    name = call.required("snapname")
    if name in _RESERVED:
        raise Refused(f"unable to use snapshot name '{name}' (reserved name)")
    if call.flag("vmstate") and await call.cluster.is_running(call.vmid):
        raise NotImplementedHere("Snapshot with memory ('vmstate') of a running VM")

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            await _take(call, name)

    return call.cluster.tasks.start("qmsnapshot", str(call.vmid), call.caller, work)


async def _take(call: Call, name: str) -> None:
    cluster, config = call.cluster, call.cluster.configurations.load(call.vmid)
    if config.template:
        raise Refused("you can't take a snapshot if it's a template")
    config.check_lock()
    if name in config.snapshots:
        raise Refused(f"snapshot name '{name}' already used")
    volumes = _disk_volumes(call, config)
    if any(volume.format != "qcow2" for volume in volumes.values()):
        raise Refused("snapshot feature is not available")
    kept = {
        key: value
        for key, value in config.values.items()
        if key not in (*_OWN_KEYS, "lock") and not key.startswith("unused")
    }
    kept |= {"snaptime": str(int(time.time())), "description": call.text("description") or ""}
    if "parent" in config.values:
        kept["parent"] = config.values["parent"]
    config.values["lock"] = "snapshot"
    config.snapshots[name] = kept | {"snapstate": "prepare"}
    cluster.configurations.save(call.vmid, config)
    for slot, volume in volumes.items():
        await _in_image(call, slot, volume, "create", name)
    del config.values["lock"]
    config.snapshots[name] = kept
    config.values["parent"] = name
    cluster.configurations.save(call.vmid, config)


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback",
    SNAPSHOT | {"start": Property("boolean")},
    needs_any("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback"),
)
async def roll_back(call: Call) -> object:
    """Bring a machine back to a snapshot; it is off afterwards unless `start` is given."""
    name = call.required("snapname")

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            await _roll_back(call, name)
        if call.flag("start"):
            await start_guest(call)

    return call.cluster.tasks.start("qmrollback", str(call.vmid), call.caller, work)


async def _roll_back(call: Call, name: str) -> None:
    cluster, config = call.cluster, call.cluster.configurations.load(call.vmid)
    if config.template:
        raise Refused("you can't rollback if vm is a template")
    snapshot = _existing(config, name)
    if "snapstate" in snapshot:
        state = snapshot["snapstate"]
        raise Refused(f"unable to rollback to incomplete snapshot (snapstate = {state})")
    config.check_lock()
    await cluster.guests.stop(cluster.node, call.vmid)
    config.values["lock"] = "rollback"
    cluster.configurations.save(call.vmid, config)
    back = VmConfig({key: value for key, value in snapshot.items() if key not in _OWN_KEYS})
    back.snapshots = config.snapshots
    # A node keeps the notes of now, and the disks that no slot holds.
    back.values |= {
        key: value for key, value in config.values.items() if key == "description" or key.startswith("unused")
    }
    for slot, volume in _disk_volumes(call, back).items():
        await _in_image(call, slot, volume, "apply", name)
    kept = {volume.volid for volume in _disk_volumes(call, back).values()}
    for volume in _disk_volumes(call, config).values():
        if volume.volid not in kept:
            back.values[back.free_unused_key()] = volume.volid
    back.values["parent"] = name
    cluster.configurations.save(call.vmid, back)


@routes.add(
    "DELETE",
    "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
    SNAPSHOT | {"force": Property("boolean")},
    needs("/vms/{vmid}", "VM.Snapshot"),
)
async def delete_snapshot(call: Call) -> object:
    """Remove a snapshot."""
    name = call.required("snapname")

    async def work(log: Log) -> None:
        async with call.cluster.locks.exclusive(call.vmid):
            await _delete(call, name)

    return call.cluster.tasks.start("qmdelsnapshot", str(call.vmid), call.caller, work)


async def _delete(call: Call, name: str) -> None:
    cluster, config = call.cluster, call.cluster.configurations.load(call.vmid)
    snapshot = _existing(config, name)
    config.check_lock()
    config.values["lock"] = "snapshot-delete"
    snapshot["snapstate"] = "delete"
    cluster.configurations.save(call.vmid, config)
    taken_of = VmConfig({key: value for key, value in snapshot.items() if key not in _OWN_KEYS})
    for slot, volume in _disk_volumes(call, taken_of).items():
        await _in_image(call, slot, volume, "delete", name)
    del config.values["lock"], config.snapshots[name]
    for values in (config.values, *config.snapshots.values()):
        if values.get("parent") == name:
            if "parent" in snapshot:
                values["parent"] = snapshot["parent"]
            else:
                del values["parent"]
    cluster.configurations.save(call.vmid, config)


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
    SNAPSHOT,
    needs_any("/vms/{vmid}", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"),
)
async def get_snapshot(call: Call) -> object:
    """The configuration at a snapshot's time."""
    return _existing(call.cluster.configurations.load(call.vmid), call.required("snapname"))


def _existing(config: VmConfig, name: str) -> dict[str, str]:
    if name not in config.snapshots:
        raise Refused(f"snapshot '{name}' does not exist")
    return config.snapshots[name]


def _disk_volumes(call: Call, config: VmConfig) -> dict[str, Volume]:
    drives = config.drives().items()
    return {slot: call.cluster.storages.volume(drive.file) for slot, drive in drives if not drive.cdrom}


async def _in_image(call: Call, slot: str, volume: Volume, action: str, name: str) -> None:
    """Take, delete or go back to a snapshot in one image: through QEMU where it is running."""
    cluster = call.cluster
    if await cluster.is_running(call.vmid):
        command = {
            "create": "blockdev-snapshot-internal-sync",
            "delete": "blockdev-snapshot-delete-internal-sync",
        }[action]
        async with cluster.guests.monitor(cluster.node, call.vmid) as monitor:
            await monitor.execute(command, {"device": node_name(slot), "name": name})
        return
    flag = {"create": "-c", "delete": "-d", "apply": "-a"}[action]
    await run("qemu-img", "snapshot", flag, name, str(volume.path))
