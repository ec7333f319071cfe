"""Changing the mark in a machine's notes, whatever else happens to its configuration meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.applying.settle import settle
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.proxmox import VmConfig, read_vm
from orchestrator.resources.marks import UnreadableMark
from orchestrator.resources.notes import Mark, parse_mark, write_mark
from orchestrator.resources.ownership import lacks_tags, other_number, tags_of


def own_mark(vm: Vm, config: VmConfig) -> Mark:
    """The mark of a machine as its configuration has it at this moment: what acts on a machine looks here first.

    Args:
        vm: the machine.
        config: its configuration, read just now.

    Raises:
        Stopped: its notes or tags no longer say that it is this machine: nothing is done to it.
    """
    try:
        mark = parse_mark(config.effective("description") or "")
    except UnreadableMark as error:
        raise _lost(vm, f"the mark in its notes cannot be read: {error}") from error
    if mark is None or (mark.client, mark.machine) != (vm.client, vm.machine):
        raise _lost(vm, "its notes do not carry the mark of this machine")
    if wrong := other_number(mark, vm.vmid) or lacks_tags(mark, tags_of(config)):
        raise _lost(vm, wrong)
    return mark


def _lost(vm: Vm, why: str) -> Stopped:
    return Stopped(
        f"VM {vm.vmid} on {vm.node} is no longer certain to be {vm.client}/{vm.machine}: {why}; nothing more is done "
        "to it. Put its notes and tags back, or plan again"
    )


def assure_ours(vm: Vm) -> None:
    """Look once more whether a machine is ours, before something is done that cannot be undone. One call.

    Raises:
        Stopped: it is not, or not surely: nothing is done to it.
        ProxmoxError: it could not be read.
    """
    own_mark(vm, read_vm(vm.cluster, vm.node, vm.vmid))


def change_mark(vm: Vm, change: Callable[[Mark], Mark]) -> None:
    """Read the mark, change it, write it back; again, if somebody changed the configuration in between.

    Args:
        vm: the machine.
        change: the new mark from the one that is there.

    Raises:
        Stopped: the notes no longer carry the mark of this machine, or keep changing.
        ProxmoxError: the hypervisor refused.
    """

    def act(config: VmConfig) -> bool:
        notes = config.effective("description") or ""
        mark = own_mark(vm, config)
        try:
            changed = change(mark)
            if changed == mark:
                return False
            text = write_mark(changed.with_(vmid=vm.vmid), notes)
        except ValueError as error:
            raise Stopped(str(error)) from error
        with vm.step("note"):
            vm.cluster.put(f"{vm.path}/config", params={"description": text, "digest": config.digest})
        return False

    def look(_: VmConfig | None = None) -> VmConfig:
        return read_vm(vm.cluster, vm.node, vm.vmid)

    settle(look(), act, look, pause=vm.pause, what="its notes", where="its task list in Proxmox")
