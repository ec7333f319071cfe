"""One machine's way through an update: a snapshot, the update, proof that all is well, or back to the snapshot.

What is under way stands in the machine's mark, so that a run that was killed is finished by the next one: an update
that began is gone on with, a way back that began is gone to its end. Going back loses what was written to the machine's
disks since the snapshot, a matter of minutes; with an older snapshot it is left to a person.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.applying.clock import clock_objection
from orchestrator.applying.guest_of_machine import guest_of
from orchestrator.applying.marking import change_mark, own_mark
from orchestrator.applying.rollback import go_back, refresh_guest
from orchestrator.applying.snapshots import remove_snapshot, take_snapshot
from orchestrator.applying.update_outcome import Ending, MachineUpdate
from orchestrator.applying.vm import Vm
from orchestrator.contract.calendar import PARIS, paris_time
from orchestrator.errors import told
from orchestrator.guests import Guest, SshSettings
from orchestrator.guests.packages import UpdateOrder, UpdateResult
from orchestrator.history.delays import INSTALLED
from orchestrator.history.requests import NO_REQUESTS, OpenUpdates
from orchestrator.proxmox import VmSnapshot, ping_agent, read_snapshots, read_vm
from orchestrator.resources.notes import Mark, UpdateNote
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.snapshot import expired, no_room, owned, unable

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.proxmox import Cluster
    from orchestrator.resources.desired import DesiredMachine

OLDEST_WAY_BACK = dt.timedelta(hours=2)
"""Nobody is brought back by a program to a snapshot older than that: too much would be lost."""

_POLL_SECONDS = 2.0
_REASON_LENGTH = 300
_PACKAGES_NOTED = 20
_HELD = "it is held back from automatic updates until somebody has looked"


@dataclass(frozen=True, kw_only=True)
class Updatable:
    """A machine that updates may be installed in.

    Attributes:
        desired: what its file says.
        observed: the machine.
        mark: its mark.
        site: the cluster that it was read from.
        cluster: that cluster's API.
        reboot: whether it may be restarted in this run.
    """

    desired: DesiredMachine
    observed: ObservedMachine
    mark: Mark
    site: ObservedSite
    cluster: Cluster
    reboot: bool

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.desired.key

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run was killed in the middle of its update."""
        return self.mark.update is not None and self.mark.update.state != "held"

    @property
    def held(self) -> UpdateNote | None:
        """Since when and why it is held back from automatic updates; None if it is not."""
        return self.mark.update if self.mark.update is not None and self.mark.update.state == "held" else None

    def guest(self) -> Guest:
        """The guest, with the host keys that were learnt when it was last applied."""
        address = str(self.observed.address)
        return guest_of(
            self.desired, self.observed, self.mark, address=address, host_keys=self.mark.host_keys
        )

    def ended(self, result: Ending, **more: Any) -> MachineUpdate:
        """How its update ended."""
        return MachineUpdate(
            client=self.desired.client,
            machine=self.desired.name,
            site=self.observed.site,
            result=result,
            **more,
        )


@dataclass(frozen=True, kw_only=True)
class UpdateTerms:
    """What all machines of one round of updates share.

    Attributes:
        ssh: how guests are reached.
        journal: where steps are shown and recorded.
        clock: the time, aware.
        automatic: by the night (article 3.8.3), not on somebody's request.
        requested_at: when the client asked for it; None for automatic ones.
        asked: the open requests of the register: of the machines that they name, the delay counts from there.
        security_only: leave the other updates for later.
        released: somebody has looked: what holds machines back counts no more.
        boot_seconds: how long a guest may take to boot.
        rollback_seconds: how long it may take when it was rolled back, if that is longer: it booted before.
        settle_seconds: how long services may take to come back.
        may_begin: why a machine must not be begun with now (its window has closed); None if it may.
        pause: waits that many seconds.
    """

    ssh: SshSettings
    journal: Journal
    clock: Callable[[], dt.datetime]
    automatic: bool
    requested_at: dt.datetime | None = None
    asked: OpenUpdates = NO_REQUESTS
    security_only: bool = False
    released: bool = False
    boot_seconds: float = 600.0
    rollback_seconds: float = 600.0
    settle_seconds: float = 60.0
    may_begin: Callable[[Updatable], str | None] = lambda machine: None
    pause: Callable[[float], None] = time.sleep

    def requested(self, key: tuple[str, str]) -> dt.datetime | None:
        """When an update of a machine was asked for: by the register, or by whoever began this round."""
        known = [at for at in (self.asked.came(key), self.requested_at) if at is not None]
        return min(known, default=None)

    def now(self) -> dt.datetime:
        """The time in UTC, in whole seconds."""
        return self.clock().astimezone(dt.UTC).replace(microsecond=0)


