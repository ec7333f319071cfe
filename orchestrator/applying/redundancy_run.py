"""One machine's HA resource and replication jobs: look, write, look again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.applying.vm import Stopped
from orchestrator.proxmox import AlreadyExists, LockTimeout, NotFound, Uncertain, read_redundancy
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

    from orchestrator.applying.machine_run import MachineRun
    from orchestrator.proxmox import RedundancySettings
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.resources.redundancy import Call, Step

_ROUNDS = 8
_PAUSE_SECONDS = 1.0


class RedundancyRun:
    """The part of a machine's run that makes it redundant, or ends that."""

    def __init__(self, run: MachineRun) -> None:
        self.run = run
        self.cluster = run.cluster
        self.state = run.around.states[run.plan.site]

    def bring(self, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
        """Bring HA and replication to what the file asks for, as far as the plan says so.

        That there may be something of ours is noted in the machine before the first write, and taken back last:
        whoever looks afterwards knows where to look.

        Raises:
            Stopped: it does not settle.
            ProxmoxError: the hypervisor refused.
        """
        wanted, effective = desired.redundancy, self.run.plan.effective
        created = any(change.kind is Kind.CREATE for change in effective)
        planned = {HARDWARE, SECOND_SITE} if created else {change.what for change in effective}
        noted = observed.mark is not None and observed.mark.redundant
        if not planned & {HARDWARE, SECOND_SITE} or not (wanted.asked or noted):
            return observed
        ground = ground_of(desired, self.state)
        if wanted.asked and not noted:
            observed = self.run.note(observed, lambda mark: mark.with_(redundant=True))

        def steps(settings: RedundancySettings) -> list[Step]:
            found = ObservedRedundancy(ground=ground, settings=settings)
            every = redundancy_steps(wanted, observed, found, as_applied=False)
            return [step for step in every if step.change.what in planned]

        self._settle(steps)
        if noted and not wanted.asked:
            observed = self.run.note(observed, lambda mark: mark.with_(redundant=False))
        return observed

    def let_go(self, observed: ObservedMachine) -> None:
        """Let the HA manager go of a machine that leaves its file: it would start it again.

        Raises:
            Stopped, ProxmoxError: as :meth:`bring`.
        """
        if observed.mark is not None and observed.mark.redundant:
            self._settle(lambda settings: leaving_steps(observed, settings))

    def _settle(self, steps: Callable[[RedundancySettings], Sequence[Step]]) -> None:
        for _ in range(_ROUNDS):
            settings = read_redundancy(self.cluster, self.state.version)
            calls = [call for step in steps(settings) for call in step.calls]
            if not calls:
                return
            try:
                for call in calls:
                    self._make(call)
            except (AlreadyExists, NotFound, Uncertain, LockTimeout):
                self.run.around.pause(_PAUSE_SECONDS)  # somebody was faster, or nobody knows: look again
        raise Stopped(
            "its redundancy does not settle: something else keeps changing its HA resource or its replication jobs; "
            "look at Datacenter > HA and Replication in Proxmox"
        )

    def _make(self, call: Call) -> None:
        writes = {"POST": self.cluster.post, "PUT": self.cluster.put, "DELETE": self.cluster.delete}
        told = {key: value for key, value in call.params.items() if key != "comment"}
        with self.run.step(call.action, **told):
            writes[call.method](call.path, params=call.params)
