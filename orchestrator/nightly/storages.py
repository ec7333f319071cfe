"""Health of the storages in the morning: are they there, and will tonight and the next seven nights fit?"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import night_begins
from orchestrator.contract.retention import dated_later
from orchestrator.nightly.due import expected_size
from orchestrator.nightly.fence import reason
from orchestrator.nightly.forecast import Forecast, Load, forecast
from orchestrator.nightly.result import StorageLine
from orchestrator.proxmox import read_cluster

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.proxmox import StorageSummary
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.sites.model import BackupStorage

_NEARLY_FULL = 0.9
"""Share of a storage of machines from which on it is told: snapshots and thin disks grow without asking."""

_GIB = 1024**3
_Purpose = Literal["machines", "backups"]


def storage_lines(night: Night, readings: Mapping[str, SiteReading], tonight: dt.date) -> list[StorageLine]:
    """Look at every storage of the night's sites, as the clusters list them now: three calls a site."""
    lines: list[StorageLine] = []
    for site, reading in readings.items():
        try:
            lines += _of_site(night, reading, tonight)
        except Exception as error:  # one site's figures take nobody else's away
            own = night.provider.sites[site].storage
            text = f"its figures could not be read: {reason(error)}"
            lines.append(_line(site, own, site, "machines", None, text))
    return lines


def _of_site(night: Night, reading: SiteReading, tonight: dt.date) -> list[StorageLine]:
    site = reading.observed.site
    figures: dict[str, list[StorageSummary]] = defaultdict(list)
    for item in read_cluster(night.clusters[site]).storages:
        figures[item.name].append(item)
    own = night.provider.sites[site].storage
    lines = list(_of_machines(site, own, figures.get(own, [])))
    for storage in night.provider.sites[site].backup_storages:
        lines.append(_of_backups(night, reading, storage, figures.get(storage.name, []), tonight))
    return lines


def _of_machines(site: str, name: str, figures: list[StorageSummary]) -> Iterator[StorageLine]:
    """The storage of the machines' disks: one line, or, where each node has its own, one a node."""
    if not figures:
        yield _line(site, name, site, "machines", None, f"the cluster has no storage {name}")
        return
    shared = [item for item in figures if item.shared and item.usable]
    shared.sort(key=lambda item: item.mute)
    for item in shared[:1] or figures:
        label = name if item.shared or len(figures) == 1 else f"{name} ({item.node})"
        message = ""
        if not item.usable:
            message = f"it is {item.status} on {item.node}: see Datacenter > Storage in Proxmox"
        elif item.mute:
            message = _silent(item)
        elif item.maxdisk and item.disk / item.maxdisk >= _NEARLY_FULL:
            message = f"{item.disk / item.maxdisk:.0%} are used on {item.node}: make room, or enlarge it"
        yield _line(site, label, site, "machines", item, message)


def _of_backups(
    night: Night,
    reading: SiteReading,
    storage: BackupStorage,
    figures: list[StorageSummary],
    tonight: dt.date,
) -> StorageLine:
    site = reading.observed.site
    there = sorted((item for item in figures if item.usable), key=lambda item: item.mute)
    if storage.name in reading.unread or not there:
        why = reading.unread.get(storage.name) or (
            f"it is {figures[0].status}: see Datacenter > Storage in Proxmox"
            if figures
            else "the cluster does not have it: see backup_storages of the site"
        )
        return _line(site, storage.name, storage.site, "backups", None, f"no backup can go there: {why}")
    item = there[0]
    if item.mute:
        return _line(site, storage.name, storage.site, "backups", item, _silent(item))
    expected = forecast(
        _loads(night, reading, storage.name, night_begins(tonight)),
        begins=night.clock(),
        night=tonight,
        total=item.maxdisk,
        used=item.disk,
    )
    message = ""
    if expected.full_on is not None:
        missing = max(used for _, used in expected.peaks) - item.maxdisk
        message = (
            f"the backups of the night of {expected.full_on} will not fit: enlarge it by "
            f"{max(missing, 0) / _GIB:.0f} GiB or more, add another storage to backup_storages of the site, or "
            "agree shorter retentions"
        )
    return _line(site, storage.name, storage.site, "backups", item, message, expected)


def _silent(item: StorageSummary) -> str:
    return f"how full it is is not known: {item.node} does not report (`systemctl status pvestatd` there)"


def _loads(night: Night, reading: SiteReading, storage: str, since: dt.datetime) -> Iterator[Load]:
    """What each machine of the site adds to a storage and has there; a machine with several takes even shares."""
    for machine in reading.observed.machines:
        mark, archives = machine.mark, machine.archives or ()
        days = night.backup_days(mark) if mark else None
        backup_storages = night.provider.sites[reading.observed.site].backup_storages
        names = [item.name for item in backup_storages] if days is not None else []
        share = expected_size(machine, night.clock()) / len(names) if storage in names else 0.0
        yield Load(
            size=share,
            tonight=not any(
                archive.taken_at >= since and archive.good and not dated_later(archive, night.clock())
                for archive in archives
            ),
            days=days,
            archives=tuple(
                (archive, archive.stored.size) for archive in archives if archive.stored.storage == storage
            ),
        )


def _line(
    site: str,
    name: str,
    stands_at: str,
    purpose: _Purpose,
    item: StorageSummary | None,
    message: str,
    expected: Forecast | None = None,
) -> StorageLine:
    return StorageLine(
        site=site,
        name=name,
        stands_at=stands_at,
        purpose=purpose,
        status=item.status if item else "unavailable",
        total=item.maxdisk if item else 0,
        used=item.disk if item else 0,
        forecast=expected.nights if expected else (),
        full_on=expected.full_on if expected else None,
        message=message,
    )
