"""Backing machines up: `vzdump`, with the log of a node."""

from __future__ import annotations

import asyncio
import time

from qemu.qmp import QMPError

from lab.api.backup_machine import MachineBackup
from lab.api.backup_options import SCHEMA, BackupOptions, read_options
from lab.api.errors import ApiError, Refused, task_text
from lab.api.restore import archived_configuration, readable_archive
from lab.api.routing import Call, Routes
from lab.api.schemas import NODE
from lab.api.storage import Storage
from lab.api.tasks import Log
from lab.api.threads import in_thread
from lab.api.values import Property
from lab.archive import ArchiveError
from lab.commands import CommandFailedError
from lab.qemu import GuestNotRunningError

routes = Routes()

_EXPECTED = (ApiError, ArchiveError, CommandFailedError, GuestNotRunningError, OSError, QMPError)
_INTERRUPTED = "interrupted by signal"


@routes.add("POST", "/nodes/{node}/vzdump", SCHEMA)
async def vzdump(call: Call) -> object:
    """Back machines up, one after the other; what went wrong with one stands in the task's log."""
    options = read_options(call)

    async def work(log: Log) -> None:
        storage = _storage(call, options)
        lock = call.cluster.backup_lock
        waits = lock.locked()
        if waits:
            log("INFO: trying to get global lock - waiting...")
        async with lock:
            if waits:
                log("INFO: got global lock")
            log(f"INFO: starting new backup job: {options.command}")
            await _back_up_all(call, options, storage, log)

    subject = str(options.vmids[0]) if len(options.vmids) == 1 else ""
    return call.cluster.tasks.start("vzdump", subject, call.caller, work)


@routes.add("GET", "/nodes/{node}/vzdump/extractconfig", NODE | {"volume": Property(optional=False)})
async def extract_configuration(call: Call) -> object:
    """The configuration of the machine in an archive, as it stands there."""
    archive = readable_archive(call, call.required("volume"))
    return await in_thread(lambda stop: archived_configuration(archive))


def _storage(call: Call, options: BackupOptions) -> Storage:
    """The storage for the archives.

    Raises:
        Refused: it is not there, or not for backups.
    """
    name, problems = options.storage, list[str]()
    try:
        call.cluster.storages.find(name).activate()
    except Refused as error:
        problems.append(f"could not activate storage '{name}': {error}")
    try:
        if "backup" not in call.cluster.storages.find(name).content:
            raise Refused(f"can't use storage '{name}' for backups - wrong content type")
    except Refused as error:
        problems.append(f"could not get storage information for '{name}': {error}")
    if problems:
        raise Refused("\n".join(problems))
    return call.cluster.storages.find(name)


async def _back_up_all(call: Call, options: BackupOptions, storage: Storage, log: Log) -> None:
    for vmid in options.vmids:
        if call.cluster.configurations.exists(vmid):
            call.caller.check(f"/vms/{vmid}", "VM.Backup")
    failed = 0
    for vmid in options.vmids:
        failed += not await _back_up(MachineBackup(call, vmid, options, storage, log), log)
    if failed:
        log("INFO: Backup job finished with errors")
        raise Refused("job errors")
    log("INFO: Backup job finished successfully")


async def _back_up(backup: MachineBackup, log: Log) -> bool:
    """Back one machine up and log how that ended; returns whether it ended well."""
    began = time.monotonic()
    try:
        await backup.run()
    except asyncio.CancelledError:
        _log_failure(backup.vmid, _INTERRUPTED, log)
        log(f"ERROR: Backup job failed - {_INTERRUPTED}")
        raise
    except _EXPECTED as error:
        _log_failure(backup.vmid, task_text(error), log)
        return False
    seconds = int(time.monotonic() - began)
    spent = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    log(f"INFO: Finished Backup of VM {backup.vmid} ({spent})")
    log(f"INFO: Backup finished at {time.strftime('%Y-%m-%d %H:%M:%S')}")
    return True


def _log_failure(vmid: int, text: str, log: Log) -> None:
    log(f"ERROR: Backup of VM {vmid} failed - {text}")
    log(f"INFO: Failed at {time.strftime('%Y-%m-%d %H:%M:%S')}")
