"""Retention of the night: archives whose days are over go, but for those that must stay (article 3.5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from orchestrator.applying.archive_tasks import remove_archive
from orchestrator.contract.calendar import day_in_paris, paris_time
from orchestrator.contract.retention import Verdict
from orchestrator.counting import counted
from orchestrator.errors import told
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import Failures
from orchestrator.proxmox import PermissionDenied, TaskFailed
from orchestrator.reports.page import Cell, Column, Row, Section, Table, Tone, table_of
from orchestrator.resources.machine_archives import Archive, verdicts

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.telling import Telling
    from orchestrator.resources.holdings import SiteReading

_REMOVALS_AT_A_TIME = 2
"""For each site: removing a file is quick, and a node has three workers for everybody."""

_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class RetentionLine(LineOfMachine):
    """An archive whose days are over.

    Attributes:
        result: ``removed``; ``kept`` (protected, or the last good one); ``failed``.
        message: why it was kept or could not be removed.
    """

    volid: str
    taken_at: dt.datetime
    size: int
    result: Literal["removed", "kept", "failed"]
    message: str = ""

    @property
    def failed(self) -> bool:
        """Whether it tells of a failure."""
        return self.result == "failed"


@dataclass(frozen=True, kw_only=True)
class HeldArchives(Line):
    """Archives whose days are over on a backup server that lets the token back up only: they are kept, and told once.

    Attributes:
        archives, size: how many, and their bytes before deduplication.
        reason: what the server said.
    """

    site: str
    storage: str
    archives: int
    size: int
    reason: str


class RetentionStep(Step):
    """Removes the archives whose days are over."""

    name = "retention"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._over: list[tuple[tuple[str, str], Verdict[Archive]]] = []

    def decide(self) -> None:
        """Find what is over now; it is decided again after the backups."""
        for reading in self.work.readings.values():
            self._over += self.work.decided(self.name, partial(over, self.work.night, reading), [])

    def preview(self) -> Iterator[Text]:
        """What would be removed, and what would stay."""
        for (client, name), verdict in self._over:
            stored = verdict.archive.stored
            if verdict.goes:
                size, ended = f"{stored.size / _GIB:.1f} GiB", day_in_paris(verdict.ends)
                yield Text(f"  - archive {client}/{name}   {stored.volid}, {size}, ended {ended}", "red")
            else:
                stays = f"    archive {client}/{name}   {stored.volid} stays: {verdict.kept_because}"
                yield Text(stays, "dim")

    def summary(self) -> str:
        """How many go."""
        return f"{counted(sum(verdict.goes for _, verdict in self._over), 'archive')} to remove"

    def run(self) -> None:
        """Remove what is over."""
        self.work.lines += carry_out(self.work.night, self.work.readings.values())

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Archives that could not be removed."""
        words, lines = telling.speech.words, telling.report.of(RetentionLine)
        found = ((line, line.message) for line in lines if line.result == "failed")
        yield telling.failures(words.retention_failed, words.retention_failed_remedy, found)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """The backups whose days are over, and what became of them; a client is not shown where they are."""
        speech, words = telling.speech, telling.speech.words
        results: dict[str, tuple[str, Tone]] = {
            "removed": (words.archive_removed, "plain"),
            "kept": (words.archive_kept, "plain"),
            "failed": (words.failed, "bad"),
        }
        where = [words.archive] if telling.provider else []
        volume = Column(words.volume, figures=True)
        columns: tuple[Column | str, ...] = (
            words.machine,
            words.site,
            words.taken_at,
            volume,
            words.result,
            words.why,
            *where,
        )
        rows: list[Row] = [
            (
                telling.name(line),
                line.site,
                speech.moment(line.taken_at),
                speech.size(line.size),
                Cell(*results[line.result]),
                line.message,
                *([line.volid] if telling.provider else []),
            )
            for line in telling.report.of(RetentionLine)
        ]
        tables = table_of(words.retention, columns, rows)
        yield Section(title=words.retention, empty=words.no_retention, tables=tables + _held(telling))


def _held(telling: Telling) -> tuple[Table, ...]:
    """What a backup server does not let the token remove: the provider's affair."""
    speech, words = telling.speech, telling.speech.words
    columns: tuple[Column | str, ...] = (
        words.storage,
        words.site,
        Column(words.archives_count, figures=True),
        Column(words.volume, figures=True),
        words.why,
    )
    rows: list[Row] = [
        (line.storage, line.site, speech.number(line.archives), speech.size(line.size), line.reason)
        for line in telling.report.of(HeldArchives)
    ]
    return table_of(words.held, columns, rows, note=words.held_note)


