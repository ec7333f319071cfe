"""Restore tests: a backup is worth what its last restore was.

Every machine with backup is tested at least once in 31 days. An archive is restored into a copy that is unplugged
(``link_down=1``): it can neither answer for the original's address nor reach anything. The copy must boot, its agent
must answer, its file systems must be sound, it must be the machine that it claims to be, and the check of its file, a
command, must pass in it. Then it is erased.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orchestrator.applying.archive_tasks import note_test
from orchestrator.applying.marking import change_mark
from orchestrator.applying.restoring import (
    Copy,
    choose_node,
    leftovers,
    remove_copy,
    remove_shells,
    restore_copy,
)
from orchestrator.applying.vm import Vm
from orchestrator.contract.calendar import day_in_paris
from orchestrator.errors import OrchestratorError, told
from orchestrator.guests.check import CheckFailed, carry_out
from orchestrator.guests.soundness import Unsound, examine, own_name
from orchestrator.nightly.result import LineOfMachine
from orchestrator.proxmox import (
    Locked,
    LockTimeout,
    NotFound,
    PermissionDenied,
    StorageFull,
    TaskFailed,
    ping_agent,
)
from orchestrator.proxmox.console import read_screen
from orchestrator.reports.png import png_of
from orchestrator.resources.copies import CopyMark
from orchestrator.resources.machine_archives import Archive, RestoreTest
from orchestrator.resources.privileges import may_look

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedMachine
    from orchestrator.subscriptions.model import BackupCheck

_NOT_THE_ARCHIVE = (StorageFull, LockTimeout, Locked, NotFound, PermissionDenied)
"""Why a task failed that says nothing about the archive: the storage, the node or the token."""

_Result = Literal["sound", "failed", "not-started"]
_POLL_SECONDS = 2.0
_START_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class RestoreTestLine(LineOfMachine):
    """One restore test.

    Attributes:
        taken_at: when the archive was made.
        result: ``sound``; ``failed``; ``not-started`` (no time left, or nothing to run it on).
        check: how the check of the machine's file ended, ``passed`` or ``failed``; empty: there was none, or its turn
            did not come.
        message: what was found, or why it failed.
        seconds: from the restore to the removal of the copy.
        picture: of the copy's console before it was erased, as PNG; None: there is none.
    """

    volid: str
    taken_at: dt.datetime
    result: Literal["sound", "failed", "not-started"]
    check: Literal["", "passed", "failed"] = ""
    message: str = ""
    seconds: float = 0.0
    picture: bytes | None = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        """Whether it tells of a failure."""
        return self.result in ("failed", "not-started")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A machine with the archive to be tested."""

    machine: ObservedMachine
    archive: Archive
    tested_on: dt.date | None


def last_sound_test(archives: tuple[Archive, ...], noted: dt.date | None) -> dt.date | None:
    """The day a backup was last restored and found sound: the machine's notes know, or those of an archive."""
    days = [test.on for archive in archives if (test := archive.mark.test) and test.sound]
    return max([*days, *([noted] if noted else [])], default=None)


def last_check(archives: tuple[Archive, ...]) -> Literal["", "passed", "failed"]:
    """How the check of a machine's file ended in the last restore test that had one; empty if none had."""
    had = [(test.on, archive.taken_at, test.check) for archive in archives if (test := archive.mark.test)]
    checks = sorted((on, taken, check) for on, taken, check in had if check is not None)
    return _said(checks[-1][2]) if checks else ""


