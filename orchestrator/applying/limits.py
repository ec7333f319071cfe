"""How much is asked of Proxmox at a time. No user ever tunes this.

Where the numbers come from (Proxmox VE's own defaults): a node serves three API requests at a time
(pvedaemon's workers) and a disk allocation holds one for as long as it takes, so two writes leave one
worker for everybody's reads. Disk allocation locks the storage and a request waits 10 s for that lock;
a clone waits 1 s for its source's. Two clones into a storage keep a copy running while the next one
allocates; more only queue up for the lock and fail with "can't lock file ... got timeout".
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

CLONES_PER_STORAGE = 2
WRITES_PER_NODE = 2
STARTS_PER_NODE = 4


class Limits:
    """Counting locks for one run. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._semaphores: dict[tuple[str, ...], threading.Semaphore] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def _slot(self, size: int, *key: str) -> Iterator[None]:
        with self._guard:
            semaphore = self._semaphores.setdefault(key, threading.Semaphore(size))
        with semaphore:
            yield

    @contextmanager
    def clone(self, site: str, storage: str) -> Iterator[None]:
        """Hold while a clone into this storage runs."""
        with self._slot(CLONES_PER_STORAGE, "clone", site, storage):
            yield

    @contextmanager
    def write(self, site: str, node: str) -> Iterator[None]:
        """Hold while a configuration is written or a disk is resized on this node."""
        with self._slot(WRITES_PER_NODE, "write", site, node):
            yield

    @contextmanager
    def start(self, site: str, node: str) -> Iterator[None]:
        """Hold while a machine is started, stopped or restarted on this node."""
        with self._slot(STARTS_PER_NODE, "start", site, node):
            yield

    @contextmanager
    def choosing_id(self, site: str) -> Iterator[None]:
        """Hold between asking for a free VMID and using it: Proxmox reserves nothing."""
        with self._guard:
            lock = self._locks["id", site]
        with lock:
            yield
