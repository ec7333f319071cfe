"""How much of a task is done, for whoever watches it: Proxmox only says so in the task's log.

Reading it is a call more at each look, so it is read only while somebody listens (:func:`listening`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_SHARES = (
    re.compile(r"INFO: +([0-9]{1,3})% \("),  # vzdump
    re.compile(r"progress ([0-9]{1,3})% "),  # a restore
    re.compile(r".{0,80}transferred .{1,60} \(([0-9]{1,3}(?:\.[0-9]{1,6})?)%\)"),  # a copy of a disk
)
_LINES = 500
_WHOLE = 100.0

Listener = Callable[[float], None]
_listener: ContextVar[Listener | None] = ContextVar("task_share_listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """While this lasts, tell how much of each task that this thread waits for is done: 0 to 1. None: tell nobody."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class ShareOfTask:
    """What a task's log said last of how much is done.

    Args:
        read: reads lines of the log, from a number on, at most so many: ``[{"n": 1, "t": "…"}]``. May raise.
    """

    def __init__(self, read: Callable[[int, int], Sequence[Any]]) -> None:
        self._read = read
        self._listener = _listener.get()
        self._known = 0

    @property
    def is_wanted(self) -> bool:
        """Whether somebody listens."""
        return self._listener is not None

    def look(self) -> None:
        """Read what is new in the log, and tell."""
        if self._listener is None:
            return
        found = None
        for line in self._read(self._known, _LINES):
            if line["n"] > self._known:
                self._known = line["n"]
                found = share_in(str(line["t"])) or found
        if found is not None:
            self._listener(found)


def share_in(line: str) -> float | None:
    """How much is done by a line of a task's log, 0 to 1; None if it says nothing of it."""
    for form in _SHARES:
        if said := form.match(line):
            return min(float(said[1]) / _WHOLE, 1.0)
    return None
