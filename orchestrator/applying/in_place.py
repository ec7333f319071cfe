"""Restoring into the original: it keeps its number, its address and its place, and gets the archive's disks.

The archive is restored into a copy, and the disks change places between the two: so the replaced disks are kept, in the
copy, until the restored machine has booted. If it does not boot they go back. Every step can be seen from the two
machines' configurations, so an interrupted exchange is finished by running it again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.marking import assure_ours
from orchestrator.applying.restoring import Copy, config_of
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import TASK_SECONDS, Vm
from orchestrator.proxmox import TaskFailed, is_ha_managed, parse_disk, ping_agent
from orchestrator.resources.copies import COPY_TAG, read_copy_mark

if TYPE_CHECKING:
    from orchestrator.proxmox import VmSummary

_DISK = re.compile(r"(?:scsi|virtio|sata|ide)\d+|efidisk0|tpmstate0")
_SHUTDOWN_SECONDS = 180
_POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """An exchange of disks between a machine and the copy that an archive was restored into.

    Attributes:
        kept: where each of the machine's own disks waits in the copy: slot, and the copy's slot.
    """

    vm: Vm
    copy: Copy
    kept: dict[str, str] = field(default_factory=dict)

    def swap(self) -> None:
        """Give the machine the copy's disks, and the copy the machine's. A disk that is left out of backups stays.

        Raises:
            Stopped: the machine is not surely ours, or has snapshots: their disks cannot leave it.
            ProxmoxError: the hypervisor refused; run it again to go on.
        """
        assure_ours(self.vm)
        theirs = _config(self.copy.cluster, self.copy.path)
        for slot in _disks(theirs):
            own = _config(self.vm.cluster, self.vm.path)
            if slot in own and parse_disk(str(own[slot])).left_out:
                continue  # the client does not have it backed up: no archive takes the place of what it holds
            if slot in own:
                place = _free_unused(_config(self.copy.cluster, self.copy.path))
                self._move(self.vm.path, slot, self.copy.vmid, place)
                self.kept[slot] = place
            self._move(self.copy.path, slot, self.vm.vmid, slot)
        self._set_boot()

    def swap_back(self) -> None:
        """Give the machine its own disks back."""
        for slot, place in self.kept.items():
            if slot in _config(self.vm.cluster, self.vm.path):
                self._move(self.vm.path, slot, self.copy.vmid, slot)
            self._move(self.copy.path, place, self.vm.vmid, slot)
        self._set_boot()

    def _move(self, path: str, disk: str, target: int, target_disk: str) -> None:
        other = self.vm.path if target == self.vm.vmid else self.copy.path

        def moved() -> bool:
            return disk not in _config(self.vm.cluster, path) and target_disk in _config(
                self.vm.cluster, other
            )

        with self.vm.step("move disk", disk=disk, to=target, as_=target_disk) as step:
            params: dict[str, str | int] = {"disk": disk, "target-vmid": target, "target-disk": target_disk}
            self.vm.task(step, "POST", f"{path}/move_disk", params, done=moved)

    def _set_boot(self) -> None:
        """Set the boot order that the machine had: Proxmox takes a disk out of it when the disk leaves."""
        boot = self.copy.mark.boot
        if boot is not None and _config(self.vm.cluster, self.vm.path).get("boot") != boot:
            with self.vm.step("set boot order"):
                self.vm.cluster.put(f"{self.vm.path}/config", boot=boot)


def interrupted_copy(vm: Vm, vms: Iterable[VmSummary]) -> Copy | None:
    """The copy of an exchange that was interrupted; None if there is none.

    Args:
        vm: the machine.
        vms: every VM of the cluster.

    Raises:
        Stopped: a VM claims to be that copy, and is not what it says.
        ProxmoxError: one could not be read.
    """
    for other in vms:
        if COPY_TAG not in other.tags:
            continue
        found = config_of(vm.cluster, other.node, other.vmid)
        if found is None:
            continue
        node, config = found
        mark = read_copy_mark(str(config.get("description") or ""))
        if not mark or mark.purpose != "in-place" or (mark.client, mark.machine) != (vm.client, vm.machine):
            continue
        if why := mark.objection(other):
            raise Stopped(
                f"VM {other.vmid} on {node} claims to be the copy of an interrupted restore, but {why}: if it is "
                "not, take that mark out of its notes; if it is, correct its pool and tags"
            )
        return Copy(
            cluster=vm.cluster,
            journal=vm.journal,
            site=vm.site,
            node=node,
            vmid=other.vmid,
            mark=mark,
            pause=vm.pause,
        )
    return None


def switch_off(vm: Vm) -> None:
    """Shut a machine down; by force if its guest does not: what it still holds in memory is replaced anyway.

    Raises:
        Stopped: it is not surely ours.
        ProxmoxError: the hypervisor refused.
    """
    assure_ours(vm)
    status = vm.cluster.get(f"{vm.path}/status/current")
    if status["status"] == "stopped":
        return
    with vm.step("shutdown") as step, kept_aside(vm.cluster, vm.node, vm.vmid, managed=is_ha_managed(status)):
        try:
            step.ended(
                vm.cluster.run_task(
                    "POST",
                    f"{vm.path}/status/shutdown",
                    params={"timeout": _SHUTDOWN_SECONDS},
                    timeout_seconds=TASK_SECONDS,
                )
            )
        except TaskFailed:
            step.message = "the guest did not shut down: switched off"
            step.ended(vm.cluster.run_task("POST", f"{vm.path}/status/stop", timeout_seconds=TASK_SECONDS))


def pull_the_plug(vm: Vm) -> None:
    """Switch a machine off at once: one that does not boot hears no request to go down."""
    status = vm.cluster.get(f"{vm.path}/status/current")
    if status["status"] != "stopped":
        with vm.step("stop") as step, kept_aside(vm.cluster, vm.node, vm.vmid, managed=is_ha_managed(status)):
            step.ended(vm.cluster.run_task("POST", f"{vm.path}/status/stop", timeout_seconds=TASK_SECONDS))


def start_and_wait(vm: Vm, *, boot_seconds: float) -> None:
    """Start a machine and wait for its guest agent.

    Raises:
        Stopped: the agent stayed silent.
        ProxmoxError: it could not be started.
    """
    managed = is_ha_managed(vm.cluster.get(f"{vm.path}/status/current"))
    with vm.step("start") as step:
        with kept_aside(vm.cluster, vm.node, vm.vmid, managed=managed):
            step.ended(vm.cluster.run_task("POST", f"{vm.path}/status/start", timeout_seconds=TASK_SECONDS))
        deadline = time.monotonic() + boot_seconds
        while not ping_agent(vm.cluster, vm.node, vm.vmid):
            if time.monotonic() > deadline:
                raise Stopped(f"it did not boot: its guest agent was silent for {boot_seconds:.0f} s")
            vm.pause(_POLL_SECONDS)


def _config(cluster: Any, path: str) -> dict[str, Any]:
    config: dict[str, Any] = cluster.get(f"{path}/config")
    return config


def _disks(config: Mapping[str, Any]) -> list[str]:
    return [
        key
        for key, value in sorted(config.items())
        if _DISK.fullmatch(key) and not parse_disk(str(value)).is_cdrom
    ]


def _free_unused(config: Mapping[str, Any]) -> str:
    return next(f"unused{number}" for number in range(256) if f"unused{number}" not in config)
