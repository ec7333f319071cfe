"""The addresses of a cluster's API: that of the site, and those of single nodes, which also stand in for one another.

A node that is asked at its own address answers for itself, by its own processes. Every node's proxy serves the whole
cluster, so where one address does not answer another one serves the call.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.proxmox.connection import Endpoint

RESTS_SECONDS = 60.0
"""How long an address that could not be reached is asked last."""

_OF_A_NODE = re.compile(r"/nodes/(?P<node>[^/]+)/")


class Addresses:
    """Where to send a call. Thread-safe.

    Attributes:
        main: the site's own (``api.url``).
    """

    def __init__(self, main: Endpoint, nodes: Mapping[str, str]) -> None:
        """Describe them.

        Args:
            main: the site's own.
            nodes: the URLs of single nodes, by their names; the token and whom to trust are the same.

        Raises:
            ValueError: one of them is none.
        """
        self.main = main
        by_url = {main.url: main}
        for url in nodes.values():
            by_url.setdefault(url, replace(main, url=url))
        self._all = tuple(by_url.values())
        self._of_node = {node: by_url[url] for node, url in nodes.items()}
        self._guard = threading.Lock()
        self._resting: dict[str, float] = {}

    @property
    def others(self) -> tuple[Endpoint, ...]:
        """All but the site's own."""
        return self._all[1:]

    def of_node(self, node: str) -> Endpoint:
        """Where a node is asked: at its own address, if it has one that can be reached, else at the site's."""
        own = self._of_node.get(node, self.main)
        return self.main if self.rests(own) else own

    def order(self, path: str) -> Iterator[Endpoint]:
        """Where a call may be sent: its node's own address, the site's, then the others.

        Those that could not be reached lately are left out, unless nothing is left.
        """
        if len(self._all) == 1:
            yield self.main
            return
        found = _OF_A_NODE.match(path)
        own = self._of_node.get(found["node"], self.main) if found else self.main
        wished = dict.fromkeys((own, self.main, *self._all))
        awake = [endpoint for endpoint in wished if not self.rests(endpoint)]
        yield from awake or [self.main]

    def unreached(self, endpoint: Endpoint) -> None:
        """It could not be reached: others are asked for a while."""
        with self._guard:
            self._resting[endpoint.url] = time.monotonic() + RESTS_SECONDS

    def rests(self, endpoint: Endpoint) -> bool:
        """Whether it could not be reached lately."""
        with self._guard:
            return self._resting.get(endpoint.url, 0.0) > time.monotonic()
