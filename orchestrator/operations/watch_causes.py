"""Why a machine went down: what the history, Proxmox's tasks and its nodes say. Asked only when something went down.

What none of them says is unknown. Above all, a guest that was shut down from inside and one whose process was killed
look alike in Proxmox: no task, and "stopped". Only the node's own log tells them apart, if the daemon that sees every
guest go (qmeventd) runs with ``-v`` and the token has Sys.Syslog: "executing cleanup (graceful: 1, guest: 1)" is a
power-off of the guest, ``graceful: 0`` a process that ended without one.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.history.chain import BEGUN
from orchestrator.history.intervals import Cause, Span
from orchestrator.operations.watch_round import Reading, Reason, Wanted
from orchestrator.proxmox import ProxmoxError
from orchestrator.proxmox.cluster_state import ClusterState
from orchestrator.proxmox.tasks import Upid, parse_upid

if TYPE_CHECKING:
    from orchestrator.history import Entry
    from orchestrator.history.observed_site import Known
    from orchestrator.proxmox import Cluster

_OWN_ACTIONS = frozenset(
    {"shutdown", "stop", "reboot", "restart", "update", "suspend", "retire", "rollback", "restore", "erase"}
)
"""Entries of the history that stop a machine, by the first word of their action."""

_STOPPING_TASKS = frozenset(
    {
        "qmstop",
        "qmshutdown",
        "qmreboot",
        "qmreset",
        "qmsuspend",
        "hastop",
        "hashutdown",
        "qmrollback",
        "qmdestroy",
    }
)
_NODE_TASKS = frozenset({"stopall", "suspendall"})
_MOVING_TASKS = frozenset({"qmigrate", "hamigrate"})

_EARLIER = 900
"""Seconds that a shutdown may take from its beginning to the machine's end."""

_LATER = 60
"""Seconds that a log, or a clock, may be late."""

_SINCE_LOOK = {"export": 150, "resources": 360}
"""Seconds that may lie between a machine's end and the first look that failed, by what was read."""

_LONGEST_LOG = 600
"""Seconds of a node's log that are read at most."""

_CLEANUP = re.compile(
    r"\S+ +[0-9]+ [0-9:]+ \S+ qmeventd\[[0-9]+\]: ([1-9][0-9]{2,8}): executing cleanup "
    r"\(graceful: ([01]), guest: ([01])\)",
    re.ASCII,
)
_OUT_OF_MEMORY = re.compile(
    r"\S+ +[0-9]+ [0-9:]+ \S+ systemd\[1\]: ([1-9][0-9]{2,8})\.scope: .*(?:oom-kill|OOM killer).*", re.ASCII
)

