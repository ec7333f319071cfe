"""On which node a new machine is made, and from which template."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.resources.desired import pool_of

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.image import Place


class Placement:
    """Chooses nodes for the machines of one run; what it has placed counts for the next. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._placed: Counter[tuple[str, str]] = Counter()
        self._nodes: dict[tuple[str, str], str] = {}

    def choose(self, desired: DesiredMachine, state: ClusterState, found: Sequence[Place]) -> Place:
        """Choose the node with the least memory promised, relative to what it has; there its own copy of the template.

        Machines that are to be apart (``apart_from``) go to different nodes, unless that promised a node more memory
        than it has.

        Args:
            desired: the machine.
            state: its cluster.
            found: the places where it can be made (:func:`orchestrator.resources.image.places`); at least one.
        """
        nodes = {node.name: node for node in state.nodes}
        promised = Counter(dict.fromkeys(nodes, 0))
        for vm in state.vms:
            promised[vm.node] += 0 if vm.template else vm.maxmem
        memory = desired.file.memory * 1024 * 1024

        def load(place: Place) -> tuple[bool, int, float, str, bool, int]:
            total = promised[place.node] + self._placed[desired.site, place.node]
            has = max(nodes[place.node].maxmem, 1)
            return (
                total + memory > has,
                self._beside(desired, state, place.node),
                total / has,
                place.node,
                place.template.node != place.node,
                place.template.vmid,
            )

        with self._guard:
            best = min(found, key=load)
            self._placed[desired.site, best.node] += memory
            self._nodes[desired.key] = best.node
        return best

    def _beside(self, desired: DesiredMachine, state: ClusterState, node: str) -> int:
        """How many machines that a machine is to be apart from are on a node."""
        apart = set(desired.apart_from)
        pool = pool_of(desired.client)
        there = {vm.name for vm in state.vms if vm.node == node and vm.pool == pool and vm.name in apart}
        there |= {name for name in apart if self._nodes.get((desired.client, name)) == node}
        return len(there)
