"""Starting a lab in the background, stopping it, and looking whether it runs."""

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
from pathlib import Path

from lab.settings import LabSettings, load_settings

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_READY = b"ready"


class LabError(Exception):
    """What was asked of the lab failed; the text says why."""


def running_server(state_dir: Path) -> int | None:
    """The process id of the lab's server, or None where none runs."""
    return holder_of(state_dir / "server.pid")


def holder_of(path: Path) -> int | None:
    """The process id in a file that its process keeps locked; None where none does."""
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
            return int(text) if text.isdigit() else None
    return None


@contextmanager
def alone(state_dir: Path) -> Iterator[LabSettings | None]:
    """Be the only one that starts or stops the lab in this folder.

    Gives its settings, or None where there is no lab; a folder that stays empty is removed.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    descriptor = os.open(state_dir, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield load_settings(state_dir)
    finally:
        os.close(descriptor)
        with suppress(OSError):
            state_dir.rmdir()


def start(settings: LabSettings) -> None:
    """Start a lab and return once its API answers.

    Raises:
        LabError: it did not start; the reason is also in the log.
    """
    settings.save()
    log = settings.state_dir / "server.log"
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "lab", "serve", "--state-dir", str(settings.state_dir)]
    with log.open("ab") as output:
        began = output.tell()
        process = subprocess.Popen(
            [*command, "--ready", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writer],
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
        )
    os.close(writer)
    try:
        if not _became_ready(reader):
            process.kill()
            process.wait()
            raise LabError(_last_words(log, began))
    finally:
        os.close(reader)


def _became_ready(reader: int) -> bool:
    """Wait for the server's word, or for its end, which closes the other side of the pipe."""
    ready, _, _ = select.select([reader], [], [], _START_SECONDS)
    return bool(ready) and os.read(reader, len(_READY)) == _READY


def _last_words(log: Path, began: int) -> str:
    with log.open("rb") as file:
        file.seek(began)
        said = file.read().decode(errors="replace").strip().splitlines()
    return f"{said[-1] if said else 'the server ended without a word'} (log: {log})"


def report_ready(writer: int) -> None:
    """Tell the starting process that the API answers."""
    with suppress(BrokenPipeError):
        os.write(writer, _READY)
    os.close(writer)


def stop(settings: LabSettings, *, keep: bool) -> None:
    """End the server, the guests and the namespace; without `keep` remove every trace of the lab.

    Guests are not asked: a lab's machines are for throwing away.
    """
    _end_server(settings.state_dir)
    asyncio.run(_end_guests(settings))
    if not keep:
        shutil.rmtree(settings.state_dir)


def _end_server(state_dir: Path) -> None:
    pid = running_server(state_dir)
    if pid is None:
        return
    watched = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        ended, _, _ = select.select([watched], [], [], _STOP_SECONDS)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            select.select([watched], [], [], _STOP_SECONDS)
    except ProcessLookupError:
        return
    finally:
        os.close(watched)


async def _end_guests(settings: LabSettings) -> None:
    # Imported here: `status` and a second `start` must not wait for what they do not use.
    from lab.serve import guests_of, network_of

    guests = guests_of(settings)
    await asyncio.gather(*(guests.stop(node, vmid) for node, vmid in await guests.running()))
    network_of(settings).remove()
    shutil.rmtree(settings.run_dir, ignore_errors=True)


async def running_guests(settings: LabSettings) -> list[tuple[str, int]]:
    """Node and number of every running guest."""
    from lab.serve import guests_of

    return sorted(await guests_of(settings).running())
