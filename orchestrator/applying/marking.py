"""Changing the mark in a machine's notes, whatever else happens to its configuration meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.applying.vm import Stopped, Vm
from orchestrator.proxmox import DigestMismatch, LockTimeout, Uncertain, read_vm
from orchestrator.resources.notes import Mark, read_mark, write_mark

_TRIES = 8
_PAUSE_SECONDS = 1.0


def change_mark(vm: Vm, change: Callable[[Mark], Mark]) -> None:
    """Read the mark, change it, write it back; again, if somebody changed the configuration in between.

    Args:
        vm: the machine.
        change: the new mark from the one that is there.

    Raises:
        Stopped: the notes no longer carry the mark of this machine, or do not settle.
        ProxmoxError: the hypervisor refused.
    """
    for _ in range(_TRIES):
        config = read_vm(vm.cluster, vm.node, vm.vmid)
        notes = config.effective("description") or ""
        mark = read_mark(notes)
        if mark is None or (mark.client, mark.machine) != (vm.client, vm.machine):
            raise Stopped(
                f"VM {vm.vmid} on {vm.node} no longer carries the mark of this machine: restore its notes"
            )
        wanted = change(mark)
        if wanted == mark:
            return
        try:
            with vm.step("note"):
                vm.cluster.put(
                    f"{vm.path}/config",
                    params={"description": write_mark(wanted, notes), "digest": config.digest},
                )
            return
        except (DigestMismatch, Uncertain, LockTimeout):
            vm.pause(_PAUSE_SECONDS)
    raise Stopped("its notes do not settle: something else keeps changing them")
