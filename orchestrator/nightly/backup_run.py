"""Making the backups of the night: a worker a node, the longest work first, one failed machine stops no other."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from orchestrator.applying.archive_tasks import (
    adopt_backup,
    await_unlocked,
    find_backup,
    make_backup,
    running_backups,
)
from orchestrator.applying.stopped import Stopped
from orchestrator.applying.vm import Vm
from orchestrator.contract.calendar import in_working_hours, night_begins, night_of
from orchestrator.errors import told
from orchestrator.nightly.due_backups import BackupLine, BackupPlan, Due, backup_line
from orchestrator.nightly.schedule import Assignment, Dispatcher, Job
from orchestrator.proxmox import ProxmoxError, StorageFull, TaskFailed
from orchestrator.resources.machine_archives import Archive

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night


_LOCK_PAUSE = 10.0
_CLAIM_SECONDS = 1.0
"""How often to see whether the window has closed, while an update is waited for."""


class BackupRun:
    """Making the backups of a night: a worker a node, fed by one dispatcher."""

    def __init__(self, night: Night, plan: BackupPlan) -> None:
        self._night = night
        self._plan = plan
        self._changed = threading.Condition()
        self._lines: dict[tuple[str, str], BackupLine] = {}
        self._passing: set[tuple[str, str]] = set()
        self._gone: set[tuple[str, str]] = set()
        self._in_update: set[tuple[str, str]] = set()
        self._free = dict(plan.free)

    def run(self) -> list[BackupLine]:
        """Make them all but those of machines that are being updated, see :meth:`run_rest`.

        What failed for a passing reason is tried once more at the end.
        """
        self._rounds([due.job for due in self._plan.due.values()])
        return self.lines

    def run_rest(self) -> list[BackupLine]:
        """Make the backups of the machines that were being updated when their turn came, each once that has ended.

        How long an update lasts is the guest's to say. So nothing that concerns others should wait behind this.
        """
        while self._in_update and not self._night.closed:
            free = self._night.claims.await_any(self._in_update, _CLAIM_SECONDS)
            self._in_update -= free
            possible = {key: self._still_possible(key) for key in sorted(free)}
            for key in [key for key, job in possible.items() if job is None]:
                self._say(key, "failed", "its backup storage went away while it was being updated")
            if jobs := [job for job in possible.values() if job is not None]:
                self._rounds(jobs)
        message = "its updates had not ended when the window closed: see the history for what runs in it"
        for key in sorted(self._in_update):
            self._say(key, "not-started", message)
        return self.lines

    def _say(self, key: tuple[str, str], result: Literal["failed", "not-started"], message: str) -> None:
        """The line of a machine whose backup was not made, unless an attempt has left one."""
        due = self._plan.due[key]
        self._lines.setdefault(key, backup_line(due.mark, due.machine, "", result, message=message))

    def _rounds(self, jobs: list[Job]) -> None:
        self._round(jobs)
        keys = sorted(self._passing & {job.key for job in jobs})
        again = [job for key in keys if (job := self._still_possible(key))]
        if again and not self._night.closed:
            self._round(again)

    @property
    def lines(self) -> list[BackupLine]:
        """What became of each so far."""
        with self._changed:
            return [*self._plan.settled, *self._lines.values()]

    def _still_possible(self, key: tuple[str, str]) -> Job | None:
        job = self._plan.due[key].job
        storages = tuple(name for name in job.storages if (job.site, name) not in self._gone)
        return replace(job, storages=storages) if storages else None

    def _round(self, jobs: list[Job]) -> None:
        self._dispatcher = Dispatcher(jobs, self._plan.slots, self._free)
        threads = [
            threading.Thread(target=self._work, name=f"backup-{number}", daemon=True)
            for number in range(len({(job.site, job.node) for job in jobs}))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        message = "the window closed before its turn: it is made first thing in the next run"
        for job in self._dispatcher.drain():
            self._say(job.key, "not-started", message)

    def _work(self) -> None:
        while (assignment := self._next()) is not None:
            job, storage = assignment.job, assignment.storage
            # Its node and a slot of its storage would wait with it, and so would others' backups.
            if not self._night.claims.take(job.key, wait=False):
                self._postpone(assignment)
                continue
            try:
                line, passing = self._back_up(assignment)
            finally:
                self._night.claims.give_back(job.key)
            gone = passing and self._went_away(job, storage)
            with self._changed:
                self._lines[job.key] = line
                self._passing.discard(job.key)
                if passing:
                    self._passing.add(job.key)
                self._dispatcher.ended(assignment, line.size)
                self._free[job.site, storage] = self._free.get((job.site, storage), 0) - line.size
                if gone and (job.site, storage) not in self._gone:
                    self._drop(job.site, storage)
                self._changed.notify_all()

    def _postpone(self, assignment: Assignment) -> None:
        """Leave a machine that is being updated for later, and let the next one have its turn."""
        with self._changed:
            self._in_update.add(assignment.job.key)
            self._dispatcher.ended(assignment, 0)
            self._changed.notify_all()

    def _went_away(self, job: Job, storage: str) -> bool:
        """Whether a storage cannot be used any more: then nothing else is sent there."""
        try:
            status = self._night.clusters[job.site].get(f"/nodes/{job.node}/storage/{storage}/status")
            return not int(status.get("active", 1)) or not int(status.get("enabled", 1))
        except Exception:  # the node is away, perhaps, or answers nonsense; another one will find out
            return False

    def _drop(self, site: str, storage: str) -> None:
        self._gone.add((site, storage))
        self._night.tell("storage-gone", site=site, storage=storage)
        message = f"the backup storage {storage} went away during the night, and its node reaches no other"
        for job in self._dispatcher.drop(site=site, storage=storage):
            due = self._plan.due[job.key]
            self._lines[job.key] = backup_line(due.mark, due.machine, storage, "failed", message=message)

    def _next(self) -> Assignment | None:
        """Wait for work; None when there is none left, or none may begin any more."""
        with self._changed:
            while True:
                if self._night.closed or not self._dispatcher.pending:
                    return None
                assignment = self._dispatcher.next()
                if assignment is not None:
                    return assignment
                if not self._dispatcher.running:
                    return None
                self._changed.wait()

    def _back_up(self, assignment: Assignment) -> tuple[BackupLine, bool]:
        due = self._plan.due[assignment.job.key]
        night, mark, machine = self._night, due.mark, due.machine
        started = night.clock()
        night.tell("backup-started", client=mark.client, machine=mark.machine, storage=assignment.storage)
        try:
            vm = night.vm(machine, mark)
            archive = self._archive(vm, due, assignment.storage, started)
        except Exception as error:  # whatever one machine stumbles over, the others go on
            why = told(error)
            night.tell("backup-failed", client=mark.client, machine=mark.machine, reason=why)
            line = backup_line(mark, machine, assignment.storage, "failed", message=why)
            return replace(line, started_at=started), _passes(error)
        seconds = (night.clock() - started).total_seconds()
        line = replace(
            backup_line(mark, machine, archive.stored.storage, "done", archive=archive),
            started_at=started,
            seconds=seconds,
        )
        night.tell(
            "backup-done",
            client=mark.client,
            machine=mark.machine,
            bytes=line.size,
            seconds=round(seconds, 1),
        )
        return line, False

    def _archive(self, vm: Vm, due: Due, storage: str, started: dt.datetime) -> Archive:
        """Make the archive, or take the one that an earlier run of this night, or the first try, had begun."""
        clock = self._night.site_clock(vm.site)
        since = night_begins(night_of(clock()))
        first = due.job.key not in self._lines
        if not first and (found := self._first_try(vm, due)):
            return found
        if due.begun and first:  # one that ended badly is not waited for again
            adopt_backup(vm, due.begun, silence_seconds=self._night.silence_seconds)
        elif first and due.machine.summary.lock == "backup":
            lock = await_unlocked(vm, until=lambda: self._night.closed, pause_seconds=_LOCK_PAUSE)
            if lock:
                raise Stopped(
                    f"somebody's own {lock} holds VM {vm.vmid} since before its turn and did not end before the "
                    f"window closed: see its task on {vm.node}; if none runs, `qm unlock {vm.vmid}` there"
                )
        if first and (due.begun or due.machine.summary.lock == "backup"):
            for name in due.job.storages:
                found = find_backup(vm, name, since=since)
                if found and not in_working_hours(found.taken_at):  # that was somebody's own, by hand
                    return found
        return make_backup(vm, storage, due.mark, clock=clock, silence_seconds=self._night.silence_seconds)

    def _first_try(self, vm: Vm, due: Due) -> Archive | None:
        """The archive of the first try, if it was only not heard of how that ended. None if it made none."""
        line = self._lines[due.job.key]
        if begun := running_backups(vm.cluster, vm.node).get(vm.vmid):
            adopt_backup(vm, begun, silence_seconds=self._night.silence_seconds)
        if line.started_at is None or (due.job.site, line.storage) in self._gone:
            return None
        since = self._night.clocks.at(vm.site, line.started_at)
        found = find_backup(vm, line.storage, since=since)
        return found if found is not None and found.good else None


def _passes(error: Exception) -> bool:
    """Whether trying again later this night may help: not where the storage is full."""
    cause = error.cause if isinstance(error, TaskFailed) else error
    return isinstance(error, ProxmoxError) and not isinstance(cause, StorageFull)
