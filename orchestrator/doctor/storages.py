"""The storages: there, of the right content, able to snapshot, with room, and backups in another data centre."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.doctor.findings import Finding, Place
from orchestrator.proxmox import can_snapshot, disk_objection, storage_type

if TYPE_CHECKING:
    from orchestrator.proxmox import StorageSummary
    from orchestrator.sites.model import Site

FULL, NEARLY_FULL = 0.95, 0.85
"""Shares of a storage that are used."""

_GIB = 1024**3


def judge_storages(
    place: Place,
    site: Site,
    storages: Sequence[StorageSummary],
    home: Sequence[str],
    settings: Mapping[str, Mapping[str, object]],
) -> Iterator[Finding]:
    """Look at the storage of the machines and at those of their backups.

    Args:
        place: the site.
        site: what the site file says.
        storages: as the cluster lists them, one entry a node.
        home: the site's nodes that are online.
        settings: the storages' own settings, by name, as far as the token may see them.
    """
    there = _entries(storages, site.storage)
    yield from _usable(place, site.storage, there, "images", "machines' disks", home)
    if there and (objection := disk_objection(site.storage, there[0].kind, site.disk_format)):
        found, _, remedy = objection.partition(": ")
        yield place.error(f"storage {site.storage}", found, remedy)
    elif there:
        yield from _snapshots(place, site, there[0].kind)
    for backup in site.backup_storages:
        entries = _entries(storages, backup.name)
        yield from _usable(place, backup.name, entries, "backup", f"backups at {backup.site}", home)
        if entries:
            yield from _elsewhere(
                place, site, backup.name, backup.site, entries[0], settings.get(backup.name, {})
            )
    if not site.backup_storages:
        yield place.warning(
            "backups",
            "the site has no storage for backups: files that ask for backups are refused",
            "add one at another data centre to backup_storages of the site (art. 3.5)",
        )


def _entries(storages: Sequence[StorageSummary], name: str) -> list[StorageSummary]:
    return sorted((storage for storage in storages if storage.name == name), key=lambda item: item.node)


def _usable(
    place: Place, name: str, entries: list[StorageSummary], content: str, purpose: str, home: Sequence[str]
) -> Iterator[Finding]:
    subject = f"storage {name}"
    if not entries:
        yield place.error(
            subject,
            f"the cluster has none of that name, or it is disabled, or the token lacks Datastore.Audit on it; "
            f"{purpose} have no place",
            "add or enable it (Datacenter > Storage), or correct the site file",
        )
        return
    if content not in entries[0].content:
        has = ", ".join(sorted(entries[0].content)) or "nothing"
        yield place.error(
            subject,
            f"it does not take {content}, which {purpose} need; it takes {has}",
            f"`pvesm set {name} --content {','.join(sorted({*entries[0].content, content}))}`",
        )
    without = sorted(set(home) - {entry.node for entry in entries})
    if without and content == "images":
        yield place.warning(
            subject,
            f"{', '.join(without)} does not have it: no machine is made there",
            "add it there, if it should be",
        )
    away = [entry.node for entry in entries if not entry.usable and entry.node in home]
    if away:
        yield place.error(
            subject,
            f"it cannot be used on {', '.join(away)}",
            "see Datacenter > Storage, and the network or disk behind it",
        )
    yield from _room(
        place, name, [entry for entry in entries if entry.status == "available" and entry.maxdisk]
    )


def _room(place: Place, name: str, entries: list[StorageSummary]) -> Iterator[Finding]:
    seen = entries[:1] if entries and entries[0].shared else entries
    for entry in seen:
        used = entry.disk / entry.maxdisk
        where = "" if entry.shared else f" on {entry.node}"
        found = f"{used:.0%} of {entry.maxdisk / _GIB:.0f} GiB used{where}"
        remedy = "make room, or add disks: a full storage stops machines in the middle of a write"
        if used >= FULL:
            yield place.error(f"storage {name}", found, remedy)
        elif used >= NEARLY_FULL:
            yield place.warning(f"storage {name}", found, remedy)
        else:
            yield place.ok(f"storage {name}", found)


def _snapshots(place: Place, site: Site, kind: str) -> Iterator[Finding]:
    chosen = site.disk_format or ("raw" if storage_type(kind).folder else None)
    able = can_snapshot(kind, chosen)
    subject = f"snapshots on {site.storage}"
    if able:
        yield place.ok(subject, f"{kind}{f', {site.disk_format}' if site.disk_format else ''}: it can")
    elif able is None:
        yield place.warning(
            subject,
            f"whether {kind or 'this type'} can snapshot is not known",
            "take one by hand; set disk_format: qcow2 on storages of files",
        )
    else:
        yield place.error(
            subject,
            f"{kind} with {chosen or 'raw'} disks cannot: no snapshots (art. 3.2), and updates without rollback",
            "set disk_format: qcow2 for the site where the storage keeps files; else use LVM-thin, ZFS or Ceph",
        )


def _elsewhere(
    place: Place,
    site: Site,
    name: str,
    where: str,
    entry: StorageSummary,
    settings: Mapping[str, object],
) -> Iterator[Finding]:
    """Article 3.5: backups are stored in another data centre. What the files say is checked when they are read."""
    subject = f"two sites: {name}"
    if name == site.storage:
        yield place.error(
            subject,
            f"it is also the storage of the machines' disks, so it cannot be at {where}",
            "name a storage in the other data centre (art. 3.5)",
        )
    elif storage_type(entry.kind).folder and not entry.shared and not settings.get("is_mountpoint"):
        yield place.warning(
            subject,
            f"it is a folder of each node ({settings.get('path') or 'its path is not known'}): if nothing from {where} "
            "is mounted there, backups lie beside their machines (art. 3.5)",
            f"`pvesm set {name} --is_mountpoint yes --shared 1` says that it is a mount, and refuses to write when it "
            "is not mounted; or use NFS, CIFS or a Proxmox Backup Server",
        )
    else:
        yield place.ok(subject, f"{entry.kind}, said to be at {where} (art. 3.5)")
