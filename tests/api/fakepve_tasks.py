# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tasks as a Proxmox VE cluster runs, lists and stops them; a node that goes away takes its own with it.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from aiohttp import web
from fakepve import FakePve, PveError, TaskError
from fakepve.server import USER, params

from tests.api.fakepve_clock import Clock

Body = Callable[[], Awaitable[str | None]]
Record = dict[str, Any]

_LISTED_CLUSTER_WIDE = 25
"""A node tells the others of the tasks that run, and of so many ended ones as make 25 of them together."""


class Tasks(FakePve):  # type: ignore[misc]  # fakepve has no types
    """A cluster with a clock of its own whose tasks can be stopped and are remembered by node."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clock = Clock()
        self.clock.install()
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._lost: set[str] = set()
        """Tasks whose node went away under them: they have no chance to put anything in order."""
        self._running: dict[str, dict[str, Record]] = defaultdict(dict)
        self._ended: dict[str, list[Record]] = defaultdict(list)

    def _routes_a_tasks(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/cluster/tasks", self._cluster_tasks),
            ("DELETE", "/nodes/{node}/tasks/{upid}", self._stop_task),
        ]

    # Running

    async def task(
        self,
        node: str,
        ttype: str,
        tid: Any,
        user: str,
        body: Body,
        vm: Any = None,
        lock: bool = True,
        log: Iterable[str] = (),
    ) -> str:
        """Start a task; it has ended on return if fakepve's ``time_scale`` is 0. Return its UPID."""
        record = self.begin(node, ttype, tid, user, log)
        run = self._run(record, body, vm if lock else None)
        if self.time_scale:
            await self._detach_task(record, run)
        else:
            await run
        return str(record["upid"])

    def begin(self, node: str, kind: str, subject: Any, user: str, log: Iterable[str] = ()) -> Record:
        """Enter a task into the lists."""
        upid, pid, start = self._upid(node, kind, subject, user)
        record = {
            "upid": upid,
            "node": node,
            "pid": pid,
            "pstart": pid * 7,
            "starttime": start,
            "type": kind,
            "id": str(subject),
            "user": user,
            "status": "running",
            "log": list(log),
        }
        self.tasks[upid] = record
        self.tasklog.append(record)
        self._running[node][upid] = record
        return record

    async def spawn(self, record: Record, body: Body) -> str:
        """Let a task of :meth:`begin` run beside the requests, whatever the pace. Return its UPID."""
        await self._detach_task(record, self._run(record, body, None))
        return str(record["upid"])

    def is_lost(self, record: Record) -> bool:
        """Whether the task's node went away under it."""
        return record["upid"] in self._lost

    async def _detach_task(self, record: Record, run: Any) -> None:
        upid = record["upid"]
        job = self._jobs[upid] = asyncio.create_task(run)
        job.add_done_callback(lambda _: self._jobs.pop(upid, None))
        # A task cancelled before its first step would never come to its end.
        await asyncio.sleep(0)

    async def _run(self, record: Record, body: Body, vm: Any) -> None:
        status = "OK"
        try:
            if vm is not None:
                await self.acquire(vm, record["upid"])
            try:
                note = await body()
                record["log"] += (note or "").splitlines()
            finally:
                if vm is not None:
                    self.release(vm, record["upid"])
        except TaskError as error:
            status = str(error)
        except PveError as error:
            status = error.message
        except asyncio.CancelledError:
            status = "received interrupt"
        except Exception as error:
            # A mistake of the model must end the task: nobody else tells those who wait for it.
            logging.exception("%s", record["upid"])
            status = f"mistake of the model: {error!r}"
        if self.is_lost(record):
            status = "unexpected status"
        elif status == "OK":
            record["log"].append("TASK OK")
        elif status != "unexpected status":
            record["log"] += f"TASK ERROR: {status}".splitlines()
        record["status"] = "stopped"
        record["exitstatus"] = " ".join(status.splitlines())
        record["endtime"] = int(self.clock.time())
        del self._running[record["node"]][record["upid"]]
        self._ended[record["node"]].append(record)

    def set_node_offline(self, node: str, offline: bool = True) -> None:
        """Take a node away, and what ran on it; or bring it back."""
        super().set_node_offline(node, offline)
        if offline:
            for upid in list(self._running[node]):
                self._lost.add(upid)
                if upid in self._jobs:
                    self._jobs[upid].cancel()

    async def _stop_task(self, values: dict[str, Any], user: str) -> None:
        record = self.tasks.get(values["upid"])
        if record is None:
            raise PveError(400, "Parameter verification failed.", {"upid": "no such task"})
        if not self._task_owner(user, record):
            self.require(user, f"/nodes/{values['node']}", "Sys.Modify")
        job = self._jobs.get(values["upid"])
        if job is not None:
            job.cancel()
            await asyncio.wait([job])

    # Listing

    def _task_view(self, task: Record, listing: bool = False) -> Record:
        view: Record = super()._task_view(task, listing)
        view["user"] = view["user"].partition("!")[0]
        return view

    async def _cluster_tasks(self, _values: dict[str, Any], user: str) -> list[Record]:
        everything = self.allowed(user, "/", "Sys.Audit")
        listed = []
        for node, state in self.nodes.items():
            if not state.get("online", True):
                continue
            running = list(self._running[node].values())
            room = max(0, _LISTED_CLUSTER_WIDE - len(running))
            for record in running + self._ended[node][::-1][:room]:
                if everything or record["user"] == user:
                    view = self._task_view(record, True)
                    del view["pid"], view["pstart"]
                    listed.append({**view, "saved": "1"} if "endtime" in view else view)
        return sorted(listed, key=lambda view: -view["starttime"])

    async def _task_list(self, request: Any) -> Any:
        node, user = request.match_info["node"], request[USER]
        wanted = self._verify(request, await params(request))
        auditor = self.allowed(user, f"/nodes/{node}", "Sys.Audit")
        start, limit = wanted.get("start") or 0, wanted.get("limit", 50)
        source = wanted.get("source") or "archive"
        count, listed = 0, []
        for record in self._of_node(node, source):
            if (auditor or self._task_owner(user, record)) and _is_wanted(record, wanted):
                if start <= count < start + limit:
                    view = self._task_view(record, True)
                    listed.append({"status": "RUNNING", **view})
                count += 1
        return web.json_response({"data": listed, "total": count})

    def _of_node(self, node: str, source: str) -> Iterator[Record]:
        if source != "archive":
            yield from reversed(self._running[node].values())
        if source != "active":
            yield from reversed(self._ended[node])


def _is_wanted(record: Record, wanted: dict[str, Any]) -> bool:
    """Whether a task passes the filters of a task list."""
    if wanted.get("typefilter") and record["type"] != wanted["typefilter"]:
        return False
    if wanted.get("vmid") is not None and record["id"] != str(wanted["vmid"]):
        return False
    if wanted.get("userfilter") and wanted["userfilter"].lower() not in record["user"].lower():
        return False
    if wanted.get("since") is not None and record["starttime"] < wanted["since"]:
        return False
    if wanted.get("until") is not None and record["starttime"] > wanted["until"]:
        return False
    kind = _status_kind(record.get("exitstatus"))
    if wanted.get("errors"):
        return kind != "ok"
    return not wanted.get("statusfilter") or kind in str(wanted["statusfilter"]).split(",")


def _status_kind(exitstatus: str | None) -> str:
    if exitstatus is None:
        return "unknown"
    if exitstatus == "OK":
        return "ok"
    return "warning" if exitstatus.startswith("WARNINGS") else "error"
