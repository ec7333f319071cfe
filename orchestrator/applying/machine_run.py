"""Bringing one machine to what its file asks for, as far as the hypervisor goes.

Look, compute the edits, make them, look again, until none is left: the same loop finishes a creation that
was interrupted anywhere. A write of which nobody knows whether it took effect is answered by looking.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address

from orchestrator.applying.backups import make_backup
from orchestrator.applying.clock import clock_of
from orchestrator.applying.clone_run import CloneRun
from orchestrator.applying.high_availability import kept_aside
from orchestrator.applying.host_keys import Holders
from orchestrator.applying.hotplug import after_refusal
from orchestrator.applying.journal import Journal, Step
from orchestrator.applying.limits import Limits, is_lock_timeout
from orchestrator.applying.marking import change_mark, own_mark
from orchestrator.applying.numbers import Numbers
from orchestrator.applying.placement import Placement
from orchestrator.applying.redundancy_run import RedundancyRun
from orchestrator.applying.snapshots import remove_expired, take_snapshot
from orchestrator.applying.vm import Stopped, Vm
from orchestrator.contract.calendar import day_in_paris
from orchestrator.contract.life import Standing
from orchestrator.planning.inside import keys_known
from orchestrator.planning.machine import leaving, machine_changes
from orchestrator.planning.plan import MachinePlan
from orchestrator.planning.words import sides
from orchestrator.proxmox import (
    BadParameters,
    Cluster,
    ClusterState,
    DigestMismatch,
    LockTimeout,
    TaskFailed,
    Uncertain,
    read_pool_members,
    read_state,
    read_vm,
)
from orchestrator.resources.adoption import adopted_mark
from orchestrator.resources.attributes import applied
from orchestrator.resources.backup import ArchiveMark
from orchestrator.resources.change import Change, Kind
from orchestrator.resources.copies import COPY_TAG
from orchestrator.resources.desired import OWNER_TAG, RETIRED_TAG, DesiredMachine, pool_of
from orchestrator.resources.machine import CLOUD_INIT_KEYS, Edit, edits, new_mark
from orchestrator.resources.notes import Mark, without_marks, write_mark
from orchestrator.resources.observed import ObservedMachine, Template
from orchestrator.resources.ownership import tags_of
from orchestrator.resources.snapshot import with_taken

_ROUNDS = 8
"""Looks and edits before giving up: one creation needs two or three; the rest is for other people's hands."""

_TASK_SECONDS = 3600.0
_SHUTDOWN_SECONDS = 180
_PAUSE_SECONDS = 1.0


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
        backup_storages: where backups of a site's machines go, by site.
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
    backup_storages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    templates: Mapping[str, Sequence[Template]] = field(default_factory=dict)
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    key_holders: Callable[[], Holders] = dict
    pause: Callable[[float], None] = time.sleep


