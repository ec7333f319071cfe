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
    "POST",
    "/nodes/{node}/qemu/{vmid}/agent/exec",
    VM | {"command": Property("array", optional=False), "input-data": Property(max_length=65536)},
    _MAY,
)
async def execute(call: Call) -> object:
    """Start a program in the guest, as root and without a shell."""
    agent = await available_agent(call)
    command = call.parameters["command"]
    assert isinstance(command, list)  # noqa: S101  (an array, by its schema)
    given = call.text("input-data")
    data = None if given is None else given.encode()
    return {"pid": await _asked(agent.execute(command, input_data=data))}


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/agent/exec-status",
    VM | {"pid": Property("integer", optional=False)},
    _MAY,
)
async def execution(call: Call) -> object:
    """How that program ended: each byte of its output as a character, as a node's own decoding leaves it."""
    agent = await available_agent(call)
    found = await _asked(agent.exec_status(call.number("pid", 0)))
    told: dict[str, object] = {"exited": int(found.exited)}
    for name, data, cut in (
        ("out", found.out_data, found.out_truncated),
        ("err", found.err_data, found.err_truncated),
    ):
        told |= {f"{name}-data": data.decode("latin-1")} if data else {}
        told |= {f"{name}-truncated": 1} if cut else {}
    numbers = {"exitcode": found.exitcode, "signal": found.signal}
    return told | {name: number for name, number in numbers.items() if number is not None}


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
