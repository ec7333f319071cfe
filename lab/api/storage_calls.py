"""Calls about storages and what is on them."""

from __future__ import annotations

import asyncio

from lab.api import formats
from lab.api.errors import NotImplementedHere, Refused
from lab.api.routing import Call, Routes, needs_any
from lab.api.schemas import STORAGE
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.values import Property

routes = Routes()

_MAY_LOOK = needs_any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
_VOLUME = STORAGE | {"volume": Property(optional=False)}
_VOLUME_PATH = "/nodes/{node}/storage/{storage}/content/{volume+}"


def _visible(call: Call, name: str) -> bool:
    return call.caller.may(f"/storage/{name}", "Datastore.Audit", "Datastore.AllocateSpace", any_of=True)


@routes.add("GET", "/storage", {"type": Property()})
async def list_configured(call: Call) -> object:
    """The cluster's storages as they are configured."""
    storages = call.cluster.storages.all()
    wanted = call.text("type") in (None, "dir")
    return [item.configuration for item in storages if wanted and _visible(call, item.name)]


@routes.add("GET", "/nodes/{node}/storage/{storage}/status", STORAGE, _MAY_LOOK)
async def get_status(call: Call) -> object:
    """A storage's figures."""
    return call.cluster.storages.find(call.required("storage")).status


@routes.add(
    "GET",
    "/nodes/{node}/storage/{storage}/content",
    STORAGE | {"content": Property(), "vmid": Property(check=formats.vmid)},
    _MAY_LOOK,
)
async def list_content(call: Call) -> object:
    """What is on a storage."""
    storage = call.cluster.storages.find(call.required("storage"))
    vmid = call.text("vmid")
    volumes = [
        volume
        for volume in call.cluster.storages.content(storage)
        if call.text("content") in (None, volume.kind) and vmid in (None, str(volume.owner))
    ]
    return [volume.shown() for volume in volumes]


@routes.add("GET", _VOLUME_PATH, _VOLUME)
async def get_volume(call: Call) -> object:
    """One volume."""
    volume = _volume(call)
    name = volume.storage.name
    call.caller.check(f"/storage/{name}", "Datastore.AllocateSpace", "Datastore.Audit", any_of=True)
    entry = volume.shown()
    shown = {"path": str(volume.path), "format": entry["format"], "size": entry["size"]}
    shown["used"] = volume.path.stat().st_blocks * 512
    if volume.notes_file.exists():
        shown["notes"] = volume.notes_file.read_text()
    return shown | ({"protected": entry["protected"]} if "protected" in entry else {})


@routes.add("PUT", _VOLUME_PATH, _VOLUME | {"notes": Property(), "protected": Property("boolean")})
async def change_volume(call: Call) -> object:
    """Note something on a backup, or protect it from being removed."""
    volume = _volume(call)
    _check_backup_access(call, volume)
    if volume.kind != "backup":
        raise NotImplementedHere(f"Notes and protection of content type '{volume.kind}'")
    if not volume.path.exists():
        raise Refused(f"volume '{volume.volid}' does not exist")
    notes = call.text("notes")
    if notes is not None:
        volume.notes_file.write_text(notes)
    if "protected" in call.parameters:
        if call.flag("protected"):
            volume.protection_file.touch()
        else:
            volume.protection_file.unlink(missing_ok=True)
    return None


@routes.add("DELETE", _VOLUME_PATH, _VOLUME | {"delay": Property("integer", minimum=1, maximum=30)})
async def remove_volume(call: Call) -> object:
    """Erase a volume. As on a node nothing is asked about who uses it."""
    volume = _volume(call)
    _check_backup_access(call, volume)

    async def work(log: Log) -> None:
        call.cluster.storages.free(volume)
        log(f"Removed volume '{volume.volid}'")

    owner = f"{volume.owner}@" if volume.owner is not None else ""
    upid = call.cluster.tasks.start("imgdel", f"{owner}{volume.storage.name}", call.caller, work)
    task = call.cluster.tasks.find(upid)
    if "delay" in call.parameters and task.running is not None:
        await asyncio.wait([task.running], timeout=call.number("delay", 1))
        if task.failed:
            raise Refused(str(task.exitstatus))
        if task.exitstatus:
            return None
    return upid


def _volume(call: Call) -> Volume:
    """The volume of the path, with or without its storage's name."""
    name, storage = call.required("volume"), call.required("storage")
    call.cluster.storages.find(storage)
    given, colon, _ = name.partition(":")
    if colon and given != storage:
        raise Refused(f"storage ID missmatch ({given} != {storage})")
    return call.cluster.storages.volume(name if colon else f"{storage}:{name}")


def _check_backup_access(call: Call, volume: Volume) -> None:
    path = f"/storage/{volume.storage.name}"
    if volume.kind == "backup" and volume.owner is not None:
        call.caller.check(path, "Datastore.AllocateSpace")
        call.caller.check(f"/vms/{volume.owner}", "VM.Backup")
    else:
        call.caller.check(path, "Datastore.Allocate")
