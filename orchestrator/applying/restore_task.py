"""Proxmox's task that makes a VM of an archive: asked for under a free number, waited for, and cleared up after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.applying.limits import is_lock_timeout
from orchestrator.applying.settle import PAUSE_SECONDS
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import TASK_SECONDS
from orchestrator.proxmox import (
    AlreadyExists,
    NotFound,
    ProxmoxError,
    TaskFailed,
    Uncertain,
    parse_upid,
    where_is,
)

if TYPE_CHECKING:
    from orchestrator.applying.journal import Step
    from orchestrator.proxmox import Cluster, ClusterState, StoredArchive

_RESTORE_SECONDS = 24 * 3600.0
_SHELL_KEYS = frozenset({"digest", "lock", "memory", "meta"})
_TRIES = 20
_LONGEST_PAUSE = 15.0
_LOOKS = 30
_LOG_LINES = 20

Params = Mapping[str, str | int]


def ask_for_restore(
    cluster: Cluster,
    node: str,
    params: Params,
    numbered: Callable[[int], Params],
    step: Step,
    *,
    number: int | None = None,
    again: bool = True,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Ask for a restore under a free number, and wait for it. Somebody may take the number in between: ask again.

    Args:
        cluster: the API.
        node: where it is made.
        params: of the call, without its number.
        numbered: what else it is asked for under a number.
        step: the step of the journal that it belongs to.
        number: the one that is tried first.
        again: whether it is asked for once more, under another number, where an answer was lost and nothing of it is
            seen. Where two of it would be one too many it is not.
        pause: waits that many seconds.

    Returns:
        The number of the VM.

    Raises:
        Stopped: no number was free, or nobody knows whether it was begun.
        TaskFailed: it could not be restored; what it left of the VM was removed.
        ProxmoxError: the hypervisor refused.
    """
    path, wait = f"/nodes/{node}/qemu", PAUSE_SECONDS
    for attempt in range(1, _TRIES + 1):
        vmid = number if number is not None and attempt == 1 else cluster.free_vmid()
        try:
            upid = str(cluster.post(path, params={**params, "vmid": vmid, **numbered(vmid)}))
        except AlreadyExists:
            continue
        except Uncertain as error:
            # The id is not used again for this: whatever was begun under it is found by its mark, and removed.
            begun = _found_restore(cluster, path, vmid, pause)
            if begun is None and not again:
                raise Stopped(
                    f"the answer was lost, and nothing shows whether a restore as VM {vmid} was begun: look at the "
                    f"task list of {node}, then run the same command again"
                ) from error
            if begun is None:
                continue
            upid = begun
        step.upid = upid
        try:
            step.ended(cluster.wait_for_task(upid, timeout_seconds=_RESTORE_SECONDS))
        except TaskFailed as error:
            if isinstance(error.cause, AlreadyExists):
                continue
            with suppress(ProxmoxError):  # what is left is removed by the next night
                remove_shell(cluster, f"{path}/{vmid}")
            if not is_lock_timeout(error) or attempt == _TRIES:
                raise
            pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE)
            continue
        return vmid
    raise Stopped("no free VM id could be had: others create machines faster than this one; try again")


def remove_shell(cluster: Cluster, path: str) -> None:
    """Erase what a restore that failed leaves ("VM state is NOT cleaned up"): a VM without a single setting.

    One that has settings is left alone: its disks were restored, or it is somebody else's by now.
    """
    try:
        config = cluster.get(f"{path}/config")
        if set(config) <= _SHELL_KEYS:
            cluster.run_task("DELETE", path, params={"purge": 1}, timeout_seconds=TASK_SECONDS)
    except NotFound:
        return


def _found_restore(cluster: Cluster, path: str, vmid: int, pause: Callable[[float], None]) -> str | None:
    """The task of a restore whose answer was lost; None if it was not begun.

    While no VM has the number none runs, whatever the node's list of tasks has of earlier nights' under that number.
    """
    node = path.split("/")[2]
    for _ in range(_LOOKS):
        if where_is(cluster, vmid) is not None:
            tasks = cluster.get(f"/nodes/{node}/tasks", source="all", vmid=vmid, typefilter="qmrestore")
            return str(tasks[0]["upid"]) if tasks else None
        pause(1.0)
    return None


def running_restore(cluster: Cluster, state: ClusterState, archives: list[StoredArchive]) -> str | None:
    """A restore of one of these archives that runs: its UPID. None if none does.

    Which archive a task restores, its log says. One call for each node, and one for each restore of our token.

    Raises:
        ProxmoxError: a node could not be asked.
    """
    # On a backup server the last part is a time alone; the log names vm/ID/TIME.
    names = {stored.volid.partition(":backup/")[2] or stored.volid for stored in archives}
    for node in state.nodes:
        if node.off:
            continue
        for entry in cluster.get(f"/nodes/{node.name}/tasks", source="active", typefilter="qmrestore"):
            task = parse_upid(entry["upid"])
            if task is None or entry.get("endtime") or task.user != cluster.token_id:
                continue
            log = cluster.get(f"/nodes/{node.name}/tasks/{task.text}/log", limit=_LOG_LINES)
            if any(name in str(line.get("t", "")) for line in log for name in names):
                return task.text
    return None
