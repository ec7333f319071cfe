"""Whether an address leads to the cluster that it is said to lead to.

Tokens, the CA and the list of machines are files of a cluster, and a copy of the cluster has them as well: a node that
was taken out of it and not wiped, one that was restored from a disk image, a test that began as a clone. Such a node
answers whatever it is asked, about machines as they were, and carries out what it is told. So nothing is asked at
another address than the site's own before it lists the same nodes, with the same certificates: one call for each.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from orchestrator.proxmox.api_addresses import RESTS_SECONDS, Addresses
from orchestrator.proxmox.connection import Endpoint, NoAnswer
from orchestrator.proxmox.errors import ProxmoxError, tidy

Nodes = Mapping[str, str]
"""The fingerprints of a cluster's nodes by their names; empty where none is told."""

_ENOUGH_NAMES = 2
"""So many nodes of the site file a cluster has that is believed while the site's own address is silent."""


class Foreign(NoAnswer):
    """Nothing was asked there: it is another cluster, or nobody can say that it is this one."""


class Recognition:
    """Who was recognized so far. Thread-safe."""

    def __init__(
        self, addresses: Addresses, named: Collection[str], list_nodes: Callable[[Endpoint], Any]
    ) -> None:
        """Describe it; nothing is sent.

        Args:
            addresses: those of the cluster.
            named: the nodes that the site file names.
            list_nodes: asks an address for ``GET /nodes``; raises ``NoAnswer`` or a ``ProxmoxError``.
        """
        self._addresses = addresses
        self._named = frozenset(named)
        self._list_nodes = list_nodes
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._asking = threading.Lock()
        self._ours: Nodes | None = None
        self._likely: Nodes | None = None
        self._until: dict[str, float] = {}

    def check(self, endpoint: Endpoint) -> None:
        """See that an address is the cluster's: no call for the site's own, which is what the others are compared with.

        Raises:
            Foreign: it is not, or cannot be compared now.
            NoAnswer: it does not answer.
        """
        if endpoint is self._addresses.main:
            return
        with self._guard:
            lock = self._locks.setdefault(endpoint.url, threading.Lock())
        with lock:  # held while it is asked: who else needs it waits, instead of asking again
            if self._until.get(endpoint.url, 0.0) > time.monotonic():
                return
            self._until[endpoint.url] = self._recognized(endpoint)

    def _recognized(self, endpoint: Endpoint) -> float:
        """Until when it is: for good if the site's own address says the same."""
        theirs = self._nodes_at(endpoint)
        with self._guard:
            ours = self._ours
        if ours is None or not _same(ours, theirs):
            ours = self._ask_main(before=ours)  # a node may have joined since
        if ours is not None:
            if _same(ours, theirs):
                return math.inf
            raise self._foreign(ours, theirs)
        with self._guard:
            known = self._ours or self._likely
            if known is None and len(self._named & theirs.keys()) >= _ENOUGH_NAMES:
                known = self._likely = theirs
        if known is None:
            raise Foreign(
                f"it is not used while {self._addresses.main.url} is silent, for it could be another cluster: name "
                f"every node in api.nodes (it has {_names(theirs)})",
                sent=False,
            )
        if not _same(known, theirs):
            raise self._foreign(known, theirs)
        return time.monotonic() + RESTS_SECONDS

    def _foreign(self, ours: Nodes, theirs: Nodes) -> Foreign:
        unlike = _unlike(ours, theirs)
        more = f" (another certificate of {', '.join(unlike)})" if unlike else ""
        return Foreign(
            f"another cluster answers there: it has {_names(theirs)}, the one at {self._addresses.main.url} has "
            f"{_names(ours)}{more}",
            sent=False,
        )

    def _ask_main(self, *, before: Nodes | None) -> Nodes | None:
        """The nodes that the site's own address lists; None if it is silent.

        Args:
            before: what it listed earlier: what another thread heard since is as good as asking.

        Raises:
            Foreign: it is not to be trusted.
        """
        addresses = self._addresses
        with self._asking:
            with self._guard:
                if self._ours is not before:
                    return self._ours
            if addresses.rests(addresses.main):
                return None
            try:
                found = _nodes(self._list_nodes(addresses.main))
            except NoAnswer as failure:
                if failure.untrusted:
                    raise Foreign(f"{addresses.main.url}: {failure.text}", sent=False) from None
                if not failure.sent:
                    addresses.unreached(addresses.main)
                return None
            except ProxmoxError:
                return None
            with self._guard:
                self._ours = found
            return found

    def _nodes_at(self, endpoint: Endpoint) -> Nodes:
        try:
            return _nodes(self._list_nodes(endpoint))
        except NoAnswer as failure:
            # Whatever was sent, it was not the call that this is about.
            raise NoAnswer(failure.text, sent=False, untrusted=failure.untrusted) from None
        except ProxmoxError as error:
            raise Foreign(f"it does not say which cluster it belongs to: {error}", sent=False) from None


def _nodes(listed: Any) -> Nodes:
    return {str(entry["node"]): str(entry.get("ssl_fingerprint") or "") for entry in listed}


def _same(one: Nodes, other: Nodes) -> bool:
    """Whether two lists are of one cluster: the same nodes, and no node with another certificate."""
    return one.keys() == other.keys() and not _unlike(one, other)


def _unlike(one: Nodes, other: Nodes) -> list[str]:
    return [
        name
        for name in sorted(one.keys() & other.keys())
        if one[name] != other[name] and one[name] and other[name]
    ]


def _names(nodes: Nodes) -> str:
    names = sorted(nodes)
    return tidy(f"the nodes {', '.join(names)}" if len(names) != 1 else f"the node {names[0]}", 200)
