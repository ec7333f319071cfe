# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files in archives on a backup server: ``file-restore`` of pve-storage (API2/Storage/FileRestore.pm).

What is listed has base64 paths; a file comes as it is, a folder as a zip archive with the folder itself first. A
download is a worker's fifo: where the worker fails, the stream ends early and looks whole. Licensed as fakepve, which
it extends; it only ever runs as a process of its own.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from typing import Any

from aiohttp import web
from fakepve import PveError
from fakepve import schema as pve_schema
from fakepve.routing import die, param_error
from fakepve.server import USER, params

_LIST = "/nodes/{node}/storage/{storage}/file-restore/list"
_DOWNLOAD = "/nodes/{node}/storage/{storage}/file-restore/download"


class FileRestore:
    """What the storages of a cluster say of files in archives; mixed into them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.archived: dict[bytes, bytes | None] = {}
        """Every archive's files by their paths; None: a folder."""
        self.packed: bytes | None = None
        """What any folder comes as, instead of the zip archive that it is."""
        self.cut: int | None = None
        """After so many bytes the worker of every download fails."""

    def _answer_file_restore(self, router: Any, prefix: str) -> None:
        router.add_get(prefix + _LIST, self._list_files)
        router.add_get(prefix + _DOWNLOAD, self._download_file)

    async def _list_files(self, request: Any) -> Any:
        async def call(_match: Any, values: dict[str, Any]) -> list[dict[str, Any]]:
            path = self._restored_path(values, request[USER], values.get("filepath") or "/")
            return self._entries(path)

        return web.json_response({"data": await self._answered(request, _LIST, call)})

    async def _download_file(self, request: Any) -> Any:
        async def call(_match: Any, values: dict[str, Any]) -> bytes:
            return self._content(self._restored_path(values, request[USER], values["filepath"]))

        content = await self._answered(request, _DOWNLOAD, call)
        answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        await answer.write(content if self.cut is None else content[: self.cut])
        await answer.write_eof()
        return answer

    async def _answered(self, request: Any, path: str, call: Any) -> Any:
        match = pve_schema.Match(path, dict(request.match_info), pve_schema.load().paths[path])
        node: Any = self
        return await node.answer(request, match, await params(request), request[USER], call)

    def _restored_path(self, values: dict[str, Any], user: str, filepath: str) -> bytes:
        node: Any = self
        sid, volume = values["storage"], values["volume"]
        volid = volume if ":" in volume else f"{sid}:{volume}"
        if not volid.startswith(f"{sid}:"):
            raise param_error("volume", f"storage ID mismatch ({volid.partition(':')[0]} != {sid}).")
        archive = node.find_archive(volid)
        node._check_access(user, sid, "backup", archive.vmid if archive else None, volid)
        if not node.is_backup_server(sid):
            raise param_error("storage", "Only PBS storages supported for file-restore.")
        if archive is None:
            raise die(f"proxmox-file-restore failed: Error: snapshot {volid} does not exist")
        if filepath == "/":
            return b"/"
        try:
            return base64.b64decode(filepath, validate=True)
        except binascii.Error:
            raise die("proxmox-file-restore failed: Error: Failed base64-decoding path") from None

    def _entries(self, path: bytes) -> list[dict[str, Any]]:
        content = self.archived.get(path)
        if content is not None:
            return [_entry(path, content)]
        if path != b"/" and path not in self.archived:
            raise PveError(500, "No such file or directory (os error 2)")
        inside = path.rstrip(b"/") + b"/"
        return [
            _entry(at, found)
            for at, found in self.archived.items()
            if at.startswith(inside) and b"/" not in at[len(inside) :]
        ]

    def _content(self, path: bytes) -> bytes:
        content = self.archived.get(path)
        if content is not None:
            return content
        if self.packed is not None:
            return self.packed
        made = io.BytesIO()
        root = path.rpartition(b"/")[0] + b"/"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
            for at, found in self.archived.items():
                if at == path or at.startswith(path + b"/"):
                    name = at.removeprefix(root).decode()
                    packed.writestr(name if found is not None else f"{name}/", found or b"")
        return made.getvalue()


def _entry(path: bytes, content: bytes | None) -> dict[str, Any]:
    virtual = path.count(b"/") < 3 and content is None
    entry: dict[str, Any] = {
        "filepath": base64.b64encode(path).decode(),
        "text": path.rpartition(b"/")[2].decode(errors="replace"),
        "type": "f" if content is not None else "v" if virtual else "d",
        "leaf": int(content is not None),
    }
    return entry if content is None else {**entry, "size": len(content), "mtime": 1_700_000_000}


class FileRestoreOps:
    """What the process can be told about files in archives; part of its ``Control``."""

    node: Any

    def op_archived_files(
        self, files: dict[str, str | None], packed: str | None = None, cut: int | None = None
    ) -> None:
        """Let all archives hold these files (paths and contents in Latin-1; null: a folder).

        Args:
            files: by their paths.
            packed: what folders come as, in base64.
            cut: after so many bytes every download breaks off.
        """
        self.node.archived = {
            path.encode("latin-1"): None if content is None else content.encode("latin-1")
            for path, content in files.items()
        }
        self.node.packed = base64.b64decode(packed) if packed is not None else None
        self.node.cut = cut
