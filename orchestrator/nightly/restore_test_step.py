"""Restore tests: which backups are tested tonight, and what the report says of them.

How one is tested is in :mod:`orchestrator.nightly.restore_testing`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.counting import counted
from orchestrator.nightly.restore_testing import Candidate, RestoreTestLine, RestoreTests, last_sound_test
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import Failures, Urgency
from orchestrator.reports.page import Cell, Picture, Section, Tone, table_of
from orchestrator.resources.machine_archives import newest_good

if TYPE_CHECKING:
    from orchestrator.nightly.context import Night
    from orchestrator.nightly.telling import Telling
    from orchestrator.resources.holdings import SiteReading
    from orchestrator.resources.observed import ObservedMachine

EVERY_DAYS = 31
"""Every machine is tested at least once in so many days."""

_PICTURE_BYTES = 8 * 1024**2
"""Of all pictures of one report."""

_SPREAD_NIGHTS = 28
"""So many nights share the machines: a few nights' grace for failures before the 31 days are over."""


class RestoreTestStep(Step):
    """Tests tonight's sample of the backups."""

    name = "restore tests"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self._chosen: list[Candidate] = []

    def decide(self) -> None:
        """Choose the sample; it is chosen again after the backups."""
        self._chosen = choose_tests(self.work.night, self.work.readings, self.work.tonight)

    def preview(self) -> Iterator[Text]:
        """The sample."""
        for test in self._chosen:
            mark = test.archive.mark
            last = f"last on {test.tested_on}" if test.tested_on else "never restored"
            what = f"  ? restore test {mark.client}/{mark.machine}   {test.archive.stored.volid}   {last}"
            yield Text(what, "yellow")

    def summary(self) -> str:
        """How many."""
        return counted(len(self._chosen), "restore test")

    def run(self) -> None:
        """Remove what a killed run left behind, then test."""
        night, readings = self.work.night, self.work.readings
        tests = RestoreTests(night, readings)
        try:
            tests.remove_leftovers()
            tests.note_earlier()
            self.work.lines += tests.run(choose_tests(night, readings, self.work.tonight))
        finally:
            self.work.problems += tests.problems

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Tests that failed or did not begin."""
        words = telling.speech.words
        for result, name, remedy in (
            ("failed", words.test_failed, words.test_failed_remedy),
            ("not-started", words.test_not_started, words.test_not_started_remedy),
        ):
            lines = telling.report.of(RestoreTestLine)
            found = ((line, line.message) for line in lines if line.result == result)
            yield telling.failures(name, remedy, found, Urgency.BACKUP)

    @staticmethod
    def sections(telling: Telling) -> Iterator[Section]:
        """The restore tests of this night."""
        speech, words = telling.speech, telling.speech.words
        results: dict[str, tuple[str, Tone]] = {
            "sound": (words.sound, "good"),
            "failed": (words.failed, "bad"),
            "not-started": (words.not_started, "warn"),
        }
        checked = {"": "", "passed": f"; {words.check_passed}", "failed": f"; {words.check_failed}"}
        columns = (words.machine, words.site, words.taken_at, words.result, words.duration, words.finding)
        rows = [
            (
                telling.name(line),
                line.site,
                speech.moment(line.taken_at),
                Cell(results[line.result][0] + checked[line.check], results[line.result][1]),
                speech.duration(line.seconds) if line.result != "not-started" else words.nothing,
                line.message,
            )
            for line in telling.report.of(RestoreTestLine)
        ]
        pictures, more = _pictures(telling)
        yield Section(
            title=words.tests,
            empty=words.no_tests,
            tables=table_of(words.tests, columns, rows),
            pictures=pictures,
            note=words.more_pictures.format(n=speech.number(more)) if more else "",
        )


def _pictures(telling: Telling) -> tuple[tuple[Picture, ...], int]:
    """The pictures of this night's copies, those of failed tests first, and how many more there are."""
    words = telling.speech.words
    lines = [line for line in telling.report.of(RestoreTestLine) if line.picture]
    lines.sort(key=lambda line: (not line.failed, line.client, line.machine))
    found: list[Picture] = []
    size = 0
    for number, line in enumerate(lines):
        size += len(line.picture or b"")
        if size > _PICTURE_BYTES:
            return tuple(found), len(lines) - number
        caption = words.console_of.format(machine=telling.name(line))
        found.append(
            Picture(caption=caption, name=f"{line.client}-{line.machine}-console", png=line.picture or b"")
        )
    return tuple(found), 0


def choose_tests(night: Night, readings: Mapping[str, SiteReading], today: dt.date) -> list[Candidate]:
    """Tonight's sample: a 28th of the machines that have backups, those never or longest not tested first, and
    every one whose last test is about to be 31 days old.

    A machine whose newest archive was tested tonight already, by a run that was killed since, is not tested again.
    """
    candidates = []
    tonight = 0
    now = night.clock()
    for reading in readings.values():
        for machine in reading.observed.machines:
            mark = machine.mark
            if mark is None or night.backup_days(mark) is None or night.out_of_service(mark.client, mark):
                continue
            if _tested_since(machine, mark.tested, today):
                tonight += 1
            elif (archive := newest_good(machine.archives or (), now)) is not None:
                sound_on = last_sound_test(machine.archives or (), mark.tested)
                candidates.append(Candidate(machine=machine, archive=archive, tested_on=sound_on))
    candidates.sort(key=_longest_ago_first)
    share = math.ceil((len(candidates) + tonight) / _SPREAD_NIGHTS) - tonight
    late = today - dt.timedelta(days=EVERY_DAYS - 1)
    overdue = sum(item.tested_on is not None and item.tested_on <= late for item in candidates)
    return candidates[: max(share, overdue, 0)]


def _longest_ago_first(candidate: Candidate) -> tuple[dt.date, str, str]:
    mark = candidate.archive.mark
    return candidate.tested_on or dt.date.min, mark.client, mark.machine


def _tested_since(machine: ObservedMachine, noted: dt.date | None, day: dt.date) -> bool:
    """Whether a test ended since a day, well or not."""
    days = [archive.mark.test.on for archive in machine.archives or () if archive.mark.test]
    return any(on >= day for on in [*days, *([noted] if noted else [])])
