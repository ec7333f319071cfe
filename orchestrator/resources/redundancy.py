"""Redundancy of a machine (article 3.2): which calls lead from what a cluster has configured to what the file asks.

*Redundant hardware* is an HA resource that may run on the nodes of its site that can have its disks, and nowhere
else: a group of Proxmox VE 8, a node-affinity rule of 9. Its disks have to be there when a node fails: on a shared
storage, or replicated to a second node of the site. *A second site* is a replication job to a node of the same
cluster that stands in another data centre: Proxmox replicates inside one cluster, from ZFS to ZFS.

What a storage cannot do is refused with the way out. Everything of ours is named or commented as ours; what
others configured is kept, and taken as it is where it does the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import Reason
from orchestrator.proxmox import (
    Affinity,
    Need,
    RedundancySettings,
    ReplicationJob,
    read_redundancy,
    storage_type,
)
from orchestrator.resources.change import Asked, Change, ChangeClass, Kind
from orchestrator.resources.desired import Redundancy
from orchestrator.resources.kind import Call, Params, ResourceKind, Step

if TYPE_CHECKING:
    from orchestrator.proxmox import Cluster, ClusterState
    from orchestrator.resources.desired import DesiredMachine
    from orchestrator.resources.notes import Mark
    from orchestrator.resources.observed import ObservedMachine

HARDWARE = "redundant hardware"
SECOND_SITE = "second site"
"""How plans name them."""

_EIGHT, _NINE = frozenset({8}), frozenset({9})
HARDWARE_NEEDS = (
    Need(privilege="Sys.Audit", path="/", features=("seeing HA resources",)),
    Need(privilege="Sys.Console", path="/", features=("HA resources, groups and rules",)),
)
SECOND_SITE_NEEDS = (
    Need(privilege="VM.Replicate", path="/vms", features=("replication",), releases=_NINE),
    Need(privilege="Datastore.Allocate", path="/storage", features=("replication",), releases=_EIGHT),
)

_OURS = "orchestrator: "


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a cluster offers a machine.

    Attributes:
        home: nodes of the machine's own site that have its storage.
        elsewhere: nodes of the second site that have it.
        shared: whether all of them see the same disks.
        kind: Proxmox's type of the storage.
    """

    site: str
    storage: str
    home: tuple[str, ...]
    elsewhere: tuple[str, ...]
    shared: bool
    kind: str

    @property
    def replicable(self) -> bool:
        """Whether Proxmox can replicate its disks."""
        return storage_type(self.kind).replicates and not self.shared


@dataclass(frozen=True, kw_only=True)
class ObservedRedundancy:
    """What there is of a machine's redundancy, and what its cluster could give it."""

    ground: Ground
    settings: RedundancySettings


def ground_of(desired: DesiredMachine, state: ClusterState) -> Ground:
    """What a cluster offers a machine of a file."""
    wanted = desired.redundancy
    entries = [storage for storage in state.storages if storage.name == desired.storage]
    nodes = sorted({storage.node for storage in entries})
    return Ground(
        site=desired.site,
        storage=desired.storage,
        home=tuple(node for node in nodes if node not in desired.foreign_nodes),
        elsewhere=tuple(node for node in nodes if node in wanted.second_nodes),
        shared=any(storage.shared for storage in entries),
        kind=entries[0].kind if entries else "",
    )


def obstacles(wanted: Redundancy, ground: Ground) -> Iterator[tuple[str, Reason]]:
    """Yield what cannot be had here: its name, and the reason with the way out."""
    if wanted.hardware:
        if not ground.shared and not ground.replicable:
            yield (
                HARDWARE,
                f"the storage {ground.storage} of {ground.site} is local ({ground.kind or 'of unknown type'}): when a "
                "node fails, its disks are gone with it. Use a shared storage or ZFS there, or take "
                "redundancy.hardware out of the file",
            )
        elif len(ground.home) < 2:
            yield (
                HARDWARE,
                f"{', '.join(ground.home) or 'no node'} alone has the storage {ground.storage} at {ground.site}: add "
                "another node, or take redundancy.hardware out of the file",
            )
    if wanted.second_site:
        if not ground.replicable:
            yield (
                SECOND_SITE,
                f"Proxmox replicates local ZFS storages only, and the storage {ground.storage} of {ground.site} is "
                f"{'shared' if ground.shared else 'local'} ({ground.kind or 'of unknown type'}): use one, or take "
                "redundancy.second_site out of the file; backups go to another data centre in any case",
            )
        elif not ground.elsewhere:
            nodes = ", ".join(wanted.second_nodes) or "none"
            yield (
                SECOND_SITE,
                f"no node at {wanted.second_site} (second_sites of {ground.site} names {nodes}) has the storage "
                f"{ground.storage}: add it there under the same name, or correct second_sites",
            )


