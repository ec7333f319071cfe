"""Starting and ending guests. Whoever calls these does so in a task."""

from __future__ import annotations

from lab.agent import AgentError, AgentNotRunningError
from lab.api.errors import Refused
from lab.api.machine import guest_spec, write_cloud_init_drive
from lab.api.options import agent_enabled
from lab.api.routing import Call
from lab.api.tasks import Log
from lab.api.vm_config import VmConfig
from lab.api.vm_update import apply_pending
from lab.network import NetworkError
from lab.qemu import GuestNotRunningError, GuestStartError

DEFAULT_TIMEOUT = 60
"""Seconds that a guest has to go down by itself."""


async def start_guest(call: Call) -> None:
    """Start a machine, its pending changes and its cloud-init drive brought up to date first.

    Raises:
        Refused: a template, locked, running already, or QEMU would not.
    """
    cluster, vmid = call.cluster, call.vmid
    async with cluster.locks.exclusive(vmid):
        config = cluster.configurations.load(vmid)
        if config.template:
            raise Refused("you can't start a vm if it's a template")
        if not call.flag("skiplock"):
            config.check_lock()
        if await cluster.is_running(vmid):
            raise Refused(f"VM {vmid} already running")
        await _start(call, config)


async def _start(call: Call, config: VmConfig) -> None:
    if config.pending or config.pending_delete:
        await apply_pending(call, config)
    await write_cloud_init_drive(call.cluster, call.vmid, config)
    spec = await guest_spec(call.cluster, call.vmid, config)
    try:
        await call.cluster.guests.start(spec)
    except (GuestStartError, NetworkError) as error:
        raise Refused(f"start failed: {error}") from error


async def stop_guest(call: Call) -> None:
    """Take a machine's power away; one that is off is left alone.

    Raises:
        Refused: it is locked.
    """
    async with call.cluster.locks.exclusive(call.vmid):
        if await call.cluster.is_running(call.vmid):
            _check_lock(call)
            await call.cluster.guests.stop(call.cluster.node, call.vmid)


async def shut_down_guest(call: Call, log: Log) -> None:
    """Ask a machine to go down by itself; one that is off is left alone.

    Raises:
        Refused: it is locked, or has not gone down in time and `forceStop` was not given.
    """
    async with call.cluster.locks.exclusive(call.vmid):
        if await call.cluster.is_running(call.vmid):
            _check_lock(call)
            await _shut_down(call, log)


async def reboot_guest(call: Call, log: Log) -> None:
    """Shut a machine down and start it again, with its pending changes.

    Raises:
        Refused: it is locked, has not gone down in time, or would not start.
    """
    async with call.cluster.locks.exclusive(call.vmid):
        _check_lock(call)
        if await call.cluster.is_running(call.vmid):
            await _shut_down(call, log)
            await _start(call, call.cluster.configurations.load(call.vmid))


async def _shut_down(call: Call, log: Log) -> None:
    cluster, vmid = call.cluster, call.vmid
    timeout = call.number("timeout", DEFAULT_TIMEOUT)
    config = cluster.configurations.load(vmid)
    if agent_enabled(config.values.get("agent")):
        await _ask_agent(call)
    try:
        ended = await cluster.guests.shutdown(cluster.node, vmid, timeout)
    except GuestNotRunningError:  # the agent was quicker than the button
        ended = True
    if not ended and not call.flag("forceStop"):
        raise Refused("VM quit/powerdown failed - got timeout")
    if not ended:
        log("VM still running - terminating now with SIGTERM")
    await cluster.guests.stop(cluster.node, vmid)


async def _ask_agent(call: Call) -> None:
    """Shut down through the guest's agent where it answers; the power button is pressed in any case."""
    agent = call.cluster.guests.agent(call.cluster.node, call.vmid)
    try:
        await agent.ping(timeout=3)
        # A guest that goes down does not answer this: that is how one knows.
        await agent.command("guest-shutdown", timeout=3)
    except (AgentNotRunningError, AgentError):
        return


def _check_lock(call: Call) -> None:
    if not call.flag("skiplock"):
        call.cluster.configurations.load(call.vmid).check_lock()
