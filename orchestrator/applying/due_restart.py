"""One machine's restart in its window: proof that its guest came back, or back to the settings from before.

What is under way stands in the machine's mark, so that a run that was killed is finished by the next one. Going back
means: the settings that were taken up are replaced by those from before, and the machine is restarted once more. Its
disks are never touched. A guest that does not shut down is switched off only while nothing reads or writes its disks:
what is at work there may be a check of its file systems, or a client's data.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orchestrator.applying.clock import TOLERANCE
from orchestrator.applying.limits import Limits
from orchestrator.applying.machine_power import SHUTDOWN_SECONDS
from orchestrator.applying.marking import change_mark, own_mark
from orchestrator.applying.restart_candidates import Restartable, in_service, objection
from orchestrator.applying.restart_outcome import IN_WINDOW, MachineRestart, RestartEnding
from orchestrator.applying.restarting import Stubborn, await_guest, power_cycle, runs, start_machine
from orchestrator.applying.settle import settle
from orchestrator.applying.stopping import Interrupted
from orchestrator.applying.vm import Vm
from orchestrator.errors import Reason, told
from orchestrator.guests import HostKeyMismatch, wait_for_ssh
from orchestrator.planning.machine import waits_for_start
from orchestrator.proxmox import ProxmoxError, ping_agent, read_state, read_vm
from orchestrator.resources.attributes import ATTRIBUTES
from orchestrator.resources.machine import CLOUD_INIT_KEYS
from orchestrator.resources.notes import Mark, RestartNote, read_mark, write_mark

if TYPE_CHECKING:
    from orchestrator.applying.journal import Journal
    from orchestrator.guests import SshSettings
    from orchestrator.proxmox import VmConfig

LATE_SECONDS = 180.0
"""How much longer a guest is watched that did not shut down in time: if it does, Proxmox leaves it stopped."""

QUIET_SECONDS = 30.0
"""A guest whose disks nobody read or wrote for so long is not at work on them."""

_POLL_SECONDS = 2.0
_REASON_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class RestartTerms:
    """What all machines of one round of restarts share.

    Attributes:
        journal: where steps are shown and recorded.
        clock: the time, aware.
        limits: how many machines restart at a time.
        ssh: how guests are reached whose agent is silent; None: they are not.
        boot_seconds: how long a guest may take to boot.
        may_begin: why a machine must not be begun with now (its window closes too soon); None if it may.
        pause: waits that many seconds.
    """

    journal: Journal
    clock: Callable[[], dt.datetime]
    limits: Limits = field(default_factory=Limits)
    ssh: SshSettings | None = None
    boot_seconds: float = 600.0
    may_begin: Callable[[Restartable], str | None] = lambda machine: None
    pause: Callable[[float], None] = time.sleep

    def now(self) -> dt.datetime:
        """The time in UTC, in whole seconds."""
        return self.clock().astimezone(dt.UTC).replace(microsecond=0)


def patience_of(boot_seconds: float) -> dt.timedelta:
    """How long a restart may take, if its guest comes back: none is begun that could not end within its window."""
    return dt.timedelta(seconds=SHUTDOWN_SECONDS + boot_seconds)


class OneRestart:
    """One machine's restart."""

    def __init__(self, machine: Restartable, terms: RestartTerms) -> None:
        self.machine = machine
        self._terms = terms
        self._vm = Vm.of(machine.cluster, terms.journal, machine.observed, machine.mark, pause=terms.pause)
        self._managed = machine.observed.summary.ha
        self._began = time.monotonic()

    def run(self) -> MachineRestart:
        """Restart it. Return how that ended: nothing is raised, so that the others have their turn."""
        stopping = self._terms.journal.stopping
        self._began = time.monotonic()
        try:
            stopping.check()
        except Interrupted as error:
            return self.machine.ended("not-started", message=str(error))
        with stopping.finishing(f"{'/'.join(self.machine.key)}: restart"):
            try:
                return self._run()
            except Exception as error:  # whatever one machine stumbles over, the others go on
                why = f"its restart did not come to its end: {told(error)}. The next run continues from here"
                return self._ended("untouched", why)

    def _run(self) -> MachineRestart:
        self._look()
        note = self.machine.mark.restart
        waits = waits_for_start(self.machine.observed, self.machine.mark, self._terms.clock())
        if note is not None and note.state == "going-back":
            return self._finish_going_back(note)
        if note is not None and note.state == "running":
            if self._was_restarted(note, waits):
                return self._judge(note)  # and the run that did so was killed
            self._note(None)  # it was not: its window decides, as if nobody had begun
            note = None
        self.machine = replace(self.machine, waiting=waits or {}, waits=waits is not None)
        if self.machine.held:  # by another run, it may be, since the machine was read
            return self._ended("held", self.machine.why_held)
        if waits is None or not self.machine.observed.running:
            if note is not None and note.state != "held":
                self._note(None)
            return self._ended("nothing-due", "it was restarted or stopped meanwhile")
        if not in_service(
            self.machine.desired, self.machine.observed, self.machine.mark, self._terms.clock()
        ):
            return self._ended(
                "nothing-due", "its contract or its file has taken it out of service meanwhile"
            )
        if lock := self.machine.observed.summary.lock:
            return self._ended("busy", f"a task of Proxmox holds it ({lock})")
        if reason := self._terms.may_begin(self.machine):
            return self._ended("not-started", reason)
        if reason := objection(self.machine):
            return self._ended("blocked", reason)
        if reason := self._partner_is_down():
            return self._ended("busy", reason)
        return self._restart(waits)

    def _restart(self, waits: Mapping[str, str]) -> MachineRestart:
        current = self.machine.observed.config.current
        note = RestartNote(
            state="running",
            since=self._terms.now(),
            settings=dict(waits),
            before={key: current.get(key) for key in waits if key not in CLOUD_INIT_KEYS},
            answered=self._answers(),
        )
        self._note(note)
        observed = self.machine.observed
        try:
            with self._terms.limits.power(observed.site, observed.summary.node, "reboot"):
                power_cycle(self._vm, force=False, managed=self._managed)
        except Stubborn:
            if not self._shut_down_late():
                why = (
                    "its guest did not shut down when it was asked to, so it runs as before and the settings wait: "
                    "look at its console"
                )
                return self._hold("stubborn", note, why)
            start_machine(self._vm, managed=self._managed)
        return self._judge(note)

    def _shut_down_late(self) -> bool:
        """Whether a guest that did not shut down in time does so now: nobody else would start it again."""
        until = time.monotonic() + min(LATE_SECONDS, self._terms.boot_seconds)
        while runs(self._vm):
            if time.monotonic() >= until:
                return False
            self._terms.pause(_POLL_SECONDS)
        return True

    # Afterwards

    def _judge(self, note: RestartNote) -> MachineRestart:
        """See whether the guest came back; if not, bring it back as it was."""
        problem = self._problem(note)
        if problem is None:
            return self._done(note, "")
        if not note.answered and runs(self._vm):
            why = "it runs; whether its guest is well is not known, for it did not answer before either"
            return self._done(note, why)
        if self._ssh_answers():
            return self._done(note, f"{problem}; SSH answers, so it was left as it is")
        if not note.before:
            why = f"{problem}. There is no setting to put back (cloud-init's stay): repair it in the machine"
            return self._hold("broken", note, why, answers=False)
        return self._go_back(replace(note, state="going-back", reason=problem[:_REASON_LENGTH]))

    def _problem(self, note: RestartNote) -> str | None:
        """What is wrong with the guest once it had the time of a boot; None if it answers, or only has to run."""
        agent = self.machine.has_agent and note.answered
        return await_guest(self._vm, agent=agent, boot_seconds=self._terms.boot_seconds)

    def _done(self, note: RestartNote, message: str) -> MachineRestart:
        change_mark(self._vm, lambda mark: mark.with_(restart_due=None, leaving=None, restart=None))
        return self._ended("restarted", message, settings=note.settings)

    def _go_back(self, note: RestartNote) -> MachineRestart:
        """Write the settings from before, with the note that says so, and restart the machine with them."""
        self._write_before(note)
        return self._finish_going_back(note)

    def _finish_going_back(self, note: RestartNote) -> MachineRestart:
        vm = self._vm
        waits = read_vm(vm.cluster, vm.node, vm.vmid).pending.keys() & note.before.keys()
        if not runs(vm):
            start_machine(vm, managed=self._managed)
        elif waits:
            quiet = self._disks_are_quiet()
            try:
                power_cycle(vm, force=quiet, managed=self._managed)
            except Stubborn:
                why = (
                    f"{note.reason}. The settings from before were written, but its guest is at work on its disks and "
                    "does not shut down, so it was not switched off: look at its console, then restart it "
                    "(orchestrator restart --force)"
                )
                return self._hold("broken", note, why, answers=False)
        if (problem := self._problem(note)) is not None and not self._ssh_answers():
            why = f"{note.reason}; with the settings from before: {problem}: look at its console"
            return self._hold("broken", note, why, answers=False)
        why = (
            f"{note.reason}; the settings from before are in force again ({_words(note.before)}), and it runs"
        )
        return self._hold("put-back", note, why)

    def _disks_are_quiet(self) -> bool:
        """Whether nobody reads or writes the disks of a guest that does not answer."""
        before = self._traffic()
        self._terms.pause(QUIET_SECONDS)
        return self._traffic() == before

    def _traffic(self) -> tuple[int, int]:
        status = self._vm.cluster.get(f"{self._vm.path}/status/current")
        return int(status.get("diskread") or 0), int(status.get("diskwrite") or 0)

    def _write_before(self, note: RestartNote) -> None:
        """Put the settings from before in place of the new ones, with the note, in one write."""
        vm = self._vm

        def act(config: VmConfig) -> bool:
            notes = config.effective("description") or ""
            mark = own_mark(vm, config)
            params: dict[str, str | int] = {
                key: value for key, value in note.before.items() if value is not None
            }
            if gone := [key for key, value in note.before.items() if value is None]:
                params["delete"] = ",".join(gone)
            wanted = mark.with_(restart=note, applied=_applied_before(mark, config, note), vmid=vm.vmid)
            params |= {"description": write_mark(wanted, notes), "digest": config.digest}
            with vm.step("set back", settings=dict(note.before)):
                vm.cluster.put(f"{vm.path}/config", params=params)
            return False

        def look(_: VmConfig | None = None) -> VmConfig:
            return read_vm(vm.cluster, vm.node, vm.vmid)

        settle(look(), act, look, pause=vm.pause, what="its configuration", where="its task list in Proxmox")

    # What is seen, and noted

    def _look(self) -> None:
        """Read the machine anew: somebody else's run, or its client, may have been at it since it was read."""
        observed = self.machine.observed
        config = read_vm(self._vm.cluster, self._vm.node, self._vm.vmid)
        summary = read_state(self._vm.cluster, observed.summary)
        mark = own_mark(self._vm, config)
        observed = replace(observed, summary=summary, config=config, mark=mark)
        self.machine = replace(self.machine, observed=observed, mark=mark)

    def _was_restarted(self, note: RestartNote, waits: Mapping[str, str] | None) -> bool:
        """Whether a machine was restarted, or went down, since a run noted that it would restart it.

        What waits may be something else by now: `apply` has written other settings since. Then its uptime tells.
        """
        if waits is None:
            return True
        up = dt.timedelta(seconds=self.machine.observed.summary.uptime)
        return dict(waits) != dict(note.settings) and self._terms.clock() - up >= note.since - TOLERANCE

    def _partner_is_down(self) -> Reason:
        """Why a machine waits for another one, which must not be down at the same time; empty if it need not."""
        for partner in self.machine.partners:
            name = partner.mark.machine if partner.mark else partner.summary.name
            vmid, node = partner.summary.vmid, partner.summary.node
            cluster = self.machine.cluster
            try:
                well = read_state(cluster, partner.summary).on is True
                mark = read_mark(read_vm(cluster, node, vmid).effective("description") or "")
                note = mark.restart if mark is not None else None
                if well and note is not None and not note.answered:
                    well = ping_agent(cluster, node, vmid)
            except ProxmoxError as error:
                return f"{name}, from which it is kept apart, could not be read: {error}"
            if not well:
                return (
                    f"{name}, from which it is kept apart, does not run or does not answer: bring it up first"
                )
        return ""

    def _answers(self) -> bool:
        """Whether the guest answers before its restart."""
        vm = self._vm
        return self.machine.has_agent and ping_agent(vm.cluster, vm.node, vm.vmid)

    def _ssh_answers(self) -> bool:
        """Whether a guest whose agent is silent lets somebody in by SSH, or at least shows a host key."""
        machine, ssh = self.machine, self._terms.ssh
        if ssh is None or not machine.mark.host_keys or machine.observed.address is None:
            return False
        try:
            wait_for_ssh(machine.guest(), ssh, 0.0, pause=self._terms.pause)
        except HostKeyMismatch:
            return True
        except Exception:
            return False
        return True

    def _note(self, note: RestartNote | None) -> None:
        change_mark(self._vm, lambda mark: mark.with_(restart=note))

    def _hold(
        self, result: RestartEnding, note: RestartNote, why: str, *, answers: bool = True
    ) -> MachineRestart:
        held = replace(
            note,
            state="held",
            since=self._terms.now(),
            reason=why[:_REASON_LENGTH],
            answered=note.answered and answers,
        )
        self._note(held)
        return self._ended(
            result, f"{why}; it is held back until somebody has looked", settings=note.settings
        )

    def _ended(
        self, result: RestartEnding, message: str, *, settings: Mapping[str, str] | None = None
    ) -> MachineRestart:
        seconds = time.monotonic() - self._began
        more = {} if settings is None else {"settings": dict(settings)}
        ended = self.machine.ended(result, message=message, seconds=seconds, **more)
        if settings is not None:  # something was done
            self._terms.journal.record(
                *self.machine.key,
                self.machine.observed.site,
                IN_WINDOW,
                result="ok" if ended.well else "failed",
                message=message,
                seconds=seconds,
                details={"settings": dict(settings), "ended": result},
            )
        return ended


def _applied_before(mark: Mark, config: VmConfig, note: RestartNote) -> object:
    """What is noted as applied once the settings from before are in force."""
    applied = mark.applied
    if applied is None:
        return None
    before = replace(
        config,
        current={**config.current, **{key: value for key, value in note.before.items() if value is not None}},
        pending={},
    )
    noted = {
        row.noted[0]: row.noted[1](value)
        for row in ATTRIBUTES
        if row.noted and note.before.keys() & set(row.at_restart) and (value := row.read(before)) is not None
    }
    return replace(applied, **noted)


def _words(before: Mapping[str, str | None]) -> str:
    return ", ".join(f"{key} {value or 'unset'}" for key, value in before.items())
