"""``orchestrator backup files``: files out of an archive, without restoring a machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import session
from orchestrator.cli.progress import EVENTS
from orchestrator.cli.shared_options import Reason, Target
from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted

if TYPE_CHECKING:
    from orchestrator.operations.archived_files import CopyFilesRequest
    from orchestrator.proxmox.archived_files import ArchivedFile

_GIB = 1024**3
_KINDS = {"f": "file", "d": "folder", "v": "folder", "l": "link", "h": "file"}


def archived_files(
    target: Target,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help="A folder in the archive, as this command lists it.")
    ] = "/",
    archive: Annotated[
        str | None,
        typer.Option("--archive", metavar="VOLID", help="This archive.  [default: the newest good one]"),
    ] = None,
    copy: Annotated[
        str | None, typer.Option(metavar="PATH", help="Copy this file or folder out of the archive.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With --copy: where it goes. Nothing is replaced.")
    ] = None,
    limit: Annotated[
        float, typer.Option(min=0.001, metavar="GIB", help="With --copy: at most this much.")
    ] = 10.0,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="With --copy: how long it may take.")
    ] = 3600.0,
    format: Annotated[session.OutputFormat, typer.Option(help="For people or for programs.")] = (
        session.OutputFormat.TEXT
    ),
    inventory: session.Inventory = None,
    reason: Reason = "files out of an archive",
    history: session.HistoryPath = None,
) -> None:
    """List files in an archive, or copy them out of it.

    No machine is restored. Only for archives on a Proxmox Backup Server: Proxmox reads files out of no others.
    """
    from orchestrator.operations import archived_files as operation  # not for `--help`
    from orchestrator.operations.archived_files import CopyFilesRequest, FilesRequest

    if (copy is None) != (to is None):
        session.fail("--copy PATH and --to FOLDER go together")
    if copy is not None and to is not None:
        request = CopyFilesRequest(
            target=target,
            inventory=inventory,
            reason=reason,
            history=history,
            path=copy,
            volid=archive,
            folder=to,
            size=int(limit * _GIB),
            seconds=timeout,
        )
        _copy(request, format)
        return
    found = operation.list_files(
        FilesRequest(
            target=target, inventory=inventory, reason=reason, history=history, path=path, volid=archive
        ),
        EVENTS,
    )
    if format is session.OutputFormat.JSON:
        shown = {"archive": found.archive.stored.volid, "files": [_document(item) for item in found.files]}
        session.echo_json(json.dumps(shown, indent=2))
        return
    out = session.console()
    out.print(f"{target}   {paris_time(found.archive.taken_at)}   {found.archive.stored.volid}", style="bold")
    for item in found.files:
        size = f"{item.size:>15,}" if item.size is not None else " " * 15
        when = paris_time(item.changed_at) if item.changed_at else ""
        out.print(f"  {_KINDS.get(item.kind, 'special'):<8}{size}   {when:<18}{os.fsdecode(item.path)}")
    if not found.files:
        out.print("  nothing is there")


def _document(item: ArchivedFile) -> dict[str, Any]:
    return {
        "path": os.fsdecode(item.path),
        "kind": _KINDS.get(item.kind, "special"),
        "size": item.size,
        "changed_at": item.changed_at.isoformat() if item.changed_at else None,
    }


def _copy(request: CopyFilesRequest, format: session.OutputFormat) -> None:
    from orchestrator.operations import archived_files as operation

    done = operation.copy_files(request, EVENTS)
    copied = done.copy
    if format is session.OutputFormat.JSON:
        shown = {
            "archive": done.archive.stored.volid,
            "path": str(copied.path),
            "files": copied.files,
            "size": copied.size,
            "left_out": copied.left_out,
        }
        session.echo_json(json.dumps(shown, indent=2))
        return
    out = session.console()
    out.print(
        f"{copied.path}   {counted(copied.files, 'file')}, {copied.size} bytes, of {done.archive.stored.volid}"
    )
    if copied.left_out:
        out.print(f"{counted(copied.left_out, 'link or device', 'links and devices')} left out")
