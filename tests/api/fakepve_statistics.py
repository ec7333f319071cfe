# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the cluster's list knows of VMs and nodes: what each node's statistics daemon told it last.

On a real cluster pvestatd tells the others every ten seconds what its node's VMs are called, whether they run and how
large they are; ``/cluster/resources`` adds node, lock, tags and pool of its own knowledge, and is right about those at
once. A VM that was made since the last round is listed without name and as ``unknown``, or as "VM 110", if a round
came while it was cloned; one that was started since is listed as stopped; a node whose daemon hangs is ``unknown``
itself after five minutes, and so are its VMs, whatever they do. The node's own list knows better all the time.

Time is counted in lists: a real client that asks every second gets some ten of them between two rounds.
Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tests.api.fakepve_graphs import Graphs

ROUND_LISTS = 9
"""How many lists of the cluster come between two rounds, unless told otherwise."""

_OF_THE_CLUSTER = ("vmid", "id", "type", "node", "lock", "tags", "pool", "hastate")
"""What the list knows of a VM without its node."""
_OF_A_NODE = ("id", "type", "node", "level")
_OF_A_STORAGE = ("id", "type", "node", "storage", "plugintype", "content", "shared", "pool")


class Statistics(Graphs):
    """A cluster whose list is as old as its nodes' last reports."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.round_lists = ROUND_LISTS
        self.reported: dict[int, dict[str, Any]] = {}
        """Name, status, template and uptime of VMs, as their nodes told last."""
        self.waiting: dict[int, int] = {}
        """VMs that changed since, and how many lists will still show what was."""
        self.silent_vms: set[int] = set()
        """VMs that are listed without name and state, whatever their node reports."""
        self.cloning: set[int] = set()
        """VMs whose clone was begun."""
        self.hanging: set[str] = set()
        """Nodes whose daemon hangs."""

    def add_vm(self, *arguments: Any, **options: Any) -> Any:
        """Add a VM that has been there for long."""
        vm = super().add_vm(*arguments, **options)
        self.report([vm.vmid])
        return vm

    async def _qm_clone(self, v: dict[str, Any], user: str) -> Any:
        self.cloning.add(int(v["newid"]))
        return await super()._qm_clone(v, user)

    def is_being_cloned(self, vm: Any) -> bool:
        """Whether a VM's configuration is nothing but the mark of its clone, which was not left by a crash."""
        if vm.lock != "clone":
            self.cloning.discard(vm.vmid)
        return vm.vmid in self.cloning

    def report(self, vmids: Iterable[int] | None = None) -> None:
        """Let the daemons make their round now, for some VMs or for all."""
        for vm in self.vms:
            if vmids is None or vm.vmid in vmids:
                self.reported[vm.vmid] = _facts(vm)
                self.waiting.pop(vm.vmid, None)

    async def _resources(self, request: Any) -> Any:
        answer = json.loads((await super()._resources(request)).text)["data"]
        machines = {vm.vmid: vm for vm in self.vms}
        self.reported = {vmid: facts for vmid, facts in self.reported.items() if vmid in machines}
        shown = [
            self._listed(entry, machines[entry["vmid"]]) if entry["type"] == "qemu" else self._place(entry)
            for entry in answer
        ]
        return web.json_response({"data": shown})

    def _listed(self, entry: dict[str, Any], vm: Any) -> dict[str, Any]:
        """A VM's entry as old as its node's last report."""
        self._wait(vm)
        bare = {key: entry[key] for key in _OF_THE_CLUSTER if key in entry} | {"status": "unknown"}
        facts = self.reported.get(vm.vmid)
        if self.is_being_cloned(vm):  # it joins its pool last
            bare = {key: value for key, value in bare.items() if key not in ("tags", "pool")}
        if facts is None or vm.node in self.hanging or vm.vmid in self.silent_vms:
            return bare
        return {**entry, **bare, **facts}

    def _wait(self, vm: Any) -> None:
        """Count a list towards the next report of a VM; report it when its time has come."""
        if vm.node in self.hanging or not self.nodes.get(vm.node, {}).get("online", True):
            return
        if self.reported.get(vm.vmid) == _facts(vm):
            self.waiting.pop(vm.vmid, None)
        elif self.is_being_cloned(vm):
            if vm.vmid % 2:  # of every second one a round comes while it is cloned
                self.reported[vm.vmid] = {**_facts(vm), "name": f"VM {vm.vmid}"}
        else:
            left = self.waiting.get(vm.vmid, self.round_lists)
            self.waiting[vm.vmid] = left - 1
            if left <= 0:
                self.report([vm.vmid])

    def _place(self, entry: dict[str, Any]) -> dict[str, Any]:
        """A node's or storage's entry: one whose daemon hangs has no figures, and is not off."""
        if entry.get("node") not in self.hanging or entry["type"] not in ("node", "storage"):
            return entry
        kept = _OF_A_NODE if entry["type"] == "node" else _OF_A_STORAGE
        return {key: entry[key] for key in kept if key in entry} | {"status": "unknown"}

    async def _nodes(self, request: Any) -> Any:
        answer = json.loads((await super()._nodes(request)).text)["data"]
        return web.json_response({"data": [self._place(entry) for entry in answer]})

    async def _qemu_list(self, request: Any) -> Any:
        answer = json.loads((await super()._qemu_list(request)).text)["data"]
        for entry in answer:
            if self.is_being_cloned(self.vm(entry["vmid"])):
                entry["name"] = f"VM {entry['vmid']}"
                entry.pop("tags", None)
        return web.json_response({"data": answer})

    async def _pending(self, request: Any) -> Any:
        vm = self._vm(request, "VM.Audit")
        if self.is_being_cloned(vm):
            return web.json_response({"data": [{"key": "lock", "value": "clone"}]})
        return await super()._pending(request)


class StatisticsOps:
    """Part of what the process can be told."""

    node: Any

    def op_round_lists(self, lists: int) -> None:
        """How many lists of the cluster come between two rounds of the daemons; 0: they report at once."""
        self.node.round_lists = lists

    def op_report(self) -> None:
        """Let the daemons make their round."""
        self.node.report()

    def op_stale_names(self, vmids: list[int]) -> None:
        """List these VMs without name and state, whatever happens; those that were told before are listed again."""
        self.node.silent_vms = set(vmids)

    def op_hang(self, nodes: list[str]) -> None:
        """Let the statistics daemons of these nodes have hung for five minutes, and no others."""
        self.node.hanging = set(nodes)


def _facts(vm: Any) -> dict[str, Any]:
    return {"name": vm.name, "status": vm.status, "template": int(bool(vm.template))}
