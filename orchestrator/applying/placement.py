"""On which node a new machine is made, and from which template."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.image import Place


class Placement:
    """Chooses nodes for the machines of one run; what it has placed counts for the next. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._placed: Counter[tuple[str, str]] = Counter()

    def choose(self, desired: DesiredMachine, state: ClusterState, found: Sequence[Place]) -> Place:
        """Choose the node with the least memory promised, relative to what it has; there its own copy of the template.

        Args:
            desired: the machine.
            state: its cluster.
            found: the places where it can be made (:func:`orchestrator.resources.image.places`); at least one.
        """
        nodes = {node.name: node for node in state.nodes}
        promised = Counter(dict.fromkeys(nodes, 0))
        for vm in state.vms:
            promised[vm.node] += 0 if vm.template else vm.maxmem

        def load(place: Place) -> tuple[float, str, bool, int]:
            total = promised[place.target] + self._placed[desired.site, place.target]
            share = total / max(nodes[place.target].maxmem, 1)
            return share, place.target, place.template.node != place.target, place.template.vmid

        with self._guard:
            best = min(found, key=load)
            self._placed[desired.site, best.target] += desired.memory * 1024 * 1024
        return best