def _possible(wanted: Redundancy, ground: Ground) -> bool:
    """Whether something of what is asked for can be had."""
    asked = {HARDWARE: wanted.hardware, SECOND_SITE: wanted.second_site is not None}
    barred = dict(obstacles(wanted, ground))
    return any(is_asked and what not in barred for what, is_asked in asked.items())


NOT_REDUNDANT = "off"
"""The side of a change on which there is no redundancy: that it comes or goes is seen in the plan."""


def nothing_configured(version: str) -> RedundancySettings:
    """The settings of a cluster without any."""
    return RedundancySettings(release=int(version.partition(".")[0]))


@dataclass(frozen=True, kw_only=True)
class _Sides:
    wanted: Redundancy
    ground: Ground
    settings: RedundancySettings
    vmid: int
    node: str
    running: bool
    drift: bool
    barred: Mapping[str, str]

    @property
    def sid(self) -> str:
        return f"vm:{self.vmid}"

    @property
    def own_name(self) -> str:
        return f"orchestrator-{self.vmid}"

    def has(self, what: str) -> bool:
        """Whether the file asks for it, and the cluster can."""
        asked = self.wanted.hardware if what == HARDWARE else self.wanted.second_site is not None
        return asked and what not in self.barred

    def update(
        self,
        what: str,
        before: str | None,
        after: str | None,
        *,
        erases: bool = False,
        why: str | None = None,
    ) -> Change:
        return Change(
            kind=Kind.UPDATE,
            what=what,
            before=before or NOT_REDUNDANT,
            after=after or NOT_REDUNDANT,
            drift=self.drift,
            erases=erases,
            why=why,
        )


