"""Making a backup, removing an archive, noting on it how its restore test ended."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.contract.calendar import night_of
from orchestrator.proxmox import (
    LockTimeout,
    NotFound,
    StoredArchive,
    TaskFailed,
    Uncertain,
    parse_upid,
    read_archives,
    where_is,
)
from orchestrator.resources.machine_archives import (
    Archive,
    ArchiveMark,
    RestoreTest,
    archive_notes,
    notes_template,
    read_archive_mark,
)

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.proxmox import Cluster

BACKUP_SECONDS = 24 * 3600.0
"""How long a vzdump may take, its wait for the node's other backups (up to 3 hours) included."""

SILENCE_SECONDS = 900.0
"""How long a node may be away while its backup is waited for: a reboot passes, a dead node does not."""

_REMOVAL_SECONDS = 1800.0
_CLOCK_SLACK = dt.timedelta(minutes=5)
_LOOK_AGAIN_SECONDS = 2.0
_LOOKS = 5


def make_backup(
    vm: Vm,
    storage: str,
    mark: ArchiveMark,
    *,
    clock: Callable[[], dt.datetime],
    silence_seconds: float = SILENCE_SECONDS,
) -> Archive:
    """Back a machine up with vzdump, in snapshot mode: a running guest goes on, a stopped one stays stopped.

    Args:
        vm: the machine.
        storage: where the archive goes: at another site than the machine's (article 3.5).
        mark: what the archive's notes shall say.
        clock: the time at the machine's site, aware.
        silence_seconds: how long its node may be away meanwhile.

    Returns:
        The archive as its storage lists it.

    Raises:
        Stopped: its task ended well, but no archive is there.
        TaskFailed: vzdump failed; the text has the reason from its log.
        ProxmoxError: the hypervisor refused or could not be asked.
    """
    begun = clock()
    own = replace(mark, vmid=vm.vmid, night=night_of(begun), volume=None, test=None)
    params: dict[str, str | int] = {
        "vmid": vm.vmid,
        "storage": storage,
        "mode": "snapshot",
        "compress": "zstd",
        "notes-template": notes_template(own),
    }
    with vm.step("backup", storage=storage, days=mark.days) as step:
        try:
            vm, upid = _begin_backup(vm, params)
        except Uncertain:
            path = f"/nodes/{vm.node}/vzdump"
            lost = running_backups(vm.cluster, vm.node).get(vm.vmid)
            upid = lost or _repeat(vm, path, params, storage, begun)
        if upid:
            step.upid = upid
            step.ended(
                vm.cluster.wait_for_task(
                    upid, timeout_seconds=BACKUP_SECONDS, silence_seconds=silence_seconds
                )
            )
        archive = find_backup(vm, storage, since=_began(step.upid, begun))
        if archive is None:
            raise Stopped(
                f"its task ended well, but {storage} lists no archive of VM {vm.vmid} of tonight: look at the task's "
                f"log, and at the clock of {vm.node}"
            )
        step.message = f"{archive.stored.volid}, {archive.stored.size} bytes"
    return archive


def _begin_backup(vm: Vm, params: dict[str, str | int]) -> tuple[Vm, str | None]:
    """Begin a backup on the node that has the machine. A node that has not answers "OK", and begins nothing.

    Returns:
        The machine where it is, and the task.

    Raises:
        Stopped: it keeps moving, or is gone.
        ProxmoxError: the hypervisor refused.
    """
    for _ in range(_LOOKS):
        upid = vm.cluster.post(f"/nodes/{vm.node}/vzdump", params=params)
        if parse_upid(upid) is not None:
            return vm, str(upid)
        node = where_is(vm.cluster, vm.vmid)
        if node is None:
            raise Stopped(f"VM {vm.vmid} does not exist any more: plan again")
        if node == vm.node:
            raise Stopped(
                f"{vm.node} began no backup of VM {vm.vmid}: it answered {str(upid)[:100]!r}; plan again"
            )
        vm = replace(vm, node=node)
    raise Stopped(f"VM {vm.vmid} keeps moving from node to node: run the same command again when it stays")


def _began(upid: str | None, begun: dt.datetime) -> dt.datetime:
    """When a backup began: the clock of its node, which dates the archive, may be behind the one that we know."""
    task = parse_upid(upid)
    return begun if task is None else min(begun, dt.datetime.fromtimestamp(task.started, dt.UTC))


