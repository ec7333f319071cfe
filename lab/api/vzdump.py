"""Backing VMs up: `vzdump`, with its log in Proxmox's words."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab import disks
from lab.agent import AgentError, AgentNotRunningError
from lab.api import formats
from lab.api.archives import COMPRESSORS, Figures, write_archive
from lab.api.drives import Drive
from lab.api.errors import ApiError, NotImplementedHere, Refused, WrongParameters, task_text
from lab.api.live_copy import copy_all_running
from lab.api.options import agent_enabled
from lab.api.routing import Call, Routes
from lab.api.schemas import BWLIMIT, NODE
from lab.api.storage import Storage, Volume
from lab.api.tasks import Log
from lab.api.values import Property, lacking, split_list
from lab.api.vm_config import VmConfig, render
from lab.commands import CommandFailedError

routes = Routes()

_VARIABLES = ("cluster", "guestname", "node", "vmid")
_GIB, _MIB = 1024**3, 1024**2
_MODES = ("snapshot", "suspend", "stop")
_VM_PATTERN = r"\d+(?:[,; ]\d+)*"


def check_notes_template(template: str) -> None:
    """Demand that a template has no line feed, escape or variable that vzdump does not know.

    Raises:
        WrongParameters: in Proxmox's words.
    """
    if "\n" in template:
        raise WrongParameters({"notes-template": "contains a line feed\n"})
    unknown = [
        f"escape sequence '\\{found[1]}' at char {found.start()}"
        for found in re.finditer(r"\\(.)", template)
        if found[1] not in "n\\"
    ]
    unknown += [
        f"variable '{found[1]}' at char {found.start() + 4}"
        for found in re.finditer(r"\{\{([^\s{}]+)\}\}", template)
        if found[1] not in _VARIABLES
    ]
    if unknown:
        raise WrongParameters({"notes-template": f"found unknown: {', '.join(unknown)}\n"})


def _notes(template: str, values: dict[str, str]) -> str:
    text = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], template)
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values.get(found[1], found[0]), text)


@routes.add(
    "POST",
    "/nodes/{node}/vzdump",
    NODE
    | BWLIMIT
    | {
        "vmid": Property(optional=False, pattern=_VM_PATTERN),
        "storage": Property(check=formats.storage_id),
        "mode": Property(choices=_MODES),
        "compress": Property(choices=("0", "1", "gzip", "lzo", "zstd")),
        "notes-template": Property(max_length=1024),
        "protected": Property("boolean"),
        "prune-backups": Property(check=formats.prune_backups),
        "remove": Property("boolean"),
    }
    | lacking(
        "all", "exclude", "pool", "dumpdir", "stop", "mailto", "stdout", "tmpdir", "script", "fleecing"
    ),
)
async def vzdump(call: Call) -> object:
    """Back VMs up, one after the other, one run a node at a time."""
    storage = call.cluster.storages.find(call.text("storage") or "local")
    vmids = [int(text) for text in split_list(call.required("vmid"))]
    for vmid in vmids:
        call.caller.check(f"/vms/{vmid}", "VM.Backup")
    call.caller.check(f"/storage/{storage.name}", "Datastore.AllocateSpace")
    if call.text("prune-backups") is not None:
        call.caller.check(f"/storage/{storage.name}", "Datastore.Allocate")
        if call.text("prune-backups") != "keep-all=1":
            raise NotImplementedHere("Pruning within vzdump ('prune-backups')")
    if call.text("compress") in ("1", "lzo"):
        raise NotImplementedHere("Compression 'lzo'")
    check_notes_template(call.text("notes-template") or "")
    if "backup" not in storage.content:
        raise WrongParameters({"storage": f"storage '{storage.name}' does not support backups"})

    async def work(log: Log) -> None:
        await _run(call, storage, vmids, log)

    id_ = str(vmids[0]) if len(vmids) == 1 else ""
    return call.cluster.tasks.start("vzdump", id_, call.caller, work)


async def _run(call: Call, storage: Storage, vmids: list[int], log: Log) -> None:
    cluster = call.cluster
    mode, compress = call.text("mode") or "snapshot", call.text("compress") or "0"
    told = f"--mode {mode} --storage {storage.name} --node {cluster.node}"
    told += f" --compress {compress}" if compress != "0" else ""
    log(f"INFO: starting new backup job: vzdump {' '.join(map(str, vmids))} {told}")
    if cluster.backing_up.locked():
        log("INFO: trying to get global lock - waiting...")
    async with cluster.backing_up:
        failed = 0
        for vmid in vmids:
            failed += not await _one(call, storage, vmid, mode, compress, log)
        log(f"INFO: Backup job {'finished with errors' if failed else 'finished successfully'}")
    if failed:
        raise Refused("job errors")


async def _one(call: Call, storage: Storage, vmid: int, mode: str, compress: str, log: Log) -> bool:
    """Back one VM up; what goes wrong stands in the log."""
    log(f"INFO: Starting Backup of VM {vmid} (qemu)")
    log(f"INFO: Backup started at {time.strftime('%Y-%m-%d %H:%M:%S')}")
    started = time.monotonic()
    try:
        await _back_up(call, storage, vmid, mode, compress, log)
    except asyncio.CancelledError:
        log("ERROR: interrupted by signal")
        log("INFO: aborting backup job")
        log(f"ERROR: Backup of VM {vmid} failed - interrupted by signal")
        log("ERROR: Backup job failed - interrupted by signal")
        raise
    except (ApiError, CommandFailedError, OSError) as error:
        log(f"ERROR: Backup of VM {vmid} failed - {task_text(error)}")
        log(f"INFO: Failed at {time.strftime('%Y-%m-%d %H:%M:%S')}")
        return False
    seconds = int(time.monotonic() - started)
    log(
        f"INFO: Finished Backup of VM {vmid} ({seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02})"
    )
    log(f"INFO: Backup finished at {time.strftime('%Y-%m-%d %H:%M:%S')}")
    return True


async def _back_up(call: Call, storage: Storage, vmid: int, mode: str, compress: str, log: Log) -> None:
    cluster = call.cluster
    if not cluster.configurations.exists(vmid):
        raise Refused(f"unable to find VM '{vmid}'")
    running = await cluster.is_running(vmid)
    log(f"INFO: status = {'running' if running else 'stopped'}")
    if running and mode != "snapshot":
        raise NotImplementedHere(f"Mode '{mode}' of a running VM")
    async with _marked(call, vmid) as config:
        now = time.time()
        stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.localtime(now))
        name = f"vzdump-qemu-{vmid}-{stamp}.vma{COMPRESSORS[compress][0]}"
        drives = {slot: drive for slot, drive in config.drives().items() if _included(drive)}
        log(f"INFO: VM Name: {config.values.get('name', vmid)}")
        for slot, drive in drives.items():
            size = drive.options.get("size", "")
            log(f"INFO: include disk '{slot}' '{drive.file}' {size}")
        log(f"INFO: backup mode: {mode if running else 'stop'}")
        log("INFO: ionice priority: 7")
        dump = storage.path / "dump"
        log(f"INFO: creating vzdump archive '{dump / name}'")
        job = _Job(call, vmid, config, drives, dump / name, log)
        await job.write(compress, int(now), running=running)
        _note(call, dump / name, vmid, config)


@asynccontextmanager
async def _marked(call: Call, vmid: int) -> AsyncIterator[VmConfig]:
    """Mark the VM's configuration with `lock: backup` while the block runs; yield it as it was."""
    cluster = call.cluster
    async with cluster.locks.exclusive(vmid):
        config = cluster.configurations.load(vmid)
        config.check_lock()
        config.values["lock"] = "backup"
        cluster.configurations.save(vmid, config)
    try:
        yield VmConfig({key: value for key, value in config.values.items() if key not in ("lock", "parent")})
    finally:
        if cluster.configurations.exists(vmid):
            now = cluster.configurations.load(vmid)
            now.values.pop("lock", None)
            cluster.configurations.save(vmid, now)


