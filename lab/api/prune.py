"""Which backups `keep-…` keeps: Proxmox's own rule, that counts days (weeks, …) that have a backup."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from lab.api import formats
from lab.api.errors import Refused
from lab.api.routing import Call, Routes, needs_any
from lab.api.schemas import STORAGE
from lab.api.storage import Volume
from lab.api.tasks import Log
from lab.api.values import Property

routes = Routes()

_PERIODS = {
    "keep-hourly": "%Y-%m-%d %H",
    "keep-daily": "%Y-%m-%d",
    "keep-weekly": "%G-%V",
    "keep-monthly": "%Y-%m",
    "keep-yearly": "%Y",
}
_SCHEMA = STORAGE | {
    "prune-backups": Property(check=formats.prune_backups),
    "type": Property(choices=("qemu", "lxc")),
    "vmid": Property(check=formats.vmid),
}
_PATH = "/nodes/{node}/storage/{storage}/prunebackups"


@routes.add(
    "GET", _PATH, _SCHEMA, needs_any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace")
)
async def dry_run(call: Call) -> object:
    """What pruning would keep and remove."""
    return _marked(call)


@routes.add("DELETE", _PATH, _SCHEMA)
async def prune(call: Call) -> object:
    """Prune in a task."""
    storage = call.required("storage")
    if call.text("vmid") is not None:
        call.caller.check(f"/storage/{storage}", "Datastore.AllocateSpace")
        call.caller.check(f"/vms/{call.vmid}", "VM.Backup")
    else:
        call.caller.check(f"/storage/{storage}", "Datastore.Allocate")

    async def work(log: Log) -> None:
        for entry in _marked(call):
            if entry["mark"] == "remove":
                call.cluster.storages.free(call.cluster.storages.volume(entry["volid"]))
                log(f"removing volume {entry['volid']}")

    subject = f"{call.vmid}@{storage}" if call.text("vmid") is not None else storage
    return call.cluster.tasks.start("prunebackups", subject, call.caller, work)


def _marked(call: Call) -> list[dict[str, Any]]:
    storages = call.cluster.storages
    storage = storages.find(call.required("storage"))
    if call.text("prune-backups") is None:
        raise Refused("no prune-backups options configured for storage")
    options = formats.parse_prune_backups(call.required("prune-backups"))
    vmid = call.text("vmid")
    groups: defaultdict[int, list[Volume]] = defaultdict(list)
    for volume in storages.content(storage):
        if volume.kind == "backup" and volume.owner is not None and vmid in (None, str(volume.owner)):
            groups[volume.owner].append(volume)
    listed = []
    for owner, volumes in sorted(groups.items()):
        times = {volume.volid: volume.shown()["ctime"] for volume in volumes}
        protected = {volume.volid for volume in volumes if volume.protected}
        kept = keep({volid: at for volid, at in times.items() if volid not in protected}.items(), options)
        for volid, ctime in sorted(times.items(), key=lambda item: -item[1]):
            mark = "protected" if volid in protected else "keep" if volid in kept else "remove"
            listed.append({"volid": volid, "ctime": ctime, "mark": mark, "type": "qemu", "vmid": owner})
    return listed


def keep(backups: Iterable[tuple[str, int]], options: dict[str, int]) -> set[str]:
    """Which backups stay.

    Args:
        backups: of one VM: id and time, epoch seconds.
        options: `keep-last`, `keep-daily`, …, with their numbers; `keep-all` keeps all.
    """
    newest_first = sorted(backups, key=lambda item: (-item[1], item[0]))
    if options.get("keep-all") or not any(options.values()):
        return {volid for volid, _ in newest_first}
    kept = {volid for volid, _ in newest_first[: options.get("keep-last", 0)]}
    for option, period in _PERIODS.items():
        left, covered = options.get(option, 0), set()
        for volid, at in newest_first:
            if volid in kept:
                covered.add(time.strftime(period, time.localtime(at)))
        for volid, at in newest_first:
            name = time.strftime(period, time.localtime(at))
            if left and volid not in kept and name not in covered:
                kept.add(volid)
                covered.add(name)
                left -= 1
    return kept
