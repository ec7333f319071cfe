"""Where every machine stands in the morning, client by client, with its volume (article 3.5)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar, Literal

from orchestrator.contract.calendar import PARIS
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.restore_testing import last_check, last_sound_test
from orchestrator.nightly.result import Line, LineOfMachine
from orchestrator.nightly.step import Step
from orchestrator.nightly.telling import MACHINE, key
from orchestrator.reports.language import seconds_between
from orchestrator.reports.page import Cell, Column, Row, Section, Table, table_of
from orchestrator.resources.machine_archives import newest_good

if TYPE_CHECKING:
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures
    from orchestrator.resources.machine_archives import Archive

LATE_SECONDS = 36 * 3600
"""A backup is made every day (article 3.5): one older than a day and a half means that a night was missed."""


@dataclass(frozen=True, kw_only=True)
class MachineLine(LineOfMachine):
    """Where one machine stands in the morning.

    Attributes:
        retention_days: None if its backup is off.
        newest_good: when its newest good backup was made; None if there is none.
        archives: how many there are.
        size: their bytes together: what article 3.5 has shown to the client.
        tested_on: when a backup of it was last restored and found sound; None: never restored.
        check: how the check of its file ended in the last restore test that had one, of the archives that are there:
            ``passed``, ``failed``; empty: there was none.
        deduplicated: whether some of its archives are on a backup server: ``size`` is before deduplication there.
    """

    sighting: ClassVar[bool] = True

    contract: str
    retention_days: int | None
    newest_good: dt.datetime | None
    archives: int
    size: int
    tested_on: dt.date | None
    check: Literal["", "passed", "failed"] = ""
    deduplicated: bool = False


class MachineStep(Step):
    """Tells where every machine stands."""

    name = "machines"

    def run(self) -> None:
        """Tell it of each."""
        self.work.lines += list(self._machines())

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """The machine whose newest good backup is the oldest."""
        yield telling.speech.words.oldest, _oldest(telling)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """One table per client, with its total."""
        yield machines_section(telling)

    @staticmethod
    def lines_for_client(report: NightReport) -> Iterator[Line]:
        """A client's machines with backup on that no backup is told of.

        The provider reads why under the problems of the site. The client is not shown those, and must not take a
        night without backups for a good one.
        """
        told = {key(line) for line in report.of(BackupLine)}
        for line in report.of(MachineLine):
            if line.retention_days is not None and key(line) not in told:
                yield BackupLine(client=line.client, machine=line.machine, site=line.site, result="missing")

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """Age and volume of the backups, and when one was last restored."""
        newest = figures.gauge(
            "orchestrator_backup_newest_good_timestamp_seconds",
            "When the newest good backup was made, 0 if there is none; machines whose backup is on",
            MACHINE,
        )
        age = figures.gauge(
            "orchestrator_backup_newest_good_age_seconds",
            "Age of the newest good backup at the end of the last night; alerts take the timestamp",
            MACHINE,
        )
        tested = figures.gauge(
            "orchestrator_restore_tested_timestamp_seconds",
            "Day that a backup was last restored and found sound, 0 if never; machines whose backup is on",
            MACHINE,
        )
        check = figures.gauge(
            "orchestrator_restore_check_passed",
            "Whether the check of its file passed in the last restore test: 1 or 0; machines that had one",
            MACHINE,
        )
        volume = figures.gauge(
            "orchestrator_backup_volume_bytes", "Size of all the backups that are kept", MACHINE
        )
        for line in report.of(MachineLine):
            labels = key(line)
            volume.labels(*labels).set(line.size)
            if line.retention_days is None:  # nothing is due: an old backup is no reason for an alert
                continue
            if line.newest_good is None:
                newest.labels(*labels).set(0)
                age.labels(*labels).set(math.inf)
            else:
                newest.labels(*labels).set(line.newest_good.timestamp())
                age.labels(*labels).set(report.ended_at.timestamp() - line.newest_good.timestamp())
            if line.check:
                check.labels(*labels).set(int(line.check == "passed"))
            tested.labels(*labels).set(0 if line.tested_on is None else _midnight(line.tested_on))

    def _machines(self) -> Iterable[MachineLine]:
        """Where every machine stands that has a backup, or should have, or has archives of an earlier time."""
        told = set()
        for reading in self.work.readings.values():
            for machine in reading.observed.machines:
                if (mark := machine.mark) is None:
                    continue
                told.add((mark.client, mark.machine))
                days, archives = self.work.night.backup_days(mark), machine.archives or ()
                if days is not None or archives:
                    yield self._machine_line(
                        mark.client, mark.machine, mark.contract, machine.site, days, archives, mark.tested
                    )
        for owner, desired in sorted(self.work.night.desired.items()):
            if owner in told or (reading_there := self.work.readings.get(desired.site)) is None:
                continue
            archives = reading_there.holdings.owned.get(owner, ())
            if archives or (desired.backup_days is not None and owner in self.work.backed_up):
                yield self._machine_line(
                    *owner, desired.contract, desired.site, desired.backup_days, archives, None
                )

    def _machine_line(
        self,
        client: str,
        machine: str,
        contract: str,
        site: str,
        days: int | None,
        archives: tuple[Archive, ...],
        tested: dt.date | None,
    ) -> MachineLine:
        good = newest_good(archives, self.work.night.clock())
        return MachineLine(
            client=client,
            machine=machine,
            contract=contract,
            site=site,
            retention_days=days,
            newest_good=good.taken_at if good else None,
            archives=len(archives),
            size=sum(archive.stored.size for archive in archives),
            tested_on=last_sound_test(archives, tested),
            check=last_check(archives),
            deduplicated=any(archive.stored.deduplicated for archive in archives),
        )


def _midnight(day: dt.date) -> float:
    return dt.datetime.combine(day, dt.time(), PARIS).timestamp()


def _oldest(telling: Telling) -> Cell:
    speech, words = telling.speech, telling.speech.words
    due = [line for line in telling.report.of(MachineLine) if line.retention_days is not None]
    if not due:
        return Cell(words.no_machine_backed_up)
    without = [line for line in due if line.newest_good is None]
    if without:
        text = words.oldest_none.format(machine=telling.name(without[0]))
        more = len(without) - 1
        return Cell(f"{text} {words.others(more)}" if more else text, "bad")

    def age(line: MachineLine) -> float:
        assert line.newest_good is not None  # noqa: S101  (those without were told above)
        return seconds_between(line.newest_good, telling.report.ended_at)

    worst = max(due, key=age)
    assert worst.newest_good is not None  # noqa: S101
    return Cell(
        words.oldest_one.format(
            machine=telling.name(worst),
            moment=speech.moment(worst.newest_good),
            age=speech.duration(age(worst)),
        )
    )


def machines_section(telling: Telling) -> Section:
    """One table a client, with its total."""
    words = telling.speech.words
    tonight = {key(line): line for line in telling.report.of(BackupLine)}
    ordered = sorted(telling.report.of(MachineLine), key=lambda line: (line.client, line.machine, line.site))
    tables: tuple[Table, ...] = ()
    for client, lines in groupby(ordered, key=lambda line: line.client):
        tables += _client_table(telling, client, list(lines), tonight)
    return Section(title=words.machines, empty=words.no_machines, tables=tables + _not_created(telling))


def _not_created(telling: Telling) -> tuple[Table, ...]:
    """Machines of the files that nobody has made yet: they get no backup, and that is no failure."""
    words = telling.speech.words
    rows = [
        (telling.name(line), line.site)
        for line in telling.report.of(BackupLine)
        if line.result == "not-created"
    ]
    return table_of(words.not_created, (words.machine, words.site), rows)


def _client_table(
    telling: Telling, client: str, lines: list[MachineLine], tonight: dict[tuple[str, str, str], BackupLine]
) -> tuple[Table, ...]:
    speech, words = telling.speech, telling.speech.words
    contracts = ", ".join(sorted({line.contract for line in lines}))
    kept = speech.number(sum(line.archives for line in lines))
    size = speech.size(sum(line.size for line in lines))
    return table_of(
        words.client_caption.format(client=client, contracts=contracts),
        (
            words.machine,
            words.site,
            words.newest_good,
            words.age,
            words.tonight,
            Column(words.archives, figures=True),
            Column(words.backup_volume, figures=True),
            words.retention_period,
            words.last_test,
        ),
        [_machine_row(telling, line, tonight.get(key(line))) for line in lines],
        total=(words.total, "", "", "", "", kept, size, "", ""),
        note=words.before_deduplication if any(line.deduplicated for line in lines) else "",
    )


def _machine_row(telling: Telling, line: MachineLine, backup: BackupLine | None) -> Row:
    speech, words = telling.speech, telling.speech.words
    due = line.retention_days is not None
    newest, age = Cell(words.no_good_backup, "bad" if due else "plain"), Cell(words.nothing)
    if line.newest_good is not None:
        seconds = seconds_between(line.newest_good, telling.report.ended_at)
        newest = Cell(speech.moment(line.newest_good))
        age = Cell(speech.duration(seconds), "bad" if due and seconds > LATE_SECONDS else "plain")
    tested = Cell(words.never_restored, "warn")
    if line.tested_on is not None:
        tested = Cell(speech.short_day(line.tested_on))
    elif not due and not line.archives:  # there is nothing to restore
        tested = Cell(words.nothing)
    return (
        line.machine,
        line.site,
        newest,
        age,
        _tonight(telling, backup, due=due),
        speech.number(line.archives),
        speech.size(line.size),
        words.backup_off if line.retention_days is None else words.days(line.retention_days),
        tested,
    )


def _tonight(telling: Telling, backup: BackupLine | None, *, due: bool) -> Cell:
    speech, words = telling.speech, telling.speech.words
    if backup is None:
        return Cell(words.no_good_backup, "warn") if due else Cell(words.nothing)
    if backup.result == "done":
        made = words.backup_done.format(
            duration=speech.duration(backup.seconds), size=speech.size(backup.size)
        )
        return Cell(made, "good")
    if backup.result == "earlier":
        return Cell(words.backup_earlier.format(size=speech.size(backup.size)), "good")
    return Cell(words.failed if backup.result in ("failed", "missing") else words.backup_not_begun, "bad")
