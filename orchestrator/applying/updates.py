"""Updating machines in waves: a snapshot first, the update, proof that all is well, or back to the snapshot.

What is under way stands in the machine's mark, so that a run that was killed is finished by the next one: an update
that began is gone on with, a way back that began is gone to its end. Going back loses what was written to the machine's
disks since the snapshot, a matter of minutes; with an older snapshot it is left to a person.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.applying.claims import Claims
from orchestrator.applying.guest_target import target_of
from orchestrator.applying.marking import change_mark
from orchestrator.applying.rollback import go_back, refresh_guest
from orchestrator.applying.snapshots import remove_snapshot, take_snapshot
from orchestrator.applying.vm import Stopped, Vm
from orchestrator.contract.calendar import PARIS
from orchestrator.guests import GuestTarget, SshSettings
from orchestrator.guests.updates import (
    DueUpdates,
    InstalledPackage,
    UpdateOrder,
    UpdateResult,
    install_updates,
)
from orchestrator.history import HistoryUnavailable
from orchestrator.planning.waves import plan_waves
from orchestrator.proxmox import ProxmoxError, VmSnapshot, ping_agent, read_snapshots, read_vm
from orchestrator.resources.notes import Mark, UpdateNote, read_mark
from orchestrator.resources.observed import ObservedMachine, ObservedSite
from orchestrator.resources.snapshot import expired, no_room, owned, unable

if TYPE_CHECKING:
    from orchestrator.resources.desired import DesiredMachine

_WORKERS = 8
_POLL_SECONDS = 2.0

OLDEST_WAY_BACK = dt.timedelta(hours=2)
"""Nobody is brought back by a program to a snapshot older than that: too much would be lost."""

_REASON_LENGTH = 300
_PACKAGES_NOTED = 20

_HELD = "it is held back from automatic updates until somebody has looked"

Ending = Literal[
    "installed", "nothing-due", "untouched", "rolled-back", "broken", "unreachable", "not-started"
]


@dataclass(frozen=True, kw_only=True)
class Updatable:
    """A machine that updates may be installed in.

    Attributes:
        desired: what its file says.
        observed: the machine, with its mark.
        site: the cluster that it was read from.
        vm: the machine as steps address it.
        reboot: whether it may be restarted in this run.
    """

    desired: DesiredMachine
    observed: ObservedMachine
    mark: Mark
    site: ObservedSite
    vm: Vm
    reboot: bool

    @property
    def key(self) -> tuple[str, str]:
        """Client and machine."""
        return self.desired.key

    def target(self) -> GuestTarget:
        """The guest, with the host keys that were learnt when it was last applied."""
        address = str(self.observed.address)
        return target_of(
            self.desired, self.observed, self.mark, address=address, host_keys=self.mark.host_keys
        )


@dataclass(frozen=True, kw_only=True)
class MachineUpdate:
    """How one machine's update ended.

    Attributes:
        result: ``installed`` (and everything runs that ran before); ``nothing-due``; ``untouched`` (nothing was
            changed); ``rolled-back`` (as before, held back from automatic updates); ``broken`` (it is not well, and
            there was no way back; held back too); ``unreachable`` (the next run goes on); ``not-started``.
        wave: in which wave, 1 and up; 0 if in none.
        tried: the versions that were tried.
        reboot: why it still has to be restarted; None if it has not.
        message: reason and remedy.
    """

    client: str
    machine: str
    site: str
    result: Ending
    wave: int = 0
    installed: tuple[InstalledPackage, ...] = ()
    tried: tuple[str, ...] = ()
    restarted: bool = False
    reboot: str | None = None
    message: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether the machine is as it should be after its turn."""
        return self.result in ("installed", "nothing-due")

    @property
    def stops_others(self) -> bool:
        """Whether it is a reason not to begin the next wave: the same packages could harm others."""
        return self.result in ("rolled-back", "broken", "unreachable")