class OneUpdate:
    """One machine's update, before and after Ansible had its turn."""

    def __init__(self, machine: Updatable, terms: UpdateTerms) -> None:
        self.machine = machine
        self._terms = terms
        self._vm = Vm.of(machine.cluster, terms.journal, machine.observed, machine.mark, pause=terms.pause)
        self._note = UpdateNote(state="running", since=terms.now())
        self._fresh = True

    # Before

    def begin(self) -> UpdateOrder | MachineUpdate:
        """Take the snapshot and note that the update begins. Return how to update, or why not."""
        try:
            return self._begin()
        except Exception as error:  # whatever one machine stumbles over, the others go on
            return self.machine.ended("untouched", message=f"the update was not started: {told(error)}")

    def _begin(self) -> UpdateOrder | MachineUpdate:
        machine, terms = self.machine, self._terms
        terms.journal.stopping.check()
        # Read anew: somebody else's run may have been at it since the machine was read.
        note = self._now().mark.update
        if note is not None and note.state == "held" and not terms.released:
            return machine.ended("held", message=f"held back meanwhile: {note.reason}")
        if note is not None and note.state == "going-back":
            self._note = note
            return self._go_back(UpdateResult(status="broken", message=note.reason))
        if note is not None and note.state == "running":
            self._note, self._fresh = note, False
        elif (reason := terms.may_begin(machine)) is not None:
            return machine.ended("not-started", message=reason)
        else:
            snapshot, why_none = self._take_snapshot()
            self._set(replace(self._note, snapshot=snapshot, reason=why_none or ""))
        return UpdateOrder(
            security_only=terms.security_only,
            fresh=self._fresh,
            reboot=machine.reboot,
            boot_seconds=terms.boot_seconds,
            settle_seconds=terms.settle_seconds,
        )

    def _take_snapshot(self) -> tuple[str | None, str | None]:
        """Take a snapshot to come back to, if the machine can and there is room (articles 3.2 and 3.3).

        Returns:
            Its name, or the reason why there is none.
        """
        if (reason := unable(self.machine.observed, self.machine.observed.storage_types)) is not None:
            return None, reason
        there = self._snapshots()
        over = {item.snapshot.name for item in expired(there, self._terms.clock())}
        if over and clock_objection(self._vm.cluster, self._terms.clock):
            over = set()
        # Those of a run that was killed right after taking them.
        over |= {one.name for one in there if (mine := owned(one)) is not None and mine.for_update}
        for name in sorted(over):
            remove_snapshot(self._vm, name)
        if (reason := no_room(one for one in there if one.name not in over)) is not None:
            return None, reason
        name = f"before-update-{self._terms.clock().astimezone(PARIS):%Y%m%d-%H%M%S}"
        return take_snapshot(self._vm, name, declared_for=None, for_update=True).name, None

    # After

    def end(self, result: UpdateResult) -> MachineUpdate:
        """Tidy up after an update that went well; bring the machine back after one that did not."""
        try:
            if result.status == "unreachable":
                result = self._ask_the_agent(result)
            elif result.status == "untouched" and not self._fresh:
                result = self._still_unfinished(result)
            if result.status == "well":
                return self._all_is_well(result)
            if result.status == "untouched":
                self._record(result, "refused")
                self._tidy_up()
                return self._ended("untouched", result)
            if result.status == "unreachable":
                self._record(result, "unknown")
                return self._ended("unreachable", result)
            return self._go_back(result)
        except Exception as error:  # whatever one machine stumbles over, the others go on
            so_far = result.message or "the update itself went well"
            message = f"{so_far}; then: {told(error)}. The next run continues from here"
            return self._ended("unreachable", replace(result, message=message))

    def _all_is_well(self, result: UpdateResult) -> MachineUpdate:
        self._record(result, "ok")
        self._tidy_up()
        if self._note.snapshot is None and self._note.reason:
            result = replace(result, message=f"done without a snapshot to go back to: {self._note.reason}")
        did = result.installed or result.restarted or result.repaired
        return self._ended("installed" if did else "nothing-due", result)

    def _still_unfinished(self, result: UpdateResult) -> UpdateResult:
        """Nothing was changed now, but the killed run that is gone on with may have: the way back stays open."""
        return replace(
            result,
            status="unreachable",
            message=f"an earlier run was killed in the middle of this update, and it could not be continued: "
            f"{result.message}",
        )

    def _ask_the_agent(self, result: UpdateResult) -> UpdateResult:
        """SSH failed: does the guest live at all? What does not within the time of a boot is gone."""
        vm = self._vm
        deadline = time.monotonic() + self._terms.boot_seconds
        while not ping_agent(vm.cluster, vm.node, vm.vmid):
            if time.monotonic() > deadline:
                return replace(
                    result, status="gone", message=f"{result.message}; its guest agent is silent too"
                )
            self._terms.pause(_POLL_SECONDS)
        return replace(
            result,
            message=f"{result.message}; its guest agent answers, so it was left as it is: check that SSH reaches "
            "it; the next update of this machine continues this one",
        )

    def _go_back(self, result: UpdateResult) -> MachineUpdate:
        """Bring the machine back to the snapshot from before, and hold it back from automatic updates."""
        terms, machine = self._terms, self.machine
        result = replace(result, tried=result.tried or self._note.packages)
        reason = result.message[:_REASON_LENGTH]
        snapshot = next((one for one in self._snapshots() if one.name == self._note.snapshot), None)
        if snapshot is None or terms.clock() - snapshot.taken_at > OLDEST_WAY_BACK:
            why = self._no_way_back(snapshot)
            self._hold(f"{reason}; {why}"[:_REASON_LENGTH], result.tried)
            self._record(replace(result, message=f"{result.message}; {why}"), "failed")
            return self._ended("broken", replace(result, message=f"{result.message}; {why}"))
        packages = result.tried[:_PACKAGES_NOTED]
        self._set(replace(self._note, state="going-back", reason=reason, packages=packages))
        now = self._now()
        # Going back makes the mark forget the firewall: where it has, a killed run went back already. Once is enough:
        # what was written since would be lost as well.
        if now.mark.firewall is not None:
            go_back(self._vm, now.machine, snapshot)
        problem = refresh_guest(
            self._vm,
            machine.desired,
            machine.observed,
            machine.site,
            terms.ssh,
            boot_seconds=max(terms.boot_seconds, terms.rollback_seconds),
        )
        self._hold(reason, packages)
        remove_snapshot(self._vm, snapshot.name)
        outcome = f"it was brought back to what it was before; {_HELD}"
        if problem:
            outcome += f"; its guest is not as it should be yet: {problem}"
        result = replace(result, message=f"{result.message}; {outcome}")
        self._record(result, "failed")
        return self._ended("rolled-back", result)

    def _no_way_back(self, snapshot: VmSnapshot | None) -> str:
        name = "/".join(self.machine.key)
        if snapshot is not None:
            taken = paris_time(snapshot.taken_at)
            return (
                f"the snapshot is from {taken}, and going back would lose what was written since: decide yourself "
                f"(orchestrator snapshot rollback {name} {snapshot.name}); {_HELD}"
            )
        why = self._note.reason or "it is gone"
        return f"there is no snapshot to go back to ({why}): repair it in the machine; {_HELD}"

    # What is noted, and where

    def release(self) -> MachineUpdate | None:
        """Somebody has looked, and nothing is due: hold it back no more. None if that went well."""
        try:
            self._set(None)
        except Exception as error:  # whatever one machine stumbles over, the others go on
            return self.machine.ended("untouched", message=f"it is still held back: {told(error)}")
        return None

    def _tidy_up(self) -> None:
        """All is well: the snapshot goes, so that the client has both of theirs, and the mark says nothing more."""
        if self._note.snapshot in {one.name for one in self._snapshots()}:
            remove_snapshot(self._vm, str(self._note.snapshot))
        self._set(None)

    def _hold(self, reason: str, tried: Sequence[str]) -> None:
        packages = tuple(tried[:_PACKAGES_NOTED])
        self._set(UpdateNote(state="held", since=self._terms.now(), reason=reason, packages=packages))

    def _set(self, note: UpdateNote | None) -> None:
        change_mark(self._vm, lambda mark: mark.with_(update=note))
        self._note = note or self._note

    def _snapshots(self) -> tuple[VmSnapshot, ...]:
        return read_snapshots(self._vm.cluster, self._vm.node, self._vm.vmid)

    def _now(self) -> _Now:
        """The machine as it is now. It counts as running, as when the update began: a killed run may have left it on
        its way back."""
        config = read_vm(self._vm.cluster, self._vm.node, self._vm.vmid)
        mark = own_mark(self._vm, config)
        summary = replace(self.machine.observed.summary, status="running")
        return _Now(replace(self.machine.observed, config=config, mark=mark, summary=summary), mark)

    def _record(self, result: UpdateResult, outcome: Literal["ok", "failed", "refused", "unknown"]) -> None:
        """One entry in the history: what was installed, and when it had been published or asked for."""
        requested = self._terms.requested(self.machine.key)
        self._terms.journal.record(
            *self.machine.key,
            self.machine.observed.site,
            INSTALLED,
            result=outcome,
            message=result.message,
            seconds=result.seconds,
            details={
                "automatic": self._terms.automatic,
                "requested_at": requested.isoformat() if requested else None,
                "installed": [package.to_data() for package in result.installed if outcome == "ok"],
                "tried": list(result.tried),
                "restarted": result.restarted,
            },
        )

    def _ended(self, ending: Ending, result: UpdateResult) -> MachineUpdate:
        return self.machine.ended(
            ending,
            installed=result.installed if ending == "installed" else (),
            tried=result.tried,
            restarted=result.restarted,
            reboot=result.reboot,
            message=result.message,
            seconds=result.seconds,
        )


@dataclass(frozen=True)
class _Now:
    machine: ObservedMachine
    mark: Mark
