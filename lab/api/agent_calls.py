"""Calls that reach into a guest through its agent."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from lab.agent import AgentError, AgentNotRunningError, GuestAgent
from lab.api.errors import Refused
from lab.api.routing import Call, Handler, Routes, needs
from lab.api.schemas import VM
from lab.api.values import Property

routes = Routes()

_MAY = needs("/vms/{vmid}", "VM.Monitor")


async def available_agent(call: Call) -> GuestAgent:
    """The agent of the call's machine, if it answers.

    Raises:
        Refused: none is configured, the machine is off, or nobody answers.
    """
    config = call.cluster.configurations.load(call.vmid)
    if "agent" not in config.values:
        raise Refused("No QEMU guest agent configured")
    if not await call.cluster.is_running(call.vmid):
        raise Refused(f"VM {call.vmid} is not running")
    agent = call.cluster.guests.agent(call.cluster.node, call.vmid)
    try:
        await agent.ping()
    except AgentNotRunningError:
        raise Refused("QEMU guest agent is not running") from None
    return agent


async def _asked(question: Awaitable[Any]) -> Any:
    try:
        return await question
    except AgentNotRunningError:
        raise Refused("QEMU guest agent is not running") from None
    except AgentError as error:
        raise Refused(f"Agent error: {error}") from None


def _simple(command: str) -> Handler:
    async def handler(call: Call) -> object:
        agent = await available_agent(call)
        return {"result": await _asked(agent.command(f"guest-{command}"))}

    return handler


_SIMPLE = {
    "ping": "POST",
    "network-get-interfaces": "GET",
}
for _command, _method in _SIMPLE.items():
    routes.add(_method, f"/nodes/{{node}}/qemu/{{vmid}}/agent/{_command}", VM, _MAY)(_simple(_command))


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/agent/file-read",
    VM | {"file": Property(optional=False)},
    _MAY,
)
async def read_file(call: Call) -> object:
    """A file of the guest, 16 MiB of it at most."""
    agent = await available_agent(call)
    content, truncated = await _asked(agent.read_file(call.required("file")))
    shown: dict[str, object] = {"content": content.decode("latin-1"), "bytes-read": len(content)}
    return shown | ({"truncated": 1} if truncated else {})
