# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole cluster put aside and brought back, so that many runs can begin from one state.

Licensed as fakepve, whose state it copies; it only ever runs in a process of its own.
"""

from __future__ import annotations

import copy
from typing import Any

_STATE = (
    "vms",
    "nodes",
    "pools",
    "pool_info",
    "storages",
    "shelves",
    "tasks",
    "tasklog",
    "_running",
    "_ended",
    "_lost",
    "agents",
    "guest_agent",
    "reported",
    "waiting",
    "measured",
    "generations",
    "due",
    "journals",
    "cloning",
    "silent_vms",
    "hanging",
    "behaviour",
    "ledger",
    "ha_resources",
    "ha_groups",
    "ha_rules",
    "replications",
    "files",
    "archived",
    "packed",
    "cut",
)
"""What a cluster is. Copied in one go: its parts refer to each other."""


class SavingOps:
    """Part of what the process can be told."""

    node: Any

    def __init__(self) -> None:
        self._saved: dict[str, Any] = {}

    def op_save(self) -> None:
        """Put the cluster's state aside. Nothing may be running."""
        self._saved = copy.deepcopy({name: getattr(self.node, name) for name in _STATE})

    async def op_bring_back(self) -> None:
        """Bring back what was put aside. What runs is ended first."""
        await self.node.end_endless_tasks()
        self.node.faults.clear()
        for name, value in copy.deepcopy(self._saved).items():
            setattr(self.node, name, value)
