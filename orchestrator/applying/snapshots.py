"""Taking, removing and going back to snapshots. Every one can be asked for twice and happens once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from orchestrator.applying.clock import clock_objection
from orchestrator.applying.marking import assure_ours
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.errors import Reason
from orchestrator.proxmox import VmSnapshot, read_snapshots
from orchestrator.resources.snapshot import expired, no_room, owned, snapshot_description

_ROLLBACK_SECONDS = 3 * 3600.0


def take_snapshot(vm: Vm, name: str, *, declared_for: dt.date | None, for_update: bool = False) -> VmSnapshot:
    """Take a snapshot, if there is room for it (articles 3.2 and 3.3). The guest's file systems are frozen for it.

    Args:
        vm: the machine.
        name: the snapshot's name.
        declared_for: the day that the file names; None if it is on demand.
        for_update: it is taken before an update, to come back to.

    Returns:
        The snapshot; the one that is there, if an earlier run took it for the same day.

    Raises:
        Stopped: there is no room, or another snapshot has the name.
        ProxmoxError: Proxmox refused.
    """
    there = read_snapshots(vm.cluster, vm.node, vm.vmid)
    if (mine := _named(there, name)) is not None:
        item = owned(mine)
        if declared_for is not None and item is not None and item.declared_for == declared_for:
            return mine
        raise Stopped(f"there is a snapshot {name} already: choose another name, or delete it first")
    if (full := no_room(there)) is not None:
        raise Stopped(full)
    description = snapshot_description(
        vm.client, vm.machine, declared_for=declared_for, for_update=for_update
    )
    with vm.step("snapshot", snapshot=name) as step:
        params: dict[str, str | int] = {"snapname": name, "description": description}
        vm.task(step, "POST", f"{vm.path}/snapshot", params, done=lambda: _whole(vm, name) is not None)
    taken = _whole(vm, name)
    if taken is None:
        raise Stopped(
            f"the snapshot {name} is not there although its task ended well: look at the machine in Proxmox"
        )
    return taken


def remove_snapshot(vm: Vm, name: str, *, action: str = "delete snapshot") -> None:
    """Remove a snapshot. Its disks keep what they hold now.

    Args:
        vm: the machine.
        name: the snapshot's name.
        action: how the history names it.

    Raises:
        Stopped: the machine is not surely ours any more.
        ProxmoxError: Proxmox refused.
    """
    assure_ours(vm)

    def gone() -> bool:
        return _named(read_snapshots(vm.cluster, vm.node, vm.vmid), name) is None

    with vm.step(action, snapshot=name) as step:
        vm.task(step, "DELETE", f"{vm.path}/snapshot/{name}", done=gone)


def _real_clock_objection(vm: Vm) -> Reason | None:
    return clock_objection(vm.cluster, lambda: dt.datetime.now(dt.UTC))


def remove_expired(
    vm: Vm,
    now: dt.datetime,
    wanted: Callable[[str], bool] = lambda _: True,
    objection: Callable[[Vm], Reason | None] = _real_clock_objection,
) -> list[str]:
    """Remove the snapshots of ours whose seven days are over, as Proxmox lists them now.

    Args:
        vm: the machine.
        now: the time, aware.
        wanted: whether one of that name is to be removed.
        objection: why the clocks cannot be trusted; None if they can.

    Returns:
        Their names.

    Raises:
        Stopped: the machine is not surely ours any more, or the site's clock and this computer's disagree: which of
            them are over is not known.
        ProxmoxError: Proxmox refused.
    """
    there = expired(read_snapshots(vm.cluster, vm.node, vm.vmid), now)
    names = [item.snapshot.name for item in there if wanted(item.snapshot.name)]
    if names and (why := objection(vm)):
        raise Stopped(why)
    for name in names:
        remove_snapshot(vm, name, action="expire snapshot")
    return names


def roll_back(vm: Vm, name: str, *, start: bool, back: Callable[[], bool]) -> None:
    """Bring a machine back to a snapshot. What its disks received since is lost.

    Args:
        vm: the machine.
        name: the snapshot.
        start: whether it shall run afterwards: as it did before.
        back: looks whether an earlier request has done it, when its answer was lost.

    Raises:
        Stopped: the machine is not surely ours any more.
        ProxmoxError: Proxmox refused.
    """
    assure_ours(vm)
    with vm.step("roll back", snapshot=name, start=start) as step:
        vm.task(
            step,
            "POST",
            f"{vm.path}/snapshot/{name}/rollback",
            {"start": int(start)},
            done=back,
            timeout_seconds=_ROLLBACK_SECONDS,
        )


def _named(snapshots: tuple[VmSnapshot, ...], name: str) -> VmSnapshot | None:
    return next((snapshot for snapshot in snapshots if snapshot.name == name), None)


def _whole(vm: Vm, name: str) -> VmSnapshot | None:
    found = _named(read_snapshots(vm.cluster, vm.node, vm.vmid), name)
    return found if found is not None and found.unfinished is None else None
