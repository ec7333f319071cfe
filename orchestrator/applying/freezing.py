"""A stop for every change of every run, at once: it stands in Proxmox itself, so it holds wherever runs are started.

A pool of a certain name at a site means: nobody changes anything there. Its comment says who stopped it and why.
A run looks before its first step, and again before later steps, every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import TYPE_CHECKING

from orchestrator.applying.stopped import Stopped
from orchestrator.proxmox import FREEZE_POOL, AlreadyExists, NotFound, Uncertain, read_frozen

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster

EVERYWHERE = "*"
"""The site of a step that concerns them all."""

LOOK_AGAIN_SECONDS = 5.0
"""How old what is known of a freeze may be before a step: one call a site in that time."""


class Frozen(Stopped):
    """Somebody stopped every change. The text says who, and how to go on."""

    def __init__(self, site: str, who: str) -> None:
        super().__init__(f"{site} is frozen: {who}. Nothing is changed until `orchestrator thaw`")


class FreezeWatch:
    """Looks whether changes are stopped, before each step.

    Args:
        clusters: by site.
        known: sites that were read just now, and not frozen.
        look: who froze a site, by its name; where a run has locks, one call looks after both.
        monotonic: a clock in seconds that only goes forward.
    """

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        *,
        known: Collection[str] = (),
        look: Callable[[str], str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clusters = clusters
        self._look = look or (lambda site: read_frozen(clusters[site]))
        self._monotonic = monotonic
        self._looked = dict.fromkeys(known, monotonic())
        self._guards = {site: Lock() for site in clusters}

    def __call__(self, site: str) -> None:
        """Look, unless that was done moments ago.

        Args:
            site: where something is to be changed; ``*`` for all sites.

        Raises:
            Frozen: somebody stopped every change.
            LocksLost: the run's lock is gone.
            ProxmoxError: it cannot be known.
        """
        for name in self._clusters if site == EVERYWHERE else (site,):
            with self._guards[name]:  # a site's own: one that is slow to answer holds up no other
                looked = self._looked.get(name)
                if looked is not None and self._monotonic() - looked < LOOK_AGAIN_SECONDS:
                    continue
                if who := self._look(name):
                    raise Frozen(name, who)
                self._looked[name] = self._monotonic()


def freeze(cluster: Cluster, who: str) -> str:
    """Stop every change at a site. Return who had stopped them already; empty if nobody had.

    Raises:
        ProxmoxError: it could not be done.
    """
    try:
        cluster.post("/pools", poolid=FREEZE_POOL, comment=who)
    except AlreadyExists:
        return read_frozen(cluster)
    except Uncertain:  # made or not: only what stands there now counts
        if not (found := read_frozen(cluster)):
            raise
        return "" if found == who else found
    return ""


def thaw(cluster: Cluster) -> str:
    """Resume changes at a site. Return who had stopped them; empty if nobody had.

    Raises:
        ProxmoxError: it could not be done.
    """
    who = read_frozen(cluster)
    if who:
        try:
            cluster.delete(f"/pools/{FREEZE_POOL}")
        except NotFound:
            pass
        except Uncertain:
            if read_frozen(cluster):
                raise
    return who
