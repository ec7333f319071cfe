# SPDX-License-Identifier: AGPL-3.0-or-later
"""The samples of each node's statistics daemon (``GET /cluster/metrics/export``), and its log of guests that ended.

As PVE::PullMetric and PVE::API2::Cluster::MetricServer have it: every ten seconds one generation of each node, 180 of
them kept; a node that is off is left out; without ``history`` the newest generation comes, however old; ``start-time``
lets through what is newer, and is an error in the future. The log is what qmeventd writes when it runs with ``-v``.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import Any

from fakepve import PveError

from tests.api.fakepve_statistics import Statistics

_EVERY = 10
_KEPT = 181


class Metrics(Statistics):
    """A cluster whose daemons keep samples of the last half hour."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.export_there = True
        self.generations: dict[str, list[tuple[int, dict[int, int]]]] = defaultdict(list)
        """(time, uptime of each guest by number) of each node, the oldest first."""
        self.due: dict[str, int] = {}
        """When each node's daemon makes its next round."""
        self.eventd_verbose = False
        self.journals: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def _routes_metrics(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/cluster/metrics/export", self._export),
            ("GET", "/nodes/{node}/journal", self._journal),
        ]

    # Samples

    def measure(self) -> None:
        """Let the daemons make all rounds that were due until now, with what is now."""
        now = int(self.clock.time())
        for name, state in self.nodes.items():
            made = self.generations[name]
            due = range(max(self.due.get(name, now), now - _EVERY * _KEPT), now + 1, _EVERY)
            self.due[name] = due[-1] + _EVERY if due else self.due[name]
            if not state.get("online", True) or name in self.hanging:
                continue
            for at in due:
                made.append((at, {vm.vmid: _uptime(vm, at) for vm in self.vms if vm.node == name}))
            del made[:-_KEPT]

    def begin(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Enter a task; what was until now was measured before it."""
        self.measure()
        record: dict[str, Any] = super().begin(*arguments, **options)
        return record

    async def _export(self, values: dict[str, Any], user: str) -> dict[str, Any]:
        if not self.export_there:
            raise PveError(501, "Method 'GET /cluster/metrics/export' not implemented")
        self.require(user, "/", "Sys.Audit")
        self.measure()
        start, history = values.get("start-time"), bool(values.get("history"))
        asked = [name for name in str(values.get("node-list") or "").split(",") if name]
        unknown = [name for name in asked if name not in self.nodes]
        if unknown:
            raise PveError(500, f"Requested node-list contains unknown nodes - {', '.join(unknown)}\n")
        count = 1
        if history:
            back = _KEPT - 1 if start is None else int((self.clock.time() - int(start)) / _EVERY)
            if back < 0:
                raise PveError(500, f"error: invalid value: integer `{back}`, expected u32\n")
            count = back + 1
        here = sorted(self.nodes)[0]
        rows: list[dict[str, Any]] = []
        for name in asked or sorted(self.nodes):
            if not self.nodes[name].get("online", True) or (values.get("local-only") and name != here):
                continue
            for at, uptimes in self.generations[name][-count:]:
                if start is None or at > int(start):
                    rows += self._rows(name, at, uptimes)
        return {"data": sorted(rows, key=lambda row: row["timestamp"])}

    def _rows(self, node: str, at: int, uptimes: dict[int, int]) -> list[dict[str, Any]]:
        def row(kind: str, of: str, metric: str, value: float) -> dict[str, Any]:
            return {"type": kind, "id": of, "timestamp": at, "metric": metric, "value": value}

        rows = [row("gauge", f"node/{node}", "uptime", 3600), row("gauge", f"node/{node}", "cpu_avg1", 0.5)]
        for vmid, uptime in uptimes.items():
            of = f"qemu/{vmid}"
            if uptime:
                rows += [row("gauge", of, "cpu_current", 0.02), row("gauge", of, "mem_used", 67108864)]
                rows += [
                    row("derive", of, name, 0) for name in ("disk_read", "disk_write", "net_in", "net_out")
                ]
            rows += [row("gauge", of, "uptime", uptime), row("gauge", of, "cpu_max", 1)]
            rows += [row("gauge", of, "mem_total", 536870912), row("gauge", of, "disk_total", 4 * 1024**3)]
        for storage in self.storages:
            rows.append(row("gauge", f"storage/{node}/{storage}", "disk_total", 10 * 1024**4))
        return rows

    # Guests that end by themselves

    def end_guest(self, vmid: int, how: str) -> None:
        """Let a guest power off, or its process be killed or terminated; its node's log tells it, if it is to."""
        self.measure()
        vm = self.vm(vmid)
        vm.status = vm.qmpstatus = "stopped"
        vm.started_at = None
        self.report([vmid])
        graceful, guest = {"inside": (1, 1), "terminated": (1, 0)}.get(how, (0, 0))
        if how == "memory":
            self.log(vm.node, f"systemd[1]: {vmid}.scope: Failed with result 'oom-kill'.")
        if self.eventd_verbose:
            self.log(
                vm.node, f"qmeventd[733]: {vmid}: executing cleanup (graceful: {graceful}, guest: {guest})"
            )
        self.log(vm.node, f"qmeventd[9034]: Starting cleanup for {vmid}")
        self.log(vm.node, f"qmeventd[9034]: Finished cleanup for {vmid}")

    def log(self, node: str, text: str) -> None:
        """Add a line to a node's log."""
        now = int(self.clock.time())
        when = dt.datetime.fromtimestamp(now, dt.UTC)
        self.journals[node].append((now, f"{when:%b %d %H:%M:%S} {node} {text}"))

    async def _journal(self, values: dict[str, Any], user: str) -> list[str]:
        node = values["node"]
        self.require(user, f"/nodes/{node}", "Sys.Syslog")
        since, until = values.get("since") or 0, values.get("until")
        lines = [
            text
            for at, text in self.journals[node]
            if at >= int(since) and (until is None or at <= int(until))
        ]
        return ["s=0;i=1", *lines, "s=0;i=2"]


class MetricsOps:
    """Part of what the process can be told."""

    node: Any

    def op_metrics(self, there: bool) -> None:
        """Let the cluster have the export of samples, or be older than 8.2.5."""
        self.node.export_there = there

    def op_eventd(self, verbose: bool) -> None:
        """Let qmeventd tell how guests ended, or not."""
        self.node.eventd_verbose = verbose

    def op_end_guest(self, vmid: int, how: str) -> None:
        """Let a guest end: ``inside``, ``killed``, ``terminated``, ``memory``."""
        self.node.end_guest(vmid, how)

    def op_start_guest(self, vmid: int) -> None:
        """Let a machine begin to run at this moment, without a task."""
        self.node.measure()
        vm = self.node.vm(vmid)
        vm.status = vm.qmpstatus = "running"
        vm.started_at = self.node.clock.time()
        self.node.report([vmid])

    def op_move_guest(self, vmid: int, node: str) -> None:
        """Let a running machine move to another node: its process begins anew there, and it was never away."""
        self.node.measure()
        self.node.begin(self.node.vm(vmid).node, "qmigrate", vmid, "root@pam")
        vm = self.node.vm(vmid)
        vm.node, vm.started_at = node, self.node.clock.time()
        self.node.report([vmid])

    async def op_foreign_task(self, kind: str, vmid: int, user: str) -> str:
        """Let somebody else do something to a machine: a task that has ended at once."""
        vm = self.node.vm(vmid)

        async def nothing() -> None:
            return None

        return str(await self.node.task(vm.node, kind, vmid, user, nothing))

    def op_add_log(self, node: str, text: str) -> None:
        """Add a line to a node's log."""
        self.node.log(node, text)


def _uptime(vm: Any, at: int) -> int:
    return max(0, int(at - vm.started_at)) if vm.status == "running" and vm.started_at is not None else 0
