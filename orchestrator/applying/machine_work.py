"""What all work on one machine has at hand, whether it is made, edited, taken over or retired."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from orchestrator.applying.host_keys import Holders
from orchestrator.applying.journal import Journal, Step
from orchestrator.applying.limits import Limits
from orchestrator.applying.marking import change_mark, own_mark
from orchestrator.applying.numbers import Numbers
from orchestrator.applying.placement import Placement
from orchestrator.applying.settle import make_call, settle
from orchestrator.applying.vm import Vm
from orchestrator.planning.plan import MachinePlan
from orchestrator.planning.words import sides
from orchestrator.proxmox import Cluster, ClusterState, read_state, read_vm
from orchestrator.resources.change import Change
from orchestrator.resources.desired import DesiredMachine
from orchestrator.resources.kind import Call
from orchestrator.resources.kinds import CLIENT_KINDS
from orchestrator.resources.notes import Mark, write_mark
from orchestrator.resources.observed import ObservedMachine, Template


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all machines of one run share.

    Attributes:
        clusters: by site.
        states: what was read of each cluster when the plan was made.
        templates: the templates that were read then, by site.
        numbers: where the numbers of new machines come from, by site.
        key_holders: tells the machines that are known by each SSH host key, everybody's.
        now: the time of the plan: what it says is judged by it.
        restart_now: restart outside windows too.
        backup_storages: where backups of a site's machines go, by site: the data centres by storages.
        clock: the time, aware: windows are judged by it again before a restart, for a run may last.
    """

    clusters: dict[str, Cluster]
    states: dict[str, ClusterState]
    limits: Limits
    placement: Placement
    journal: Journal
    now: dt.datetime
    restart_now: bool
    clock: Callable[[], dt.datetime]
    backup_storages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    templates: Mapping[str, Sequence[Template]] = field(default_factory=dict)
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    key_holders: Callable[[], Holders] = dict
    pause: Callable[[float], None] = time.sleep


class MachineWork:
    """One machine of a plan, and what is done to it whatever its case."""

    def __init__(self, plan: MachinePlan, around: Surroundings) -> None:
        self.plan = plan
        self.around = around
        self.cluster = around.clusters[plan.site]

    def vm(self, observed: ObservedMachine) -> Vm:
        """The machine, for tasks."""
        return Vm(
            cluster=self.cluster,
            journal=self.around.journal,
            site=self.plan.site,
            client=self.plan.client,
            machine=self.plan.machine,
            node=observed.summary.node,
            vmid=observed.summary.vmid,
            pause=self.around.pause,
        )

    def step(self, action: str, **details: object) -> AbstractContextManager[Step]:
        """Run a step of this machine: shown, and recorded in the history with its result."""
        return self.around.journal.step(
            self.plan.client, self.plan.machine, self.plan.site, action, **details
        )

    def look(self, observed: ObservedMachine) -> ObservedMachine:
        """The machine as it is now.

        Raises:
            Stopped: it is no longer surely this machine.
            ProxmoxError: it could not be read.
        """
        summary = observed.summary
        fresh = read_state(self.cluster, summary)
        config = read_vm(self.cluster, summary.node, summary.vmid)
        return replace(observed, summary=fresh, config=config, mark=own_mark(self.vm(observed), config))

    def make(self, calls: Iterable[Call]) -> None:
        """Make calls, each a step of this machine."""
        for call in calls:
            make_call(self.cluster, call, self.step)

    def join(self, desired: DesiredMachine, observed: ObservedMachine) -> None:
        """Make the machine part of what its client has here for all of them."""
        for kind in CLIENT_KINDS:
            self.make(kind.join(self.cluster, desired, observed))

    def write(
        self, observed: ObservedMachine, params: dict[str, str | int], mark: Mark, changes: Sequence[Change]
    ) -> None:
        """Write settings and the mark, if nobody changed the configuration since it was looked at."""
        notes = write_mark(mark, observed.config.effective("description") or "")
        with (
            self.around.limits.write(observed.site, observed.summary.node),
            self.step("configure", changes={change.what: list(sides(change)) for change in changes}),
        ):
            self.cluster.put(
                f"/nodes/{observed.summary.node}/qemu/{observed.summary.vmid}/config",
                params={**params, "description": notes, "digest": observed.config.digest},
            )

    def note(self, observed: ObservedMachine, change: Callable[[Mark], Mark]) -> ObservedMachine:
        """Change the machine's mark, whatever else happens to its configuration meanwhile. Return it as it is then."""
        with self.around.limits.write(observed.site, observed.summary.node):
            change_mark(self.vm(observed), change)
        return self.look(observed)

    def note_out_of_service(
        self, observed: ObservedMachine, change: Callable[[Mark], Mark], **params: str
    ) -> ObservedMachine:
        """Note in the machine that it is out of service; it does not start with its node any more."""

        def act(observed: ObservedMachine) -> bool:
            assert observed.mark is not None  # noqa: S101  (only ours get here)
            wanted = change(observed.mark).with_(vmid=observed.summary.vmid)
            self.write(observed, {**params, "onboot": 0}, wanted, ())
            return False

        pause, where = self.around.pause, "its task list in Proxmox"
        return self.look(settle(observed, act, self.look, pause=pause, what="its notes", where=where))


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A machine whose guest is to be waited for.

    Attributes:
        inside: whether it has to be brought to what is asked of it inside; else it only has to come up again.
    """

    work: MachineWork
    desired: DesiredMachine
    observed: ObservedMachine
    inside: bool

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.desired.key
