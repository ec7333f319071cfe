"""The life of a lab: its server in the background, its network, its guests, its traces."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.network import Bridge, LabNetwork, bridge_name
from lab.qemu import Guests
from lab.settings import LabSettings, load_settings

_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_READY = b"ready\n"
_LOG_TAIL = 12


class LabError(RuntimeError):
    """A lab cannot be started or stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Status:
    """What of a lab is alive: the server's process id or None, and node and VMID of every running guest."""

    server: int | None
    guests: tuple[tuple[str, int], ...]


def start_server(settings: LabSettings) -> None:
    """Start the server in the background; returns when its APIs answer.

    Raises:
        LabError: it ended, or did not answer in time.
    """
    log = settings.state_dir / "server.log"
    reader, writer = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "lab",
                "serve",
                "--state-dir",
                str(settings.state_dir),
                "--ready",
                str(writer),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(writer,),
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
        )
    os.close(writer)
    try:
        answered, _, _ = select.select([reader], [], [], _START_SECONDS)
        if answered and os.read(reader, len(_READY)) == _READY:
            return
    finally:
        os.close(reader)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL:])
    raise LabError(f"the lab's server did not start; its log {log} ends with:\n{tail}")


def network(settings: LabSettings) -> LabNetwork:
    """The lab's namespace with a bridge a node."""
    bridges = [
        Bridge(site.node, bridge_name(index), site.bridge_addresses)
        for index, site in enumerate(settings.sites)
    ]
    return LabNetwork(settings.name, bridges)


def announce_ready(descriptor: int) -> None:
    """Tell the process that waits in `start_server` that the APIs answer."""
    os.write(descriptor, _READY)
    os.close(descriptor)


def status(settings: LabSettings) -> Status:
    """Look what runs."""
    return Status(_server(settings.state_dir), tuple(sorted(asyncio.run(_guests(settings).running()))))


def stop(settings: LabSettings, *, keep: bool) -> None:
    """End the server, the guests and the network; unless `keep`, remove the lab's folder.

    Guests are not asked: a lab's machines are for throwing away.

    Raises:
        LabError: the server does not end.
    """
    pid = _server(settings.state_dir)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        _wait_for_end(pid)
    asyncio.run(_stop_guests(settings))
    network(settings).remove()
    with suppress(FileNotFoundError):
        shutil.rmtree(settings.run_dir)
    if not keep:
        shutil.rmtree(settings.state_dir)


@contextmanager
def alone(state: Path) -> Iterator[LabSettings | None]:
    """Be the only one that starts or stops the lab in this folder; gives its settings, None where there is none."""
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    descriptor = os.open(state, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield load_settings(state)
    finally:
        os.close(descriptor)
        with suppress(OSError):
            state.rmdir()  # only if nothing is in it


def write_pid(state: Path) -> None:
    """Say which process the server is; for the server itself."""
    scratch = state / ".server.pid.new"
    scratch.write_text(str(os.getpid()))
    scratch.replace(state / "server.pid")


def _server(state: Path) -> int | None:
    """The server's process. A process id alone proves nothing, it may be someone else's by now."""
    try:
        pid = int((state / "server.pid").read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if str(state).encode() in arguments else None


def _wait_for_end(pid: int) -> None:
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([watched], [], [], _STOP_SECONDS)
    finally:
        os.close(watched)
    if not ended:
        raise LabError(
            f"the lab's server (process {pid}) does not end: look at its log, or end it with kill -9"
        )


def _guests(settings: LabSettings) -> Guests:
    return Guests(settings.name, settings.run_dir, settings.state_dir / "log")


async def _stop_guests(settings: LabSettings) -> None:
    guests = _guests(settings)
    await asyncio.gather(*(guests.stop(node, vmid) for node, vmid in await guests.running()))
