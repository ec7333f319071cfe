# SPDX-License-Identifier: AGPL-3.0-or-later
"""Serial consoles that print something, and repeat what is typed. Licensed as fakepve, which it extends."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import WSMsgType, web

from tests.api.fakepve_restore import Restores

_FLOOD = b"y\r\n" * 10_000
_TYPED = re.compile(rb"0:(?P<length>[0-9]+):|1:(?P<size>[0-9]+:[0-9]+):|2")


class Consoles(Restores):
    """A cluster whose machines print on their serial consoles."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.printed: dict[int, str] = {}
        """What each machine prints as soon as its console is opened."""
        self.before_terminals: tuple[str, bool] = ("", False)
        """What a node says before a terminal begins, and whether it ends by that."""
        self.flooding: set[int] = set()
        self.poured = 0
        """Bytes that flooding machines got rid of."""
        self.sizes: list[str] = []
        """The sizes of terminals, as they were told."""

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
        said, refused = self.before_terminals
        await socket.send_bytes(said.encode())
        if refused:
            await socket.close()
            return socket
        await socket.send_bytes(b"starting serial terminal on interface serial0\r\n")
        await socket.send_bytes(self.printed.get(vm.vmid, "").encode())
        while vm.vmid in self.flooding:
            await socket.send_bytes(_FLOOD)
            self.poured += len(_FLOOD)
        stream = b""
        async for frame in socket:
            stream += frame.data.encode() if frame.type == WSMsgType.TEXT else frame.data
            while typed := _TYPED.match(stream):
                length, size = typed["length"], typed["size"]
                ends = typed.end() + int(length or 0)
                if len(stream) < ends:
                    break
                if length:
                    await socket.send_bytes(stream[typed.end() : ends])
                elif size:
                    self.sizes.append(size.decode())
                stream = stream[ends:]
        return socket


class ConsoleOps:
    """What the process can be told about consoles; part of its ``Control``."""

    node: Any

    def op_prints(self, vmid: int, text: str) -> None:
        """Let a machine print this as soon as its serial console is opened."""
        self.node.printed[vmid] = text

    def op_refuse_terminals(self, refuse: bool = True) -> None:
        """Close each terminal after its first frame, as qemu-server before 9.1.7 does to API tokens."""
        self.node.refuse_terminal = refuse

    def op_before_terminals(self, said: str = "", ends: bool = False) -> None:
        """Let a node say something before a terminal begins, as its SSH to another one does."""
        self.node.before_terminals = (said, ends)

    def op_floods(self, vmid: int, flooding: bool) -> None:
        """Let a machine print on its serial console without end, as fast as it is read."""
        (self.node.flooding.add if flooding else self.node.flooding.discard)(vmid)

    def op_terminals(self) -> dict[str, Any]:
        """What became of terminals: bytes that flooding machines got rid of, and the sizes that were told."""
        return {"poured": self.node.poured, "sizes": self.node.sizes}
