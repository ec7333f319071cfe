# SPDX-License-Identifier: AGPL-3.0-or-later
"""qmrestore: machines made of archives, and what a broken archive leaves behind.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from fakepve import FakeVm, PveError, TaskError
from fakepve.qemu import CREATE_ONLY, DRIVE_KEY, drives_of, join_drive, split_drive, volume_ref, with_mac
from fakepve.routing import die, param_error, split_list
from fakepve.storage import _bytes, _is_file, spec_of

from tests.api.fakepve_archives import Archive
from tests.api.fakepve_backups import Backups
from tests.api.fakepve_clock import log_time
from tests.api.fakepve_files import section
from tests.api.fakepve_tasks import Record
from tests.api.fakepve_vzdump import INTERRUPTED

_CLOUDINIT_BYTES = 4 * 1024**2
_NOT_RESTORED = re.compile(r"lock|parent|digest|unused\d+")
_NOT_CLEANED = (
    "error before or during data restore, some or all disks were not completely restored. "
    "VM {vmid} state is NOT cleaned up."
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """One call for a restore. ``changes`` are laid over the configuration of the archive."""

    node: str
    vmid: int
    archive: Archive
    user: str
    storage: str | None
    pool: str | None
    unique: bool
    start: bool
    changes: dict[str, Any] = field(default_factory=dict)


class Restores(Backups):
    """A cluster that restores machines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.restore_seconds: dict[int, float] = {}
        """How long a restore of this machine's archives takes."""
        self.restore_default_seconds = 0.0

    def _routes_features(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/nodes/{node}/qemu/{vmid}/feature", self._feature),
            ("GET", "/nodes/{node}/vzdump/extractconfig", self._extract_config),
        ]

    async def _extract_config(self, values: dict[str, Any], user: str) -> str:
        archive = self._readable_archive(values["volume"], values["node"], user)
        config = self._config_in(archive)
        kept = {key: value for key, value in config.items() if not _NOT_RESTORED.fullmatch(key)}
        maps = (
            f"#qmdump#map:{key}:drive-{key}:{volume_ref(volume)[0]}:raw:\n"
            for key, volume, options in drives_of(config)
            if options.get("backup") not in ("0", "no")
        )
        return section(kept) + "".join(maps)

    async def _feature(self, values: dict[str, Any], _user: str) -> dict[str, Any]:
        vm = self.find(values["node"], values["vmid"])
        config = vm.config
        if values.get("snapname"):
            if values["snapname"] not in vm.snapshots:
                raise die(f"snapshot '{values['snapname']}' does not exist")
            config = vm.snapshots[values["snapname"]]
        has = self._qm_can_snapshot(config) if values["feature"] == "snapshot" else True
        used = {volume_ref(volume)[0] for _key, volume, _options in drives_of(config)}
        shared = all(self.storages[name].get("shared") for name in used if name in self.storages)
        return {"hasFeature": int(has), "nodes": sorted(self.nodes) if shared else [vm.node]}

    # The call

    async def _qm_create(self, values: dict[str, Any], user: str) -> Any:
        if not values.get("archive"):
            return await super()._qm_create(values, user)
        self.need_quorum()
        vmid, force = int(values["vmid"]), bool(values.get("force"))
        order = self._order(values, user, vmid, force)
        vm = self._reserve(order, force)
        record = self.begin(order.node, "qmrestore", vmid, user)
        return await self.spawn(record, lambda: self._restore(record, order, vm))

    def _order(self, values: dict[str, Any], user: str, vmid: int, force: bool) -> Order:
        """The call's parameters, once checked in Proxmox's order."""
        pool, storage = values.get("pool"), values.get("storage")
        self._qm_check_pool(pool)
        if storage:
            self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        if values.get("start"):
            self._qm_perm(user, vmid, pool, "VM.PowerMgmt")
        may_replace = force and self.vm(vmid) and self.allowed(user, f"/vms/{vmid}", "VM.Backup")
        may_make = self.allowed(user, f"/vms/{vmid}", "VM.Allocate") or (
            pool and self.allowed(user, f"/pool/{pool}", "VM.Allocate")
        )
        if not (may_make or may_replace):
            raise PveError(403, "Permission check failed")
        changes = {key: value for key, value in values.items() if key not in CREATE_ONLY}
        for key in sorted(changes):
            if DRIVE_KEY.match(key):
                raise param_error(**{key: "option conflicts with option 'archive'"})
        archive = self._readable_archive(values["archive"], values["node"], user)
        for key in sorted(changes):
            if self._config_priv(key) == "root":
                raise PveError(403, f"only root can set '{key}' config")
            self._qm_perm(user, vmid, pool, self._config_priv(key))
        for key in changes:
            if re.fullmatch(r"net\d+", key):
                changes[key] = with_mac(changes[key])
        return Order(
            node=values["node"],
            vmid=vmid,
            archive=archive,
            user=user,
            storage=storage,
            pool=pool,
            unique=bool(values.get("unique")),
            start=bool(values.get("start")),
            changes=changes,
        )

    def _readable_archive(self, volid: str, node: str, user: str) -> Archive:
        sid, name = volume_ref(volid)
        if sid is None:
            raise die("Only root can pass arbitrary filesystem paths.")
        vtype, owner, _ = self._parse_volname(self._store(sid), name)
        self._check_access(user, sid, vtype, owner, volid)
        self._active_store(sid, node)
        archive = self.find_archive(volid)
        if archive is None:
            raise die(f"volume '{volid}' does not exist")
        return archive

    def _reserve(self, order: Order, force: bool) -> Any:
        """The machine to restore into, marked as being created."""
        trouble = f"unable to restore VM {order.vmid} -"
        vm = self.vm(order.vmid)
        if vm is not None and not (force and vm.node == order.node):
            raise die(f"{trouble} VM {order.vmid} already exists on node '{vm.node}'")
        if vm is None:
            vm = FakeVm(order.vmid, f"VM {order.vmid}", node=order.node)
            vm.config.pop("name")
            self.vms.append(vm)
        elif vm.lock:
            raise die(f"{trouble} VM is locked ({vm.lock})")
        self._qm_lock(vm, "create")
        return vm

    # The task

    async def _restore(self, record: Record, order: Order, vm: Any) -> None:
        try:
            await self._unpack(record, order, vm)
        except (TaskError, PveError, asyncio.CancelledError) as error:
            if self.is_lost(record):
                raise
            self._qm_lock(vm, None)
            record["log"].append(_NOT_CLEANED.format(vmid=order.vmid))
            if isinstance(error, asyncio.CancelledError):
                raise TaskError(INTERRUPTED) from error
            raise
        self._qm_lock(vm, None)
        if order.start:
            record["log"].append("Execute autostart")
            vm.status = vm.qmpstatus = "running"
            vm.started_at = self.clock.time()

    async def _unpack(self, record: Record, order: Order, vm: Any) -> None:
        log, archive = record["log"], order.archive
        trouble = f"unable to restore VM {order.vmid} -"
        self._qm_check_protection(vm, trouble)
        if vm.status == "running":
            raise TaskError(f"{trouble} vm is running")
        command = self._pipe(record, archive)
        backed_up = self._config_in(archive)
        log += [f"restore vma archive: {command}", "CFG: size: 400 name: qemu-server.conf"]
        drives = [
            (key, volume, options)
            for key, volume, options in drives_of(backed_up)
            if options.get("backup") not in ("0", "no")
            and (options.get("media") != "cdrom" or "cloudinit" in volume)
        ]
        log += [f"DEV: dev_id={n} devname: drive-{key}" for n, (key, _, _) in enumerate(drives, 1)]
        log.append(f"CTIME: {log_time(archive.ctime)}")
        kept = self._clear(vm, {key for key, _, _ in drives})
        made: dict[str, str] = {}
        try:
            for key, volume, options in drives:
                made[key] = self._allocate(order, volume, options)
                await self.allocated(order.node, volume_ref(made[key])[0])
                log.append(f"new volume ID is '{made[key]}'")
            await self._read_data(log, order)
        except (TaskError, PveError, asyncio.CancelledError) as error:
            for volume in made.values():
                self._qm_free(volume)
                log.append(f"temporary volume '{volume}' successfully removed")
            if isinstance(error, asyncio.CancelledError):
                raise
            # Disks are allocated while the archive is read, so all that fails does so in its command.
            text = error.message if isinstance(error, PveError) else str(error)
            raise TaskError(f"command 'set -o pipefail && {command}' failed: {text}") from error
        self._configure(order, vm, backed_up, made, kept)

    def _pipe(self, record: Record, archive: Archive) -> str:
        path = self._volume_path(archive.storage, archive.name, "backup")
        if self.is_backup_server(archive.storage):
            store = self.storages[archive.storage]
            snapshot = archive.name.removeprefix("backup/")
            repository = f"root@pam@{store['server']}:{store['datastore']}"
            return f"/usr/bin/pbs-restore --repository {repository} {snapshot} drive-scsi0.img.fidx --verbose"
        temporary = f"/var/tmp/vzdumptmp{record['pid']}"
        unpack = {"vma.zst": "zstd -q -d -c", "vma.gz": "zcat", "vma.lzo": "lzop -d -c"}.get(archive.format)
        source = f"{unpack} {path} | " if unpack else ""
        return f"{source}vma extract -v -r {temporary}.fifo {'-' if unpack else path} {temporary}"

    def _config_in(self, archive: Archive) -> dict[str, Any]:
        if archive.config is not None:
            return archive.config
        vm = self.vm(archive.vmid)
        return dict(vm.config) if vm else {"name": f"vm-{archive.vmid}", "memory": "512", "cores": 1}

    def _clear(self, vm: Any, replaced: set[str]) -> list[str]:
        """Erase the disks that are replaced, and the snapshots; return the disks that stay."""
        kept = []
        for key, volume, options in drives_of(vm.config):
            if key in replaced:
                self._qm_free(volume)
            elif options.get("media") != "cdrom":
                kept.append(volume)
        if len(vm.config) > 1:
            vm.config = {"memory": "128", "lock": "create"}
        vm.pending, vm.snapshots = {}, {}
        return kept

    def _allocate(self, order: Order, volume: str, options: dict[str, str]) -> str:
        sid, name = volume_ref(volume)
        sid = order.storage or sid or "local"
        if sid not in self.storages:
            raise TaskError(f"storage '{sid}' does not exist")
        store = self._store(sid)
        if "images" not in split_list(store.get("content")):
            raise TaskError(f"Content type 'images' is not available on storage '{sid}'")
        if not self.allowed(order.user, f"/storage/{sid}", "Datastore.AllocateSpace"):
            raise TaskError(f"403 Permission check failed (/storage/{sid}, Datastore.AllocateSpace)")
        self.activate(sid, order.node)
        self._writable(sid, "unable to create image")
        wanted = name.rsplit(".", 1)[-1] if "." in name else "raw"
        supported = (spec_of(store) or {}).get("formats") or ["raw"]
        kind = wanted if wanted in supported else None
        if "cloudinit" not in volume:
            return str(self._qm_alloc(sid, order.vmid, kind, _bytes(options.get("size", "0")))[0])
        ending = f".{kind or 'qcow2'}" if _is_file(store) else ""
        folder = f"{order.vmid}/" if _is_file(store) else ""
        drive = f"{folder}vm-{order.vmid}-cloudinit{ending}"
        entry = {"content": "images", "format": kind or "raw", "size": _CLOUDINIT_BYTES, "vmid": order.vmid}
        store.setdefault("volumes", {})[drive] = entry
        self.take_space(sid, _CLOUDINIT_BYTES)
        return f"{sid}:{drive}"

    async def _read_data(self, log: list[str], order: Order) -> None:
        archive = order.archive
        seconds = self.restore_seconds.get(archive.vmid, self.restore_default_seconds)
        if archive.broken:
            seconds /= 2
        if seconds:
            await self.clock.until(self.clock.time() + seconds)
        if not archive.broken:
            log.append(f"total bytes read {archive.size}")
            return
        path = self._volume_path(archive.storage, archive.name, "backup")
        log.append(f"{path[-20:]} : Decoding error (36) : Corrupted block detected")
        log.append("vma: restore failed - short vma extent (2142208 < 3797504)")
        raise TaskError("exit code 133")

    def _configure(
        self, order: Order, vm: Any, backed_up: dict[str, Any], made: dict[str, str], kept: list[str]
    ) -> None:
        config: dict[str, Any] = {"lock": "create"}
        for key, value in backed_up.items():
            if _NOT_RESTORED.fullmatch(key):
                continue
            if DRIVE_KEY.match(key):
                volume, options = split_drive(str(value))
                if key in made:
                    options = {name: option for name, option in options.items() if name != "format"}
                    config[key] = join_drive(made[key], options)
                elif options.get("backup") not in ("0", "no"):
                    config[key] = value
            else:
                config[key] = _renewed(key, value, unique=order.unique)
        config.update(order.changes)
        for number, volume in enumerate(kept):
            config[f"unused{number}"] = volume
        vm.config = config
        vm.name = config.get("name") or f"VM {order.vmid}"
        vm.template = bool(config.get("template"))
        vm.origin = order.archive
        if order.pool:
            self._pool_join(order.pool, order.vmid)


def _renewed(key: str, value: Any, *, unique: bool) -> Any:
    """A setting as it is restored: what must not exist twice is made anew."""
    if key == "vmgenid" and str(value) != "0":
        return str(uuid.uuid4())
    if unique and re.fullmatch(r"net\d+", key):
        return with_mac(value, fresh=True)
    if unique and key == "smbios1":
        return re.sub(r"uuid=[0-9a-f-]+", f"uuid={uuid.uuid4()}", str(value))
    return value