@dataclass(frozen=True, kw_only=True)
class UpdateRun:
    """One round of updates.

    Attributes:
        ssh: how guests are reached.
        clock: the time, aware.
        automatic: by the night (article 3.8.3), not on somebody's request.
        requested_at: when the client asked for it; None for automatic ones.
        security_only: leave the other updates for later.
        released: somebody has looked: what holds machines back counts no more.
        boot_seconds: how long a guest may take to boot.
        settle_seconds: how long services may take to come back.
        may_begin: why a machine must not be begun with now (its window has closed); None if it may.
        claims: machines that somebody else in this process works on; they get their turn later.
        pause: waits that many seconds.
    """

    ssh: SshSettings
    clock: Callable[[], dt.datetime]
    automatic: bool
    requested_at: dt.datetime | None = None
    security_only: bool = False
    released: bool = False
    boot_seconds: float = 600.0
    settle_seconds: float = 60.0
    may_begin: Callable[[Updatable], str | None] = lambda machine: None
    claims: Claims = field(default_factory=Claims)
    pause: Callable[[float], None] = time.sleep

    def run(
        self, machines: Sequence[Updatable], due: Mapping[tuple[str, str], DueUpdates | str]
    ) -> list[MachineUpdate]:
        """Update machines in waves.

        Args:
            machines: those that may be updated.
            due: what is due in each, or why that could not be seen.

        Returns:
            How it ended for each.
        """
        lines: list[MachineUpdate] = []
        by_key = {}
        for machine in machines:
            found = due[machine.key]
            unfinished = machine.mark.update is not None and machine.mark.update.state != "held"
            if isinstance(found, str) and not unfinished:
                lines.append(_line(machine, "untouched", message=found))
            elif unfinished or isinstance(found, str) or self._has_work(machine, found):
                by_key[machine.key] = machine
            else:
                lines.append(self._nothing_due(machine, found))
        waves = plan_waves(list(by_key), {key: _apart(machine) for key, machine in by_key.items()})
        groups = [[by_key[key] for key in group] for group in waves.groups]
        number, stopped = 0, ""
        while groups:
            number += 1
            group = groups.pop(0)
            if stopped:
                lines += [_line(machine, "not-started", message=stopped) for machine in group]
                continue
            done, postponed = self._wave(group, number, wait=not groups)
            lines += done
            if postponed:
                groups.append(postponed)
            bad = [f"{line.client}/{line.machine}" for line in done if line.stops_others]
            if bad:
                stopped = (
                    f"wave {number} did not end well ({', '.join(bad)}): look there first, then begin again"
                )
        return lines

    def _nothing_due(self, machine: Updatable, due: DueUpdates) -> MachineUpdate:
        """Nothing to install; but somebody has looked, so that it is held back no more."""
        note = machine.mark.update
        if not (self.released and note is not None and note.state == "held"):
            return _line(machine, "nothing-due", reboot=due.reboot)
        try:
            self._note(machine, None)
        except (ProxmoxError, Stopped, HistoryUnavailable) as error:
            return _line(machine, "untouched", message=f"it is still held back: {error}")
        return _line(machine, "nothing-due", reboot=due.reboot, message="held back no more")

    def _has_work(self, machine: Updatable, due: DueUpdates) -> bool:
        ready = [package for package in due.ready if package.security or not self.security_only]
        return bool(ready or due.interrupted or (due.reboot and machine.reboot))

    def _wave(
        self, group: Sequence[Updatable], number: int, *, wait: bool
    ) -> tuple[list[MachineUpdate], list[Updatable]]:
        """Update the machines of a wave.

        Returns:
            How it ended, and those that somebody else works on.
        """
        taken = [machine for machine in group if self.claims.take(machine.key, wait=wait)]
        postponed = [machine for machine in group if machine not in taken]
        try:
            begun, lines = self._begin(taken)
            orders = {machine.key: order for machine, order, _ in begun}
            targets = [machine.target() for machine, _, _ in begun]
            shows = {machine.key: machine.vm.journal.show for machine, _, _ in begun}
            results = install_updates(
                targets, orders, self.ssh, on_event=lambda key, step: shows[key](*key, step)
            )
            lines += _in_parallel(lambda item: self._end(item[0], item[2], results[item[0].key]), begun)
            return [replace(line, wave=number) for line in lines], postponed
        finally:
            for machine in taken:
                self.claims.give_back(machine.key)

    # Before

    def _begin(
        self, machines: Sequence[Updatable]
    ) -> tuple[list[tuple[Updatable, UpdateOrder, UpdateNote]], list[MachineUpdate]]:
        """Take the snapshots and note that updates begin."""
        begun, lines = [], []
        for machine, prepared in zip(machines, _in_parallel(self._prepare, machines), strict=True):
            if isinstance(prepared, MachineUpdate):
                lines.append(prepared)
                continue
            order = UpdateOrder(
                security_only=self.security_only,
                fresh=prepared[1],
                reboot=machine.reboot,
                boot_seconds=self.boot_seconds,
                settle_seconds=self.settle_seconds,
            )
            begun.append((machine, order, prepared[0]))
        return begun, lines

    def _prepare(self, machine: Updatable) -> tuple[UpdateNote, bool] | MachineUpdate:
        """Note that the update begins, after a snapshot if there is room. True: it begins anew."""
        try:
            note = self._note_now(machine)
            if note is not None and note.state == "held" and not self.released:
                return _line(machine, "not-started", message=f"held back meanwhile: {note.reason}")
            if note is not None and note.state == "going-back":
                return self._go_back(machine, note, UpdateResult(status="broken", message=note.reason))
            if note is not None and note.state == "running":
                return note, False
            if (reason := self.may_begin(machine)) is not None:
                return _line(machine, "not-started", message=reason)
            snapshot, why_none = self._snapshot(machine)
            note = UpdateNote(
                state="running", since=_now(self.clock), snapshot=snapshot, reason=why_none or ""
            )
            self._note(machine, note)
        except (ProxmoxError, Stopped, HistoryUnavailable) as error:
            return _line(machine, "untouched", message=f"the update was not begun: {error}")
        return note, True

    def _note_now(self, machine: Updatable) -> UpdateNote | None:
        """What the mark says now: somebody else's run may have been at it since the machine was read."""
        mark = self._fresh(machine).mark
        if mark is None or (mark.client, mark.machine) != machine.key:
            raise Stopped("its notes no longer carry the mark of this machine: restore them")
        return mark.update

    def _snapshot(self, machine: Updatable) -> tuple[str | None, str | None]:
        """Take a snapshot to come back to, if the machine can and there is room (articles 3.2 and 3.3).

        Returns:
            Its name, or the reason why there is none.
        """
        vm = machine.vm
        if (reason := unable(machine.observed, machine.observed.storage_types)) is not None:
            return None, reason
        there = read_snapshots(vm.cluster, vm.node, vm.vmid)
        over = [item.snapshot for item in expired(there, self.clock())]
        # The second kind: of a run that was killed right after taking it.
        over += [one for one in _update_snapshots(there) if one not in over]
        for snapshot in over:
            remove_snapshot(vm, snapshot.name)
        if (reason := no_room(one for one in there if one not in over)) is not None:
            return None, reason
        name = f"before-update-{self.clock().astimezone(PARIS):%Y%m%d-%H%M%S}"
        return take_snapshot(vm, name, declared_for=None, for_update=True).name, None

    # After

    def _end(self, machine: Updatable, note: UpdateNote, result: UpdateResult) -> MachineUpdate:
        try:
            if result.status == "unreachable":
                result = self._ask_the_agent(machine, result)
            if result.status in ("well", "untouched"):
                self._record(machine, result, "ok" if result.status == "well" else "refused")
                self._tidy_up(machine, note)
                ending: Ending = "untouched"
                if result.status == "well":
                    did = result.installed or result.restarted or result.repaired
                    ending = "installed" if did else "nothing-due"
                return _line(machine, ending, result=result, message=_with_note(result, note))
            if result.status == "unreachable":
                self._record(machine, result, "unknown")
                return _line(machine, "unreachable", result=result)
            return self._go_back(machine, note, result)
        except (ProxmoxError, Stopped, HistoryUnavailable) as error:
            so_far = result.message or "the update itself went well"
            message = f"{so_far}; then: {error}. The next run goes on from here"
            return _line(machine, "unreachable", result=result, message=message)

    def _ask_the_agent(self, machine: Updatable, result: UpdateResult) -> UpdateResult:
        """SSH failed: does the guest live at all? What does not within the time of a boot is gone."""
        vm = machine.vm
        deadline = time.monotonic() + self.boot_seconds
        while not ping_agent(vm.cluster, vm.node, vm.vmid):
            if time.monotonic() > deadline:
                return replace(
                    result, status="gone", message=f"{result.message}; its guest agent is silent too"
                )
            self.pause(_POLL_SECONDS)
        return replace(
            result,
            message=f"{result.message}; its guest agent answers, so it was left as it is: see that SSH gets there; the "
            "next update of this machine goes on with this one",
        )

    def _go_back(self, machine: Updatable, note: UpdateNote, result: UpdateResult) -> MachineUpdate:
        """Bring a machine back to the snapshot from before, and hold it back from automatic updates."""
        vm = machine.vm
        tried = result.tried or note.packages
        reason = result.message[:_REASON_LENGTH]
        there = {shot.name: shot for shot in read_snapshots(vm.cluster, vm.node, vm.vmid)}
        snapshot = there.get(note.snapshot or "")
        if snapshot is None or self.clock() - snapshot.taken_at > OLDEST_WAY_BACK:
            why = _no_way_back(machine, note, snapshot)
            self._hold(machine, note, f"{reason}; {why}"[:_REASON_LENGTH], tried)
            self._record(machine, result, "failed", note=why)
            return _line(machine, "broken", result=result, message=f"{result.message}; {why}")
        back = replace(note, state="going-back", reason=reason, packages=tried[:_PACKAGES_NOTED])
        self._note(machine, back)
        go_back(vm, self._fresh(machine), snapshot)
        problem = refresh_guest(
            vm, machine.desired, machine.observed, machine.site, self.ssh, boot_seconds=self.boot_seconds
        )
        self._hold(machine, note, reason, tried)
        remove_snapshot(vm, snapshot.name)
        outcome = f"it was brought back to what it was before; {_HELD}"
        if problem:
            outcome += f"; its guest is not as it should be yet: {problem}"
        self._record(machine, replace(result, tried=tried), "failed", note=outcome)
        return _line(
            machine,
            "rolled-back",
            result=replace(result, tried=tried),
            message=f"{result.message}; {outcome}",
        )

    def _fresh(self, machine: Updatable) -> ObservedMachine:
        """The machine as it is now. It counts as running, as when the update began: a killed run may have left it on
        its way back."""
        vm = machine.vm
        config = read_vm(vm.cluster, vm.node, vm.vmid)
        return replace(
            machine.observed,
            config=config,
            mark=read_mark(config.effective("description") or ""),
            summary=replace(machine.observed.summary, status="running"),
        )

    def _tidy_up(self, machine: Updatable, note: UpdateNote) -> None:
        """All is well: the snapshot goes, so that the client has both of theirs, and the mark says nothing more."""
        vm = machine.vm
        if note.snapshot in {shot.name for shot in read_snapshots(vm.cluster, vm.node, vm.vmid)}:
            remove_snapshot(vm, str(note.snapshot))
        self._note(machine, None)

    def _note(self, machine: Updatable, note: UpdateNote | None) -> None:
        change_mark(machine.vm, lambda mark: mark.with_(update=note))

    def _hold(self, machine: Updatable, note: UpdateNote, reason: str, tried: Sequence[str]) -> None:
        self._note(
            machine,
            UpdateNote(
                state="held",
                since=_now(self.clock),
                snapshot=None,
                reason=reason,
                packages=tuple(tried[:_PACKAGES_NOTED]),
            ),
        )

    def _record(
        self,
        machine: Updatable,
        result: UpdateResult,
        outcome: Literal["ok", "failed", "refused", "unknown"],
        *,
        note: str = "",
    ) -> None:
        """One entry in the history: what was installed, and when it had been published or asked for."""
        details: dict[str, Any] = {
            "automatic": self.automatic,
            "requested_at": self.requested_at.isoformat() if self.requested_at else None,
            "installed": [
                {
                    "package": package.name,
                    "from": package.old,
                    "to": package.new,
                    "security": package.security,
                    "published": package.published.isoformat() if package.published else None,
                }
                for package in result.installed
                if outcome == "ok"
            ],
            "tried": list(result.tried),
            "restarted": result.restarted,
        }
        machine.vm.journal.record(
            machine.desired.client,
            machine.desired.name,
            machine.vm.site,
            "update",
            result=outcome,
            message="; ".join(filter(None, (result.message, note))),
            seconds=result.seconds,
            details=details,
        )


