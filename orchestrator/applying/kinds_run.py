"""Bringing what belongs to a machine, of any kind, to what its file asks for: look, make the calls, look again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orchestrator.applying.settle import settle
from orchestrator.resources.change import Effect
from orchestrator.resources.kinds import KINDS

if TYPE_CHECKING:
    from orchestrator.applying.machine_work import MachineWork
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.kind import ResourceKind, Step
    from orchestrator.resources.observed import ObservedMachine

Found = TypeVar("Found")


def bring_kinds(work: MachineWork, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
    """Bring every kind to what the file asks for, as far as the plan says so. Return the machine as it is then.

    Raises:
        Stopped: something else keeps changing it.
        ProxmoxError: the hypervisor refused.
    """
    for kind in KINDS:
        observed = _bring(work, kind, desired, observed)
    return observed


def _bring(
    work: MachineWork, kind: ResourceKind[Found], desired: DesiredMachine, observed: ObservedMachine
) -> ObservedMachine:
    """Bring one kind. That there may be something of it is noted before the first write, and taken back last: whoever
    looks afterwards knows where to look.
    """
    effective = work.plan.effective
    created = any(change.effect is Effect.CREATE for change in effective)
    planned = {change.what for change in effective if created or change.what in kind.changes}
    if not planned or not kind.concerns(observed, desired):
        return observed
    asked = bool(kind.asked(desired))
    if asked:
        observed = _note(work, kind, observed, there=True)

    def steps(found: Found) -> list[Step]:
        every = kind.steps(desired, observed, found)
        return [step for step in every if created or step.change.what in planned]

    _carry_out(work, kind, desired, observed, steps)
    return observed if asked else _note(work, kind, observed, there=False)


def let_go(work: MachineWork, observed: ObservedMachine) -> None:
    """End what would act on a machine that leaves its file, as the HA manager does, which would start it again.

    Raises:
        Stopped, ProxmoxError: as :func:`bring_kinds`.
    """
    for kind in reversed(KINDS):
        if kind.concerns(observed, None):
            _carry_out(work, kind, None, observed, partial(kind.steps, None, observed))


def _note(
    work: MachineWork, kind: ResourceKind[Found], observed: ObservedMachine, *, there: bool
) -> ObservedMachine:
    mark = observed.mark
    if mark is None or kind.note(mark, there=there) == mark:
        return observed
    return work.note(observed, lambda mark: kind.note(mark, there=there))


def _carry_out(
    work: MachineWork,
    kind: ResourceKind[Found],
    desired: DesiredMachine | None,
    observed: ObservedMachine,
    steps: Callable[[Found], Sequence[Step]],
) -> None:
    state = work.around.states[work.plan.site]

    def look(_: Found | None = None) -> Found:
        return kind.read(work.cluster, state, [(observed, desired)])[observed.summary.vmid]

    def act(found: Found) -> bool:
        calls = [call for step in steps(found) for call in step.calls]
        work.make(calls)
        return bool(calls)

    settle(
        look(), act, look, pause=work.around.pause, what=f"its {kind.name}", where=f"{kind.where} in Proxmox"
    )