_NO_LOG = (
    "{site}: a shutdown from inside and a killed process cannot be told apart there, so the cause stays unknown: let "
    "qmeventd run with -v and give the token's role Sys.Syslog (docs/observation.md)"
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found out.

    Attributes:
        reasons: by number.
        notices: what a person should know.
    """

    reasons: Mapping[int, Reason]
    notices: tuple[str, ...] = ()


def find_reasons(
    cluster: Cluster,
    reading: Reading,
    asked: Mapping[int, tuple[Known, Span]],
    wanted: Mapping[tuple[str, str], Wanted],
    entries: Callable[[int], Iterable[Entry]],
) -> Found:
    """Find out why machines went down, or their processes began anew.

    Args:
        cluster: the API of their site.
        reading: the round that saw it.
        asked: each machine's interval, by number.
        wanted: what the files say.
        entries: the entries of the history since a time (seconds since the epoch).
    """
    earliest = min(span.start for _, span in asked.values())
    found = _by_history(asked, entries(earliest - _EARLIER))
    left = {vmid: item for vmid, item in asked.items() if vmid not in found}
    if left:
        found |= _by_tasks(cluster, left, reading.shift)
    left = {
        vmid: item for vmid, item in left.items() if vmid not in found and item[1].cause is not Cause.RESTART
    }
    if not left:
        return Found(reasons=found)
    logged, told = _by_logs(cluster, left, reading.shift)
    listing = reading.listing
    for vmid, (known, _) in left.items():
        if vmid in logged and logged[vmid].cause is Cause.INSIDE:
            continue
        here = wanted.get((known.client, known.machine))
        if here and listing and (away := _away(listing, here.storage, known.node)):
            logged[vmid] = Reason(cause=Cause.STORAGE, detail=away)
    notices = () if told or left.keys() <= logged.keys() else (_NO_LOG.format(site=cluster.site),)
    return Found(reasons={**found, **logged}, notices=notices)


def _by_history(asked: Mapping[int, tuple[Known, Span]], entries: Iterable[Entry]) -> dict[int, Reason]:
    numbers = {(known.client, known.machine): vmid for vmid, (known, _) in asked.items()}
    found: dict[int, Reason] = {}
    for entry in entries:  # the latest first
        vmid = numbers.get((entry.client, entry.machine or ""))
        if vmid is None or vmid in found or entry.action.split(" ")[0] not in _OWN_ACTIONS:
            continue
        span = asked[vmid][1]
        recorded = entry.at.timestamp()
        going_on = entry.result == BEGUN
        begun = recorded - (0 if going_on or math.isnan(entry.seconds) else entry.seconds)
        earliest = span.start - (_EARLIER if going_on else _before(span))
        if entry.result != "refused" and recorded >= earliest and begun <= (span.end or span.start) + _LATER:
            found[vmid] = Reason(cause=Cause.OWN, detail=f"{entry.action} by {entry.who}: {entry.why}")
    return found


def _by_tasks(cluster: Cluster, asked: Mapping[int, tuple[Known, Span]], shift: int) -> dict[int, Reason]:
    try:
        listed = cluster.get("/cluster/tasks")
    except ProxmoxError:
        return {}
    tasks = [(task, entry) for entry in listed if (task := parse_upid(entry.get("upid")))]
    found: dict[int, Reason] = {}
    for vmid, (known, span) in asked.items():
        fitting = [task for task, entry in tasks if _fits(task, entry, known, span, shift)]
        if not fitting:
            continue
        task = max(fitting, key=lambda item: item.started)
        if task.kind in _MOVING_TASKS:
            found[vmid] = Reason(cause=Cause.NONE)
        elif task.user == cluster.token_id:
            found[vmid] = Reason(cause=Cause.OWN, detail=f"{task.kind} by {task.user}")
        else:
            found[vmid] = Reason(cause=Cause.PERSON, detail=f"{task.kind} by {task.user}")
    return found


def _fits(task: Upid, entry: Mapping[str, Any], known: Known, span: Span, shift: int) -> bool:
    if task.kind in _NODE_TASKS:
        if task.node != known.node:
            return False
    elif task.subject != str(known.vmid) or task.kind not in _STOPPING_TASKS | _MOVING_TASKS:
        return False
    if task.kind in _MOVING_TASKS and span.cause is not Cause.RESTART:
        return False
    begun = task.started + shift
    ended = entry.get("endtime")
    over = ended + shift if type(ended) is int else None
    return span.start - _EARLIER <= begun <= (span.end or span.start) + _LATER // 4 and (
        over is None or over >= span.start - _before(span)
    )


def _before(span: Span) -> int:
    return _SINCE_LOOK.get(span.source, _LATER)


def _by_logs(
    cluster: Cluster, asked: Mapping[int, tuple[Known, Span]], shift: int
) -> tuple[dict[int, Reason], bool]:
    """What the nodes' logs say, and whether they could be read: one call a node."""
    nodes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for known, span in asked.values():
        nodes[known.node].append((span.start - shift, _before(span)))
    found: dict[int, Reason] = {}
    spoken = False
    for node, starts in nodes.items():
        until = max(start for start, _ in starts) + _LATER
        since = max(min(start - before for start, before in starts), until - _LONGEST_LOG)
        try:
            lines = cluster.get(f"/nodes/{node}/journal", since=since, until=until)
        except ProxmoxError:
            continue
        for line in lines:
            if reason := _said(line):
                spoken = True
                vmid, why = reason
                if vmid in asked and not (vmid in found and "memory" in found[vmid].detail):
                    found[vmid] = why
    return found, spoken


def _said(line: str) -> tuple[int, Reason] | None:
    """The machine whose end a line of a node's log tells, and why it ended."""
    if memory := _OUT_OF_MEMORY.fullmatch(line):
        return int(memory[1]), Reason(cause=Cause.PROCESS, detail="its node ran out of memory and killed it")
    ended = _CLEANUP.fullmatch(line)
    if ended is None:
        return None
    vmid, graceful, guest = ended.groups()
    if graceful == "1" and guest == "1":
        return int(vmid), Reason(cause=Cause.INSIDE, detail="the guest powered off")
    how = "was terminated" if graceful == "1" else "ended without a shutdown"
    return int(vmid), Reason(cause=Cause.PROCESS, detail=f"its process on the node {how}")


def _away(listing: ClusterState, storage: str, node: str) -> str:
    """Which storage of a machine is away on its node; empty if none is, as far as is known."""
    mute = {item.name for item in listing.nodes if not item.online}
    for item in listing.storages:
        if (item.name, item.node) == (storage, node) and node not in mute and item.status != "available":
            return f"storage {storage} is {item.status} on {node}"
    return ""
