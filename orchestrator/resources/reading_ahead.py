"""Sites that are read while the files are: hypervisors take their time, and the files are needed last."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import CancelledError, Future
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
        self._looks: dict[str, Future[SiteLook]] = {}
        for site, cluster in clusters.items():
            look = self._looks[site] = Future()
            # Daemons: a command that ends because of its files waits for no site that is slow to answer.
            threading.Thread(
                target=self._read, args=(look, site, cluster, scope), name=f"ahead-{site}", daemon=True
            ).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what nobody asked for: after the calls that are under way, nothing more is read. Nobody waits."""
        self._given_up.set()

    def look_at(self, site: str) -> SiteLook:
        """The look at a site, once what was begun is read.

        Raises:
            ProxmoxError: the site cannot be read.
        """
        return self._looks[site].result()

    def _read(self, look: Future[SiteLook], site: str, cluster: Cluster, scope: Scope) -> None:
        try:
            look.set_result(self._look(site, cluster, scope))
        except BaseException as error:
            look.set_exception(error)

    def _look(self, site: str, cluster: Cluster, scope: Scope) -> SiteLook:
        look = SiteLook(cluster, site)
        try:
            look.read(scope, before=self._go_on)
        finally:
            cluster.hand_over()
        return look

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise CancelledError
