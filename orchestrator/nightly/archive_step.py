"""The archives on the backup storages: listed anew during the night, and those that belong to no machine of ours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import told
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import Failures, Urgency
from orchestrator.reports.page import Cell, Column, Section, Table, table_of
from orchestrator.resources.holdings import SiteReading, with_archives, without_archives

if TYPE_CHECKING:
    from orchestrator.nightly.telling import Telling

_NAMED = 50
"""So many archives that are not believed are named; of the others there is a number."""


@dataclass(frozen=True, kw_only=True)
class ForeignArchives(Line):
    """Archives on our backup storages that belong to no machine of ours: left alone."""

    site: str
    storage: str
    archives: int
    size: int


@dataclass(frozen=True, kw_only=True)
class UnbelievedArchive(Line):
    """An archive whose notes claim to be a machine's of ours, and are not believed: left alone, and asked about.

    Attributes:
        reason: why, human-readable.
    """

    site: str
    volid: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DamagedArchive(LineOfMachine):
    """An archive of ours that its backup server verified and found damaged: it is no good backup."""

    volid: str
    taken_at: dt.datetime

    @property
    def failed(self) -> bool:
        """It is one."""
        return True


class ReadArchivesStep(Step):
    """Lists the archives anew: one call per storage."""

    name = "reading archives"

    def run(self) -> None:
        """Read them, site by site."""
        night, readings = self.work.night, self.work.readings
        for site in list(readings):
            known, bare = readings[site].unread, without_archives(readings[site].observed)
            # What was listed before goes before the new list comes: there may be tens of thousands.
            readings[site] = SiteReading(observed=bare, unread=known)
            storages = night.provider.backup_storage_names[site]
            try:
                fresh = with_archives(night.clusters[site], bare, storages, night.desired)
            except Exception as error:  # nothing of that site is known then, and nothing is removed there
                fresh = SiteReading(observed=bare, unread=dict.fromkeys(storages, told(error)))
            readings[site] = fresh
            self.work.problems += [
                f"backup storage {storage} of {site} went away during the night: {why}"
                for storage, why in fresh.unread.items()
                if storage not in known
            ]


class ForeignArchiveStep(Step):
    """Tells of the archives that belong to no machine of ours, and of those whose notes are not believed."""

    name = "foreign archives"

    def run(self) -> None:
        """Count them."""
        readings = self.work.readings.values()
        self.work.lines += [*foreign(readings), *unbelieved(readings), *damaged(readings)]

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Archives whose verification failed."""
        speech, words = telling.speech, telling.speech.words
        found = (
            (line, f"{speech.moment(line.taken_at)}" + (f", {line.volid}" if telling.provider else ""))
            for line in telling.report.of(DamagedArchive)
        )
        yield telling.failures(
            words.verification_failed, words.verification_failed_remedy, found, Urgency.BACKUP
        )

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """They are the provider's affair."""
        if telling.provider:
            yield foreign_section(telling)


def foreign(readings: Iterable[SiteReading]) -> list[ForeignArchives]:
    """How many archives of each backup storage belong to no machine of ours."""
    lines = []
    for reading in readings:
        by_storage: dict[str, list[int]] = {}
        for stored in reading.holdings.foreign:
            by_storage.setdefault(stored.storage, []).append(stored.size)
        lines += [
            ForeignArchives(site=reading.observed.site, storage=storage, archives=len(sizes), size=sum(sizes))
            for storage, sizes in sorted(by_storage.items())
        ]
    return lines


def damaged(readings: Iterable[SiteReading]) -> list[DamagedArchive]:
    """The archives of ours whose verification by their backup server failed."""
    return [
        DamagedArchive(
            client=client,
            machine=machine,
            site=reading.observed.site,
            volid=archive.stored.volid,
            taken_at=archive.taken_at,
        )
        for reading in readings
        for (client, machine), archives in sorted(reading.holdings.owned.items())
        for archive in archives
        if archive.stored.verification == "failed"
    ]


def unbelieved(readings: Iterable[SiteReading]) -> list[UnbelievedArchive]:
    """The archives whose notes claim to be ours and are not believed."""
    return [
        UnbelievedArchive(site=reading.observed.site, volid=item.stored.volid, reason=item.reason)
        for reading in readings
        for item in reading.holdings.disbelieved
    ]


def _unbelieved(telling: Telling) -> tuple[Table, ...]:
    """Archives whose notes claim to be ours and are not believed, the first of them by name."""
    words, found = telling.speech.words, telling.report.of(UnbelievedArchive)
    columns = (Column(words.archive), Column(words.site), Column(words.reason))
    rows = [(Cell(line.volid), Cell(line.site), Cell(line.reason, "warn")) for line in found[:_NAMED]]
    rest = len(found) - len(rows)
    if rest > 0:
        rows.append((Cell(words.others(rest)), Cell(""), Cell("")))
    return table_of(words.unbelieved, columns, rows, note=words.unbelieved_note)


def foreign_section(telling: Telling) -> Section:
    """Archives on our storages that belong to no machine of ours."""
    speech, words = telling.speech, telling.speech.words
    columns = (
        words.storage,
        words.site,
        Column(words.archives_count, figures=True),
        Column(words.volume, figures=True),
    )
    rows = [
        (line.storage, line.site, speech.number(line.archives), speech.size(line.size))
        for line in telling.report.of(ForeignArchives)
    ]
    tables = table_of(words.foreign, columns, rows, note=words.foreign_left) + _unbelieved(telling)
    return Section(title=words.foreign, empty=words.no_foreign, tables=tables)
