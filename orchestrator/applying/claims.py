"""Which machines of a run somebody works on: a backup and an update of one machine never run at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Claims:
    """Machines that are being worked on, by client and machine. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[tuple[str, str]] = set()

    def take(self, key: tuple[str, str], *, wait: bool) -> bool:
        """Take a machine for oneself; false if somebody has it and it is not to be waited for."""
        with self._changed:
            while key in self._taken:
                if not wait:
                    return False
                self._changed.wait()
            self._taken.add(key)
            return True

    def give_back(self, key: tuple[str, str]) -> None:
        """Let others have it."""
        with self._changed:
            self._taken.discard(key)
            self._changed.notify_all()

    @contextmanager
    def held(self, key: tuple[str, str]) -> Iterator[None]:
        """Wait for a machine, and have it while the block runs."""
        self.take(key, wait=True)
        try:
            yield
        finally:
            self.give_back(key)
