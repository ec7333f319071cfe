"""Ctrl-C in a command that changes nothing, or nothing yet.

It ends as Python ends it, by KeyboardInterrupt, and so in order; but Python waits for every thread that reads a site,
and a site may take minutes to answer. So the end has a time limit, and a second Ctrl-C needs no patience at all. How a
run ends that changes something is in :mod:`orchestrator.applying.stopping`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

EXIT_CODE = 130
"""Of an interrupted command, as shells have it for SIGINT."""

GRACE_SECONDS = 5.0
"""How long an interrupted command may take to end in order."""


@contextmanager
def ends_soon() -> Iterator[None]:
    """Let Ctrl-C end what runs in the context. Only in the main thread, and where Ctrl-C is not ignored."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, end_soon)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_soon(_number: int, _frame: FrameType | None) -> NoReturn:
    """Handle a signal: end in order within :data:`GRACE_SECONDS`; the second time, at once.

    A handler may take no lock, because the thread that it interrupts may hold it: so the clock is the kernel's.

    Raises:
        KeyboardInterrupt: always.
    """
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        end_at_once()
    signal.signal(signal.SIGALRM, lambda _number, _frame: end_at_once())
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
    raise KeyboardInterrupt


def end_at_once() -> NoReturn:
    """End the process without waiting for any of its threads. Its tasks in Proxmox go on."""
    with suppress(OSError):  # the terminal may have gone
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # the progress had hidden the cursor
        os.write(2, f"{shown}\nended at once; the tasks that run in Proxmox continue\n".encode())
    os._exit(EXIT_CODE)
