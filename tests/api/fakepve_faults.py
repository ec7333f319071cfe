# SPDX-License-Identifier: AGPL-3.0-or-later
"""Trouble on demand, in front of the modelled cluster: broken connections, silence, errors, failed tasks.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web
from fakepve import PveError, TaskError
from fakepve.server import params

from tests.api.fakepve_node import Node

_API = "/api2/json"
_BEFOREHAND = ("edit", "node-off", "bad-mark")


@dataclass
class Fault:
    """What happens to the next ``times`` requests of ``method`` whose path matches ``path`` wholly.

    Attributes:
        method: ``GET``, …, or ``*`` for any.
        path: a regular expression for the path below ``/api2/json``.
        kind: ``error`` (answer ``status`` and ``text``), ``html`` (a proxy's page with ``status``),
            ``redirect`` (to ``text``), ``reset`` (the connection breaks), ``hang`` (no answer, for ``seconds``),
            ``malformed`` (JSON that breaks off), ``task`` (a task that ends with ``text``), ``endless`` (a task that
            ends when all faults are cleared, as if somebody stopped it; neither task does anything), ``edit``
            (somebody else writes ``text`` into the machine's notes, then the request is carried out), ``kill`` (the
            client, process ``pid``, is killed), ``drip`` (an answer a byte at a time, without end), ``pour`` (as fast
            as it goes), ``answer`` (a success whose body is ``text``), ``node-off`` (the node ``text`` is off until all
            faults are cleared), ``bad-mark`` (somebody breaks the mark in the machine's notes; all faults cleared, the
            notes are what they were), ``meet`` (the requests wait until ``times`` of them have come, then each is
            carried out: whoever sent them does so at the same moment, however slow the computer is).
        after: the request is carried out first; only its answer is lost.
        skip: let so many pass before the first.
        lasting: from the first request that it happens to, it happens to every other as well.
        log: lines of the task's log.
    """

    method: str
    path: str
    kind: str
    status: int = 500
    text: str = ""
    errors: dict[str, str] | None = None
    seconds: float = 0.0
    times: int = 1
    after: bool = False
    skip: int = 0
    lasting: bool = False
    met: bool = False
    log: tuple[str, ...] = ()
    pid: int = 0
    gathered: asyncio.Event = field(default_factory=asyncio.Event)

    def matches(self, method: str, path: str) -> bool:
        """Whether it is this request's turn."""
        if self.lasting and self.met:
            return True
        if self.method not in (method, "*") or not self.times or not re.fullmatch(self.path, path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        self.met = True
        return True


@dataclass
class Call:
    """A request that came in, as :attr:`TroubledNode.trace` has it.

    Attributes:
        path: below ``/api2/json``.
        digest: whether it said which configuration it is about.
        task: whether it was answered with a task.
    """

    method: str
    path: str
    digest: bool = False
    task: bool = False


class TroubledNode(Node):
    """The cluster behind a door that counts who comes in, and can be told to misbehave."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.calls_at: defaultdict[int, Counter[str]] = defaultdict(Counter)
        """By the port at which they came in."""
        self.connections: dict[int, Any] = {}
        """By the client's port."""
        self.trace: list[Call] | None = None
        """Every request in the order of arrival; None: they are not written down."""
        self.date_header: str | None = None
        """What answers say of the time instead of the clock's."""
        self._endless: list[str] = []
        self._off: list[str] = []
        self._broken_notes: dict[int, tuple[str, str]] = {}

    def _build_app(self) -> Any:
        app = super()._build_app()
        app.middlewares.insert(0, self._door)
        return app

    @web.middleware
    async def _door(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        self.follow_files()
        answer = await self._let_in(request, handler)
        # As pveproxy has it: the node's own time. The modelled clock may be set.
        if answer.prepared:
            return answer
        answer.headers["Date"] = (
            formatdate(self.clock.time(), usegmt=True) if self.date_header is None else self.date_header
        )
        return answer

    async def _let_in(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        path = request.path.removeprefix(_API)
        call = f"{request.method} {await _named(request, path)}"
        self.calls[call] += 1
        self.calls_at[request.transport.get_extra_info("sockname")[1]][call] += 1
        self.connections[request.transport.get_extra_info("peername")[1]] = request.transport
        if request.method == "DELETE" and request.can_read_body:
            return _json_error(501, "Unexpected content for method 'DELETE'")
        fault = next((fault for fault in self.faults if fault.matches(request.method, path)), None)
        if fault is not None and fault.kind in _BEFOREHAND:
            self._prepare(fault, path)
            fault = None
        if fault is not None and fault.kind == "meet":
            if not fault.times:
                fault.gathered.set()
            await fault.gathered.wait()
            fault = None
        if fault is None:
            return await self._carry_out(request, handler)
        if fault.after:
            await handler(request)
        return await self._misbehave(fault, request)

    async def _carry_out(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        path = request.path.removeprefix(_API)
        call = Call(request.method, path)
        if self.trace is not None:
            self.trace.append(call)
            call.digest = "digest" in await params(request)
        try:
            answer = await handler(request)
        except web.HTTPNotFound:
            return _json_error(501, f"Method '{request.method} {path}' not implemented")
        if self.trace is not None:
            call.task = isinstance(answer, web.Response) and (answer.text or "").startswith('{"data": "UPID:')
        return answer

    def traced(self) -> list[dict[str, Any]]:
        """The trace as JSON."""
        return [dataclasses.asdict(call) for call in self.trace or ()]

    def _prepare(self, fault: Fault, path: str) -> None:
        """Do what somebody else does right before a request, which is carried out as usual."""
        if fault.kind == "node-off":
            self.set_node_offline(fault.text, True)
            self._off.append(fault.text)
            return
        found = re.match(r"/nodes/[^/]+/qemu/(\d+)", path)
        vm = self.vm(int(found[1])) if found else None
        if vm is None:
            raise KeyError(path)
        notes = vm.config.get("description", "")
        if fault.kind == "edit":
            vm.config["description"] = f"{notes}{fault.text}"
        else:
            vm.config["description"] = notes.replace('{"', '{"firewall": {"x": 1}, "firewall": 7, ')
            self._broken_notes[vm.vmid] = (vm.config["description"], notes)

    def recover(self) -> None:
        """Somebody switches on again what is off, and repairs the notes that were broken."""
        for name in self._off:
            self.set_node_offline(name, False)
        for vmid, (broken, sound) in self._broken_notes.items():
            vm = self.vm(vmid)
            if vm.config.get("description") == broken:
                vm.config["description"] = sound
        self._off.clear()
        self._broken_notes.clear()

    async def end_endless_tasks(self) -> None:
        """Stop the tasks that do not end by themselves."""
        jobs = [self._jobs[upid] for upid in self._endless if upid in self._jobs]
        self._endless.clear()
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)

    async def drop_connections(self) -> None:
        """Close what clients keep open, as pveproxy does after a few idle seconds."""
        wires = [transport.get_extra_info("socket") for transport in self.connections.values()]
        for transport in self.connections.values():
            transport.abort()
        while any(wire is not None and wire.fileno() != -1 for wire in wires):
            await asyncio.sleep(0)

    async def _misbehave(self, fault: Fault, request: Any) -> Any:
        if fault.kind == "error":
            return _json_error(fault.status, fault.text, fault.errors)
        if fault.kind == "html":
            page = "<html><body>nothing here</body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        if fault.kind == "redirect":
            return web.Response(status=fault.status, headers={"Location": fault.text})
        if fault.kind == "malformed":
            return web.Response(text='{"data": [{"', content_type="application/json")
        if fault.kind == "answer":
            return web.Response(text=fault.text, content_type="application/json")
        if fault.kind in ("drip", "pour"):
            return await _without_end(request, hurry=fault.kind == "pour")
        if fault.kind in ("task", "endless"):
            return web.json_response({"data": await self._doomed_task(fault, request)})
        if fault.kind == "kill":
            os.kill(fault.pid, signal.SIGKILL)
        if fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        wire = request.transport.get_extra_info("socket")
        if fault.kind == "reset" and wire is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response()

    async def _doomed_task(self, fault: Fault, request: Any) -> str:
        path = request.path.removeprefix(_API)
        found = re.match(r"/nodes/([^/]+)", path)
        node = found[1] if found else sorted(self.nodes)[0]
        kind, subject = _task_of(request.method, path, await params(request))
        user = self._authenticate(request)

        async def body() -> None:
            if fault.kind == "endless":
                await asyncio.get_running_loop().create_future()
            if not fault.text.startswith("WARNINGS"):
                raise TaskError(fault.text)

        if fault.kind == "endless":
            record = self.begin(node, kind, subject, user, fault.log)
            self._endless.append(record["upid"])
            return await self.spawn(record, body)
        upid = str(await self.task(node, kind, subject, user, body, log=fault.log))
        if fault.text.startswith("WARNINGS"):
            self.tasks[upid]["exitstatus"] = fault.text
        return upid

    def _authenticate(self, request: Any) -> Any:
        """Say which half of a token is wrong, as Proxmox does."""
        header = request.headers.get("Authorization", "").removeprefix("PVEAPIToken=")
        name = header.partition("=")[0]
        if header and name not in self.apitokens:
            user, _, token = name.partition("!")
            raise PveError(401, f"no such token '{token}' for user '{user}'")
        return super()._authenticate(request)


async def _without_end(request: Any, *, hurry: bool) -> Any:
    """Answer without end, until the other side hangs up."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await answer.write(b" " * (65536 if hurry else 1))
            await asyncio.sleep(0 if hurry else 0.01)
    return answer


async def _named(request: Any, path: str) -> str:
    """The path as calls are counted by; a run's lock that is made counts by its name, as when it is removed."""
    if request.method == "POST" and path == "/pools":
        name = str((await params(request)).get("poolid"))
        return f"/pools/{name}" if name.startswith("orchestrator-lock-") else path
    return path


def _task_of(method: str, path: str, values: dict[str, Any]) -> tuple[str, str]:
    """Which kind of task a call starts, and on what: as in its UPID."""
    parts = path.strip("/").split("/")[2:]
    if parts[0] == "vzdump":
        return "vzdump", str(values.get("vmid", ""))
    if parts == ["qemu"]:
        return "qmrestore" if values.get("archive") else "qmcreate", str(values.get("vmid", ""))
    if parts[0] == "storage":
        return "imgdel", f"{parts[-1].partition(':')[2]}@{parts[1]}"
    subject, rest = (parts[1], parts[2:]) if parts[0] == "qemu" else ("", parts)
    if method == "DELETE":
        return ("qmdelsnapshot" if rest else "qmdestroy"), subject
    return ("resize" if rest == ["resize"] else f"qm{rest[-1]}"), subject


def _json_error(status: int, text: str, errors: dict[str, str] | None = None) -> Any:
    body: dict[str, Any] = {"data": None, "message": text + "\n"}
    if errors:
        body["errors"] = errors
    reason = text.splitlines()[0][:200] if text else None
    return web.Response(status=status, reason=reason, text=json.dumps(body), content_type="application/json")
