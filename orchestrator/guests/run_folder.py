"""The private folder of one Ansible run, and the end of whatever belongs to it: also after a run that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PLACE = Path("/tmp")  # noqa: S108 - a socket's path holds 108 bytes: the folder's name is short, whatever TMPDIR says
_PREFIX = "orchestrator-run-"
_PATIENCE_SECONDS = 1.0
"""How long processes may take to end when they are asked to."""

_PASSES = 20
"""How often processes are looked for: one that is ended may just have begun another one."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for one run that nobody else can read; gone afterwards, and every process that works in it.

    The run holds a lock on it for as long as it lives, which the kernel gives up however the run ends. So a folder that
    is not locked is that of a run that was killed, and the next run removes it.

    Raises:
        OSError: no folder can be made.
    """
    remove_leftovers()
    folder, lock = _locked_folder()
    try:
        yield folder
    finally:
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PLACE))
        lock = _lock(folder)
        # Between the two, another run may have taken it for that of a killed run: then there is another try.
        if lock is not None and folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def remove_leftovers() -> None:
    """Remove the folders of runs of this user that were killed, and end what still works in them.

    Folders of other users are left alone, and so is what is no folder of a run or cannot be locked.
    """
    for folder in _PLACE.glob(f"{_PREFIX}*"):
        lock = _lock(folder)
        if lock is None:
            continue
        try:
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder of this user's that only this user can read; None if it is none, or somebody holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        known = os.fstat(descriptor)
        if known.st_uid == os.geteuid() and stat.S_IMODE(known.st_mode) == stat.S_IRWXU:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
    except OSError:
        pass  # another run holds it, or the file system knows no locks
    os.close(descriptor)
    return None


def _end(folder: Path) -> None:
    """End the processes of this user whose command line names something in a folder.

    Those are Ansible, its workers, the SSH connections that it made, and those that it keeps for later commands. They
    are asked first: a connection ends its proxy command, too.
    """
    for attempt in range(_PASSES):
        found = _processes(f"{folder}/".encode())
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM if attempt == 0 else signal.SIGKILL)
        if not found:
            return
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while attempt == 0 and any(map(_lives, found)) and time.monotonic() < deadline:
            time.sleep(0.01)


def _lives(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def _processes(name: bytes) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        process = int(path.name)
        try:
            if (
                path.stat().st_uid == os.geteuid()
                and process != os.getpid()
                and name in (path / "cmdline").read_bytes()
            ):
                found.append(process)
        except OSError:
            continue  # it has ended, or is another user's
    return found
