"""One run at a time: two that change the same sites at once would take the same addresses."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Somebody else's run holds the lock. The text says who and since when."""


@contextmanager
def exclusive(path: Path, holder: str) -> Iterator[None]:
    """Hold the lock file while the block runs. The kernel gives it back if the process dies.

    Args:
        path: the lock file; made if it is missing.
        holder: who holds it and since when, shown to whoever comes second.

    Raises:
        Held: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.read(descriptor, 500).decode(errors="replace").strip() or "another run"
            raise Held(
                f"{other} holds the lock of these sites: wait until that run has ended ({path})"
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, holder.encode())
        yield
    finally:
        os.close(descriptor)