def adopt_backup(vm: Vm, upid: str, *, silence_seconds: float = SILENCE_SECONDS) -> None:
    """Wait for a backup that an earlier, killed run had begun.

    Args:
        vm: the machine.
        upid: its task.
        silence_seconds: how long its node may be away meanwhile.

    Raises:
        ProxmoxError: it ended badly, or the hypervisor could not be asked.
    """
    with vm.step("backup, begun by an earlier run") as step:
        step.ended(
            vm.cluster.wait_for_task(upid, timeout_seconds=BACKUP_SECONDS, silence_seconds=silence_seconds)
        )


def running_backups(cluster: Cluster, node: str) -> dict[int, str]:
    """The vzdump tasks of our own token that run or wait on a node: UPIDs by VM id. One call.

    Raises:
        ProxmoxError: the node could not be asked.
    """
    found = {}
    for task in cluster.get(f"/nodes/{node}/tasks", source="active", typefilter="vzdump"):
        upid = parse_upid(task["upid"])
        if upid is None or task.get("endtime") or upid.kind != "vzdump" or not upid.subject.isdigit():
            continue
        if upid.user == cluster.token_id:
            found[int(upid.subject)] = upid.text
    return found


def _repeat(vm: Vm, path: str, params: dict[str, str | int], storage: str, begun: dt.datetime) -> str | None:
    """The answer was lost and no task runs: it had ended already, or it was never begun."""
    for _ in range(_LOOKS):
        if find_backup(vm, storage, since=begun):
            return None
        if upid := running_backups(vm.cluster, vm.node).get(vm.vmid):
            return upid
        vm.pause(_LOOK_AGAIN_SECONDS)
    return str(vm.cluster.post(path, params=params))


def find_backup(vm: Vm, storage: str, *, since: dt.datetime) -> Archive | None:
    """The newest archive of ours of this machine on a storage that was made since a moment; None if there is none.

    Raises:
        ProxmoxError: the storage could not be listed.
    """
    found = [
        Archive(stored=stored, mark=mark, site=vm.site)
        for stored in read_archives(vm.cluster, vm.node, storage, vmid=vm.vmid)
        if stored.taken_at >= since - _CLOCK_SLACK  # the node's clock may be a little behind ours
        and (mark := read_archive_mark(stored.notes)) is not None
        and (mark.client, mark.machine) == (vm.client, vm.machine)
        and not mark.objection(stored)
    ]
    return found[-1] if found else None


def remove_archive(
    cluster: Cluster, journal: Journal, archive: Archive, client: str, machine: str, *, reason: str
) -> None:
    """Remove an archive whose days are over. Asked for twice, it goes once.

    Args:
        cluster: the API.
        journal: where it is written down.
        archive: which.
        client, machine: whose it is.
        reason: why, for the history.

    Raises:
        ProxmoxError: it was refused (protected), or could not be asked for.
    """
    stored = archive.stored
    with journal.step(
        client, machine, archive.site, "remove archive", archive=stored.volid, why=reason
    ) as step:
        try:
            upid = cluster.delete(stored.path)
            if upid:  # Proxmox VE answers nothing where it removed the volume within the request
                step.ended(cluster.wait_for_task(str(upid), timeout_seconds=_REMOVAL_SECONDS))
        except (Uncertain, TaskFailed, NotFound):
            if _there(cluster, stored):
                raise
            step.message = "it was gone already"


def _there(cluster: Cluster, stored: StoredArchive) -> bool:
    listed = read_archives(cluster, stored.node, stored.storage, vmid=stored.vmid)
    return any(archive.volid == stored.volid for archive in listed)


def note_test(vm: Vm, archive: Archive, test: RestoreTest) -> Archive:
    """Write on an archive how its restore test ended.

    Args:
        vm: the machine that was backed up.
        archive: which.
        test: how it ended.

    Raises:
        ProxmoxError: the notes could not be written.
    """
    mark = replace(archive.mark, test=test).bound_to(archive.stored)
    for look in range(_LOOKS):
        try:
            vm.cluster.put(archive.stored.path, notes=archive_notes(mark))
            break
        except (Uncertain, LockTimeout):  # the same notes written twice are the same notes
            if look == _LOOKS - 1:
                raise
            vm.pause(_LOOK_AGAIN_SECONDS)
    return replace(archive, mark=mark)


def await_unlocked(vm: Vm, *, until: Callable[[], bool], pause_seconds: float = 10.0) -> str | None:
    """Wait until no task holds a machine, or until ``until`` says that it is late.

    Returns:
        The lock that is still there; None if there is none.

    Raises:
        ProxmoxError: the hypervisor could not be asked.
    """
    while True:
        lock = vm.cluster.get(f"{vm.path}/status/current").get("lock")
        if not lock or until():
            return str(lock) if lock else None
        vm.pause(pause_seconds)
