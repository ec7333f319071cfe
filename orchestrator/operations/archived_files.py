"""Files out of an archive: looked at and copied, without restoring a machine.

Proxmox does this for archives on a Proxmox Backup Server, whose node reads them in a small machine of its own. It has
no call for others, and mounting a client's file system on a node, or here, would let the client's data at a kernel:
such an archive is restored beside the machine instead.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.applying.file_copies import CopyLimits, FileCopy, Sink, copy_file, copy_folder
from orchestrator.applying.stopped import Stopped
from orchestrator.errors import OrchestratorError, RequestRefused, about
from orchestrator.operations.backup_on_demand import archives_at, choose
from orchestrator.operations.inventory import open_provider
from orchestrator.operations.named_machine import Found, MachineRequest, find_machine
from orchestrator.operations.run import SILENT, Events, journal, open_clusters, open_history
from orchestrator.proxmox.archived_files import ArchivedFile, download_archived_file, list_archived_files
from orchestrator.resources.machine_archives import newest_good
from orchestrator.shown import quoted, visible

if TYPE_CHECKING:
    from orchestrator.resources.machine_archives import Archive

_PACKED_TOO = 16 * 1024**2
"""Bytes that a zip archive may have beside the files in it."""


@dataclass(frozen=True, kw_only=True)
class FilesRequest(MachineRequest):
    """What to look at in an archive.

    Attributes:
        path: absolute, as the archive names it; ``/``: its disks.
        volid: the archive; None: the newest good one that files can be taken out of.
    """

    path: str = "/"
    volid: str | None = None


@dataclass(frozen=True, kw_only=True)
class CopyFilesRequest(FilesRequest):
    """What to copy out of an archive.

    Attributes:
        folder: where it goes.
        size: how many bytes may be copied.
        seconds: how long it may take.
    """

    folder: Path
    size: int = 10 * 1024**3
    seconds: float = 3600.0


@dataclass(frozen=True, kw_only=True)
class FilesInArchive:
    """What is in a folder of an archive."""

    archive: Archive
    files: tuple[ArchivedFile, ...]


@dataclass(frozen=True, kw_only=True)
class CopiedFiles:
    """What was copied out of which archive."""

    archive: Archive
    copy: FileCopy


def list_files(request: FilesRequest, events: Events = SILENT) -> FilesInArchive:
    """Look into a folder of an archive of a machine.

    Raises:
        OrchestratorError: there is no such archive of this machine, no such folder, or it could not be read.
    """
    with _opened(request, events) as (found, archive):
        files = list_archived_files(found.cluster, archive.stored, _path(request.path))
        return FilesInArchive(archive=archive, files=files)


def copy_files(request: CopyFilesRequest, events: Events = SILENT) -> CopiedFiles:
    """Copy a file or a folder out of an archive of a machine. The history keeps it (article 3.8.1).

    Raises:
        OrchestratorError: there is no such archive of this machine, or it could not be copied; the folder is as it was.
    """
    with open_history(request.history) as history, _opened(request, events) as (found, archive):
        path = _path(request.path)
        started = time.monotonic()
        recorded = None
        with events.steps() as progress:
            recorded = journal(history, request.reason, progress, {found.machine.site: found.cluster})
            progress.step(found.mark.client, found.mark.machine, f"copy {visible(request.path)}")

            def record(result: str, message: str) -> None:
                assert recorded is not None  # noqa: S101
                recorded.record(
                    found.mark.client,
                    found.mark.machine,
                    found.machine.site,
                    "copy files",
                    result=result,
                    message=message,
                    seconds=time.monotonic() - started,
                    details={
                        "archive": archive.stored.volid,
                        "path": visible(request.path),
                        "to": visible(str(request.folder)),
                    },
                )

            try:
                copied = _copied(request, found, archive, path, started)
            except OrchestratorError as error:
                record("failed", str(error))
                progress.ended(found.mark.client, found.mark.machine, "failed", str(error))
                raise
            except KeyboardInterrupt:
                record("failed", "interrupted")
                raise
            record("ok", f"{copied.files} files, {copied.size} bytes")
            progress.ended(found.mark.client, found.mark.machine, "done")
        return CopiedFiles(archive=archive, copy=copied)


def _copied(
    request: CopyFilesRequest, found: Found, archive: Archive, path: bytes, started: float
) -> FileCopy:
    limits = CopyLimits(size=request.size, until=started + request.seconds)
    listed = list_archived_files(found.cluster, archive.stored, path)
    file = next((item for item in listed if item.path == path and item.kind != "d"), None)
    if file is not None and file.kind not in ("f", "h"):
        raise Stopped(f"{visible(request.path)} is no file or folder that can be copied")
    if path.count(b"/") < 2:
        raise Stopped("a whole disk is not copied this way: name a file or folder in one of its partitions")
    name = path.rpartition(b"/")[2]

    def fetch(sink: Sink) -> None:
        download_archived_file(
            found.cluster,
            archive.stored,
            path,
            sink,
            seconds=max(1.0, limits.until - time.monotonic()),
            size=request.size + _PACKED_TOO,
        )

    if file is None:
        return copy_folder(fetch, name, request.folder, limits)
    if file.size is None:
        raise Stopped("its size is not known, so nobody could tell whether it came whole")
    return copy_file(fetch, name, request.folder, file.size, limits)


@contextmanager
def _opened(request: FilesRequest, events: Events) -> Iterator[tuple[Found, Archive]]:
    """The machine, and the archive that is meant."""
    provider = open_provider(request.inventory)
    with open_clusters(provider, notice=events.notice) as clusters, about(request.target):
        found = find_machine(request.target, clusters, snapshots=False)
        reading = archives_at(found, provider)
        volid = request.volid
        if volid is None:
            own = reading.holdings.owned.get((found.mark.client, found.mark.machine), ())
            readable = [item for item in own if item.stored.deduplicated]
            newest = newest_good(readable, dt.datetime.now(dt.UTC))
            volid = newest.stored.volid if newest else None
        archive = choose(request.target, found, reading, volid)
        if not archive.stored.deduplicated:
            raise RequestRefused(
                f"Proxmox takes files only out of archives on a Proxmox Backup Server, and {archive.stored.volid} is "
                f"on another storage. Restore it beside the machine, and take them from there: orchestrator backup "
                f"restore {request.target} --as NAME --archive {archive.stored.volid}"
            )
        yield found, archive


def _path(text: str) -> bytes:
    """A path in an archive, as bytes.

    Raises:
        RequestRefused: it is none.
    """
    path = os.fsencode(text)
    parts = path.strip(b"/").split(b"/")
    if not path.startswith(b"/") or b"\0" in path or any(part in (b".", b"..") for part in parts):
        raise RequestRefused(
            f"{quoted(text)} is not a path in an archive: /, or one that this command listed"
        )
    return b"/" + b"/".join(part for part in parts if part)
