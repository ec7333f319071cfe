"""Which machines of a run somebody works on: a backup and an update of one machine never run at once.

An update lasts as long as a guest likes. So nobody who has others' work to do waits for one machine.
"""

from __future__ import annotations

import threading
from collections.abc import Collection


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

    def await_any(self, keys: Collection[tuple[str, str]], seconds: float) -> set[tuple[str, str]]:
        """Wait until nobody has one of these machines any more, at most so long; return those that nobody has."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken.issuperset(keys), seconds)
            return set(keys) - self._taken
