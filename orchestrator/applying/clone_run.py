"""Making one machine from its image, so that there is only ever one of it, whatever gets lost on the way."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.applying.vm import Stopped
from orchestrator.proxmox import AlreadyExists, NotFound, Uncertain, read_cluster, read_vm
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.image import Place, absence, places, read_templates
from orchestrator.resources.machine import new_mark
from orchestrator.resources.notes import read_mark, write_mark
from orchestrator.resources.observed import ObservedMachine

if TYPE_CHECKING:
    from orchestrator.applying.machine_run import MachineRun

_ROUNDS = 8
_CLONE_TRIES = 20
_TASK_SECONDS = 3600.0
_PAUSE_SECONDS = 1.0


class CloneRun:
    """The part of a machine's run that clones its image."""

    def __init__(self, run: MachineRun) -> None:
        self.run = run

    def _find(self, vmid: int) -> ObservedMachine | None:
        """Find the machine by its number and its mark: its name, pool and tags the cluster's list may not have yet."""
        for summary in read_cluster(self.run.cluster).vms:
            if summary.vmid == vmid and not summary.template:
                try:
                    config = read_vm(self.run.cluster, summary.node, vmid)
                except NotFound:
                    continue
                mark = read_mark(config.effective("description") or "")
                if mark and (mark.client, mark.machine) == self.run.plan.key:
                    return ObservedMachine(site=self.run.plan.site, summary=summary, config=config, mark=mark)
        return None

    def make(self, desired: DesiredMachine) -> ObservedMachine:
        """Clone the image on the node that has most room for it, and return the machine when its clone has ended.

        Raises:
            Stopped: no node can take it, no number is free, or nobody knows whether it was begun.
            ProxmoxError: the hypervisor refused.
        """
        place = self._place(desired)
        template = place.template
        params: dict[str, str | int] = {
            "name": desired.name,
            "pool": pool_of(desired.client),
            "description": write_mark(new_mark(desired, place.system_slot)),
            "full": 1,
            "storage": desired.storage,
        }
        if place.target != template.node:
            params["target"] = place.target
        if desired.disk_format:
            params["format"] = desired.disk_format
        with (
            self.run.around.limits.clone(desired.site, desired.storage),
            self.run.step("clone", image=desired.image, node=place.target) as step,
        ):
            vmid, upid = self._ask_for_clone(f"/nodes/{template.node}/qemu/{template.vmid}/clone", params)
            if upid:
                step.upid = upid
                step.ended(self.run.cluster.wait_for_task(upid, timeout_seconds=_TASK_SECONDS))
        made = self._settled(vmid)
        # A clone that ended well is in its pool, whatever the list has of it yet.
        pool = pool_of(desired.client) if upid else made.summary.pool
        return replace(made, summary=replace(made.summary, pool=pool))

    def _place(self, desired: DesiredMachine) -> Place:
        around = self.run.around
        state = around.states[desired.site]
        templates = around.templates.get(desired.site)
        if templates is None:
            templates = read_templates(self.run.cluster, state, {desired.template})
        found, reasons = places(desired, state, templates)
        if not found:
            raise Stopped("; ".join(reasons) or absence(desired, state))
        return around.placement.choose(desired, state, found)

    def _ask_for_clone(self, path: str, params: dict[str, str | int]) -> tuple[int, str | None]:
        """Ask for a clone under a free id. Somebody may take the id in between: then ask again."""
        for _ in range(_CLONE_TRIES):
            with self.run.around.limits.choosing_id(self.run.plan.site):
                vmid = self.run.cluster.free_vmid()
                try:
                    return vmid, str(self.run.cluster.post(path, params={**params, "newid": vmid}))
                except AlreadyExists:
                    continue
                except Uncertain:
                    self._ask_again(vmid, path, {**params, "newid": vmid})
                    return vmid, None
        raise Stopped("no free VM id could be had: others create machines faster than this one; try again")

    def _ask_again(self, vmid: int, path: str, params: dict[str, str | int]) -> None:
        """Ask once more for a clone whose answer was lost, under the *same* id: so there can only be one.

        A request that was under way all the time, or arrives late, meets the machine that the other one made.
        """
        for _ in range(_ROUNDS):
            if self._find(vmid):
                return
            self.run.around.pause(_PAUSE_SECONDS)
            with suppress(AlreadyExists, Uncertain):
                self.run.cluster.post(path, params=params)
        raise Stopped("nobody knows whether its clone was begun: look at the node's tasks, then apply again")

    def _settled(self, vmid: int) -> ObservedMachine:
        """Wait until the clone has its configuration and no lock, and return it."""
        deadline = time.monotonic() + _TASK_SECONDS
        missed = 0
        while time.monotonic() < deadline:
            found = self._find(vmid)
            if found is None:  # for a moment, it may be on its way from the image's node to its own
                missed += 1
                if missed == _ROUNDS:
                    raise Stopped(
                        f"the clone VM {vmid} disappeared: see the task log on the node; apply again"
                    )
            elif found.summary.lock not in ("clone", "create"):
                return found
            self.run.around.pause(_PAUSE_SECONDS)
        raise Stopped(f"VM {vmid} is still locked by its clone: see the task log on the node")
