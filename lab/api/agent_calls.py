"""Calls that reach into a guest through its agent."""

from __future__ import annotations

import base64
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
    "get-osinfo": "GET",
    "get-host-name": "GET",
    "get-time": "GET",
    "get-users": "GET",
    "get-timezone": "GET",
    "get-fsinfo": "GET",
    "get-vcpus": "GET",
    "info": "GET",
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
    """Start a program in the guest."""
    agent = await available_agent(call)
    command = call.parameters["command"]
    argv = command if isinstance(command, list) else [str(command)]
    given = call.text("input-data")
    data = given.encode() if given is not None else None
    return {"pid": await _asked(agent.execute(argv, input_data=data))}


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/agent/exec-status",
    VM | {"pid": Property("integer", optional=False)},
    _MAY,
)
async def exec_status(call: Call) -> object:
    """What became of a program."""
    agent = await available_agent(call)
    status = await _asked(agent.exec_status(call.number("pid", 0)))
    shown: dict[str, object] = {"exited": int(status.exited)}
    for key, value in (("exitcode", status.exitcode), ("signal", status.signal)):
        if value is not None:
            shown[key] = value
    for key, data, truncated in (
        ("out", status.out_data, status.out_truncated),
        ("err", status.err_data, status.err_truncated),
    ):
        if data:
            shown[f"{key}-data"] = data.decode("latin-1")
        if truncated:
            shown[f"{key}-truncated"] = 1
    return shown


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


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/agent/file-write",
    VM
    | {
        "file": Property(optional=False),
        "content": Property(optional=False, max_length=60 * 1024),
        "encode": Property("boolean"),
    },
    _MAY,
)
async def write_file(call: Call) -> object:
    """Write a file of the guest."""
    agent = await available_agent(call)
    content = call.required("content").encode()
    if not call.flag("encode", default=True):
        content = base64.b64decode(content)
    await _asked(agent.write_file(call.required("file"), content))
    return None
