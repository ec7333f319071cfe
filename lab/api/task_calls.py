"""Calls about tasks: what ran, how it ended, what it said."""

from __future__ import annotations

from typing import Any

from lab.api.errors import Forbidden
from lab.api.routing import Call, Listing, Routes
from lab.api.schemas import NODE
from lab.api.tasks import Task
from lab.api.values import Property, split_list

routes = Routes()

_UPID = NODE | {"upid": Property(optional=False)}
_NUMBER = Property("integer", minimum=0)


def _visible(call: Call, task: Task) -> bool:
    """A caller sees the tasks of its user; with Sys.Audit those of all."""
    own = task.identity.partition("!")[0] == call.caller.user
    return own or call.caller.may(f"/nodes/{call.cluster.node}", "Sys.Audit")


def _find(call: Call) -> Task:
    task = call.cluster.tasks.find(call.required("upid"))
    if not _visible(call, task):
        raise Forbidden(f"/nodes/{call.cluster.node}, Sys.Audit")
    return task


@routes.add(
    "GET",
    "/nodes/{node}/tasks",
    NODE
    | {
        "start": _NUMBER,
        "limit": _NUMBER,
        "vmid": Property("integer", minimum=100, maximum=999999999),
        "errors": Property("boolean"),
        "since": Property("integer"),
        "until": Property("integer"),
        "source": Property(choices=("archive", "active", "all")),
        "statusfilter": Property(),
        "typefilter": Property(),
        "userfilter": Property(),
    },
)
async def list_tasks(call: Call) -> object:
    """A node's tasks, the newest first: those that have ended, unless `source` says otherwise."""
    source = call.text("source") or "archive"
    found = [
        task
        for task in call.cluster.tasks.all()
        if (source == "all" or (task.exitstatus is None) == (source == "active"))
        and _visible(call, task)
        and _asked_for(call, task)
    ]
    first = call.number("start", 0)
    shown = found[first : first + call.number("limit", 50)]
    return Listing([_ended(task) for task in shown], len(found))


@routes.add("GET", "/cluster/tasks", {})
async def list_cluster_tasks(call: Call) -> object:
    """The tasks that run, and the newest of those that have ended: 25 together."""
    found = [task for task in call.cluster.tasks.all() if _visible(call, task)]
    found.sort(key=lambda task: (task.exitstatus is not None, -task.starttime))
    listed = [
        task.shown() if task.exitstatus is None else _ended(task) | {"saved": "1"} for task in found[:25]
    ]
    return sorted(listed, key=lambda task: -int(task["starttime"]))


def _asked_for(call: Call, task: Task) -> bool:
    vmid, kind, user = call.text("vmid"), call.text("typefilter"), call.text("userfilter")
    states = split_list(call.text("statusfilter") or "")
    return (
        vmid in (None, task.id)
        and kind in (None, task.type)
        and (user is None or user.lower() in task.identity.lower())
        and (not call.flag("errors") or task.failed)
        and call.number("since", 0) <= task.starttime <= call.number("until", task.starttime)
        and (not states or _state(task) in states)
    )


def _state(task: Task) -> str:
    if task.exitstatus is None:
        return "unknown"
    if task.exitstatus.startswith("WARNINGS: "):
        return "warning"
    return "error" if task.failed else "ok"


def _ended(task: Task) -> dict[str, Any]:
    if task.exitstatus is None:
        return task.shown() | {"status": "RUNNING"}
    return task.shown() | {"endtime": task.endtime, "status": task.exitstatus}


@routes.add("GET", "/nodes/{node}/tasks/{upid}/status", _UPID)
async def task_status(call: Call) -> object:
    """Whether a task runs, and how it ended."""
    task = _find(call)
    if task.exitstatus is None:
        return task.shown() | {"status": "running"}
    return task.shown() | {"status": "stopped", "exitstatus": task.exitstatus}


@routes.add("GET", "/nodes/{node}/tasks/{upid}/log", _UPID | {"start": _NUMBER, "limit": _NUMBER})
async def task_log(call: Call) -> object:
    """Lines of a task's log, numbered from 1; 50 unless `limit` says otherwise, all with 0."""
    lines = _find(call).lines()
    first, limit = call.number("start", 0), call.number("limit", 50)
    last = first + limit if limit else len(lines)
    shown = [{"n": number, "t": text} for number, text in enumerate(lines, 1)][first:last]
    return Listing(shown or [{"n": 1, "t": "no content"}], len(lines) or 1)


@routes.add("DELETE", "/nodes/{node}/tasks/{upid}", _UPID)
async def stop_task(call: Call) -> object:
    """Interrupt a task."""
    task = call.cluster.tasks.find(call.required("upid"))
    if task.identity.partition("!")[0] != call.caller.user:
        call.caller.check(f"/nodes/{call.cluster.node}", "Sys.Modify")
    await call.cluster.tasks.stop(task)
    return None
