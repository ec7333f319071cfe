"""Sites that are read while the files are: hypervisors take their time, and the files are needed last."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from orchestrator.resources.observing import SiteLook
from orchestrator.resources.scope import Scope

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster


class ReadingAhead:
    """Reads every site's lists, and some clients' machines, in the background, as a context manager.

    What it reads is a guess: a plan that needs less leaves the rest aside, and one that needs more reads it. What
    cannot be read is told to whoever asks for it.
    """

    def __init__(self, clusters: Mapping[str, Cluster], clients: Collection[str]) -> None:
        """Begin to read.

        Args:
            clusters: the API of each site.
            clients: whose machines.
        """
        self._given_up = threading.Event()
        scope = Scope(clients=frozenset(clients))
        self._pool = ThreadPoolExecutor(max(len(clusters), 1), thread_name_prefix="ahead")
        self._looks: dict[str, Future[SiteLook]] = {
            site: self._pool.submit(self._read, site, cluster, scope) for site, cluster in clusters.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what nobody asked for: after the calls that are under way, nothing more is read."""
        self._given_up.set()
        self._pool.shutdown(cancel_futures=True)

    def look_at(self, site: str) -> SiteLook:
        """The look at a site, once what was begun is read.

        Raises:
            ProxmoxError: the site cannot be read.
        """
        return self._looks[site].result()

    def _read(self, site: str, cluster: Cluster, scope: Scope) -> SiteLook:
        look = SiteLook(cluster, site)
        try:
            look.read(scope, before=self._go_on)
        finally:
            cluster.hand_over()
        return look

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise CancelledError
