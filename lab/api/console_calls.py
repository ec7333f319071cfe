"""Calls that open consoles: a screen by VNC, a serial port as a terminal."""

from __future__ import annotations

import secrets
import string

from aiohttp import web

from lab.api.consoles import Console, serve_console
from lab.api.errors import NotImplementedHere
from lab.api.machine import display_of
from lab.api.routing import Call, Routes, Upgrade, needs
from lab.api.schemas import VM
from lab.api.values import Property

routes = Routes()

_MAY_OPEN = needs("/vms/{vmid}", "VM.Console")
_BOOLEAN = Property("boolean")
_PASSWORD_LENGTH = 8
_SERIAL = Property(choices=("serial0", "serial1", "serial2", "serial3"))


@routes.add(
    "POST",
    "/nodes/{node}/qemu/{vmid}/vncproxy",
    VM | {"websocket": _BOOLEAN, "generate-password": _BOOLEAN},
    _MAY_OPEN,
)
async def open_screen(call: Call) -> object:
    """Open a screen. Where the display is a serial port, a node shows a text terminal by VNC, which a lab does not."""
    display = display_of(call.cluster.configurations.load(call.vmid))
    if not call.flag("websocket"):
        raise NotImplementedHere("A console without 'websocket'")
    if display != "std":
        raise NotImplementedHere(f"A screen of a machine with 'vga: {display}'")
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(_PASSWORD_LENGTH))
    generated = call.flag("generate-password")
    console = call.cluster.consoles.ask(call.caller, call.vmid, password=password)
    if not generated:
        console.password = console.ticket[:_PASSWORD_LENGTH]
    shown = _opened(call, "vncproxy", console)
    return shown | ({"password": password} if generated else {})


@routes.add("POST", "/nodes/{node}/qemu/{vmid}/termproxy", VM | {"serial": _SERIAL}, _MAY_OPEN)
async def open_terminal(call: Call) -> object:
    """Open a serial port."""
    config = call.cluster.configurations.load(call.vmid)
    serial = call.text("serial") or "serial0"
    there = config.values.get(serial) == "socket"
    console = call.cluster.consoles.ask(call.caller, call.vmid, password=None, serial=serial if there else "")
    return _opened(call, "vncproxy", console)


@routes.add(
    "GET",
    "/nodes/{node}/qemu/{vmid}/vncwebsocket",
    VM
    | {
        "port": Property("integer", optional=False, minimum=5900, maximum=5999),
        "vncticket": Property(optional=False, max_length=512),
    },
    _MAY_OPEN,
)
async def connect(call: Call) -> object:
    """Change to the WebSocket of a console that was opened."""
    consoles, ticket = call.cluster.consoles, call.required("vncticket")
    consoles.check_ticket(ticket, call.caller, call.vmid)
    console = consoles.take(call.number("port", 0), ticket)

    async def serve(request: web.Request) -> web.StreamResponse:
        if console is not None:
            return await serve_console(call.cluster, console, request)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    return Upgrade(serve)


def _opened(call: Call, kind: str, console: Console) -> dict[str, object]:
    consoles = call.cluster.consoles
    upid = call.cluster.tasks.start(
        kind, str(call.vmid), call.caller, lambda log: consoles.wait(console, log)
    )
    return {
        "user": call.caller.identity,
        "ticket": console.ticket,
        "port": str(console.port),
        "upid": upid,
    }
