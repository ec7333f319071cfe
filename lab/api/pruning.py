"""Which backups go: Proxmox's rules of retention, and the calls that show and apply them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.api import formats
from lab.api.errors import Refused
from lab.api.routing import Call, Routes, needs_any
from lab.api.schemas import STORAGE
from lab.api.storage import Storage, Storages, Volume
from lab.api.tasks import Log
from lab.api.values import Property, parse_properties

routes = Routes()

Keep = Mapping[str, int]

_PERIODS: dict[str, Callable[[time.struct_time], tuple[int, ...] | str]] = {
    "keep-last": lambda moment: tuple(moment[:6]),
    "keep-hourly": lambda moment: tuple(moment[:4]),
    "keep-daily": lambda moment: tuple(moment[:3]),
    "keep-weekly": lambda moment: time.strftime("%G %V", moment),
    "keep-monthly": lambda moment: tuple(moment[:2]),
    "keep-yearly": lambda moment: tuple(moment[:1]),
}
_KEEP = {"keep-all": Property("boolean")} | {name: Property("integer", minimum=0) for name in _PERIODS}
_CALL = STORAGE | {"type": Property(choices=("qemu", "lxc")), "vmid": Property(check=formats.vmid)}


@dataclass
class Candidate:
    """A backup with what is to become of it: `keep`, `remove`, `protected`, `renamed`, or nothing yet."""

    volume: Volume
    taken: int
    mark: str | None = None


def parse_keep(text: str) -> Keep:
    """Read rules such as `keep-last=3,keep-daily=7`.

    Raises:
        ValueError: in Proxmox's words.
    """
    keep = {
        name: int(str(value)) for name, value in parse_properties(text, _KEEP, name="prune-backups").items()
    }
    keep_all = keep.pop("keep-all", 0)
    if not any(keep.values()):
        return {"keep-all": 1}
    if keep_all:
        raise ValueError("keep-all cannot be set together with other options.\n")
    return keep


PRUNE_BACKUPS = Property(check=parse_keep)
"""The parameter `prune-backups`."""


def candidates(storages: Storages, storage: Storage, keep: Keep, vmid: int | None) -> list[Candidate]:
    """All backups of a storage, or of one VM there, marked."""
    groups: defaultdict[int, list[Candidate]] = defaultdict(list)
    found = []
    for volume in storages.content(storage):
        if volume.kind != "backup" or vmid not in (None, volume.owner):
            continue
        candidate = Candidate(volume, int(volume.shown()["ctime"]))
        found.append(candidate)
        if volume.owner is None:
            candidate.mark = "renamed"
        else:
            groups[volume.owner].append(candidate)
        if volume.protected:
            candidate.mark = "protected"
    for group in groups.values():
        _mark_group(group, keep)
    return found


def _mark_group(group: list[Candidate], keep: Keep) -> None:
    """Mark the backups of one VM."""
    if not any(keep.get(name) for name in _PERIODS):
        for candidate in group:
            candidate.mark = candidate.mark or "keep"
        return
    newest_first = sorted(group, key=lambda candidate: candidate.taken, reverse=True)
    for name, period_of in _PERIODS.items():
        _mark_periods(newest_first, keep.get(name, 0), period_of)
    for candidate in group:
        candidate.mark = candidate.mark or "remove"


def _mark_periods(
    newest_first: list[Candidate],
    count: int,
    period_of: Callable[[time.struct_time], tuple[int, ...] | str],
) -> None:
    """Keep the newest backup of each of the newest `count` periods that no earlier rule has served."""
    if not count:
        return
    periods = [(candidate, period_of(time.localtime(candidate.taken))) for candidate in newest_first]
    served = {period for candidate, period in periods if candidate.mark == "keep"}
    kept = set[tuple[int, ...] | str]()
    for candidate, period in periods:
        if candidate.mark is not None or period in served:
            continue
        if period in kept:
            candidate.mark = "remove"
        elif len(kept) < count:
            kept.add(period)
            candidate.mark = "keep"
        else:
            return


def prune(storages: Storages, storage: Storage, keep: Keep, vmid: int | None, log: Log) -> int:
    """Remove what the rules do not keep; returns how many.

    Raises:
        Refused: one could not be removed.
    """
    removed = [item.volume for item in candidates(storages, storage, keep, vmid) if item.mark == "remove"]
    failed = False
    for volume in removed:
        log(f"removing backup '{volume.volid}'")
        try:
            storages.free(volume)
        except OSError as error:
            log(f"error when removing backup '{volume.volid}' - {error.strerror}")
            failed = True
    if failed:
        raise Refused("error pruning backups - check log")
    return len(removed)


@routes.add(
    "GET",
    "/nodes/{node}/storage/{storage}/prunebackups",
    _CALL | {"prune-backups": PRUNE_BACKUPS},
    needs_any("/storage/{storage}", "Datastore.Audit", "Datastore.AllocateSpace"),
)
async def show_pruning(call: Call) -> object:
    """What a pruning would do, nothing is removed."""
    storage = call.cluster.storages.find(call.required("storage"))
    found = candidates(call.cluster.storages, storage, _keep(call), _vmid(call))
    return [_shown(item) for item in found if call.text("type") in (None, _kind(item))]


@routes.add(
    "DELETE",
    "/nodes/{node}/storage/{storage}/prunebackups",
    _CALL | {"prune-backups": Property(optional=False, check=parse_keep)},
)
async def prune_storage(call: Call) -> object:
    """Remove the backups that the rules do not keep."""
    storage, keep, vmid = call.cluster.storages.find(call.required("storage")), _keep(call), _vmid(call)
    if vmid is None:
        call.caller.check(f"/storage/{storage.name}", "Datastore.Allocate")
    else:
        call.caller.check(f"/storage/{storage.name}", "Datastore.AllocateSpace")
        call.caller.check(f"/vms/{vmid}", "VM.Backup")

    async def work(log: Log) -> None:
        if call.text("type") != "lxc":
            prune(call.cluster.storages, storage, keep, vmid, log)

    subject = storage.name if vmid is None else f"{vmid}@{storage.name}"
    return call.cluster.tasks.start("prunebackups", subject, call.caller, work)


def _keep(call: Call) -> Keep:
    text = call.text("prune-backups")
    if text is None:
        raise Refused(f"no prune-backups options configured for storage '{call.required('storage')}'")
    return parse_keep(text)


def _vmid(call: Call) -> int | None:
    return call.vmid if "vmid" in call.parameters else None


def _kind(item: Candidate) -> str:
    return "unknown" if item.volume.owner is None else "qemu"


def _shown(item: Candidate) -> dict[str, Any]:
    shown: dict[str, Any] = {"volid": item.volume.volid, "ctime": item.taken}
    shown |= {"type": _kind(item), "mark": item.mark}
    return shown | ({} if item.volume.owner is None else {"vmid": item.volume.owner})
