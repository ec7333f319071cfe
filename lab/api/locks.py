"""The locks of a node: one a VM, held by the request or task that works on it.

They live as long as the server; the mark `lock: …` in a configuration file, which outlives a crashed
task, is another thing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from lab.api.errors import Refused

PATIENCE = 10.0
"""Seconds that a request waits for a VM's lock; a clone waits one second only."""


class _Turn:
    """Who works on one VM: any number of readers, or one writer."""

    def __init__(self) -> None:
        self.readers = 0
        self.writing = False
        self.changed = asyncio.Condition()


class VmLocks:
    """The locks of all VMs of a node."""

    def __init__(self) -> None:
        self._turns: defaultdict[int, _Turn] = defaultdict(_Turn)

    @asynccontextmanager
    async def exclusive(self, vmid: int, patience: float = PATIENCE) -> AsyncIterator[None]:
        """Work on a VM alone; wait for it `patience` seconds at most.

        Raises:
            Refused: somebody else works on it all that time.
        """
        turn = self._turns[vmid]
        await _wait(turn, vmid, patience, lambda: not (turn.writing or turn.readers))
        turn.writing = True
        try:
            yield
        finally:
            turn.writing = False
            await _wake(turn)

    @asynccontextmanager
    async def shared(self, vmid: int, patience: float = PATIENCE) -> AsyncIterator[None]:
        """Read from a VM's disks together with other readers; wait for it `patience` seconds at most.

        Raises:
            Refused: somebody changes it all that time.
        """
        turn = self._turns[vmid]
        await _wait(turn, vmid, patience, lambda: not turn.writing)
        turn.readers += 1
        try:
            yield
        finally:
            turn.readers -= 1
            await _wake(turn)


async def _wait(turn: _Turn, vmid: int, patience: float, free: Callable[[], bool]) -> None:
    # No other task runs between the end of this wait and the caller's own mark: there is no await there.
    if free():
        return
    try:
        async with asyncio.timeout(patience), turn.changed:
            await turn.changed.wait_for(free)
    except TimeoutError:
        path = f"/var/lock/qemu-server/lock-{vmid}.conf"
        raise Refused(f"can't lock file '{path}' - got timeout") from None


async def _wake(turn: _Turn) -> None:
    async with turn.changed:
        turn.changed.notify_all()
