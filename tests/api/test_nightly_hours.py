"""Nights and working hours (article 3.5): what was made in them does not count, what will run into them is told."""

from __future__ import annotations

import datetime as dt

import pytest

from orchestrator.history import open_history
from orchestrator.nightly.due_backups import BackupLine, LateBackup
from orchestrator.nightly.report import render_night
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from tests.api.desk import Desk
from tests.api.night_desk import MONDAY_NIGHT, PARIS, STORE, NightDesk

_GIB = 1024**3


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


@pytest.mark.parametrize(
    ("day", "result"),
    [(dt.date(2026, 11, 23), "done"), (dt.date(2026, 11, 11), "earlier")],
    ids=["working day", "holiday"],
)
def test_an_archive_made_by_hand_at_14_00_counts_on_a_holiday_and_not_on_a_working_day(
    night: NightDesk, day: dt.date, result: str
) -> None:
    night.deliver("web-1")
    by_hand = dt.datetime.combine(day, dt.time(14), PARIS)
    notes = archive_notes(ArchiveMark(client="dupont", machine="web-1", contract="C-dupont", days=7))
    archive = {"storage": STORE, "vmid": night.vmid("web-1"), "ctime": int(by_hand.timestamp())}
    night.fake.add_archives([{**archive, "size": _GIB, "notes": notes}])
    report = night.night(by_hand + dt.timedelta(hours=8))
    assert report.well and [line.result for line in report.of(BackupLine)] == [result]
    assert len(night.archives()) == (2 if result == "done" else 1)


def test_a_backup_that_will_end_in_working_hours_by_what_is_known_of_its_length(night: NightDesk) -> None:
    night.deliver("db-1", "web-1")
    night.fake.backup_behaviour(seconds={night.vmid("web-1"): 3 * 3600}, default_seconds=600)
    with open_history(night.desk.folder / "history.db") as history:
        history.append(
            who="timer",
            why="night",
            run="earlier",
            client="dupont",
            site="paris",
            machine="web-1",
            action="backup",
            result="ok",
            seconds=3 * 3600.0,
        )
    morning = MONDAY_NIGHT + dt.timedelta(days=1, hours=8)  # Wednesday, six o'clock
    planned = night.preview(morning)
    assert "! backup dupont/web-1   begun first; it would end Wed 2026-11-25 09:" in planned, planned
    night.on_event = lambda event: night.hurry(7200) if event == "backup-started" else None
    report = night.night(morning, speed=60)
    (late,) = report.of(LateBackup)
    assert late.machine == "web-1" and late.ends_at.astimezone(PARIS).hour == 9
    started = [fields for event, fields in night.events if event == "night-started"]
    assert started[0]["late"] == ["dupont/web-1"]
    begun = [fields["machine"] for event, fields in night.events if event == "backup-started"]
    assert begun[0] == "web-1"
    (ended,) = [line for line in report.of(BackupLine) if line.ended_late]
    assert ended.machine == "web-1"
    text = render_night(report, form="md", language="fr")
    assert "Fin prévue en heures ouvrées (art. 3.5)" in text and "dupont/web-1 jusqu’au " in text, text
    assert "Terminées en heures ouvrées (art. 3.5)" in text and "dupont/db-1 jusqu’au" not in text
