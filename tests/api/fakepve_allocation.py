# SPDX-License-Identifier: AGPL-3.0-or-later
"""The lock of a storage: whoever allocates a disk holds it, and whoever waits for too long fails.

As PVE::Storage does it (``cluster_lock_storage``): a shared storage has one lock in the whole cluster, a local one has
one on each node; data is copied outside of it. Licensed as fakepve, which it extends; it only ever runs as a process
of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fakepve import TaskError

from tests.api.fakepve_storages import Storages


class Allocations(Storages):
    """A cluster whose storages take a while to allocate a disk."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clone_seconds = 0.0
        """How long a clone copies (real)."""
        self.hurried = asyncio.Event()
        """Clones that copy end now."""
        self.allocation: dict[str, tuple[float, float]] = {}
        """By storage: for how long an allocation holds its lock, and how long others wait for it (real seconds)."""
        self._allocating: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._cloning = 0
        self.most_clones = 0
        """How many clones ran at the same time, at most."""
        self.lock_timeouts = 0

    async def cloned(self, node: str, storages: Iterable[str]) -> None:
        """Take the time of one clone: allocate on these storages, then copy."""
        self._cloning += 1
        self.most_clones = max(self.most_clones, self._cloning)
        try:
            for storage in sorted(storages):
                await self.allocated(node, storage)
            if self.clone_seconds:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.clone_seconds):
                        await self.hurried.wait()
        finally:
            self._cloning -= 1

    async def allocated(self, node: str, storage: str) -> None:
        """Hold a storage's lock for as long as one allocation takes there."""
        if storage not in self.allocation:
            return
        seconds, patience = self.allocation[storage]
        shared = bool(self.storages[storage].get("shared"))
        lock = self._allocating[storage, "" if shared else node]
        try:
            async with asyncio.timeout(patience):
                await lock.acquire()
        except TimeoutError:
            self.lock_timeouts += 1
            if shared:
                text = f"cfs-lock 'storage-{storage}' error: got lock request timeout"
            else:
                text = f"can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout"
            raise TaskError(text) from None
        try:
            await asyncio.sleep(seconds)
        finally:
            lock.release()


class AllocationOps:
    """Part of what the process can be told."""

    node: Any

    def op_allocation(self, storage: str, seconds: float, patience: float) -> None:
        """Let each allocation on a storage hold its lock so long, and others wait so long for it (real seconds)."""
        self.node.allocation[storage] = (seconds, patience)

    def op_clones_seen(self) -> dict[str, int]:
        """How many clones ran at the same time, at most, and how many did not get a storage's lock in time."""
        return {"at once": self.node.most_clones, "lock timeouts": self.node.lock_timeouts}