def _apart(machine: Updatable) -> Iterable[tuple[str, str]]:
    return [(machine.desired.client, name) for name in machine.desired.apart_from]


def _update_snapshots(snapshots: Iterable[VmSnapshot]) -> list[VmSnapshot]:
    found = [(snapshot, owned(snapshot)) for snapshot in snapshots]
    return [snapshot for snapshot, mine in found if mine is not None and mine.for_update]


def _no_way_back(machine: Updatable, note: UpdateNote, snapshot: VmSnapshot | None) -> str:
    name = f"{machine.desired.client}/{machine.desired.name}"
    if snapshot is not None:
        taken = f"{snapshot.taken_at.astimezone(PARIS):%Y-%m-%d %H:%M}"
        return (
            f"the snapshot is from {taken}, and going back would lose what was written since: decide yourself "
            f"(orchestrator snapshot rollback {name} {snapshot.name}); {_HELD}"
        )
    return (
        f"there is no snapshot to go back to ({note.reason or 'it is gone'}): mend it in the machine; {_HELD}"
    )


def _with_note(result: UpdateResult, note: UpdateNote) -> str:
    if result.status == "well" and note.snapshot is None and note.reason:
        return f"done without a snapshot to go back to: {note.reason}"
    return result.message


def _line(
    machine: Updatable,
    ending: Ending,
    *,
    result: UpdateResult | None = None,
    message: str | None = None,
    reboot: str | None = None,
) -> MachineUpdate:
    told = message if message is not None else (result.message if result else "")
    return MachineUpdate(
        client=machine.desired.client,
        machine=machine.desired.name,
        site=machine.vm.site,
        result=ending,
        installed=result.installed if result and ending == "installed" else (),
        tried=result.tried if result else (),
        restarted=result.restarted if result else False,
        reboot=result.reboot if result else reboot,
        message=told,
        seconds=result.seconds if result else 0.0,
    )


def _now(clock: Callable[[], dt.datetime]) -> dt.datetime:
    return clock().astimezone(dt.UTC).replace(microsecond=0)


def _in_parallel(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    if not items:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(items)), thread_name_prefix="update") as pool:
        return list(pool.map(work, items))