class RestoreTests:
    """The restore tests of one night.

    Attributes:
        problems: what went wrong around the tests and says nothing about an archive, in words.
    """

    def __init__(self, night: Night, readings: Mapping[str, SiteReading]) -> None:
        self._night = night
        self._readings = readings
        self._guard = threading.Lock()
        self._copies: set[int] = set()
        self._pictures: dict[str, bytes] = {}
        self.problems: list[str] = []

    def remove_leftovers(self) -> None:
        """Erase copies that a killed run left behind; VMs that only claim to be such copies are kept and reported."""
        for site, reading in self._readings.items():
            if self._night.clocks.objection(site):
                continue
            cluster, state = self._night.clusters[site], reading.observed.state
            try:
                remove_shells(cluster, state)
                found = leftovers(cluster, self._night.journal, state, running=frozenset(self._copies))
                self.problems += [f"{site}: {text}" for text in found.doubtful]
                for copy in found.copies:
                    with self._night.changing([copy.mark.client]) as others:
                        if copy.mark.client not in others:  # else that run may be testing it
                            remove_copy(copy)
            except Exception as error:
                self.problems.append(
                    f"{site}: a copy of an earlier restore test could not be removed: {told(error)}"
                )

    def note_earlier(self) -> None:
        """Note in the machines' own notes what their archives know of sound tests, where an earlier run could not."""
        for reading in self._readings.values():
            for machine in reading.observed.machines:
                if (mark := machine.mark) is None:
                    continue
                sound_on = last_sound_test(machine.archives or (), mark.tested)
                if sound_on is None or sound_on == mark.tested:
                    continue
                try:
                    _note_in_machine(self._night.vm(machine, mark), sound_on)
                except Exception as error:
                    self._unwritten(mark.client, mark.machine, error)

    def run(self, candidates: list[Candidate]) -> list[RestoreTestLine]:
        """Test them, a few at a time at each site."""
        by_site: dict[str, list[Candidate]] = {}
        for candidate in candidates:
            by_site.setdefault(candidate.machine.site, []).append(candidate)
        pools = {
            site: ThreadPoolExecutor(self._night.tests_at_a_time, thread_name_prefix=f"restore-{site}")
            for site in by_site
        }
        try:
            waiting = [pools[item.machine.site].submit(self._fenced, item) for item in candidates]
            return [future.result() for future in waiting]
        finally:
            for pool in pools.values():
                pool.shutdown()

    def _fenced(self, candidate: Candidate) -> RestoreTestLine:
        """Test one archive. Whatever goes wrong around it says nothing about the others."""
        try:
            return self.test(candidate)
        except Exception as error:
            return self._line(candidate, "failed", told(error))

    def test(self, candidate: Candidate) -> RestoreTestLine:
        """Test one archive, and write down how it ended."""
        night, archive = self._night, candidate.archive
        client, machine = archive.mark.client, archive.mark.machine
        if night.closed:
            return self._line(candidate, "not-started", "the window closed before its turn")
        site = candidate.machine.site
        storage = night.provider.sites[site].storage
        state = self._readings[site].observed.state
        node, reasons = choose_node(state, storage, archive.stored.storage, archive.stored.node)
        if node is None:
            text = f"no online node reaches both {storage} and {archive.stored.storage}: {reasons}"
            return self._line(candidate, "not-started", text)
        night.tell("restore-test-started", client=client, machine=machine, archive=archive.stored.volid)
        started = time.monotonic()
        for attempt in (1, 2):
            try:
                found = self._restore_and_look(candidate, node, storage)
            except (Unsound, TaskFailed) as error:
                if isinstance(error, TaskFailed) and isinstance(error.cause, _NOT_THE_ARCHIVE):
                    return self._ended(candidate, None, str(error), started)
                if attempt == 2 or night.closed:
                    check = False if isinstance(error, CheckFailed) else None
                    return self._ended(candidate, False, str(error), started, check=check)
                # What is judged bad is no backup any more: a node's hiccup must not decide that.
                night.tell("restore-test-repeated", client=client, machine=machine, reason=str(error))
            except OrchestratorError as error:
                return self._ended(candidate, None, str(error), started)
            else:
                check = None if night.backup_check(archive.mark) is None else True
                return self._ended(candidate, True, found, started, check=check)
        raise AssertionError("the second attempt returns")

    def _restore_and_look(self, candidate: Candidate, node: str, storage: str) -> str:
        """Restore, boot, examine, erase. Returns what was found.

        Raises:
            Unsound: the machine is not what it should be, or its file's check did not pass.
            TaskFailed: the archive cannot be restored, or its machine not be started.
            ProxmoxError, Stopped: the test itself could not be carried out: that says nothing about the archive.
        """
        night, archive = self._night, candidate.archive
        mark = CopyMark(
            purpose="restore-test",
            client=archive.mark.client,
            machine=archive.mark.machine,
            volid=archive.stored.volid,
            made_at=night.clock(),
        )
        copy = restore_copy(
            night.clusters[candidate.machine.site],
            night.journal,
            archive,
            mark,
            node=node,
            storage=storage,
            name=None,  # with another name or MAC cloud-init would take it for a new machine, and change it
            unique=False,
            pause=night.pause,
        )
        with self._guard:
            self._copies.add(copy.vmid)
        try:
            booted = self._boot(copy)
            original = candidate.machine.mark
            facts = examine(
                copy.cluster,
                copy.node,
                copy.vmid,
                names=self._names(candidate),
                host_keys=original.host_keys if original else (),
                delivered=original is None or original.ready or bool(original.adopted or original.host_keys),
            )
            if (check := night.backup_check(archive.mark)) is not None:
                self._check(copy, check)
                facts += "; its check passed"
        finally:
            self._take_picture(copy)
            self._remove(copy)
        return f"{facts}; agent after {booted:.0f} s"

    def _names(self, candidate: Candidate) -> Callable[[], frozenset[str]]:
        """The host names that a restored machine may have.

        One that was made by us has the name of its file, or one that it had before: a guest takes up another at its
        next start. One that was taken over kept its own (article 4.2), which nobody wrote down: what Proxmox calls it,
        or what the original calls itself now.
        """
        mark, machine = candidate.machine.mark, candidate.machine
        former = [name for _, name in mark.former] if mark else []
        own = frozenset({candidate.archive.mark.machine, *former})
        if mark is None or mark.adopted is None:
            return lambda: own

        def names() -> frozenset[str]:
            known = own | {machine.summary.name}
            if not machine.running:
                return known
            cluster = self._night.clusters[machine.site]
            try:
                return known | {own_name(cluster, machine.summary.node, machine.summary.vmid)}
            except OrchestratorError:
                return known

        return names

    def _take_picture(self, copy: Copy) -> None:
        """Keep what its console shows, also of a copy that failed. Without one the test says what it says."""
        if copy.journal.stopping.asked or not may_look(self._readings[copy.site].observed.state.held):
            return
        try:
            screen = read_screen(copy.cluster, copy.node, copy.vmid, pause=self._night.pause)
            picture = png_of(screen)
        except Exception as error:
            self._night.tell(
                "no-picture", client=copy.mark.client, machine=copy.mark.machine, reason=told(error)
            )
            return
        if picture is not None:
            with self._guard:
                self._pictures[copy.mark.volid] = picture

    def _remove(self, copy: Copy) -> None:
        """Erase a copy, also when the run is to end. That it cannot be erased says nothing about its archive."""
        what = f"{copy.mark.client}/{copy.mark.machine}: removal of the copy"
        try:
            with copy.journal.stopping.finishing(what):
                remove_copy(copy)
        except Exception as error:
            self.problems.append(
                f"{copy.site}: VM {copy.vmid}, the copy of {copy.mark.client}/{copy.mark.machine} for its restore "
                f"test, could not be removed, the next night tries again: {told(error)}"
            )

    def _boot(self, copy: Copy) -> float:
        """Start a copy and wait for its agent. Returns the seconds that took."""
        started = time.monotonic()
        with copy.journal.step(
            copy.mark.client, copy.mark.machine, copy.site, "boot copy", vmid=copy.vmid
        ) as step:
            step.ended(
                copy.cluster.run_task("POST", f"{copy.path}/status/start", timeout_seconds=_START_SECONDS)
            )
            while not ping_agent(copy.cluster, copy.node, copy.vmid):
                copy.journal.stopping.check()
                if time.monotonic() - started > self._night.boot_seconds:
                    raise Unsound(
                        f"it did not boot: its guest agent was silent for {self._night.boot_seconds:.0f} s"
                    )
                self._night.pause(_POLL_SECONDS)
        return time.monotonic() - started

    def _check(self, copy: Copy, check: BackupCheck) -> None:
        """Run the check of the machine's file in the copy."""
        mark = copy.mark
        with copy.journal.step(mark.client, mark.machine, copy.site, "check copy", vmid=copy.vmid):
            carry_out(
                copy.cluster,
                copy.node,
                copy.vmid,
                check,
                seconds=self._night.check_seconds,
                pause=self._night.pause,
                going_on=copy.journal.stopping.check,
            )

    def _ended(
        self,
        candidate: Candidate,
        sound: bool | None,
        found: str,
        started: float,
        *,
        check: bool | None = None,
    ) -> RestoreTestLine:
        """Write the result down: on the archive, in the machine's notes, in the history."""
        night, archive = self._night, candidate.archive
        client, machine, site = archive.mark.client, archive.mark.machine, candidate.machine.site
        seconds = time.monotonic() - started
        said = _said(check)
        night.tell("restore-test-ended", client=client, machine=machine, sound=sound, found=found)
        today = day_in_paris(night.clock())
        vm = night.vm(candidate.machine, archive.mark)
        try:
            night.journal.record(
                client,
                machine,
                site,
                "restore test",
                result="ok" if sound else "failed",
                message=found,
                seconds=seconds,
                details={"archive": archive.stored.volid, **({"check": said} if said else {})},
            )
            if sound is not None:
                note_test(vm, archive, RestoreTest(on=today, sound=sound, found=found[:200], check=check))
            if sound:
                _note_in_machine(vm, today)
        except Exception as error:
            self._unwritten(client, machine, error)
        return self._line(candidate, "sound" if sound else "failed", found, seconds, said)

    def _unwritten(self, client: str, machine: str, error: Exception) -> None:
        self.problems.append(
            f"the result of the restore test of {client}/{machine} could not be recorded everywhere; the next "
            f"night records it or tests it again: {told(error)}"
        )

    def _line(
        self,
        candidate: Candidate,
        result: _Result,
        message: str,
        seconds: float = 0.0,
        check: Literal["", "passed", "failed"] = "",
    ) -> RestoreTestLine:
        archive = candidate.archive
        return RestoreTestLine(
            client=archive.mark.client,
            machine=archive.mark.machine,
            site=candidate.machine.site,
            volid=archive.stored.volid,
            taken_at=archive.taken_at,
            result=result,
            check=check,
            message=message,
            seconds=seconds,
            picture=self._pictures.get(archive.stored.volid),
        )


def _said(check: bool | None) -> Literal["", "passed", "failed"]:
    if check is None:
        return ""
    return "passed" if check else "failed"


def _note_in_machine(vm: Vm, day: dt.date) -> None:
    change_mark(vm, lambda mark: mark.with_(tested=day))