class RedundancyKind(ResourceKind[ObservedRedundancy]):
    """HA resources, with their groups or rules, and replication jobs."""

    name = "redundancy"
    changes = (HARDWARE, SECOND_SITE)
    change_class = ChangeClass.SIGNIFICANT
    class_reason = "what survives a failure changes: prepared, and tested with the client"
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
            Change(kind=Kind.REFUSED, what=what, why=why)
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
            machine.summary.vmid: ground_of(desired, state) if desired else _nowhere(machine.site)
            for machine, desired in machines
        }
        read = any(
            (machine.mark and machine.mark.redundant)
            or (desired and _possible(desired.redundancy, grounds[machine.summary.vmid]))
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
        sides = _Sides(
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
            return _end_resource(sides)
        steps = [Step(change=Change(kind=Kind.UNABLE, what=what, why=why)) for what, why in barred.items()]
        home = found.ground.home
        if wanted.asked and sides.node not in home:
            why = (
                f"it runs on {sides.node}, which is not at {found.ground.site}: it was moved after a failure. Migrate "
                f"it back to {' or '.join(home) or 'a node of its site'}; its redundancy is left alone meanwhile"
            )
            return [
                *steps,
                Step(change=Change(kind=Kind.NOTICE, what="redundancy", after=sides.node, why=why)),
            ]
        partner, jobs = _jobs(sides)
        return [*steps, *_end_resource(sides), *jobs, *_resource(sides, partner)]


REDUNDANCY = RedundancyKind()


def _nowhere(site: str) -> Ground:
    return Ground(site=site, storage="", home=(), elsewhere=(), shared=False, kind="")


# Replication


def _jobs(sides: _Sides) -> tuple[str | None, list[Step]]:
    """The node of the site that the disks are replicated to, if they are, and the changes of the jobs."""
    jobs = sides.settings.jobs_of(sides.vmid)
    steps: list[Step] = []
    kept: list[ReplicationJob] = []
    partner = None
    numbers = {job.number for job in jobs}
    for what, candidates in (
        (SECOND_SITE, sides.ground.elsewhere if sides.has(SECOND_SITE) else ()),
        (HARDWARE, sides.ground.home if sides.has(HARDWARE) and not sides.ground.shared else ()),
    ):
        nodes = [node for node in candidates if node != sides.node]
        if not nodes:
            continue
        job = next((job for job in jobs if job.target in nodes), None)
        target = job.target if job else nodes[sides.vmid % len(nodes)]
        partner = target if what == HARDWARE else partner
        if job is None:
            number = next(number for number in range(len(numbers) + 1) if number not in numbers)
            numbers.add(number)
            steps.append(_new_job(sides, what, target, number))
        else:
            kept.append(job)
            steps += _changed_job(sides, what, job)
    # What is asked for and cannot be had now (a storage that is away for an hour) keeps the copies that it has.
    purposes = {_OURS + what for what in (HARDWARE, SECOND_SITE) if what in sides.barred}
    steps += [
        _ended_job(sides, job)
        for job in jobs
        if job not in kept
        and job.comment.startswith(_OURS)
        and job.comment not in purposes
        and not job.leaving
    ]
    return partner, steps


def _job_words(what: str, sides: _Sides, target: str, schedule: str, rate: float | None) -> str:
    place = sides.wanted.second_site if what == SECOND_SITE else sides.ground.site
    limit = f", at most {rate:g} MB/s" if rate else ""
    return f"{place}: disks replicated to {target}, schedule {schedule}{limit}"


def _new_job(sides: _Sides, what: str, target: str, number: int) -> Step:
    wanted = sides.wanted
    params: Params = {
        "id": f"{sides.vmid}-{number}",
        "type": "local",
        "target": target,
        "schedule": wanted.schedule,
        "comment": _OURS + what,
    }
    if wanted.rate is not None:
        params["rate"] = wanted.rate
    change = sides.update(what, None, _job_words(what, sides, target, wanted.schedule, wanted.rate))
    return Step(
        change=change,
        calls=(Call(action="replicate", method="POST", path="/cluster/replication", params=params),),
    )


def _changed_job(sides: _Sides, what: str, job: ReplicationJob) -> list[Step]:
    wanted = sides.wanted
    if job.leaving:
        why = f"its earlier replication to {job.target} is being removed: apply again when Proxmox is done with that"
        return [Step(change=Change(kind=Kind.UNABLE, what=what, why=why))]
    if not job.comment.startswith(_OURS) and not job.disabled:
        return []  # somebody else's job does what is asked for
    params: Params = {}
    if job.disabled:
        params["disable"] = 0
    if job.schedule != wanted.schedule:
        params["schedule"] = wanted.schedule
    if wanted.rate is not None and job.rate != wanted.rate:
        params["rate"] = wanted.rate
    if wanted.rate is None and job.rate is not None:
        params["delete"] = "rate"
    if not params:
        return []
    before = "switched off" if job.disabled else _job_words(what, sides, job.target, job.schedule, job.rate)
    change = sides.update(what, before, _job_words(what, sides, job.target, wanted.schedule, wanted.rate))
    call = Call(
        action="change replication", method="PUT", path=f"/cluster/replication/{job.name}", params=params
    )
    return [Step(change=change, calls=(call,))]


def _ended_job(sides: _Sides, job: ReplicationJob) -> Step:
    what = job.comment.removeprefix(_OURS)
    change = sides.update(
        what if what in (HARDWARE, SECOND_SITE) else SECOND_SITE,
        f"disks replicated to {job.target}",
        None,
        erases=True,
        why=f"the copy of its disks on {job.target} is erased; the machine itself and its backups stay",
    )
    call = Call(action="end replication", method="DELETE", path=f"/cluster/replication/{job.name}")
    return Step(change=change, calls=(call,))


# High availability


def _end_resource(sides: _Sides) -> list[Step]:
    """Take it out of the HA manager's hands, and its group or rule away: first, so that nothing moves it meanwhile."""
    if sides.wanted.hardware:
        return []
    calls = []
    resource = sides.settings.resources.get(sides.vmid)
    if resource is not None and not resource.comment.startswith(_OURS):
        why = (
            f"others made its HA resource {sides.sid}, so it is kept: take it away in Proxmox (Datacenter > HA) if "
            "nobody needs it"
        )
        return [Step(change=Change(kind=Kind.NOTICE, what=HARDWARE, before="still there", why=why))]
    if resource is not None:
        calls.append(
            Call(action="end high availability", method="DELETE", path=f"/cluster/ha/resources/{sides.sid}")
        )
    if sides.own_name in sides.settings.affinities:
        kind = "rules" if sides.settings.has_rules else "groups"
        if not (calls and sides.settings.has_rules):  # a rule goes with its last resource
            path = f"/cluster/ha/{kind}/{sides.own_name}"
            calls.append(Call(action=f"remove HA {kind[:-1]}", method="DELETE", path=path))
    if not calls:
        return []
    nodes = sides.settings.affinity_of(sides.vmid)
    before = f"restarts on {_listed(nodes.nodes)}" if nodes else "restarts on any node"
    return [Step(change=sides.update(HARDWARE, before, None), calls=tuple(calls))]


def _listed(nodes: Iterable[str]) -> str:
    return ", ".join(sorted(nodes))


def _resource(sides: _Sides, partner: str | None) -> list[Step]:
    if not sides.has(HARDWARE) or (not sides.ground.shared and partner is None):
        return []
    nodes = frozenset(sides.ground.home if sides.ground.shared else (sides.node, str(partner)))
    resource = sides.settings.resources.get(sides.vmid)
    affinity = sides.settings.affinity_of(sides.vmid)
    placed = affinity is not None and _as_wanted(affinity, nodes)
    state = "started" if sides.running else "stopped"
    settled = resource is not None and (
        resource.state == state or (resource.state == "disabled" and state == "stopped")
    )
    if placed and settled:
        return []
    after = f"restarts on {_listed(nodes)}"
    if sides.settings.has_rules and affinity and not placed and affinity.vmids != {sides.vmid}:
        why = (
            f"the HA rule {affinity.name}, which others made for several machines, says {_listed(affinity.nodes)} for "
            f"it, not {_listed(nodes)}: take {sides.sid} out of that rule, or correct it, and apply again"
        )
        return [Step(change=Change(kind=Kind.UNABLE, what=HARDWARE, after=after, why=why))]
    before = None
    if resource is not None:
        before = f"restarts on {_listed(affinity.nodes)}" if affinity else "restarts on any node"
        before += "" if settled else f", HA state {resource.state}"
    calls = _placing(sides, nodes, affinity, placed=placed, exists=resource is not None, state=state)
    if resource is not None and not settled:
        path = f"/cluster/ha/resources/{sides.sid}"
        calls.append(Call(action="set HA state", method="PUT", path=path, params={"state": state}))
    return [Step(change=sides.update(HARDWARE, before, after), calls=tuple(calls))]


def _as_wanted(affinity: Affinity, nodes: frozenset[str]) -> bool:
    return affinity.nodes == nodes and affinity.strict and affinity.in_force and not affinity.weighted


def _placing(
    sides: _Sides, nodes: frozenset[str], affinity: Affinity | None, *, placed: bool, exists: bool, state: str
) -> list[Call]:
    """The calls that give it its resource, and its group or rule."""
    listed = ",".join(sorted(nodes))
    comment = _OURS + HARDWARE
    create: Params = {"sid": sides.sid, "state": state, "comment": comment}
    resources = "/cluster/ha/resources"
    if sides.settings.has_rules:
        calls = (
            []
            if exists
            else [Call(action="make highly available", method="POST", path=resources, params=create)]
        )
        rule: Params = {"type": "node-affinity", "nodes": listed, "strict": 1}
        if affinity is None:
            made: Params = {**rule, "rule": sides.own_name, "resources": sides.sid, "comment": comment}
            calls.append(Call(action="make HA rule", method="POST", path="/cluster/ha/rules", params=made))
        elif not placed:
            path = f"/cluster/ha/rules/{affinity.name}"
            calls.append(
                Call(action="change HA rule", method="PUT", path=path, params={**rule, "delete": "disable"})
            )
        return calls
    calls = []
    own = sides.settings.affinities.get(sides.own_name)
    if not placed:
        group: Params = {"nodes": listed, "restricted": 1}
        if own is None:
            made = {**group, "group": sides.own_name, "comment": comment}
            calls.append(Call(action="make HA group", method="POST", path="/cluster/ha/groups", params=made))
        elif not _as_wanted(own, nodes):
            path = f"/cluster/ha/groups/{sides.own_name}"
            calls.append(Call(action="change HA group", method="PUT", path=path, params=group))
    if not exists:
        params = {**create, "group": sides.own_name}
        calls.append(Call(action="make highly available", method="POST", path=resources, params=params))
    elif not placed and (affinity is None or affinity.name != sides.own_name):
        params = {"group": sides.own_name}
        calls.append(
            Call(action="join HA group", method="PUT", path=f"{resources}/{sides.sid}", params=params)
        )
    return calls
