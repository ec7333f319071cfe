"""Redundancy of a machine (article 3.2): which calls lead from what a cluster has configured to what the file asks.

*Redundant hardware* is an HA resource that may run on the nodes of its site that can have its disks, and nowhere
else: a group of Proxmox VE 8, a node-affinity rule of 9. Its disks have to be there when a node fails: on a shared
storage, or replicated to a second node of the site. *A second site* is a replication job to a node of the same
cluster that stands in another data centre: Proxmox replicates inside one cluster, from ZFS to ZFS.

What a storage cannot do is refused with the way out. Everything of ours is named or commented as ours; what
others configured is kept, and taken as it is where it does the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.proxmox import Need, RedundancySettings, read_redundancy
from orchestrator.resources.change import Asked, Change, ChangeClass, Effect, Judged
from orchestrator.resources.desired import Redundancy
from orchestrator.resources.kind import ResourceKind, Step
from orchestrator.resources.redundancy.availability import end_resource, resource_steps
from orchestrator.resources.redundancy.ground import (
    HARDWARE,
    SECOND_SITE,
    ObservedRedundancy,
    Sides,
    ground_of,
    nowhere,
    obstacles,
    possible,
)
from orchestrator.resources.redundancy.replication import replication_steps

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

_EIGHT, _NINE = frozenset({8}), frozenset({9})
HARDWARE_NEEDS = (
    Need(privilege="Sys.Audit", path="/", features=("seeing HA resources",)),
    Need(privilege="Sys.Console", path="/", features=("HA resources, groups and rules",)),
)
SECOND_SITE_NEEDS = (
    Need(privilege="VM.Replicate", path="/vms", features=("replication",), releases=_NINE),
    Need(privilege="Datastore.Allocate", path="/storage", features=("replication",), releases=_EIGHT),
    Need(privilege="VM.Migrate", path="/vms", features=("going back after a fail-over",)),
)


def nothing_configured(version: str) -> RedundancySettings:
    """The settings of a cluster without any."""
    return RedundancySettings(release=int(version.partition(".")[0]))


class RedundancyKind(ResourceKind[ObservedRedundancy]):
    """HA resources, with their groups or rules, and replication jobs."""

    name = "redundancy"
    changes = (HARDWARE, SECOND_SITE)
    judged = Judged(
        ChangeClass.SIGNIFICANT, "what survives a failure changes: prepared, and tested with the client"
    )
    where = "Datacenter > HA and Replication"
    needs = (*HARDWARE_NEEDS, *SECOND_SITE_NEEDS)
    leaving = "the HA manager lets go of it, replicated copies stay"

    def asked(self, desired: DesiredMachine) -> Asked:
        """What a file asks for; empty if nothing."""
        wanted = desired.redundancy
        hardware: Asked = {"hardware": True} if wanted.hardware else {}
        return {**hardware, **({"second_site": wanted.second_site} if wanted.second_site else {})}

    def words(self, asked: Asked) -> str:
        """What a file asks for, for people."""
        second_site = f"{SECOND_SITE} {asked['second_site']}" if asked.get("second_site") else ""
        return ", ".join(filter(None, [HARDWARE if asked.get("hardware") else "", second_site]))

    def needed(self, desired: DesiredMachine) -> Collection[Need]:
        """The privileges that it needs for what a file asks."""
        hardware, second_site = desired.redundancy.hardware, desired.redundancy.second_site
        return (*(HARDWARE_NEEDS if hardware else ()), *(SECOND_SITE_NEEDS if second_site else ()))

    def refusals(self, desired: DesiredMachine, state: ClusterState) -> list[Change]:
        """Why a machine cannot be made as its file says."""
        return [
            Change(effect=Effect.REFUSED, what=what, why=why)
            for what, why in obstacles(desired.redundancy, ground_of(desired, state))
        ]

    def noted(self, mark: Mark) -> bool:
        """Whether there is, or may be, something of ours in HA or replication."""
        return mark.redundant

    def note(self, mark: Mark, *, there: bool) -> Mark:
        """The mark that says so."""
        return mark.with_(redundant=there)

    def read(
        self,
        cluster: Cluster,
        state: ClusterState,
        machines: Sequence[tuple[ObservedMachine, DesiredMachine | None]],
    ) -> Mapping[int, ObservedRedundancy]:
        """Read HA resources, groups or rules, and replication jobs: three calls, if there can be any of ours."""
        grounds = {
            machine.summary.vmid: ground_of(desired, state) if desired else nowhere(machine.site)
            for machine, desired in machines
        }
        read = any(
            (machine.mark and machine.mark.redundant)
            or (desired and possible(desired.redundancy, grounds[machine.summary.vmid]))
            for machine, desired in machines
        )
        version = state.version
        settings = read_redundancy(cluster, version) if read else nothing_configured(version)
        return {
            vmid: ObservedRedundancy(ground=ground, settings=settings) for vmid, ground in grounds.items()
        }

    def steps(
        self, desired: DesiredMachine | None, observed: ObservedMachine, found: ObservedRedundancy
    ) -> list[Step]:
        """Every change that leads from what is configured to what is asked for.

        Of a machine that leaves its file the HA manager lets go. Copies of its disks stay, as it does.
        """
        wanted = desired.redundancy if desired else Redundancy()
        barred = dict(obstacles(wanted, found.ground))
        sides = Sides(
            wanted=wanted,
            ground=found.ground,
            settings=found.settings,
            vmid=observed.summary.vmid,
            node=observed.summary.node,
            running=observed.running,
            drift=bool(desired and observed.mark and self.as_applied(desired, observed.mark)),
            barred=barred,
        )
        if desired is None:
            return end_resource(sides)
        steps = [
            Step(change=Change(effect=Effect.UNABLE, what=what, why=why)) for what, why in barred.items()
        ]
        home = found.ground.home
        if wanted.asked and sides.node not in home:
            why = (
                f"it runs on {sides.node}, which is not at {found.ground.site}: it was moved after a failure. Migrate "
                f"it back to {' or '.join(home) or 'a node of its site'}; its redundancy is skipped until then"
            )
            return [
                *steps,
                Step(change=Change(effect=Effect.NOTICE, what="redundancy", after=sides.node, why=why)),
            ]
        partner, jobs = replication_steps(sides)
        return [*steps, *end_resource(sides), *jobs, *resource_steps(sides, partner)]


REDUNDANCY = RedundancyKind()
