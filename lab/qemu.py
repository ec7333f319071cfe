"""Guests as QEMU processes that outlive the server.

A guest is a daemon of its own inside the lab's network namespace. All that is known about it lies
in the run directory (process id, monitor socket, agent socket) and in the process itself, so that a
server that was killed finds its guests again by looking.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import stamina
from qemu.qmp import ConnectError, QMPClient, QMPError
from qemu.qmp.qmp_client import GreetingError, NegotiationError

from lab.agent import GuestAgent
from lab.commands import CommandFailedError, run
from lab.counters import Counters, read_counters
from lab.guest_ends import EVENTS
from lab.guest_spec import (
    EMULATED_CPU,
    Disk,
    GuestFiles,
    GuestSpec,
    Nic,
    block_node,
    node_name,
    qemu_command,
    scsi_device,
)
from lab.kvm import kvm_works
from lab.network import add_tap, inside, remove_tap

__all__ = [
    "EMULATED_CPU",
    "Counters",
    "Disk",
    "GuestNotRunningError",
    "GuestSpec",
    "GuestStartError",
    "Guests",
    "Nic",
    "kvm_works",
]

_LONGEST_SOCKET_PATH = 107
"""Bytes that a unix socket's path may have on Linux."""

_TERMINATION_SECONDS = 10.0
_MONITOR_SECONDS = 60.0
"""How long the monitor of a QEMU that lives is tried."""


class GuestNotRunningError(RuntimeError):
    """What was asked needs a running guest, and this one is not."""


class GuestStartError(RuntimeError):
    """QEMU refused to start the guest; the message is QEMU's."""


def _passes(error: Exception) -> bool:
    """Whether the monitor of a QEMU that lives will be reached if it is tried again.

    QEMU may tell an event (of a job, say) where qemu.qmp waits for the greeting or the first answer: events are for
    whoever is connected from before the greeting, where the one before has negotiated, and `qmp_capabilities` is
    carried out before its answer is sent. And it writes its process id before it makes the monitor's socket and
    listens there: on a busy computer that takes a while.
    """
    return isinstance(error, ConnectError) and isinstance(
        error.exc, GreetingError | NegotiationError | FileNotFoundError | ConnectionRefusedError
    )


