"""Health of the storages in the morning: are they there, and will tonight and the next seven nights fit?"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from orchestrator.contract.calendar import night_begins
from orchestrator.contract.retention import dated_later
from orchestrator.errors import told
from orchestrator.nightly.due_backups import expected_size
from orchestrator.nightly.forecast import Forecast, Load, forecast
from orchestrator.nightly.result import Line
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import Failures, Urgency
from orchestrator.proxmox import read_cluster
from orchestrator.reports.page import Bar, Cell, Column, Section, Table, Tone, table_of

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.proxmox import StorageSummary
    from orchestrator.reports.figures import Figures
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.sites.model import BackupStorage

_NEARLY_FULL = 0.9
"""Share of a storage of machines from which on it is told: snapshots and thin disks grow without asking."""

_FILLING_PERCENT = 80
"""From this share on a storage is marked, before anything fails."""

_GIB = 1024**3
_STORAGE = ("site", "storage")
_Purpose = Literal["machines", "backups"]


@dataclass(frozen=True, kw_only=True)
class StorageLine(Line):
    """A storage's health and whether the coming nights fit.

    Attributes:
        site: the cluster that it was read from.
        stands_at: the data centre where it stands.
        purpose: ``machines`` or ``backups``.
        status: ``available``, or what Proxmox says instead.
        total, used: bytes.
        forecast: for tonight and the next seven nights, the night and the bytes expected to be used after it;
            empty for storages of machines.
        full_on: the first night that does not fit; None if all do.
        message: what is wrong, and the remedy; empty if nothing is.
    """

    site: str
    name: str
    stands_at: str
    purpose: Literal["machines", "backups"]
    status: str
    total: int
    used: int
    forecast: tuple[tuple[dt.date, int], ...] = ()
    full_on: dt.date | None = None
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether something is wrong with it."""
        return bool(self.message)


class StorageStep(Step):
    """Looks at every storage as the clusters list them now."""

    name = "storages"

    def run(self) -> None:
        """Look at each."""
        self.work.lines += storage_lines(self.work.night, self.work.readings, self.work.tonight)

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Storages in trouble."""
        words = telling.speech.words
        found = (
            (line.name, line.site, line.message) for line in telling.report.of(StorageLine) if line.failed
        )
        yield Failures(words.storage_unwell, words.storage_unwell_remedy, tuple(found), Urgency.BACKUP)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """They are the provider's affair."""
        if telling.provider:
            yield storages_section(telling)

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """How full each is, and when it will be."""
        used = figures.gauge("orchestrator_storage_used_bytes", "What is used of a storage", _STORAGE)
        total = figures.gauge("orchestrator_storage_total_bytes", "Size of a storage", _STORAGE)
        full = figures.gauge(
            "orchestrator_storage_full_in_nights",
            "Nights until the first that does not fit: 0 is the last night's own, +Inf if the next seven fit",
            _STORAGE,
        )
        for line in report.of(StorageLine):
            labels = (line.site, line.name)
            if line.total:  # else nobody knows
                used.labels(*labels).set(line.used)
                total.labels(*labels).set(line.total)
            if line.full_on is not None:
                full.labels(*labels).set((line.full_on - report.night).days)
            elif line.forecast:
                full.labels(*labels).set(math.inf)


def storage_lines(night: Night, readings: Mapping[str, SiteReading], tonight: dt.date) -> list[StorageLine]:
    """Look at every storage of the night's sites, as the clusters list them now: three calls a site."""
    lines: list[StorageLine] = []
    for site, reading in readings.items():
        try:
            lines += _of_site(night, reading, tonight)
        except Exception as error:  # one site's figures take nobody else's away
            own = night.provider.sites[site].storage
            text = f"its figures could not be read: {told(error)}"
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
    if item.deduplicates:  # the sizes of archives say nothing of the room that they take
        full = item.maxdisk and item.disk / item.maxdisk >= _NEARLY_FULL
        text = f"{item.disk / item.maxdisk:.0%} are used: make room on the backup server (garbage collection)"
        return _line(site, storage.name, storage.site, "backups", item, text if full else "")
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
        desired = night.desired.get((mark.client, mark.machine)) if mark else None
        site = night.provider.sites[reading.observed.site]
        backup_storages = desired.backup_storages if desired else site.backup_storages
        names = [item.name for item in backup_storages] if days is not None else []
        copies = night.backup_copies(mark) if mark else 1
        share = expected_size(machine, night.clock()) * copies / len(names) if storage in names else 0.0
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


def storages_section(telling: Telling) -> Section:
    """The storages: how full, what is wrong, and whether the coming nights fit."""
    speech, words = telling.speech, telling.speech.words
    columns = (
        words.storage,
        words.site,
        words.data_centre,
        words.purpose,
        words.state,
        words.fill,
        words.first_night_too_full,
        words.remark,
    )
    rows = []
    for line in telling.report.of(StorageLine):
        available = line.status == "available"
        fits = Cell(words.nothing)
        if line.full_on is not None:
            fits = Cell(speech.day(line.full_on), "bad")
        elif line.forecast:
            fits = Cell(words.every_night_fits, "good")
        rows.append(
            (
                line.name,
                line.site,
                line.stands_at,
                words.purpose_backups if line.purpose == "backups" else words.purpose_machines,
                Cell(words.state_available if available else line.status, "plain" if available else "bad"),
                _fill(telling, line),
                fits,
                Cell(line.message, "bad"),
            )
        )
    tables = table_of(words.storages, columns, rows) + _forecast_table(telling)
    return Section(title=words.storages, empty=words.no_storages, tables=tables)


def _fill(telling: Telling, line: StorageLine) -> Cell:
    speech = telling.speech
    amounts = speech.words.of.format(part=speech.size(line.used), whole=speech.size(line.total))
    if line.total <= 0:
        return Cell(amounts)
    percent = line.used * 100 // line.total
    tone: Tone = "warn" if percent >= _FILLING_PERCENT else "plain"
    return Cell(
        f"{speech.share(line.used, line.total)}, {amounts}", tone, Bar(percent=min(max(percent, 0), 100))
    )


def _forecast_table(telling: Telling) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    foretold = [line for line in telling.report.of(StorageLine) if line.forecast]
    nights = sorted({night for line in foretold for night, _ in line.forecast})
    columns = (Column(words.storage), *(Column(speech.short_day(night), figures=True) for night in nights))
    rows = []
    for line in foretold:
        expected = dict(line.forecast)
        cells = [Cell(f"{line.name} ({line.site})")]
        for night in nights:
            if night not in expected:
                cells.append(Cell(words.nothing))
                continue
            used = expected[night]
            full = used > line.total or (line.full_on is not None and night >= line.full_on)
            cells.append(
                Cell(f"{speech.size(used)}, {speech.share(used, line.total)}", "bad" if full else "plain")
            )
        rows.append(tuple(cells))
    return table_of(words.fill_forecast, columns, rows)
