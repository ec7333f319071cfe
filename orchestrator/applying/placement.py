"""On which node a new machine is made, and from which template."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.proxmox import ClusterState, VmSummary
    from orchestrator.resources.desired import DesiredMachine


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a clone is made: the template, its node, and the node that the machine goes to."""

    template: VmSummary
    target: str


class Placement:
    """Chooses nodes for the machines of one run; what it has placed counts for the next. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._placed: Counter[tuple[str, str]] = Counter()

    def choose(self, desired: DesiredMachine, state: ClusterState) -> Place | None:
        """Choose the online node with the least memory promised, relative to what it has.

        Nodes that stand at another site are passed over: they are there for what is replicated (article 3.2).
        A template on local storage can only be cloned on its own node, so there may be one on each node.

        Returns:
            None if no online node can take the machine.
        """
        nodes = {
            node.name: node for node in state.nodes if node.online and node.name not in desired.foreign_nodes
        }
        templates = [
            vm for vm in state.vms if vm.template and vm.name == desired.template and vm.node in nodes
        ]
        shared = any(storage.name == desired.storage and storage.shared for storage in state.storages)
        places = [
            Place(template=template, target=node)
            for template in templates
            for node in (sorted(nodes) if shared else (template.node,))
        ]
        if not places:
            return None
        promised = Counter(dict.fromkeys(nodes, 0))
        for vm in state.vms:
            promised[vm.node] += 0 if vm.template else vm.maxmem

        with self._guard:

            def load(place: Place) -> tuple[float, str]:
                total = promised[place.target] + self._placed[desired.site, place.target]
                return total / max(nodes[place.target].maxmem, 1), place.target

            best = min(places, key=load)
            self._placed[desired.site, best.target] += desired.memory * 1024 * 1024
        return best