class Guests:
    """The guests of one lab. One object per server and event loop; safe to use for several guests at once."""

    def __init__(self, lab_name: str, run_dir: Path, log_dir: Path) -> None:
        self._lab_name = lab_name
        self._run_dir = run_dir
        self._log_dir = log_dir
        self._agents: dict[tuple[str, int], GuestAgent] = {}

    async def start(self, spec: GuestSpec) -> None:
        """Start a guest; returns when QEMU runs it, long before its system is up.

        Raises:
            GuestStartError: it runs already, or QEMU refused.
            NetworkError: its cards cannot be connected.
        """
        if self._pid(spec.node, spec.vmid) is not None:
            raise GuestStartError(f"VM {spec.vmid} already running")
        files = self.files(spec.node, spec.vmid)
        files.pid.parent.mkdir(parents=True, exist_ok=True)
        files.console.parent.mkdir(parents=True, exist_ok=True)
        _check_socket_paths(files)
        for nic in spec.nics:
            add_tap(self._lab_name, nic.tap, nic.bridge)
        try:
            await run(*inside(self._lab_name, *qemu_command(spec, files)))
        except CommandFailedError as error:
            raise GuestStartError(error.reason) from error
        self._taps_file(spec.node, spec.vmid).write_text("\n".join(nic.tap for nic in spec.nics))
        for nic in spec.nics:
            if nic.link_down:
                await self.set_link(spec.node, spec.vmid, nic.number, up=False)
        if spec.held:
            async with self.monitor(spec.node, spec.vmid) as monitor:
                await monitor.execute("cont")

    async def set_link(self, node: str, vmid: int, card: int, *, up: bool) -> None:
        """Plug the cable of card `netN` of a running guest in or out.

        Raises:
            GuestNotRunningError: it does not run.
            qemu.qmp.ExecuteError: it has no such card.
        """
        async with self.monitor(node, vmid) as monitor:
            await monitor.execute("set_link", {"name": f"net{card}", "up": up})

    async def stop(self, node: str, vmid: int) -> None:
        """Take the power away. A guest that does not run is cleaned up after, and that is all."""
        pid = self._pid(node, vmid)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            if not await _ended(pid, _TERMINATION_SECONDS):
                os.kill(pid, signal.SIGKILL)
                await _ended(pid, _TERMINATION_SECONDS)
        self._clean_up(node, vmid)

    async def shutdown(self, node: str, vmid: int, timeout: float) -> bool:
        """Press the power button and wait for the guest to go down by itself, `timeout` seconds at most.

        Returns whether it did; a guest that did not goes on running.

        Raises:
            GuestNotRunningError: it does not run.
        """
        pid = self._running_pid(node, vmid)
        # Where the guest is going down already, its QEMU has closed the monitor and is about to end.
        with suppress(GuestNotRunningError, QMPError):
            async with self.monitor(node, vmid) as monitor:
                await monitor.execute("system_powerdown")
        if not await _ended(pid, timeout):
            return False
        self._clean_up(node, vmid)
        return True

    async def is_running(self, node: str, vmid: int) -> bool:
        """Whether the guest's QEMU is there."""
        return self._pid(node, vmid) is not None

    async def running(self) -> set[tuple[str, int]]:
        """Node and VMID of every guest of this lab that runs, also of those a killed server had started."""
        found = ((path.parent.name, int(path.stem)) for path in self._run_dir.glob("*/*.pid"))
        return {(node, vmid) for node, vmid in found if self._pid(node, vmid) is not None}

    async def add_disk(self, node: str, vmid: int, disk: Disk) -> None:
        """Plug a disk into a running guest.

        Raises:
            GuestNotRunningError: it does not run.
            qemu.qmp.ExecuteError: the slot is taken or the image cannot be opened.
        """
        async with self.monitor(node, vmid) as monitor:
            await monitor.execute("blockdev-add", block_node(disk))
            try:
                await monitor.execute("device_add", scsi_device(disk))
            except Exception:
                await monitor.execute("blockdev-del", {"node-name": node_name(disk.slot)})
                raise

    async def remove_disk(self, node: str, vmid: int, slot: str) -> None:
        """Unplug a disk from a running guest; the image stays.

        Raises:
            GuestNotRunningError: it does not run.
            qemu.qmp.ExecuteError: there is nothing in that slot.
        """
        async with self.monitor(node, vmid) as monitor:
            with monitor.listener("DEVICE_DELETED") as deleted:
                await monitor.execute("device_del", {"id": slot})
                async for event in deleted:
                    if cast(dict[str, object], event["data"]).get("device") == slot:
                        break
            await monitor.execute("blockdev-del", {"node-name": node_name(slot)})

    async def resize_disk(self, node: str, vmid: int, slot: str, size: int) -> None:
        """Grow a disk of a running guest to `size` bytes; the guest's kernel is told.

        Raises:
            GuestNotRunningError: it does not run.
            qemu.qmp.ExecuteError: there is nothing in that slot, or no space.
        """
        async with self.monitor(node, vmid) as monitor:
            await monitor.execute("block_resize", {"node-name": node_name(slot), "size": size})

    async def counters(self, node: str, vmid: int) -> Counters:
        """Read the figures of a running guest.

        Raises:
            GuestNotRunningError: it does not run.
        """
        pid = self._running_pid(node, vmid)
        async with self.monitor(node, vmid) as monitor:
            drives: Any = await monitor.execute("query-blockstats")
        try:
            return read_counters(pid, drives, self._taps(node, vmid))
        except (FileNotFoundError, ProcessLookupError) as error:
            raise GuestNotRunningError(f"VM {vmid} not running") from error

    async def open_screen(self, node: str, vmid: int, password: str, seconds: int) -> None:
        """Let whoever knows a password see a running guest's screen; only those who come within some seconds.

        Raises:
            GuestNotRunningError: it does not run.
            qemu.qmp.ExecuteError: it has no screen.
        """
        async with self.monitor(node, vmid) as monitor:
            await monitor.execute("set_password", {"protocol": "vnc", "password": password})
            await monitor.execute("expire_password", {"protocol": "vnc", "time": f"+{seconds}"})

    def agent(self, node: str, vmid: int) -> GuestAgent:
        """The guest's agent; always the same object, since its one connection must stay open."""
        key = (node, vmid)
        if key not in self._agents:
            self._agents[key] = GuestAgent(self.files(node, vmid).agent)
        return self._agents[key]

    def files(self, node: str, vmid: int) -> GuestFiles:
        """Where a guest's process id, sockets and console log are, running or not."""
        folder = self._run_dir / node
        return GuestFiles(
            pid=folder / f"{vmid}.pid",
            monitor=folder / f"{vmid}.qmp",
            agent=folder / f"{vmid}.qga",
            console=self._log_dir / node / f"{vmid}.console.log",
            events=self._run_dir / EVENTS,
            serial=folder / f"{vmid}.serial0",
            vnc=folder / f"{vmid}.vnc",
        )

    @asynccontextmanager
    async def monitor(self, node: str, vmid: int) -> AsyncIterator[QMPClient]:
        """A connection to the guest's QEMU monitor.

        Raises:
            GuestNotRunningError: it does not run.
        """
        self._running_pid(node, vmid)
        try:
            client = await self._connected(node, vmid)
        except Exception as error:
            if self._pid(node, vmid) is None:
                raise GuestNotRunningError(f"VM {vmid} not running") from error
            raise
        try:
            yield client
        finally:
            with suppress(Exception):
                await client.disconnect()

    async def _connected(self, node: str, vmid: int) -> QMPClient:
        async for attempt in stamina.retry_context(
            on=lambda error: _passes(error) and self._pid(node, vmid) is not None,
            attempts=None,
            timeout=_MONITOR_SECONDS,
            wait_initial=0.01,
            wait_max=0.2,
        ):
            with attempt:
                client = QMPClient(f"{node}/{vmid}")
                await client.connect(str(self.files(node, vmid).monitor))
        return client

    def _pid(self, node: str, vmid: int) -> int | None:
        """The process of a guest, or None. A process id alone proves nothing, it may be someone else's by now."""
        path = self.files(node, vmid).pid
        try:
            pid = int(path.read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if str(path).encode() in arguments else None

    def _running_pid(self, node: str, vmid: int) -> int:
        pid = self._pid(node, vmid)
        if pid is None:
            raise GuestNotRunningError(f"VM {vmid} not running")
        return pid

    def _clean_up(self, node: str, vmid: int) -> None:
        if agent := self._agents.pop((node, vmid), None):
            agent.close()
        for tap in self._taps(node, vmid):
            remove_tap(self._lab_name, tap)
        files = self.files(node, vmid)
        sockets = (files.monitor, files.agent, files.serial, files.vnc)
        for path in (files.pid, *sockets, self._taps_file(node, vmid)):
            path.unlink(missing_ok=True)

    def _taps_file(self, node: str, vmid: int) -> Path:
        return self._run_dir / node / f"{vmid}.taps"

    def _taps(self, node: str, vmid: int) -> list[str]:
        path = self._taps_file(node, vmid)
        return path.read_text().split() if path.exists() else []


def _check_socket_paths(files: GuestFiles) -> None:
    longest = max((str(files.monitor), str(files.serial), str(files.events)), key=len)
    if len(os.fsencode(longest)) > _LONGEST_SOCKET_PATH:
        raise GuestStartError(
            f"{longest}: a socket's path may have {_LONGEST_SOCKET_PATH} bytes; give the lab a shorter run directory"
        )


async def _ended(pid: int, timeout: float) -> bool:
    """Wait until a process is gone, `timeout` seconds at most; the kernel wakes us, nothing is polled."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(watched, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), timeout)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(watched)
        os.close(watched)
    return True