def _included(drive: Drive) -> bool:
    return not drive.cdrom and drive.options.get("backup", 1) != 0


@dataclass(frozen=True)
class _Job:
    """The backup of one VM into one archive."""

    call: Call
    vmid: int
    config: VmConfig
    drives: Mapping[str, Drive]
    path: Path
    log: Log

    async def write(self, compress: str, ctime: int, *, running: bool) -> None:
        """Bring the disks as they are at one moment into raw images, and these into the archive.

        The archive gets its name when it is whole: what breaks off before leaves none.
        """
        cluster, path = self.call.cluster, self.path
        scratch = path.with_name(f"{path.name.partition('.')[0]}.dat")
        folder = cluster.settings.node_dir(cluster.site) / "backup" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            _check_writable(scratch)
            images = {slot: folder / f"{slot}.raw" for slot in self.drives}
            await self._copy(images, running)
            self.log(f"INFO: started backup task '{uuid.uuid4()}'")
            self.log("INFO: resuming VM again")
            begun = time.monotonic()
            figures = await write_archive(
                scratch,
                compress=compress,
                config=_archived_config(self.config, self.drives).encode(),
                disks={f"drive-{slot}": image for slot, image in images.items()},
                ctime=ctime,
                report=lambda done, total: self.log(_progress(done, total, time.monotonic() - begun)),
            )
            scratch.rename(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._tell(figures, time.monotonic() - begun)

    def _tell(self, figures: Figures, seconds: float) -> None:
        zeros = figures.total - figures.data
        share = zeros * 100 // max(figures.total, 1)
        self.log(f"INFO: backup is sparse: {zeros / _GIB:.2f} GiB ({share}%) total zero data")
        speed = figures.total / _MIB / max(seconds, 0.1)
        self.log(
            f"INFO: transferred {figures.total / _GIB:.2f} GiB in {seconds:.0f} seconds ({speed:.1f} MiB/s)"
        )
        self.log(f"INFO: archive file size: {self.path.stat().st_size // _MIB}MB")

    async def _copy(self, images: Mapping[str, Path], running: bool) -> None:
        volumes = {slot: self.call.cluster.storages.volume(drive.file) for slot, drive in self.drives.items()}
        if running:
            await self._copy_running({slot: (volumes[slot], image) for slot, image in images.items()})
            return
        self.log("INFO: starting kvm to execute backup task")
        for slot, image in images.items():
            source = volumes[slot]
            await disks.copy(source.path, image, source_format=source.format, target_format="raw")

    async def _copy_running(self, pairs: Mapping[str, tuple[Volume, Path]]) -> None:
        """Copy the disks of a running guest, as they are when its agent holds its file systems still."""
        cluster = self.call.cluster
        agent = cluster.guests.agent(cluster.node, self.vmid)
        frozen = False
        if agent_enabled(self.config.values.get("agent")):
            try:
                await agent.ping(timeout=3)
                self.log("INFO: issuing guest-agent 'fs-freeze' command")
                await agent.command("guest-fsfreeze-freeze", timeout=60)
                frozen = True
            except (AgentNotRunningError, AgentError) as error:
                self.log(f"INFO: skipping guest filesystem freeze - {error}")

        async def thaw() -> None:
            if frozen:
                self.log("INFO: issuing guest-agent 'fs-thaw' command")
                with suppress(AgentNotRunningError, AgentError):
                    await agent.command("guest-fsfreeze-thaw", timeout=60)

        await copy_all_running(cluster, self.vmid, pairs, thaw)


def _check_writable(scratch: Path) -> None:
    """Demand that the storage takes a file, before the guest's disks are copied for nothing."""
    try:
        scratch.touch()
        scratch.unlink()
    except OSError as error:
        raise Refused(f"unable to create temporary directory '{scratch.parent}' - {error.strerror}") from None


def _archived_config(config: VmConfig, drives: Mapping[str, Drive]) -> str:
    """The configuration as it is archived: with a line that tells each disk's device, storage and format."""
    lines = render(VmConfig(dict(config.values)))
    for slot, drive in drives.items():
        storage, _, name = drive.file.partition(":")
        lines += f"#qmdump#map:{slot}:drive-{slot}:{storage}:{name.rpartition('.')[2]}:\n"
    return lines


def _progress(done: int, total: int, seconds: float) -> str:
    speed = done / _MIB / max(seconds, 0.1)
    share = done * 100 // max(total, 1)
    return (
        f"INFO: {share:3}% ({done / _GIB:.1f} GiB of {total / _GIB:.1f} GiB) in {seconds:.0f}s, "
        f"read: {speed:.1f} MiB/s, write: {speed:.1f} MiB/s"
    )


def _note(call: Call, path: Path, vmid: int, config: VmConfig) -> None:
    template = call.text("notes-template")
    if template:
        values = {"cluster": call.cluster.site.name, "guestname": config.values.get("name", f"VM {vmid}")}
        notes = _notes(template, values | {"node": call.cluster.node, "vmid": str(vmid)})
        path.with_name(path.name + ".notes").write_text(notes)
    if call.flag("protected"):
        path.with_name(path.name + ".protected").touch()
