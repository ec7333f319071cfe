"""Sites that are read while the files are: hypervisors take their time, and the files are needed last.

The first calls are sent before most of the program is loaded, so little is imported here at the top.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Self

from orchestrator.proxmox import read_lists

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.observing import SiteLook


class ReadingAhead:
    """Reads every site's lists, then some clients' machines, in the background, as a context manager.

    What it reads is a guess: a plan that needs less leaves the rest aside, and one that needs more reads it. What
    cannot be read is told to whoever asks for it.
    """

    def __init__(self, clusters: Mapping[str, Cluster]) -> None:
        """Begin to read the lists.

        Args:
            clusters: the API of each site.
        """
        self._given_up = threading.Event()
        self._further: Future[Callable[[Cluster, str, ClusterState], SiteLook]] = Future()
        self._looks: dict[str, Future[SiteLook]] = {}
        for site, cluster in clusters.items():
            look = self._looks[site] = Future()
            # Daemons: a command that ends because of its files waits for no site that is slow to answer.
            threading.Thread(
                target=self._read, args=(look, site, cluster), name=f"ahead-{site}", daemon=True
            ).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what nobody asked for: after the calls that are under way, nothing more is read. Nobody waits."""
        self._given_up.set()
        self._further.cancel()

    def read(self, clients: Collection[str] | None) -> None:
        """Read these clients' machines, too, as soon as the lists are there; everybody's if None. To be said once."""
        # Loaded by this thread, while the other one has the lists sent.
        from orchestrator.resources.observing import SiteLook
        from orchestrator.resources.scope import Scope

        scope = Scope(clients=None if clients is None else frozenset(clients))

        def look(cluster: Cluster, site: str, lists: ClusterState) -> SiteLook:
            found = SiteLook(cluster, site, lists=lists)
            found.read(scope, before=self._go_on)
            return found

        self._further.set_result(look)

    def look_at(self, site: str) -> SiteLook:
        """The look at a site, once what was begun is read.

        Raises:
            ProxmoxError: the site cannot be read.
        """
        return self._looks[site].result()

    def _read(self, look: Future[SiteLook], site: str, cluster: Cluster) -> None:
        try:
            look.set_result(self._look(site, cluster))
        except BaseException as error:
            look.set_exception(error)

    def _look(self, site: str, cluster: Cluster) -> SiteLook:
        try:
            lists = read_lists(cluster)
            look = self._further.result()(cluster, site, lists)
        finally:
            cluster.hand_over()
        return look

    def _go_on(self) -> None:
        if self._given_up.is_set():
            raise CancelledError
