# SPDX-License-Identifier: AGPL-3.0-or-later
"""vzdump: backups that take their time, one at a time on a node, and leave archives.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from fakepve import PveError, TaskError
from fakepve.routing import param_error, split_list

from tests.api.fakepve_allocation import Allocations
from tests.api.fakepve_archives import Archive, parse_retention
from tests.api.fakepve_clock import log_time
from tests.api.fakepve_tasks import Record
from tests.api.fakepve_vzdump import (
    INTERRUPTED,
    Behaviour,
    Job,
    Ledger,
    NodeLock,
    Run,
    check_notes,
    closing_lines,
    format_time,
    opening_lines,
    preparing_lines,
    write_notes,
    written_line,
)

_LOCK_FILE = "/var/run/vzdump.lock"
_NO_SPACE = "vma_queue_write: write error - No space left on device"


class Backups(Allocations):
    """A cluster that backs up its machines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.behaviour = Behaviour()
        self.ledger = Ledger()
        self._vzdump_locks: dict[str, NodeLock] = defaultdict(NodeLock)

    def _routes_backups(self) -> list[tuple[str, str, Any]]:
        return [("POST", "/nodes/{node}/vzdump", self._vzdump)]

    # The call

    async def _vzdump(self, values: dict[str, Any], user: str) -> str:
        node = values["node"]
        self._check_vzdump(values, user)
        vmids = self._vzdump_vmids(values)
        if not vmids and not values.get("all"):
            return "OK"
        storage = values.get("storage") or "local"
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        keep = values.get("prune-backups") or self.storages.get(storage, {}).get("prune-backups")
        options = {key: value for key, value in values.items() if key not in ("vmid", "all")}
        command = " ".join(
            ["vzdump", *map(str, vmids), *(f"--{key} {value}" for key, value in options.items())]
        )
        job = Job(
            node=node,
            vmids=tuple(vmids),
            storage=storage,
            user=user,
            mode=values.get("mode") or "snapshot",
            compress=str(values.get("compress") or "0"),
            notes=values.get("notes-template") or "",
            protected=bool(values.get("protected")),
            keep=parse_retention(str(keep)) if keep and values.get("remove", 1) else None,
            everything=bool(values.get("all")),
            lock_minutes=int(values.get("lockwait") or 180),
            command=command,
        )
        return await self.start_backup(job)

    def _check_vzdump(self, values: dict[str, Any], user: str) -> None:
        for key in ("tmpdir", "dumpdir", "script", "job-id"):
            if values.get(key) is not None and user != "root@pam":
                raise param_error(**{key: "Only root may set this option."})
        if any(values.get(key) is not None for key in ("bwlimit", "ionice", "performance")):
            self.require(user, "/", "Sys.Modify")
        if values.get("prune-backups") is not None:
            self.require(user, f"/storage/{values.get('storage') or 'local'}", "Datastore.Allocate")
        if values.get("notes-template"):
            check_notes(values["notes-template"])
        if not any(values.get(key) for key in ("vmid", "all", "pool")):
            raise param_error(vmid="property is missing and it is not optional")

    def _vzdump_vmids(self, values: dict[str, Any]) -> list[int]:
        """The machines on the node, and those that do not exist: these fail visibly."""
        if values.get("vmid"):
            asked = [int(vmid) for vmid in split_list(values["vmid"])]
            found = {vmid: self.vm(vmid) for vmid in asked}
            return [vmid for vmid, vm in found.items() if vm is None or vm.node == values["node"]]
        members = self.pools.get(values["pool"], set()) if values.get("pool") else None
        left_out = {int(vmid) for vmid in split_list(values.get("exclude"))}
        return sorted(
            vm.vmid
            for vm in self.vms
            if vm.node == values["node"]
            and vm.vmid not in left_out
            and (members is None or vm.vmid in members)
        )

    async def start_backup(self, job: Job) -> str:
        """Start a job; return its UPID."""
        subject = job.vmids[0] if len(job.vmids) == 1 else ""
        record = self.begin(job.node, "vzdump", subject, job.user)
        return await self.spawn(record, lambda: self._backup(record, job))

    # The task

    async def _backup(self, record: Record, job: Job) -> None:
        if job.storage is not None:
            self._activate_for_backup(job.storage, job.node)
        lock = self._vzdump_locks[job.node]
        await self._wait_for_lock(record, job, lock)
        try:
            await self._backup_all(record, job)
        finally:
            lock.release()

    def _activate_for_backup(self, name: str, node: str) -> None:
        errors = []
        try:
            self._active_store(name, node)
        except PveError as error:
            errors.append(f"could not activate storage '{name}': {error.message}")
        doing = f"could not get storage information for '{name}'"
        if name not in self.storages:
            errors.append(f"{doing}: storage '{name}' does not exist")
        elif "backup" not in split_list(self.storages[name].get("content")):
            errors.append(f"{doing}: can't use storage '{name}' for backups - wrong content type")
        if errors:
            raise TaskError("\n".join(errors))

    async def _wait_for_lock(self, record: Record, job: Job, lock: NodeLock) -> None:
        if not lock.held:
            lock.held = True
            return
        record["log"].append("INFO: trying to get global lock - waiting...")
        deadline = self.clock.time() + job.lock_minutes * 60
        trouble = "got timeout"
        waiter = asyncio.get_running_loop().create_future()
        try:
            got = await lock.acquire(waiter, self.clock, deadline)
        except asyncio.CancelledError:
            got, trouble = False, INTERRUPTED
        if got:
            record["log"].append("INFO: got global lock")
            return
        record["log"].append(f"ERROR: can't acquire lock '{_LOCK_FILE}' - {trouble}")
        # vzdump leaves here without a word to the task's end, which Proxmox calls so.
        raise TaskError("unexpected status")

    async def _backup_all(self, record: Record, job: Job) -> None:
        log = record["log"]
        log.append(f"INFO: starting new backup job: {job.command}")
        for vmid in job.vmids:
            allowed = self.vm(vmid) is None or self.allowed(job.user, f"/vms/{vmid}", "VM.Backup")
            if not allowed and not job.everything:
                raise TaskError(f"403 Permission check failed (/vms/{vmid}, VM.Backup)")
        failed = 0
        for vmid in job.vmids:
            if not await self._backup_one(record, job, vmid):
                failed += 1
        if failed:
            log.append("INFO: Backup job finished with errors")
            raise TaskError("job errors")
        log.append("INFO: Backup job finished successfully")

    async def _backup_one(self, record: Record, job: Job, vmid: int) -> bool:
        """Back up one machine; return whether it went well."""
        log = record["log"]
        run = Run(vmid, job.node, job.storage, job.user, record["upid"], self.clock.time())
        self.ledger.enter(run)
        seconds = self.behaviour.seconds.get(vmid, self.behaviour.default_seconds)
        due = run.started + (seconds if job.seconds is None else job.seconds)
        trouble = None
        try:
            await self._dump(record, job, run, due)
        except TaskError as error:
            trouble = str(error)
        except asyncio.CancelledError:
            if self.is_lost(record):
                self.ledger.leave(run, self.clock.time(), False)
                raise
            trouble = INTERRUPTED
        # A timer that fires late, or a clock that was set ahead, is not the backup's doing.
        ended = min(self.clock.time(), due)
        self.ledger.leave(run, ended, trouble is None)
        if trouble is None:
            log.append(f"INFO: Finished Backup of VM {vmid} ({format_time(ended - run.started)})")
            log.append(f"INFO: Backup finished at {log_time(ended)}")
            return True
        log.append(f"ERROR: Backup of VM {vmid} failed - {trouble}")
        log.append(f"INFO: Failed at {log_time(ended)}")
        if trouble == INTERRUPTED:
            log.append(f"ERROR: Backup job failed - {INTERRUPTED}")
            raise TaskError(INTERRUPTED)
        return False

    async def _dump(self, record: Record, job: Job, run: Run, due: float) -> None:
        """Lock the machine, write its archive, and put the archive on its storage."""
        log = record["log"]
        vm = self.vm(run.vmid)
        if vm is None:
            raise TaskError(f"unable to find VM '{run.vmid}'")
        name = self.name_of_archive(job.storage, run.vmid, run.started, job.extension)
        target = (
            self._volume_path(job.storage, name, "backup")
            if job.storage
            else f"/var/lib/vz/dump/{name.removeprefix('backup/')}"
        )
        if job.storage:
            self._check_target(job, job.storage, run.vmid, target)
        log += opening_lines(vm, run.started)
        if vm.lock:
            raise TaskError(f"VM is locked ({vm.lock})")
        self._qm_lock(vm, "backup")
        try:
            mode = job.mode if vm.status == "running" else "stop"
            log += preparing_lines(vm, mode, target)
            if mode == "stop" and vm.status == "running":
                vm.started_at = self.clock.time()
            await self._write_archive(record, job, run, due, name)
        finally:
            if not self.is_lost(record) and vm.lock == "backup":
                self._qm_lock(vm, None)

    def _check_target(self, job: Job, storage: str, vmid: int, target: str) -> None:
        """What vzdump finds out before it says that it begins."""
        if job.protected:
            try:
                self.check_protected_limit(storage, vmid, job.user)
            except PveError as error:
                raise TaskError(error.message) from error
        store = self.storages[storage]
        if store.get("readonly") or not store.get("active", 1):
            folder = target.partition(".")[0] + ".tmp"
            where = "at /usr/share/perl5/PVE/VZDump.pm line 986."
            raise TaskError(f"unable to create temporary directory '{folder}' {where}")

    async def _write_archive(self, record: Record, job: Job, run: Run, due: float, name: str) -> None:
        log, vm = record["log"], self.vm(run.vmid)
        archive = Archive(
            storage=job.storage or "",
            name=name,
            vmid=run.vmid,
            ctime=int(run.started),
            size=self.behaviour.sizes.get(run.vmid, self.behaviour.default_size),
            protected=job.protected,
            config={key: value for key, value in vm.config.items() if key != "lock"},
            agent=vm.agent,
        )
        taken = self._take_space_for(archive)
        try:
            if due > run.started:
                for quarter in range(1, 5):
                    whole = (due - run.started) * taken / max(1, archive.size)
                    await self.clock.until(run.started + whole * quarter / 4)
                    if quarter < 4:
                        log.append(written_line(archive.size, quarter / 4, int(whole * quarter / 4)))
            self._check_written(job, archive, taken, log)
        except (TaskError, asyncio.CancelledError) as error:
            if archive.storage:
                self.take_space(archive.storage, -taken)
            if not self.is_lost(record):
                trouble = str(error) if isinstance(error, TaskError) else INTERRUPTED
                log += [f"ERROR: {trouble}", "INFO: aborting backup job"]
                log += ["INFO: resuming VM again"] if vm.status == "running" else []
            raise
        log += closing_lines(archive.size, int(due - run.started))
        if archive.storage:
            self._keep_archive(job, archive, vm, log)

    def _take_space_for(self, archive: Archive) -> int:
        """Take what the archive needs, or what there is; return how much that was."""
        if not archive.storage or self.is_backup_server(archive.storage):
            return archive.size
        avail = self.storages[archive.storage].get("avail", archive.size)
        taken: int = min(archive.size, max(0, avail))
        self.take_space(archive.storage, taken)
        return taken

    def _check_written(self, job: Job, archive: Archive, taken: int, log: list[str]) -> None:
        """What goes wrong while the data flows."""
        failure = self.behaviour.next_failure(archive.vmid)
        if failure is not None:
            raise TaskError(failure)
        if not archive.storage:
            return
        store = self.storages[archive.storage]
        if not store.get("active", 1):
            raise TaskError("vma_queue_write: write error - Stale file handle")
        if store.get("readonly"):
            raise TaskError("vma_queue_write: write error - Read-only file system")
        if taken < archive.size or store.get("avail", 0) < 0:
            if job.compress == "zstd":
                log.append("zstd: error 70 : Write error : cannot write block : No space left on device")
            raise TaskError(_NO_SPACE)

    def _keep_archive(self, job: Job, archive: Archive, vm: Any, log: list[str]) -> None:
        if job.notes:
            log.append("INFO: adding notes to backup")
            guest = vm.config.get("name") or f"VM {vm.vmid}"
            values = {"guestname": guest, "vmid": vm.vmid, "node": job.node, "cluster": self.cluster_name}
            archive.notes = write_notes(job.notes, **values)
        if archive.protected:
            log.append("INFO: marking backup as protected")
        older = self.find_archive(archive.volid)
        if older is not None:
            self.remove_archive(older)
        self.add_archive(archive)
        if job.keep and not job.keep.get("keep-all"):
            told = ", ".join(f"{key}={number}" for key, number in sorted(job.keep.items()))
            log.append(f"INFO: prune older backups with retention: {told}")
            removed = self.prune(archive.storage, {"vmid": archive.vmid}, job.keep)
            log += [f"INFO: {line}" for line in removed]
            extra = " not covered by keep-retention policy" if removed else ""
            log.append(f"INFO: pruned {len(removed)} backup(s){extra}")
