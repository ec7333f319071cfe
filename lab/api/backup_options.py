"""What a backup is asked for: the parameters of `vzdump`, checked in the order of a node."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.api import formats
from lab.api.errors import NotImplementedHere, WrongParameters
from lab.api.notes_template import check_notes_template
from lab.api.pruning import PRUNE_BACKUPS, Keep, parse_keep
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
        "protected": Property("boolean"),
        "remove": Property("boolean"),
        "prune-backups": PRUNE_BACKUPS,
        "bwlimit": Property("integer", minimum=0),
        "stopwait": Property("integer", minimum=0),
    }
    | lacking(
        *words("all dumpdir exclude exclude-path fleecing ionice job-id lockwait mailnotification mailto"),
        *words("maxfiles notification-mode notification-policy notification-target performance pigz"),
        *words("pbs-change-detection-mode pool quiet script stdexcludes stdout stop tmpdir zstd"),
    )
)


@dataclass(frozen=True)
class BackupOptions:
    """What was asked for.

    Attributes:
        vmids: the machines, in the order of their numbers.
        storage: name of the storage for the archives.
        mode: `snapshot`, `suspend` or `stop`.
        compress: `0`, `gzip` or `zstd`.
        notes_template: for the notes, or None.
        protected: whether the archive must not be removed.
        remove: whether older archives go, as `keep` says.
        keep: rules of retention.
        rate: bytes a second that are read at most, 0 for no limit.
        stop_wait: minutes that a guest has to go down in mode `stop`.
        command: the request as a command line.
    """

    vmids: tuple[int, ...]
    storage: str
    mode: str
    compress: str
    command: str
    notes_template: str | None = None
    protected: bool = False
    remove: bool = True
    keep: Keep = field(default_factory=lambda: {"keep-all": 1})
    rate: int = 0
    stop_wait: int = 10


def read_options(call: Call) -> BackupOptions:
    """What a request asks for, if the caller may ask for it.

    Raises:
        Forbidden, WrongParameters: as a node answers.
        NotImplementedHere: a compression that the lab does not have.
    """
    storage = call.text("storage") or "local"
    if "bwlimit" in call.parameters:
        call.caller.check("/", "Sys.Modify")
    if "prune-backups" in call.parameters:
        call.caller.check(f"/storage/{storage}", "Datastore.Allocate")
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
    keep = parse_keep(call.text("prune-backups") or "")
    return BackupOptions(
        vmids=tuple(vmids),
        storage=storage,
        mode=call.text("mode") or "snapshot",
        compress=compress,
        command=_command(call),
        notes_template=call.text("notes-template"),
        protected=call.flag("protected"),
        remove=call.flag("remove", default=True) and "keep-all" not in keep,
        keep=keep,
        rate=call.number("bwlimit", 0) * 1024,
        stop_wait=call.number("stopwait", 10),
    )


def _command(call: Call) -> str:
    vmids = " ".join(split_list(call.required("vmid")))
    options = {name: str(value) for name, value in call.parameters.items() if name != "vmid"}
    shown = [f"--{name} {shlex.quote(value)}" for name, value in sorted(options.items()) if value]
    return " ".join(["vzdump", vmids, *shown])
