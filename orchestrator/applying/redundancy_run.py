"""One machine's HA resource and replication jobs: look, write, look again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.applying.settle import settle
from orchestrator.proxmox import read_redundancy
from orchestrator.resources.change import Kind
from orchestrator.resources.redundancy import (
    HARDWARE,
    SECOND_SITE,
    ObservedRedundancy,
    ground_of,
    leaving_steps,
    redundancy_steps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.applying.machine_work import MachineWork
    from orchestrator.proxmox import RedundancySettings
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.redundancy import Call, Step


def bring_redundancy(
    work: MachineWork, desired: DesiredMachine, observed: ObservedMachine
) -> ObservedMachine:
    """Bring HA and replication to what the file asks for, as far as the plan says so.

    That there may be something of ours is noted in the machine before the first write, and taken back last:
    whoever looks afterwards knows where to look.

    Raises:
        Stopped: something else keeps changing it.
        ProxmoxError: the hypervisor refused.
    """
    wanted, effective = desired.redundancy, work.plan.effective
    created = any(change.kind is Kind.CREATE for change in effective)
    planned = {HARDWARE, SECOND_SITE} if created else {change.what for change in effective}
    noted = observed.mark is not None and observed.mark.redundant
    if not planned & {HARDWARE, SECOND_SITE} or not (wanted.asked or noted):
        return observed
    ground = ground_of(desired, work.around.states[work.plan.site])
    if wanted.asked and not noted:
        observed = work.note(observed, lambda mark: mark.with_(redundant=True))

    def steps(settings: RedundancySettings) -> list[Step]:
        found = ObservedRedundancy(ground=ground, settings=settings)
        every = redundancy_steps(wanted, observed, found, as_applied=False)
        return [step for step in every if step.change.what in planned]

    _carry_out(work, steps)
    if noted and not wanted.asked:
        observed = work.note(observed, lambda mark: mark.with_(redundant=False))
    return observed


def let_go(work: MachineWork, observed: ObservedMachine) -> None:
    """Let the HA manager go of a machine that leaves its file: it would start it again.

    Raises:
        Stopped, ProxmoxError: as :func:`bring_redundancy`.
    """
    if observed.mark is not None and observed.mark.redundant:
        _carry_out(work, lambda settings: leaving_steps(observed, settings))


def _carry_out(work: MachineWork, steps: Callable[[RedundancySettings], Sequence[Step]]) -> None:
    def act(settings: RedundancySettings) -> bool:
        calls = [call for step in steps(settings) for call in step.calls]
        for call in calls:
            _make(work, call)
        return bool(calls)

    def look(_: RedundancySettings | None = None) -> RedundancySettings:
        return read_redundancy(work.cluster, work.around.states[work.plan.site].version)

    where = "Datacenter > HA and Replication in Proxmox"
    settle(look(), act, look, pause=work.around.pause, what="its redundancy", where=where)


def _make(work: MachineWork, call: Call) -> None:
    writes = {"POST": work.cluster.post, "PUT": work.cluster.put, "DELETE": work.cluster.delete}
    told = {key: value for key, value in call.params.items() if key != "comment"}
    with work.step(call.action, **told):
        writes[call.method](call.path, params=call.params)
