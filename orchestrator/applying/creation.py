"""Making one machine from its image, so that there is only ever one of it, whatever gets lost on the way."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.applying.cloning import is_being_cloned
from orchestrator.applying.limits import is_lock_timeout
from orchestrator.applying.settle import PAUSE_SECONDS, ROUNDS
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import TASK_SECONDS
from orchestrator.proxmox import (
    AlreadyExists,
    LockTimeout,
    NotFound,
    TaskFailed,
    Uncertain,
    VmSummary,
    is_ha_managed,
    read_vm,
    where_is,
)
from orchestrator.resources.desired import DesiredMachine, pool_of
from orchestrator.resources.image import Place, absence, places, read_templates
from orchestrator.resources.machine import new_mark
from orchestrator.resources.notes import Mark, read_mark, write_mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.ownership import tags_of

if TYPE_CHECKING:
    from orchestrator.applying.journal import Step
    from orchestrator.applying.limits import Turn
    from orchestrator.applying.machine_work import MachineWork

_CLONE_TRIES = 20
_LONGEST_PAUSE = 15.0


def make(work: MachineWork, desired: DesiredMachine) -> ObservedMachine:
    """Clone the image on the node that has most room for it, and return the machine when its clone has ended.

    Raises:
        Stopped: no node can take it, no number is free, or nobody knows whether it was begun.
        ProxmoxError: the hypervisor refused.
    """
    return _Clone(work).make(desired)


class _Clone:
    """The clone of one machine's image."""

    def __init__(self, work: MachineWork) -> None:
        self.work = work

    def make(self, desired: DesiredMachine) -> ObservedMachine:
        place = self._place(desired)
        with (
            self.work.around.limits.clone(
                desired.site, desired.storage, None if place.shared else place.node
            ) as turn,
            self.work.step("clone", image=desired.image, node=place.node) as step,
        ):
            vmid, ended = self._clone(desired, place, turn, step)
            if not ended:  # how long it takes is not known then
                turn.end(well=None)
        made = self._settled(vmid, place.node if ended else None)
        # A clone that ended well is in its pool, whatever the list has of it yet.
        pool = pool_of(desired.client) if ended else made.summary.pool
        return replace(made, summary=replace(made.summary, pool=pool))

    def _place(self, desired: DesiredMachine) -> Place:
        around = self.work.around
        state = around.states[desired.site]
        templates = around.templates.get(desired.site)
        if templates is None:
            templates = read_templates(self.work.cluster, state, {desired.template})
        found, reasons = places(desired, state, templates)
        if not found:
            raise Stopped("; ".join(reasons) or absence(desired, state))
        return around.placement.choose(desired, state, found)

    def _clone(self, desired: DesiredMachine, place: Place, turn: Turn, step: Step) -> tuple[int, bool]:
        """Clone, again after each lock time-out: Proxmox has removed by then what it had made.

        Returns:
            The number of the machine, and whether its task was seen to end.

        Raises:
            LockTimeout, TaskFailed: others hold the lock all the time.
        """
        template, around = place.template, self.work.around
        path = f"/nodes/{template.node}/qemu/{template.vmid}/clone"
        params: dict[str, str | int] = {
            "name": desired.name,
            "pool": pool_of(desired.client),
            "full": 1,
            "storage": desired.storage,
        }
        if place.node != template.node:
            params["target"] = place.node
        if desired.disk_format:
            params["format"] = desired.disk_format
        mark = new_mark(desired, system_slot=place.system_slot)
        pause = PAUSE_SECONDS
        for attempt in range(1, _CLONE_TRIES + 1):
            try:
                vmid, upid = self._ask_for_clone(mark, path, params)
                if upid:
                    step.upid = upid
                    step.ended(
                        self.work.cluster.wait_for_task(
                            upid, timeout_seconds=TASK_SECONDS, expected_seconds=turn.usual_seconds
                        )
                    )
                return vmid, upid is not None
            except (LockTimeout, TaskFailed) as error:
                if not is_lock_timeout(error) or attempt == _CLONE_TRIES:
                    raise
                turn.again(lambda: around.pause(pause))  # noqa: B023  (called at once)
                around.journal.stopping.check()
                pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("the last attempt returns or raises")

    def _ask_for_clone(self, mark: Mark, path: str, params: dict[str, str | int]) -> tuple[int, str | None]:
        """Ask for a clone under a free id, which its mark names. Somebody may take it in between: then ask again."""
        numbers = self.work.around.numbers[self.work.plan.site]
        for _ in range(_CLONE_TRIES):
            vmid = numbers.take()
            asked = {**params, "newid": vmid, "description": write_mark(mark.with_(vmid=vmid))}
            try:
                return vmid, str(self.work.cluster.post(path, params=asked))
            except AlreadyExists:
                numbers.refused(vmid)
            except LockTimeout:  # nothing was begun
                numbers.give_back(vmid)
                raise
            except Uncertain:
                self._ask_again(vmid, path, asked)
                return vmid, None
        raise Stopped("no free VM id could be had: others create machines faster than this one; try again")

    def _ask_again(self, vmid: int, path: str, params: dict[str, str | int]) -> None:
        """Ask once more for a clone whose answer was lost, under the *same* id: so there can only be one.

        A request that was under way all the time, or arrives late, meets the machine that the other one made.
        """
        deadline = time.monotonic() + TASK_SECONDS
        tries = 0
        while tries < ROUNDS and time.monotonic() < deadline:
            if self._find(vmid):
                return
            self.work.around.pause(PAUSE_SECONDS)
            if is_being_cloned(
                self.work.cluster, vmid
            ):  # by this request, or by somebody's: its end will tell
                continue
            tries += 1
            with suppress(AlreadyExists, Uncertain):
                self.work.cluster.post(path, params=params)
        raise Stopped(
            "it is unknown whether its clone was started: look at the node's tasks, then apply again"
        )

    def _find(self, vmid: int) -> ObservedMachine | None:
        """The machine, wherever it is by now; None if no VM has its number and its mark."""
        node = where_is(self.work.cluster, vmid)
        return None if node is None else self._at(node, vmid)

    def _at(self, node: str, vmid: int) -> ObservedMachine | None:
        """The machine on a node, by its number and its mark. The node itself is asked: the cluster's list may not have
        its name, its state and its pool for another ten seconds.
        """
        cluster = self.work.cluster
        try:
            status = cluster.get(f"/nodes/{node}/qemu/{vmid}/status/current")
            config = read_vm(cluster, node, vmid)
        except NotFound:
            return None
        mark = read_mark(config.effective("description") or "")
        if mark is None or (mark.client, mark.machine) != self.work.plan.key or mark.vmid != vmid:
            return None
        summary = VmSummary(
            vmid=vmid,
            name=config.effective("name") or f"VM {vmid}",
            node=node,
            status=str(status["status"]),
            template=False,
            tags=frozenset(tags_of(config)),
            pool=None,
            lock=status.get("lock"),
            maxmem=int(status.get("maxmem") or 0),
            maxcpu=int(float(status.get("cpus") or 0)),
            ha=is_ha_managed(status),
        )
        return ObservedMachine(site=self.work.plan.site, summary=summary, config=config, mark=mark)

    def _settled(self, vmid: int, node: str | None) -> ObservedMachine:
        """Wait until the clone has its configuration and no lock, and return it.

        Args:
            vmid: its number.
            node: where it is for sure, its clone having ended; None if it may be on its way there from the image's.
        """
        deadline = time.monotonic() + TASK_SECONDS
        missed = 0
        while time.monotonic() < deadline:
            found = self._at(node, vmid) if node is not None and not missed else self._find(vmid)
            if found is None:  # for a moment, it may be on its way from the image's node to its own
                missed += 1
                if missed == ROUNDS:
                    raise Stopped(
                        f"the clone VM {vmid} disappeared: see the task log on the node; apply again"
                    )
            elif found.summary.lock not in ("clone", "create"):
                return found
            self.work.around.pause(PAUSE_SECONDS)
        raise Stopped(f"VM {vmid} is still locked by its clone: see the task log on the node")