def over(night: Night, reading: SiteReading) -> list[tuple[tuple[str, str], Verdict[Archive]]]:
    """The archives of a site whose days are over or whose date is in the future, with what retention says of each.

    An archive that its own storage lists twice, or that belongs to nobody, is never among them.
    """
    now = night.clock()
    marks = {
        (machine.mark.client, machine.mark.machine): machine.mark
        for machine in reading.observed.machines
        if machine.mark
    }
    found = []
    for key, archives in sorted(reading.holdings.owned.items()):
        mark, desired = marks.get(key), night.desired.get(key)
        if night.out_of_service(key[0], mark):
            continue  # suspended: nothing is deleted (article 9)
        if mark is not None:
            days, in_file = night.backup_days(mark), not night.has_left(mark)
            copies = night.backup_copies(mark)
        else:  # its machine is not here any more, or not yet
            days, in_file = (desired.backup_days if desired else None), desired is not None
            copies = desired.backup_copies if desired else 1
        found += [
            (key, verdict)
            for verdict in verdicts(archives, now, days=days, in_file=in_file, copies=copies)
            if verdict.over or verdict.dated_later
        ]
    return found


def carry_out(night: Night, readings: Iterable[SiteReading]) -> list[Line]:
    """Remove what is over, site by site; one that cannot be removed stops nothing else.

    Where the clocks disagree nothing is: which archives are over is not known there. A backup server that lets the
    token back up only says so at the first archive; the others of that storage are not tried.
    """
    lines: list[Line] = []
    for reading in readings:
        site = reading.observed.site
        judged = [] if night.clocks.objection(site) else over(night, reading)
        held: dict[str, HeldArchives] = {}
        rest = []
        tried: set[str] = set()
        for key, verdict in judged:
            stored = verdict.archive.stored
            if not stored.deduplicated or not verdict.goes:
                rest.append((key, verdict))
            elif stored.storage in held:
                held[stored.storage] = _one_more(held[stored.storage], verdict.archive)
            elif stored.storage in tried:
                rest.append((key, verdict))
            else:
                tried.add(stored.storage)
                line = _one(night, key, verdict)
                if isinstance(line, HeldArchives):
                    held[stored.storage] = line
                else:
                    lines.append(line)
        lines += held.values()
        if not rest:
            continue
        with ThreadPoolExecutor(_REMOVALS_AT_A_TIME, thread_name_prefix=f"retention-{site}") as pool:
            lines += pool.map(lambda item: _one(night, *item), rest)
    return lines


def _one_more(held: HeldArchives, archive: Archive) -> HeldArchives:
    return replace(held, archives=held.archives + 1, size=held.size + archive.stored.size)


def _one(night: Night, key: tuple[str, str], verdict: Verdict[Archive]) -> RetentionLine | HeldArchives:
    archive = verdict.archive
    if verdict.dated_later:
        text = (
            f"its date is in the future ({paris_time(archive.taken_at)}), so it is unknown how "
            "old it is: it is kept and does not count as a backup; the clock of its node was wrong; remove it in "
            "Proxmox when newer ones are there"
        )
        return _line(key, archive, "failed", text)
    if verdict.kept_because is not None:
        return _line(key, archive, "kept", verdict.kept_because)
    client, machine = key
    because = f"its days were over on {paris_time(verdict.ends)} (art. 3.5)"
    try:
        remove_archive(night.clusters[archive.site], night.journal, archive, client, machine, reason=because)
    except Exception as error:  # whatever one archive stumbles over, the others go on
        why = told(error)
        night.tell("archive-failed", client=client, machine=machine, archive=archive.stored.volid, reason=why)
        if archive.stored.deduplicated and _is_forbidden(error):
            stored = archive.stored
            return HeldArchives(
                site=archive.site, storage=stored.storage, archives=1, size=stored.size, reason=why
            )
        return _line(key, archive, "failed", why)
    night.tell("archive-removed", client=client, machine=machine, archive=archive.stored.volid)
    return _line(key, archive, "removed", because)


def _is_forbidden(error: Exception) -> bool:
    """Whether the backup server refused for want of a privilege there: Proxmox VE's own refusal is another thing."""
    cause = error.cause if isinstance(error, TaskFailed) else error
    return isinstance(cause, PermissionDenied) and isinstance(error, TaskFailed)


def _line(
    key: tuple[str, str], archive: Archive, result: Literal["removed", "kept", "failed"], message: str
) -> RetentionLine:
    return RetentionLine(
        client=key[0],
        machine=key[1],
        site=archive.site,
        volid=archive.stored.volid,
        taken_at=archive.taken_at,
        size=archive.stored.size,
        result=result,
        message=message,
    )
