"""What a backup is asked for: the parameters of `vzdump`, checked in the order of a node."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from lab.api import formats
from lab.api.errors import NotImplementedHere, WrongParameters
from lab.api.notes_template import check_notes_template
from lab.api.routing import Call
from lab.api.schemas import NODE
from lab.api.values import Property, lacking, split_list, words

SCHEMA: Mapping[str, Property] = (
    NODE
    | {
        "vmid": Property(check=formats.vmid_list),
        "storage": Property(check=formats.storage_id),
        "mode": Property(choices=("snapshot", "suspend", "stop")),
        "compress": Property(choices=("0", "1", "gzip", "lzo", "zstd")),
        "notes-template": Property(max_length=1024),
        "bwlimit": Property("integer", minimum=0),
    }
    | lacking(
        *words("all dumpdir exclude exclude-path fleecing ionice job-id lockwait mailnotification mailto"),
        *words("maxfiles notification-mode notification-policy notification-target performance pigz"),
        *words(
            "pbs-change-detection-mode pool protected prune-backups quiet remove script stdexcludes stdout stop"
        ),
        *words("stopwait tmpdir zstd"),
    )
)


@dataclass(frozen=True)
class BackupOptions:
    """What was asked for.

    Attributes:
        vmids: the machines, in the order of their numbers.
        storage: name of the storage for the archives.
        compress: `0`, `gzip` or `zstd`.
        notes_template: for the notes, or None.
        rate: bytes a second that are read at most, 0 for no limit.
        command: the request as a command line.
    """

    vmids: tuple[int, ...]
    storage: str
    compress: str
    command: str
    notes_template: str | None = None
    rate: int = 0


def read_options(call: Call) -> BackupOptions:
    """What a request asks for, if the caller may ask for it.

    Raises:
        Forbidden, WrongParameters: as a node answers.
        NotImplementedHere: a mode or a compression that the lab does not have.
    """
    storage = call.text("storage") or "local"
    if "bwlimit" in call.parameters:
        call.caller.check("/", "Sys.Modify")
    try:
        check_notes_template(call.text("notes-template") or "")
    except ValueError as error:
        raise WrongParameters({"notes-template": str(error)}) from None
    vmids = sorted({int(item) for item in split_list(call.text("vmid") or "")})
    if not vmids:
        raise WrongParameters({"vmid": "property is missing"})
    call.caller.check(f"/storage/{storage}", "Datastore.AllocateSpace")
    compress = call.text("compress") or "0"
    if compress in ("1", "lzo"):
        raise NotImplementedHere(f"Compression '{compress}'")
    if (mode := call.text("mode") or "snapshot") != "snapshot":
        raise NotImplementedHere(f"Backup mode '{mode}'")
    return BackupOptions(
        vmids=tuple(vmids),
        storage=storage,
        compress=compress,
        command=_command(call),
        notes_template=call.text("notes-template"),
        rate=call.number("bwlimit", 0) * 1024,
    )


def _command(call: Call) -> str:
    vmids = " ".join(split_list(call.required("vmid")))
    options = {name: str(value) for name, value in call.parameters.items() if name != "vmid"}
    shown = [f"--{name} {shlex.quote(value)}" for name, value in sorted(options.items()) if value]
    return " ".join(["vzdump", vmids, *shown])
