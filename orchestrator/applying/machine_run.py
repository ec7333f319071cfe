"""Bringing one machine to what its file asks for, as far as the hypervisor goes.

Look, compute the edits, make them, look again, until none is left: the same loop finishes a creation that
was interrupted anywhere. A write of which nobody knows whether it took effect is answered by looking.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address

from orchestrator.applying.creation import make
from orchestrator.applying.hotplug import after_refusal
from orchestrator.applying.kinds_run import bring_kinds
from orchestrator.applying.machine_power import bring_power
from orchestrator.applying.machine_work import MachineWork
from orchestrator.applying.renaming import rename
from orchestrator.applying.retirement import retire, take_out_of_service
from orchestrator.applying.settle import settle
from orchestrator.applying.snapshots import remove_expired, take_snapshot
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.takeover import take_over
from orchestrator.applying.vm import TASK_SECONDS
from orchestrator.contract.life import Standing
from orchestrator.planning.machine import leaving, machine_changes
from orchestrator.proxmox import BadParameters
from orchestrator.resources.change import CLIENT, RENAMED, Change, Effect
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kind import Edit
from orchestrator.resources.kinds import GUEST_KINDS, asked_of_kinds
from orchestrator.resources.machine import CLOUD_INIT_KEYS, RESTART_KEYS, applied, edits, new_mark
from orchestrator.resources.notes import Mark
from orchestrator.resources.observed import ObservedMachine
from orchestrator.resources.restart_hold import applied_under_hold
from orchestrator.resources.snapshot import with_taken


def run_machine(work: MachineWork) -> ObservedMachine:
    """Make the plan's changes, but for what happens inside the guest. Return the machine as it is then.

    Raises:
        Stopped: it cannot go on; the text says why and what to do.
        ProxmoxError: the hypervisor refused.
    """
    plan = work.plan
    if plan.desired is None:
        return retire(work)
    if plan.observed is not None and plan.observed.renaming is not None:
        rename(work, plan.observed)
    if any(change.effect is Effect.ADOPT for change in plan.effective):
        return take_over(work, plan.desired)
    standing = plan.desired.life.standing(work.around.now)
    if plan.observed and standing in (Standing.SUSPENDED, Standing.ENDED):
        return take_out_of_service(work, _unmoved(work), plan.desired.life.why(work.around.now))
    if plan.apart:
        return _bring_apart(work, plan.desired, _unmoved(work))
    observed = _unmoved(work) if plan.observed else make(work, plan.desired)
    observed = _snapshots(work, plan.desired, observed)
    observed = _configure(work, plan.desired, observed)
    observed = bring_power(work, plan.desired, observed)
    return bring_kinds(work, plan.desired, observed)


def _unmoved(work: MachineWork) -> ObservedMachine:
    """Look again and make sure that the plan still says what would be done."""
    plan = work.plan
    assert plan.observed and plan.desired and plan.address  # noqa: S101  (only what exists)
    observed = work.look(plan.observed)
    if observed.config.digest == plan.digest:
        return observed
    again = machine_changes(
        plan.desired,
        observed,
        plan.address,
        work.around.now,
        restart_now=work.around.restart_now,
        inside=plan.inside,
    )
    if plan.apart:
        again = tuple(change for change in again if plan.apart.covers(change))
    planned = tuple(change for change in plan.changes if change.what not in (RENAMED, CLIENT))
    if _words(again) != _words(planned):
        raise Stopped(
            "its configuration was changed after the plan was made: plan again and review the difference"
        )
    return observed


def _bring_apart(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
    """Make what alone was asked for, and note what was: the rest of the machine is not as its file says."""
    observed = bring_kinds(work, desired, _snapshots(work, desired, observed))
    asked = {name: dict(values) for name, values in asked_of_kinds(desired).items()}

    def noted(mark: Mark) -> Mark:
        before = mark.applied
        if before is None or work.plan.apart is None or work.plan.apart.thing not in {*asked, *before.kinds}:
            return mark
        thing = work.plan.apart.thing
        kinds = {name: values for name, values in before.kinds.items() if name != thing}
        return mark.with_(
            applied=replace(before, kinds=kinds | ({thing: asked[thing]} if thing in asked else {}))
        )

    return work.note(observed, noted)


def _words(changes: tuple[Change, ...]) -> list[tuple[str, str, object]]:
    return [(change.effect, change.what, change.after) for change in changes]


def _snapshots(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
    """Expire and take snapshots before anything else: they keep the machine as it was."""
    effects = {change.effect for change in work.plan.effective}
    if Effect.EXPIRE in effects:
        over = {change.part for change in work.plan.effective if change.effect is Effect.EXPIRE}
        remove_expired(work.vm(observed), work.around.now, lambda name: name in over)
    if Effect.SNAPSHOT in effects:
        wanted = {change.what for change in work.plan.effective if change.effect is Effect.SNAPSHOT}
        for declared in desired.snapshots:
            if f"snapshot {declared.name}" in wanted:
                take_snapshot(work.vm(observed), declared.name, declared_for=declared.taken_on)
                work.note(observed, partial(with_taken, desired=desired, declared=declared))
    return work.look(observed) if effects & {Effect.EXPIRE, Effect.SNAPSHOT} else observed


def _configure(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
    address = work.plan.address
    assert address is not None  # noqa: S101  (a plan without an address is refused)
    work.join(desired, observed)
    return settle(
        observed,
        lambda seen: _edit(work, desired, seen, address),
        work.look,
        pause=work.around.pause,
        what="its configuration",
        where="its task list in Proxmox",
    )


def _edit(
    work: MachineWork, desired: DesiredMachine, observed: ObservedMachine, address: IPv4Address
) -> bool:
    """Make the edits that are left. Return whether there were any."""
    mark = observed.mark or new_mark(desired, observed.summary.vmid)
    for kind in GUEST_KINDS:
        mark = kind.kept(observed, mark)
    found = edits(desired, observed, mark, address)
    refused = [edit.change for edit in found if edit.change and edit.change.effect is Effect.REFUSED]
    if refused:
        raise Stopped(f"{refused[0].what}: {refused[0].why}")
    wanted = _next_mark(desired, mark, address, found, running=observed.running)
    wanted = wanted.with_(vmid=observed.summary.vmid)
    params = {key: value for edit in found for key, value in edit.params.items()}
    if observed.running and params.keys() & CLOUD_INIT_KEYS:
        now = work.around.clock()
        wanted = wanted.with_(
            restart_due=math.ceil(now.timestamp()), leaving=leaving(observed, mark, address, now)
        )
    resizes = [edit.resize for edit in found if edit.resize]
    if not params and not resizes and wanted == mark:
        return False
    try:
        if params or wanted != mark:
            work.write(observed, params, wanted, [edit.change for edit in found if edit.change])
        for slot, size in resizes:
            _resize(work, observed, slot, size)
    except BadParameters as error:
        after_refusal(work.vm(observed), error, observed.config.effective("description") or "")
    return True


def _resize(work: MachineWork, observed: ObservedMachine, slot: str, size: int) -> None:
    with (
        work.around.limits.write(observed.site, observed.summary.node),
        work.step(f"resize {slot}", size=f"{size}GiB") as step,
    ):
        step.ended(
            work.cluster.run_task(
                "PUT",
                f"/nodes/{observed.summary.node}/qemu/{observed.summary.vmid}/resize",
                params={"disk": slot, "size": f"{size}G"},
                timeout_seconds=TASK_SECONDS,
            )
        )


def _next_mark(
    desired: DesiredMachine, mark: Mark, address: IPv4Address, found: list[Edit], *, running: bool
) -> Mark:
    return mark.with_(
        contract=desired.contract,
        offer=str(desired.offer),
        slots={**mark.slots, **dict(edit.slot for edit in found if edit.slot)},
        applied=applied_under_hold(applied(desired, address), mark, found),
        # Other settings than those that were tried: whatever came of those, these get their own restart.
        restart=None if any(edit.params.keys() & RESTART_KEYS for edit in found) else mark.restart,
        ready=mark.ready and not mark.retired,
        suspended=None if running else mark.suspended,  # that it has to be started is known until it runs
        retired=None,
    )