class MachineRun:
    """One machine's way through the hypervisor's part of ``apply``."""

    def __init__(self, plan: MachinePlan, around: Surroundings) -> None:
        self.plan = plan
        self.around = around
        self.cluster = around.clusters[plan.site]

    def run(self) -> ObservedMachine:
        """Make the plan's changes, but for what happens inside the guest. Return the machine as it is then.

        Raises:
            Stopped: it cannot go on; the text says why and what to do.
            ProxmoxError: the hypervisor refused.
        """
        if self.plan.desired is None:
            return self._retire()
        if any(change.kind is Kind.ADOPT for change in self.plan.effective):
            return self._adopt(self.plan.desired)
        life = self.plan.desired.life
        if self.plan.observed and life.standing(self.around.now) in (Standing.SUSPENDED, Standing.ENDED):
            return self._take_out_of_service(self._unmoved())
        observed = self._unmoved() if self.plan.observed else CloneRun(self).make(self.plan.desired)
        observed = self._snapshots(self.plan.desired, observed)
        observed = self._configure(self.plan.desired, observed)
        observed = self._power(self.plan.desired, observed)
        return RedundancyRun(self).bring(self.plan.desired, observed)

    # Looking

    def _look(self, observed: ObservedMachine) -> ObservedMachine:
        summary = observed.summary
        fresh = read_state(self.cluster, summary)
        config = read_vm(self.cluster, summary.node, summary.vmid)
        mark = own_mark(self._vm(observed), config)
        return replace(observed, summary=fresh, config=config, mark=mark)

    def _unmoved(self) -> ObservedMachine:
        """Look again and make sure that the plan still says what would be done."""
        assert self.plan.observed and self.plan.desired and self.plan.address  # noqa: S101  (only what exists)
        observed = self._look(self.plan.observed)
        if observed.config.digest == self.plan.digest:
            return observed
        again = machine_changes(
            self.plan.desired,
            observed,
            self.plan.address,
            self.around.now,
            restart_now=self.around.restart_now,
            inside=self.plan.inside,
        )
        if _words(again) != _words(self.plan.changes):
            raise Stopped(
                "its configuration was changed after the plan was made: plan again and review the difference"
            )
        return observed

    # Snapshots

    def _vm(self, observed: ObservedMachine) -> Vm:
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

    def _snapshots(self, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
        """Expire and take snapshots before anything else: they keep the machine as it was."""
        kinds = {change.kind for change in self.plan.effective}
        if Kind.EXPIRE in kinds:
            remove_expired(self._vm(observed), self.around.now)
        if Kind.SNAPSHOT in kinds:
            wanted = {change.what for change in self.plan.effective if change.kind is Kind.SNAPSHOT}
            for declared in desired.snapshots:
                if f"snapshot {declared.name}" in wanted:
                    take_snapshot(self._vm(observed), declared.name, declared_for=declared.taken_on)
                    self.note(observed, partial(with_taken, desired=desired, declared=declared))
        return self._look(observed) if kinds & {Kind.EXPIRE, Kind.SNAPSHOT} else observed

    # Configuration

    def _configure(self, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
        address = self.plan.address
        assert address is not None  # noqa: S101  (a plan without an address is refused)
        self._join_pool(desired, observed)
        for _ in range(_ROUNDS):
            mark = observed.mark or new_mark(desired, observed.summary.vmid)
            if mark.ready and mark.keys is None:  # before the configuration forgets which keys were delivered
                mark = mark.with_(keys=keys_known(observed, mark))
            found = edits(desired, observed, mark, address)
            refused = [edit.change for edit in found if edit.change and edit.change.kind is Kind.REFUSED]
            if refused:
                raise Stopped(f"{refused[0].what}: {refused[0].why}")
            wanted = _next_mark(desired, mark, address, found, running=observed.running)
            wanted = wanted.with_(vmid=observed.summary.vmid)
            params = {key: value for edit in found for key, value in edit.params.items()}
            if observed.running and params.keys() & CLOUD_INIT_KEYS:
                wanted = wanted.with_(
                    restart_due=math.ceil(self.around.clock().timestamp()),
                    leaving=leaving(observed, mark, address, self.around.clock()),
                )
            resizes = [edit.resize for edit in found if edit.resize]
            if not params and not resizes and wanted == mark:
                return observed
            try:
                if params or wanted != mark:
                    self._write(observed, params, wanted, [edit.change for edit in found if edit.change])
                for slot, size in resizes:
                    self._resize(observed, slot, size)
            except (DigestMismatch, Uncertain, LockTimeout):
                self.around.pause(_PAUSE_SECONDS)
            except BadParameters as error:
                after_refusal(self._vm(observed), error, observed.config.effective("description") or "")
            except TaskFailed as error:
                if not isinstance(error.cause, LockTimeout):
                    raise
                self.around.pause(_PAUSE_SECONDS)
            observed = self._look(observed)
        raise Stopped(
            "its configuration does not settle: something else keeps changing it; look at its task list"
        )

    def _join_pool(self, desired: DesiredMachine, observed: ObservedMachine) -> None:
        pool, vmid = pool_of(desired.client), observed.summary.vmid
        # The cluster's list may lack the pool of a machine made seconds ago, and nothing joins a pool twice.
        if observed.summary.pool is None and vmid not in read_pool_members(self.cluster, pool):
            with self.step("join pool", pool=pool):
                self.cluster.put("/pools", poolid=pool, vms=vmid)

    def _write(
        self, observed: ObservedMachine, params: dict[str, str | int], mark: Mark, changes: list[Change]
    ) -> None:
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
            change_mark(self._vm(observed), change)
        return self._look(observed)

    def _resize(self, observed: ObservedMachine, slot: str, size: int) -> None:
        with (
            self.around.limits.write(observed.site, observed.summary.node),
            self.step(f"resize {slot}", size=f"{size}GiB") as step,
        ):
            step.ended(
                self.cluster.run_task(
                    "PUT",
                    f"/nodes/{observed.summary.node}/qemu/{observed.summary.vmid}/resize",
                    params={"disk": slot, "size": f"{size}G"},
                    timeout_seconds=_TASK_SECONDS,
                )
            )

    # Power

    def _power(self, desired: DesiredMachine, observed: ObservedMachine) -> ObservedMachine:
        kinds = self._kinds_now(desired, observed)
        if Kind.START in kinds:
            self._task(observed, "start", {})
        elif Kind.STOP in kinds:
            self._task(observed, "shutdown", {"timeout": _SHUTDOWN_SECONDS})
        elif Kind.RESTART in kinds and any(change.kind is Kind.RESTART for change in self.plan.changes):
            # One task of Proxmox's own: a kill between stop and start cannot leave the machine stopped.
            self._task(observed, "reboot", {"timeout": _SHUTDOWN_SECONDS})
        else:
            return observed
        if Kind.STOP in kinds:
            return self._look(observed)
        return self.note(observed, lambda mark: mark.with_(restart_due=None, leaving=None, suspended=None))

    def _kinds_now(self, desired: DesiredMachine, observed: ObservedMachine) -> set[Kind]:
        """What is left to do at this moment: the window that was open when the plan was made may have closed."""
        assert self.plan.address is not None  # noqa: S101
        now = self.around.clock()
        changes = machine_changes(
            desired, observed, self.plan.address, now, restart_now=self.around.restart_now
        )
        return {change.kind for change in changes}

    def _task(self, observed: ObservedMachine, action: str, params: dict[str, str | int]) -> None:
        path = f"/nodes/{observed.summary.node}/qemu/{observed.summary.vmid}/status/{action}"
        summary = observed.summary
        aside = kept_aside(
            self.cluster, summary.node, summary.vmid, managed=summary.ha and action != "reboot"
        )
        lane = self.around.limits.power(observed.site, summary.node, action)
        with lane as turn, self.step(action) as step, aside:
            for attempt in range(1, _ROUNDS + 1):
                try:
                    step.ended(
                        self.cluster.run_task(
                            "POST",
                            path,
                            params=params,
                            timeout_seconds=_TASK_SECONDS,
                            expected_seconds=turn.usual_seconds,
                        )
                    )
                    return
                except (LockTimeout, Uncertain, TaskFailed) as error:
                    exitstatus = error.exitstatus if isinstance(error, TaskFailed) else ""
                    if "already running" in exitstatus:
                        return
                    if "got timeout" in exitstatus and action in ("shutdown", "reboot"):
                        raise Stopped(
                            f"the guest did not shut down within {_SHUTDOWN_SECONDS} s; it is never switched off "
                            "by force: look at its console, shut it down, and apply again"
                        ) from error
                    locked = is_lock_timeout(error)
                    if attempt == _ROUNDS or (isinstance(error, TaskFailed) and not locked):
                        raise
                if locked:
                    turn.again(partial(self.around.pause, _PAUSE_SECONDS))
                else:
                    self.around.pause(_PAUSE_SECONDS)
                if self._in_state(observed, action):
                    return

    def _in_state(self, observed: ObservedMachine, action: str) -> bool:
        if action == "reboot" and self.plan.desired:
            return not self._kinds_now(self.plan.desired, self._look(observed)) & {Kind.RESTART, Kind.WAITING}
        return self._look(observed).running is (action == "start")

    # Taking over

    def _adopt(self, desired: DesiredMachine) -> ObservedMachine:
        """Make an existing machine ours (article 4.2). Its pool first: what is marked is in the right place."""
        assert self.plan.observed and self.plan.address  # noqa: S101  (else it is refused)
        before = self.plan.observed
        self._join_pool(desired, before)
        path = f"/nodes/{before.summary.node}/qemu/{before.summary.vmid}/config"
        try:
            mark = adopted_mark(desired, before, self.plan.address)
            tags = tags_of(before.config) - {RETIRED_TAG, COPY_TAG}
            notes = write_mark(mark, without_marks(before.config.effective("description") or ""))
            with (
                self.around.limits.write(before.site, before.summary.node),
                self.step("adopt", vm=before.summary.vmid),
            ):
                self.cluster.put(
                    path,
                    description=notes,
                    tags=";".join(sorted(tags | desired.tags)),
                    digest=before.config.digest,
                )
        except DigestMismatch as error:
            raise Stopped("it was changed after the plan was made: plan again and review it") from error
        except Uncertain:  # the look below says whether it was done
            pass
        return self._look(before)

    # Suspension, end of contract

    def _take_out_of_service(self, observed: ObservedMachine) -> ObservedMachine:
        """Stop it, and nothing else (articles 9 and 10). That it ran is noted first: a kill must not lose it."""
        if observed.running:
            today = day_in_paris(self.around.now)
            observed = self._note_stopped(
                observed, lambda mark: mark.with_(suspended=mark.suspended or today), {}
            )
            self._task(observed, "shutdown", {"timeout": _SHUTDOWN_SECONDS})
        return self._look(observed)

    def _note_stopped(
        self, observed: ObservedMachine, change: Callable[[Mark], Mark], params: dict[str, str | int]
    ) -> ObservedMachine:
        """Note in the machine that it is out of service; it does not start with its node any more."""
        for _ in range(_ROUNDS):
            assert observed.mark is not None  # noqa: S101  (only ours get here)
            try:
                wanted = change(observed.mark).with_(vmid=observed.summary.vmid)
                self._write(observed, {**params, "onboot": 0}, wanted, [])
                return self._look(observed)
            except (DigestMismatch, Uncertain, LockTimeout):
                self.around.pause(_PAUSE_SECONDS)
                observed = self._look(observed)
        raise Stopped("its notes do not settle: something else keeps changing them")

    # Retirement

    def _retire(self) -> ObservedMachine:
        assert self.plan.observed is not None  # noqa: S101  (only what exists is retired)
        observed = self._look(self.plan.observed)
        RedundancyRun(self).let_go(observed)
        if observed.running:
            self._task(observed, "shutdown", {"timeout": _SHUTDOWN_SECONDS})
            observed = self._look(observed)
        self._last_backup(observed)
        tags = {OWNER_TAG, pool_of(self.plan.client), RETIRED_TAG}
        tags |= set(filter(None, (observed.config.effective("tags") or "").split(";")))
        today = day_in_paris(self.around.now)
        return self._note_stopped(
            observed, lambda mark: mark.with_(retired=today), {"tags": ";".join(sorted(tags))}
        )

    def _last_backup(self, observed: ObservedMachine) -> None:
        """Back it up once more, stopped as it is now, where its backup was on when it was last applied."""
        mark, summary = observed.mark, observed.summary
        days = mark.backup_days if mark else None
        if mark is None or days is None:
            return
        wanted = self.around.backup_storages.get(observed.site, ())
        state = self.around.states[observed.site]
        fit = [
            storage
            for node in state.nodes
            for storage in state.storages
            if node.name == summary.node == storage.node
            and storage.name in wanted
            and storage.usable
            and "backup" in storage.content
        ]
        if not fit:
            raise Stopped(
                f"none of its backup storages ({', '.join(wanted) or 'none in the sites file'}) is available on "
                f"{summary.node}, so it gets no last backup: it is stopped and kept; apply again when one is"
            )
        roomiest = max(fit, key=lambda storage: storage.maxdisk - storage.disk)
        archive = ArchiveMark(client=mark.client, machine=mark.machine, contract=mark.contract, days=days)
        make_backup(
            self._vm(observed), roomiest.name, archive, clock=clock_of(self.cluster, self.around.clock)
        )

    def step(self, action: str, **details: object) -> AbstractContextManager[Step]:
        """Run a step of this machine: shown, and recorded in the history with its result."""
        return self.around.journal.step(
            self.plan.client, self.plan.machine, self.plan.site, action, **details
        )


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A machine whose guest is to be waited for.

    Attributes:
        inside: whether it has to be brought to what is asked of it inside; else it only has to come up again.
    """

    run: MachineRun
    desired: DesiredMachine
    observed: ObservedMachine
    inside: bool

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.desired.key


def _words(changes: tuple[Change, ...]) -> list[tuple[str, str, object]]:
    return [(change.kind, change.what, change.after) for change in changes]


def _next_mark(
    desired: DesiredMachine, mark: Mark, address: IPv4Address, found: list[Edit], *, running: bool
) -> Mark:
    return mark.with_(
        contract=desired.contract,
        offer=str(desired.offer),
        slots={**mark.slots, **dict(edit.slot for edit in found if edit.slot)},
        applied=applied(desired, address),
        ready=mark.ready and not mark.retired,
        suspended=None if running else mark.suspended,  # that it has to be started is known until it runs
        retired=None,
    )
