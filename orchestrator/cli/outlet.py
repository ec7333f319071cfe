"""Where all output goes: standard output and error, through which nothing but visible text gets to a terminal.

Whatever writes to them (a command, the command line's parser, a library's warning) is made safe here once more; only
:class:`Screen`, which does it itself, may add colours and move the cursor. An output that cannot be written any more
(its reader has gone, its disk is full) stops no work that is under way: the rest is dropped, and the run's end says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from orchestrator.shown import visible


class Outlet:
    """A standard stream.

    Args:
        stream: the stream itself.

    Attributes:
        lost: why it can no longer be written to; None as long as it can.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, every character of it visible. Never raises."""
        self.carry(visible(text, lines=True, longest=None))
        return len(text)

    def carry(self, text: str) -> None:
        """Write what is safe already. Never raises."""
        if self.lost is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)

    def flush(self) -> None:
        """Let it be read. Never raises."""
        if self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Drop the rest, also what the stream still holds: Python would try to write it at the end."""
        self.lost = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class Coloured:
    """An outlet for :class:`Screen`, whose texts are safe and have colours."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outlet, name)

    def write(self, text: str) -> int:
        """Write it. Never raises."""
        self._outlet.carry(text)
        return len(text)


@contextmanager
def outlets() -> Iterator[tuple[Outlet, Outlet]]:
    """Let standard output and error go through outlets."""
    before = sys.stdout, sys.stderr
    out, err = Outlet(sys.stdout), Outlet(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
