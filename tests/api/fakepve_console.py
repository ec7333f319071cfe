# SPDX-License-Identifier: AGPL-3.0-or-later
"""Serial consoles that print something. Licensed as fakepve, which it extends."""

from __future__ import annotations

from typing import Any

from aiohttp import WSMsgType, web

from tests.api.fakepve_restore import Restores


class Consoles(Restores):
    """A cluster whose machines print on their serial consoles."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.printed: dict[int, str] = {}
        """What each machine prints as soon as its console is opened."""

    async def _vncwebsocket(self, request: web.Request) -> Any:
        vm = self._vm(request, "VM.Console")
        if getattr(vm, "rfb", False):
            return await super()._vncwebsocket(request)
        user, ticket = self._take_vnc_ticket(request, vm)
        socket = web.WebSocketResponse(protocols=("binary",))
        await socket.prepare(request)
        hello = await socket.receive()
        # pveproxy hands on the payload of text and of binary frames alike.
        said = hello.data.encode() if hello.type == WSMsgType.TEXT else hello.data
        if self.refuse_terminal or said != f"{user}:{ticket}\n".encode():
            await socket.close()
            return socket
        await socket.send_bytes(b"OK")
        await socket.send_bytes(b"starting serial terminal on interface serial0\r\n")
        await socket.send_bytes(self.printed.get(vm.vmid, "").encode())
        await socket.receive()
        return socket


class ConsoleOps:
    """What the process can be told about consoles; part of its ``Control``."""

    node: Any

    def op_prints(self, vmid: int, text: str) -> None:
        """Let a machine print this as soon as its serial console is opened."""
        self.node.printed[vmid] = text

    def op_refuse_terminals(self) -> None:
        """Close each terminal after its first frame, as qemu-server before 9.1.7 does to API tokens."""
        self.node.refuse_terminal = True
