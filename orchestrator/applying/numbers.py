"""Numbers for the new VMs of one run: Proxmox reserves none, so each is given to one machine only.

Two calls serve a whole run: what is free first, and, when a second number is wanted, the list of those that are taken.
Nobody waits for another machine's clone to be asked for. Whoever meets a number that somebody else has taken since asks
anew.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.proxmox import NoFreeId

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

_HIGHEST = 999_999_999
"""Proxmox takes no higher one."""


class Numbers:
    """The numbers of one site. Thread-safe."""

    def __init__(self, cluster: Cluster) -> None:
        """Begin: nothing is asked yet."""
        self._cluster = cluster
        self._guard = threading.Lock()
        self._given: set[int] = set()
        self._fresh: Iterator[int] = iter(())

    def take(self) -> int:
        """A number that no VM and no container had when Proxmox was last asked, and that this run gave nobody else.

        Raises:
            NoFreeId: there is none.
            ProxmoxError: Proxmox could not be asked.
        """
        with self._guard:
            number = self._next()
            if number is None:
                number = self._cluster.free_vmid()
                self._fresh = self._after(number)
                if number in self._given:
                    number = self._next()
            if number is None:
                raise NoFreeId(
                    "every free VM id was given to a machine of this run already",
                    site=self._cluster.site,
                    call="the choice of a VM id",
                    remedy="widen `vmids` of the site in the site file",
                )
            self._given.add(number)
            return number

    def give_back(self, number: int) -> None:
        """Nothing was made under this number."""
        with self._guard:
            self._given.discard(number)

    def refused(self, number: int) -> None:
        """Somebody else has this number: the next one is asked for anew."""
        with self._guard:
            self._given.add(number)
            self._fresh = iter(())

    def _next(self) -> int | None:
        return next((number for number in self._fresh if number not in self._given), None)

    def _after(self, first: int) -> Iterator[int]:
        """The free numbers after one. The list is read when the first of them is wanted."""
        taken = self._cluster.taken_vmids()
        last = self._cluster.vmids[1] if self._cluster.vmids else _HIGHEST
        yield from (number for number in range(first + 1, last + 1) if number not in taken)
