"""The night's backups (article 3.5): made, missing, and what the report says of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orchestrator.contract.calendar import paris_time
from orchestrator.counting import counted
from orchestrator.nightly.backup_run import BackupRun
from orchestrator.nightly.due_backups import (
    BackupForecast,
    BackupLine,
    BackupPlan,
    LateBackup,
    plan_backups,
)
from orchestrator.nightly.missing import missing_backups, missing_of_broken_files, whereabouts
from orchestrator.nightly.second_copies import SecondCopy, second_copies, second_jobs
from orchestrator.nightly.step import Step, Work
from orchestrator.nightly.telling import MACHINE, Failures, Urgency, key
from orchestrator.reports.page import Cell

if TYPE_CHECKING:
    from orchestrator.nightly.result import NightReport
    from orchestrator.nightly.telling import Telling
    from orchestrator.reports.figures import Figures
    from orchestrator.reports.language import Speech

_GIB = 1024**3

_MOST_NAMED = 20
"""Machines that the first screen of a report names of those whose backup ran late."""


class BackupStep(Step):
    """Makes the backups that wait for no update.

    Attributes:
        plan: what is to be made.
        making: the making of them; None if nothing was begun.
        copies: the machines whose backup has a second copy; another step makes those.
    """

    name = "backups"
    changes = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.plan = BackupPlan(due={}, settled=(), slots={}, free={}, forecast=None)
        self.making: BackupRun | None = None
        self.copies: dict[tuple[str, str], SecondCopy] = {}

    def decide(self) -> None:
        """Find what is due, and how long it will take."""
        work = self.work
        seconds: Mapping[tuple[str, str], float] = work.decided(
            "history", lambda: work.history.last_seconds("backup"), {}
        )
        work.backed_up = frozenset(seconds)
        self.copies, problems = second_copies(work.night, work.readings, seconds)
        work.problems += problems
        self.plan = plan_backups(work.night, work.readings, seconds, second_jobs(self.copies.values()))

    def preview(self) -> Iterator[Text]:
        """What would be made, the longest first, and whether it fits into the window."""
        for line in self.plan.settled:
            if line.result == "failed":
                yield Text(f"  ✗ backup {line.client}/{line.machine}   {line.message}", "red")
            else:
                yield Text(
                    f"    backup {line.client}/{line.machine}   made earlier tonight: {line.volid}", "dim"
                )
        for (client, name), due in sorted(self.plan.due.items(), key=lambda item: -item[1].job.seconds):
            job = due.job
            where, minutes, size = " or ".join(job.storages), job.seconds / 60, job.size / _GIB
            yield Text(
                f"  + backup {client}/{name}   to {where}, about {minutes:.0f} min, {size:.1f} GiB", "green"
            )
        if (forecast := self.plan.forecast) is not None:
            ends = paris_time(forecast.ends_at, weekday=True)
            if forecast.fits:
                yield Text(f"    the backups should end {ends}: they fit", "bold")
            else:
                late = f"    the backups would end {ends}, after the window closes: they do not fit"
                yield Text(late, "bold red")
        for late_one in self.plan.late:
            ends = paris_time(late_one.ends_at, weekday=True)
            yield Text(
                f"  ! backup {late_one.client}/{late_one.machine}   begun first; it would end {ends}, in working hours "
                "(art. 3.5)",
                "bold red",
            )

    def summary(self) -> str:
        """How many."""
        return counted(len(self.plan.due), "backup")

    def announcement(self) -> dict[str, Any]:
        """How many, and whether they fit."""
        forecast = self.plan.forecast
        if forecast is None:
            return {"backups": 0, "ends_at": None, "fits": True, "late": []}
        return {
            "backups": forecast.backups,
            "ends_at": forecast.ends_at.isoformat(),
            "fits": forecast.fits,
            "late": [f"{line.client}/{line.machine}" for line in self.plan.late],
        }

    def run(self) -> None:
        """Make them."""
        self.making = BackupRun(self.work.night, self.plan)
        self.making.run()

    @staticmethod
    def failure_kinds(telling: Telling) -> Iterator[Failures]:
        """Backups that failed, were not started, or could not even be tried."""
        words = telling.speech.words
        for result, name, remedy, default in (
            ("failed", words.backup_failed, words.backup_failed_remedy, words.no_reason),
            ("not-started", words.backup_not_started, words.backup_not_started_remedy, words.out_of_time),
            ("missing", words.backup_missing, words.backup_missing_remedy, words.no_reason),
        ):
            # The reason of a missing one may be another client's, or a site's.
            own_words = words.backup_missing_client if result == "missing" and not telling.provider else ""
            lines = telling.report.of(BackupLine)
            found = ((line, own_words or line.message or default) for line in lines if line.result == result)
            yield telling.failures(name, remedy, found, Urgency.BACKUP)

    @staticmethod
    def facts(telling: Telling) -> Iterator[tuple[str, Cell]]:
        """How many were made, their volume, and what was expected."""
        speech, words = telling.speech, telling.speech.words
        wanted = [line for line in telling.report.of(BackupLine) if line.result != "not-created"]
        good = [line for line in wanted if line.made]
        text = words.of.format(part=speech.number(len(good)), whole=speech.number(len(wanted)))
        earlier = sum(line.result == "earlier" for line in good)
        if earlier and telling.provider:
            text += f", {words.made_earlier(earlier)}"
        yield words.backups, Cell(text, "good" if len(good) == len(wanted) else "bad")
        yield words.night_volume, Cell(speech.size(sum(line.size for line in good)))
        for forecast in telling.report.of(BackupForecast):
            yield words.forecast, _expected(speech, forecast)
        expected = [(telling.name(line), line.ends_at) for line in telling.report.of(LateBackup)]
        ended = [(telling.name(line), ends) for line in wanted if (ends := line.ended_late) is not None]
        for name, found in ((words.late_expected, expected), (words.late_ended, ended)):
            if found:
                yield name, Cell(_until(speech, found), "bad")

    @staticmethod
    def figures(report: NightReport, figures: Figures) -> None:
        """The volume of the night, and every backup that should have been made and was not."""
        lines = report.of(BackupLine)
        figures.gauge("orchestrator_nightly_backup_bytes", "Size of the backups made in the last night").set(
            sum(line.size for line in lines if line.made)
        )
        missed = figures.gauge(
            "orchestrator_backup_failed_tonight",
            "1 if a machine that should have been backed up in the last night was not; machines whose backup is on",
            MACHINE,
        )
        for line in lines:
            if line.result != "not-created":
                missed.labels(*key(line)).set(line.failed)


class BackupsAfterUpdatesStep(Step):
    """Makes the backups of the machines that were being updated when their turn came: their guests hold up nothing but
    themselves.
    """

    name = "backups after updates"
    changes = True

    @property
    def wanted(self) -> bool:
        """Whether backups were made at all."""
        return self.work.step(BackupStep).making is not None

    def run(self) -> None:
        """Make them, each once its update has ended."""
        making = self.work.step(BackupStep).making
        assert making is not None  # noqa: S101  (see wanted)
        making.run_rest()


class BackupLineStep(Step):
    """Tells what became of every backup, also of those that no step could even try."""

    name = "missing backups"

    def run(self) -> None:
        """Tell it."""
        work, backups = self.work, self.work.step(BackupStep)
        told = backups.making.lines if backups.making is not None else []
        work.lines += [*told, *([backups.plan.forecast] if backups.plan.forecast else []), *backups.plan.late]
        why = "changes are stopped (frozen), so no backup was made" if work.frozen else ""
        missing = list(missing_backups(work.night, whereabouts(work), told, why=why))
        broken = missing_of_broken_files(work.night, work.readings, [*told, *missing])
        work.lines += [*missing, *broken]


def _until(speech: Speech, found: list[tuple[str, dt.datetime]]) -> str:
    words = speech.words
    named = [
        words.late_until.format(machine=name, ends=speech.moment(ends)) for name, ends in found[:_MOST_NAMED]
    ]
    more = len(found) - len(named)
    return ", ".join([*named, *([words.late_more(more)] if more else [])])


def _expected(speech: Speech, forecast: BackupForecast) -> Cell:
    words = speech.words
    text = words.forecast_fits if forecast.fits else words.forecast_late
    said = text.format(
        backups=words.backups_count(forecast.backups),
        planned=speech.duration(forecast.planned_seconds),
        bound=speech.duration(forecast.bound_seconds),
        ends=speech.moment(forecast.ends_at),
        closes=speech.moment(forecast.closes_at),
    )
    return Cell(said, "plain" if forecast.fits else "bad")
