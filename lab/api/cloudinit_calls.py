"""Calls about a VM's cloud-init drive."""

from __future__ import annotations

from typing import Any

from lab.api.machine import cloud_init_settings, write_cloud_init_drive
from lab.api.options import CLOUD_INIT
from lab.api.routing import Call, Routes, needs
from lab.api.schemas import VM
from lab.api.values import Property
from lab.api.vm_config import shown
from lab.cloudinit import meta_data, network_config, user_data

routes = Routes()

_PATH = "/nodes/{node}/qemu/{vmid}/cloudinit"
_SETTINGS = sorted(name for name in CLOUD_INIT if not name.startswith("ipconfig"))
"""What the list shows of every machine; a node leaves `ipconfigN` out unless it has changed."""


@routes.add("GET", _PATH, VM, needs("/vms/{vmid}", "VM.Audit"))
async def get_cloud_init(call: Call) -> object:
    """The settings on the drive, and what they will be when it is written anew."""
    config = call.cluster.configurations.load(call.vmid)
    values = shown(config.values)
    on_drive = shown({key: text for key, text in config.drive_state.items() if text is not None})
    listed: list[dict[str, Any]] = []
    for key in sorted({*_SETTINGS, *config.drive_state}):
        if key in config.drive_state and key not in on_drive:
            listed.append({"key": key, "pending": values.get(key)})
        elif key in on_drive and key in values:
            listed.append({"key": key, "value": on_drive[key], "pending": values[key]})
        elif key in on_drive:
            listed.append({"key": key, "delete": 1})
        elif key in values:
            listed.append({"key": key, "value": values[key]})
    return listed


@routes.add("PUT", _PATH, VM, needs("/vms/{vmid}", "VM.Config.Cloudinit"))
async def regenerate(call: Call) -> object:
    """Write the drive anew, at once."""
    async with call.cluster.locks.exclusive(call.vmid):
        config = call.cluster.configurations.load(call.vmid)
        config.check_lock()
        if await write_cloud_init_drive(call.cluster, call.vmid, config):
            call.cluster.configurations.save(call.vmid, config)
    return None


@routes.add(
    "GET",
    f"{_PATH}/dump",
    VM | {"type": Property(optional=False, choices=("user", "network", "meta"))},
    needs("/vms/{vmid}", "VM.Audit"),
)
async def dump(call: Call) -> object:
    """One of the texts that would be on the drive."""
    config = call.cluster.configurations.load(call.vmid)
    settings = cloud_init_settings(call.cluster, call.vmid, config)
    kind = call.required("type")
    if kind == "network":
        return network_config(settings)
    if kind == "meta":
        return meta_data(settings)
    masked = not call.caller.may(f"/vms/{call.vmid}", "VM.Config.Cloudinit")
    return user_data(settings, mask_password=masked)
