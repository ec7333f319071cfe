# SPDX-License-Identifier: AGPL-3.0-or-later
"""Storages that fill up, go offline and turn read-only, and the backup archives on them.

Licensed as fakepve, which it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

from aiohttp import web
from fakepve import PveError, TaskError
from fakepve import schema as pve_schema
from fakepve.routing import die, split_list
from fakepve.server import USER, params
from fakepve.storage import INTERNAL, _is_file

from tests.api.fakepve_archives import Archive, Shelf, archive_name, mark, retention_of, snapshot_name
from tests.api.fakepve_file_restore import FileRestore
from tests.api.fakepve_tasks import Tasks

_CONTENT = "/nodes/{node}/storage/{storage}/content"
_PRUNE = "/nodes/{node}/storage/{storage}/prunebackups"
_SNAPSHOT = re.compile(
    r"backup/(?P<type>[^\s_/]+)/(?P<id>[^\s_/]+)/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
)
"""An archive on a backup server (PVE::Storage::PBSPlugin, parse_volname)."""

_OWN_KEYS = ("readonly", "role")
"""Keys of a storage that are not Proxmox's."""
_BY_CONNECTION = ("nfs", "cifs", "cephfs", "rbd", "pbs", "iscsi")


class Storages(FileRestore, Tasks):
    """A cluster whose storages have a size, a state and archives."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.shelves: dict[str, Shelf] = defaultdict(Shelf)

    def _register_stateful(self, router: Any, prefixes: Any) -> None:
        # Before fakepve's own: an answer of 60,000 archives is put together from ready pieces.
        for prefix in prefixes:
            router.add_get(prefix + _CONTENT, self._list_content)
            self._answer_file_restore(router, prefix)
        super()._register_stateful(router, prefixes)

    def _routes_archives(self) -> list[tuple[str, str, Any]]:
        return [("GET", _PRUNE, self._show_prune), ("DELETE", _PRUNE, self._prune)]

    # The storages themselves

    def add_storage(self, name: str, **options: Any) -> None:
        """Add a storage: keys of storage.cfg, ``total`` and ``used`` in bytes, ``active``, ``readonly``."""
        self.storages[name] = {"type": "dir", "active": 1, "content": "images", "files": set()}
        self.set_storage(name, **options)
        if _is_file(self.storages[name]):
            self.storages[name].setdefault("path", f"/mnt/pve/{name}")

    def set_storage(self, name: str, **options: Any) -> None:
        """Change one. ``used`` counts what is on it now; None takes a key away."""
        store = self.storages[name]
        used = options.pop("used", None)
        if used is None and "total" in options:
            used = store["total"] - store["avail"] if "total" in store else 0
        for key, value in options.items():
            if value is None:
                store.pop(key, None)
            else:
                store[key] = int(value) if isinstance(value, bool) else value
        if used is not None:
            store["avail"] = store["total"] - used

    @staticmethod
    def _options_of(store: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in store.items() if key not in INTERNAL + _OWN_KEYS}

    def _space(self, store: dict[str, Any]) -> tuple[int, int, int]:
        if "total" not in store or "avail" not in store:
            total, used, avail = super()._space(store)
            return total, used, max(0, avail)
        total, avail = store["total"], max(0, store["avail"])
        return total, total - avail, avail

    def _storage_resource(self, node: str, name: str) -> Any:
        item = super()._storage_resource(node, name)
        if item is None:
            return None
        store = self.storages[name]
        if store.get("active", 1) and self.nodes[node].get("online", True):
            item["maxdisk"], item["disk"], _ = self._space(store)
            item["status"] = "available"
        else:
            # Nobody has figures of a storage that the node cannot reach.
            del item["maxdisk"], item["disk"]
            item["status"] = "unknown"
        return item

    def _active_store(self, name: str, node: str) -> Any:
        store = self._check_enabled(name, node)
        if not store.get("active", 1) and store.get("type") not in _BY_CONNECTION:
            path = self._base_path(name)
            text = f"directory '{path}' does not exist or is unreachable"
            raise die(f"unable to activate storage '{name}' - {text}")
        return super()._active_store(name, node)

    def is_backup_server(self, name: str | None) -> bool:
        """Whether a storage is a Proxmox Backup Server's."""
        return name in self.storages and self.storages[name].get("type") == "pbs"

    def name_of_archive(
        self, storage: str | None, vmid: int, ctime: float, extension: str = "vma.zst"
    ) -> str:
        """The name that an archive gets on a storage."""
        return (
            snapshot_name(vmid, ctime)
            if self.is_backup_server(storage)
            else archive_name(vmid, ctime, extension)
        )

    def _parse_volname(self, store: Any, volname: str) -> tuple[str, int | None, str]:
        if store.get("type") != "pbs":
            parsed: tuple[str, int | None, str] = super()._parse_volname(store, volname)
            return parsed
        found = _SNAPSHOT.fullmatch(volname)
        if found is None:
            raise die(f"unable to parse PBS volume name '{volname}'")
        return "backup", int(found["id"]) if found["id"].isdigit() else None, f"pbs-{found['type']}"

    def _volume_path(self, name: str, volname: str, vtype: str) -> str:
        store = self.storages[name]
        if store.get("type") != "pbs":
            return str(super()._volume_path(name, volname, vtype))
        return f"pbs://{store['server']}:{store['datastore']}/{volname.removeprefix('backup/')}"

    def _may_remove(self, name: str) -> None:
        """A backup server asks for a privilege of its own; ``role`` is that of the storage's user there."""
        store = self.storages[name]
        if store.get("type") == "pbs" and store.get("role") == "DatastoreBackup":
            missing = f"missing Datastore.Modify|Datastore.Prune on /datastore/{store['datastore']}"
            raise TaskError(f"proxmox-backup-client failed: Error: permission check failed - {missing}")

    def take_space(self, name: str, size: int) -> None:
        """Note that so many bytes more lie on a storage; fewer, if negative. A backup server stores what is new."""
        store = self.storages[name]
        if self.is_backup_server(name):
            return
        if "avail" in store:
            store["avail"] -= size

    # Archives

    def add_archive(self, archive: Archive) -> None:
        """Put an archive on its storage, for which space was taken."""
        self.shelves[archive.storage].add(archive)

    def seed_archives(self, entries: list[dict[str, Any]]) -> None:
        """Put archives on storages, without a backup."""
        for entry in entries:
            name = entry.pop("name", None) or self.name_of_archive(
                entry["storage"], entry["vmid"], entry["ctime"]
            )
            archive = Archive(name=name, **{"size": 1024**3, **entry})
            self.add_archive(archive)
            self.take_space(archive.storage, archive.size)

    def remove_archive(self, archive: Archive) -> None:
        """Take an archive away, and get its space back."""
        self.shelves[archive.storage].remove(archive)
        self.take_space(archive.storage, -archive.size)

    def find_archive(self, volid: str) -> Archive | None:
        """The archive of this volume id."""
        storage, _, name = volid.partition(":")
        return self.shelves[storage].by_name.get(name) if storage in self.shelves else None

    def _writable(self, name: str, doing: str) -> None:
        if self.storages[name].get("readonly"):
            raise TaskError(f"{doing} - Read-only file system")

    async def _list_content(self, request: Any) -> Any:
        match = pve_schema.Match(_CONTENT, dict(request.match_info), pve_schema.load().paths[_CONTENT])
        user = request[USER]

        async def call(_match: Any, values: dict[str, Any]) -> list[str]:
            return await self._content_pieces(values, user)

        pieces = await self.answer(request, match, await params(request), user, call)
        return web.Response(text=f'{{"data":[{",".join(pieces)}]}}', content_type="application/json")

    async def _content_pieces(self, values: dict[str, Any], user: str) -> list[str]:
        name, wanted = values["storage"], values.get("content")
        store = self._active_store(name, values["node"])
        pieces: list[str] = []
        if wanted != "backup":
            pieces += [json.dumps(item) for item in await super()._content_list(values, user)]
        if wanted in (None, "backup") and "backup" in split_list(store.get("content")):
            shown: dict[int, bool] = {}
            for archive in sorted(self.shelves[name].of(values.get("vmid")), key=lambda a: a.name):
                if archive.vmid not in shown:
                    shown[archive.vmid] = self._may_see(user, name, archive)
                if shown[archive.vmid]:
                    pieces.append(archive.listed())
        return pieces

    def _may_see(self, user: str, name: str, archive: Archive) -> bool:
        try:
            self._check_access(user, name, "backup", archive.vmid, archive.volid)
        except PveError:
            return False
        return True

    async def _content_info(self, values: dict[str, Any], user: str) -> Any:
        sid, name, volid, _store, vtype, owner, _ = self._volume_target(values)
        if vtype != "backup":
            return await super()._content_info(values, user)
        self._check_access(user, sid, vtype, owner, volid)
        archive = self.find_archive(volid)
        if archive is None or not self.storages[sid].get("active", 1):
            raise die(f"volume_size_info on '{volid}' failed - no format")
        return {
            "path": self._volume_path(sid, name, "backup"),
            "size": archive.size,
            "used": archive.size,
            "format": "raw",
            "notes": archive.notes,
            "protected": int(archive.protected),
        }

    async def _content_put(self, values: dict[str, Any], user: str) -> Any:
        sid, name, volid, store, vtype, owner, _ = self._volume_target(values)
        if vtype != "backup":
            return await super()._content_put(values, user)
        self._check_access(user, sid, vtype, owner, volid)
        trouble = f"unable to open file '{self._volume_path(sid, name, 'backup')}.notes.tmp.1'"
        if not store.get("active", 1):
            raise die(f"{trouble} - No such file or directory")
        if store.get("readonly"):
            raise die(f"{trouble} - Read-only file system")
        archive = self.find_archive(volid)
        if archive is None:
            # Proxmox writes the notes beside an archive without a look at whether there is one.
            return None
        if values.get("protected") and not archive.protected:
            self.check_protected_limit(sid, archive.vmid, user)
        protected = None if values.get("protected") is None else bool(values["protected"])
        archive.change(notes=values.get("notes"), protected=protected)
        return None

    def check_protected_limit(self, name: str, vmid: int, user: str) -> None:
        """Who may not manage the storage may protect five backups of a guest."""
        limit = self.storages[name].get("max-protected-backups")
        if limit is None:
            limit = -1 if self.allowed(user, f"/storage/{name}", "Datastore.Allocate") else 5
        held = sum(archive.protected for archive in self.shelves[name].of(vmid))
        if -1 < int(limit) <= held:
            text = f"The number of protected backups per guest is limited to {limit} on storage '{name}'"
            raise die(text)

    async def _content_delete(self, values: dict[str, Any], user: str) -> Any:
        sid, name, volid, _store, vtype, owner, _ = self._volume_target(values)
        if vtype != "backup" or not owner:
            return await super()._content_delete(values, user)
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")
        self.require(user, f"/vms/{owner}", "VM.Backup")

        async def body() -> str:
            self.activate(sid, values["node"])
            archive = self.find_archive(volid)
            path = self._volume_path(sid, name, "backup")
            if archive is None:
                return f"disk image '{path}' does not exist\nRemoved volume '{volid}'"
            if archive.protected:
                raise TaskError(f"cannot remove protected volume '{name}' on '{sid}'")
            self._writable(sid, f"unlink '{path}' failed")
            self._may_remove(sid)
            self.remove_archive(archive)
            return f"Removed volume '{volid}'"

        upid = await self.task(values["node"], "imgdel", f"{owner}@{sid}", user, body, lock=False)
        record = self.tasks[upid]
        if not values.get("delay") or record["status"] != "stopped":
            return upid
        if record["exitstatus"] != "OK":
            raise die(record["exitstatus"])
        return None

    def activate(self, name: str, node: str) -> None:
        """Make sure that a storage is there, inside a task."""
        try:
            self._active_store(name, node)
        except PveError as error:
            raise TaskError(error.message) from error

    # Prune

    async def _show_prune(self, values: dict[str, Any], user: str) -> list[dict[str, Any]]:
        name = values["storage"]
        keep = retention_of(name, self._store(name), values.get("prune-backups"))
        self._active_store(name, values["node"])
        return [
            {
                "volid": archive.volid,
                "ctime": archive.ctime,
                "type": "qemu",
                "vmid": archive.vmid,
                "mark": fate,
            }
            for archive, fate in self._fates(name, values, keep)
        ]

    def _fates(self, name: str, values: dict[str, Any], keep: dict[str, int]) -> list[tuple[Archive, str]]:
        if values.get("type") == "lxc":
            return []
        shelf = self.shelves[name]
        vmids = list(shelf.by_vmid) if values.get("vmid") is None else [values["vmid"]]
        fates = []
        for vmid in vmids:
            marks = mark(shelf.of(vmid), keep)
            fates += [(shelf.by_name[archive], fate) for archive, fate in marks.items()]
        return fates

    async def _prune(self, values: dict[str, Any], user: str) -> Any:
        name, vmid = values["storage"], values.get("vmid")
        if vmid is None:
            self.require(user, f"/storage/{name}", "Datastore.Allocate")
        else:
            self.require(user, f"/storage/{name}", "Datastore.AllocateSpace")
            self.require(user, f"/vms/{vmid}", "VM.Backup")

        async def body() -> str:
            keep = retention_of(name, self._store(name), values.get("prune-backups"))
            self.activate(name, values["node"])
            return "\n".join(self.prune(name, values, keep))

        subject = name if vmid is None else f"{vmid}@{name}"
        return await self.task(values["node"], "prunebackups", subject, user, body, lock=False)

    def prune(self, name: str, values: dict[str, Any], keep: dict[str, int]) -> list[str]:
        """Remove what a retention does not keep; return a line of the log for each."""
        removed = [archive for archive, fate in self._fates(name, values, keep) if fate == "remove"]
        if removed:
            self._may_remove(name)
        if removed and self.storages[name].get("readonly"):
            raise TaskError("error pruning backups - check log")
        for archive in removed:
            self.remove_archive(archive)
        return [f"removing backup '{archive.volid}'" for archive in removed]
