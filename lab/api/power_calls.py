"""Calls that start, stop and look at running VMs."""

from __future__ import annotations

from lab.api.errors import Refused
from lab.api.power import reboot_guest, shut_down_guest, start_guest, stop_guest
from lab.api.routing import Call, Routes, needs
from lab.api.schemas import SKIPLOCK, TIMEOUT, VM
from lab.api.tasks import Log, TaskWork
from lab.api.values import Property, lacking
from lab.api.vm_status import current_status
from lab.api.vm_update import root_only

routes = Routes()

_MAY_SWITCH = needs("/vms/{vmid}", "VM.PowerMgmt")
_BOOLEAN = Property("boolean")


@routes.add("GET", "/nodes/{node}/qemu/{vmid}/status/current", VM, needs("/vms/{vmid}", "VM.Audit"))
async def get_status(call: Call) -> object:
    """Whether a VM runs, and its figures."""
    config = call.cluster.configurations.load(call.vmid)
    return await current_status(call.cluster, call.vmid, config)


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/status/start",
    VM
    | SKIPLOCK
    | lacking("timeout", "force-cpu", "machine", "migratedfrom", "migration_network")
    | lacking("migration_type", "stateuri", "targetstorage"),
    _MAY_SWITCH,
)
async def start(call: Call) -> object:
    """Start a VM."""
    root_only(call, "skiplock")

    async def work(log: Log) -> None:
        await start_guest(call)

    return _task(call, "qmstart", work)


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/status/stop",
    VM
    | SKIPLOCK
    | TIMEOUT
    | {"keepActive": _BOOLEAN, "overrule-shutdown": _BOOLEAN}
    | lacking("migratedfrom"),
    _MAY_SWITCH,
)
async def stop(call: Call) -> object:
    """Take a VM's power away."""
    root_only(call, "skiplock", "keepActive")

    async def work(log: Log) -> None:
        if call.flag("overrule-shutdown"):
            for task in call.cluster.tasks.all():
                if task.type == "qmshutdown" and task.id == str(call.vmid):
                    await call.cluster.tasks.stop(task)
        await stop_guest(call)

    return _task(call, "qmstop", work)


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/status/shutdown",
    VM | SKIPLOCK | TIMEOUT | {"forceStop": _BOOLEAN, "keepActive": _BOOLEAN},
    _MAY_SWITCH,
)
async def shut_down(call: Call) -> object:
    """Ask a VM to go down by itself."""
    root_only(call, "skiplock", "keepActive")
    return _task(call, "qmshutdown", lambda log: shut_down_guest(call, log))


@routes.add("POST", "/nodes/{node}/qemu/{vmid}/status/reboot", VM | TIMEOUT, _MAY_SWITCH)
async def reboot(call: Call) -> object:
    """Shut a VM down and start it again."""
    await _demand_running(call)
    return _task(call, "qmreboot", lambda log: reboot_guest(call, log))


async def _demand_running(call: Call) -> None:
    if not await call.cluster.is_running(call.vmid):
        raise Refused(f"VM {call.vmid} not running")


def _task(call: Call, kind: str, work: TaskWork) -> str:
    return call.cluster.tasks.start(kind, str(call.vmid), call.caller, work)
