"""Nights against a modelled cluster: what is backed up, kept, removed, restored, and what the report says."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import Any

import pytest

from orchestrator.contract.calendar import night_begins, night_of
from orchestrator.nightly.archive_step import ForeignArchives
from orchestrator.nightly.backup_step import BackupStep
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.machine_step import MachineLine
from orchestrator.nightly.restore_testing import RestoreTestLine
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.nightly.snapshot_step import SnapshotLine
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes, read_archive_mark
from tests.api.desk import Desk
from tests.api.night_desk import MONDAY_NIGHT, PARIS, STORE, NightDesk

_DAY = 86400
_GIB = 1024**3


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _seed(
    night: NightDesk,
    name: str,
    ages: list[float],
    *,
    days: int = 31,
    at: dt.datetime = MONDAY_NIGHT,
    **changes: Any,
) -> None:
    """Archives of earlier nights, so many days old on Monday night (or at another time)."""
    notes = archive_notes(ArchiveMark(client="dupont", machine=name, contract="C-dupont", days=days))
    night.fake.add_archives(
        [
            {
                "storage": STORE,
                "vmid": night.vmid(name),
                "ctime": int(at.timestamp() - age * _DAY),
                "size": _GIB,
                "notes": notes,
                **changes,
            }
            for age in ages
        ]
    )


def _ages(night: NightDesk, name: str, at: dt.datetime = MONDAY_NIGHT) -> list[int]:
    """How many days old the archives are that are left."""
    vmid = night.vmid(name)
    return [
        round((at.timestamp() - archive["ctime"]) / _DAY)
        for archive in night.archives()
        if archive["vmid"] == vmid
    ]


def test_a_night_backs_up_tests_a_restore_and_says_so(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.fake.backup_behaviour(default_seconds=120, default_size=5 * _GIB)
    report = night.night()
    assert report.well, report
    assert {(line.machine, line.result) for line in report.of(BackupLine)} == {
        ("web-1", "done"),
        ("db-1", "done"),
    }
    for archive in night.archives():
        assert (
            archive["notes"].startswith("dupont / ") and "contract C-dupont, kept 7 days" in archive["notes"]
        )
    assert [line.result for line in report.of(RestoreTestLine)] == ["sound"], (
        "one of 28 a night, at least one"
    )
    assert (
        "it is db-1" in report.of(RestoreTestLine)[0].message
        and "file systems sound: / (ext4)" in report.of(RestoreTestLine)[0].message
    )
    assert set(night.desk.machines()) == {"web-1", "db-1"}, "the copy is gone"
    by_name = {line.machine: line for line in report.of(MachineLine)}
    assert by_name["db-1"].tested_on == dt.date(2026, 11, 23) and by_name["web-1"].tested_on is None
    assert by_name["db-1"].size == 5 * _GIB and by_name["db-1"].archives == 1
    tested = [mark for a in night.archives() if (mark := read_archive_mark(a["notes"])) and mark.test]
    assert [(mark.machine, mark.test and mark.test.sound) for mark in tested] == [("db-1", True)]


def test_the_same_night_does_nothing_twice_and_the_next_one_does_it_again(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    assert night.night().well
    again = night.night(MONDAY_NIGHT + dt.timedelta(hours=4))
    assert (
        {line.result for line in again.of(BackupLine)} == {"earlier"}
        and again.of(RestoreTestLine) == ()
        and again.well
    )
    assert len(night.archives()) == 2
    tuesday = night.night(MONDAY_NIGHT + dt.timedelta(days=1))
    assert {line.result for line in tuesday.of(BackupLine)} == {"done"} and len(night.archives()) == 4
    assert [line.machine for line in tuesday.of(RestoreTestLine)] == ["web-1"], "never restored comes first"


def test_backup_is_off_unless_asked_for_and_runs_out_its_days_once_switched_off(night: NightDesk) -> None:
    night.deliver("web-1", days=None)
    assert night.night().of(BackupLine) == () and night.archives() == []
    _seed(night, "web-1", [3, 6.9, 7.1, 12], days=7)
    report = night.night()
    assert _ages(night, "web-1") == [7, 3], "each for the days that it was made under, the last one too"
    assert {line.result for line in report.of(RetentionLine)} == {"removed"}
    assert night.night(MONDAY_NIGHT + dt.timedelta(days=8)).well
    assert night.archives() == [], "switched off: also the last good one runs out"


def test_retention_counts_calendar_days_and_keeps_the_last_good_backup(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    night.fake.backup_behaviour(fail={night.vmid("web-1"): "disk is on fire"})
    _seed(night, "web-1", [40, 20, 9])
    report = night.night()
    assert _ages(night, "web-1") == [9], "the last good one stays though its days are over"
    kept = [line for line in report.of(RetentionLine) if line.result == "kept"]
    assert len(kept) == 1 and "last good backup (art. 3.5)" in kept[0].message
    night.fake.backup_behaviour(fail={})
    assert night.night(MONDAY_NIGHT + dt.timedelta(days=1)).well
    assert _ages(night, "web-1") == [-1], "a newer good one lets it go"


def test_protected_archives_are_left_and_reported(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    _seed(night, "web-1", [30], protected=True)
    _seed(night, "web-1", [20])
    report = night.night()
    assert sorted(_ages(night, "web-1")) == [0, 30]
    assert [(line.result, line.message) for line in report.of(RetentionLine) if line.result == "kept"] == [
        ("kept", "protected in Proxmox")
    ]
    assert report.well, "somebody's decision is no failure"


def test_a_retention_cut_from_31_to_7_says_in_the_plan_which_archives_go_and_the_night_removes_them(
    night: NightDesk,
) -> None:
    night.deliver("web-1", days=31)
    now = dt.datetime.now(PARIS)
    # Whatever time it is: the newest is of last night.
    late = (now - night_begins(night_of(now))) / dt.timedelta(days=1) + 0.001
    _seed(night, "web-1", [age + late for age in range(30)], at=now)
    night.files("web-1", days=7)
    text = " ".join(night.desk.run("plan").out.split())
    assert "backup web-1 31 days → 7 days" in text
    first, last = (f"{now - dt.timedelta(days=age):%Y-%m-%d}" for age in (29 + late, 7 + late))
    assert f"23 of 30 archives go tonight: {first} to {last}, 23.0 GiB" in text
    refused = night.desk.apply()
    assert refused.code == 1 and "--allow erase:dupont/web-1" in refused.err, "archives would go"
    assert night.desk.apply("--allow", "erase:dupont/web-1").code == 0
    assert len(night.archives()) == 30, "apply writes the retention down; the night removes"
    # However soon working hours begin: ten minutes pass in each second of this test.
    assert night.night(now, closes_at=now + dt.timedelta(hours=12)).well
    kept = [round(age + late) for age in range(7)]  # before noon those of one night are half a day older
    assert sorted(_ages(night, "web-1", now)) == sorted([0, *kept])


def test_archives_of_nobody_and_of_others_are_shown_and_left(night: NightDesk) -> None:
    night.deliver("web-1")
    old = int(MONDAY_NIGHT.timestamp()) - 400 * _DAY
    gone = archive_notes(ArchiveMark(client="gone", machine="web-1", contract="C-0", days=7))
    night.fake.add_archives(
        [
            {"storage": STORE, "vmid": night.vmid("web-1"), "ctime": old, "size": _GIB, "notes": "by hand"},
            {"storage": STORE, "vmid": 4711, "ctime": old, "size": 2 * _GIB, "notes": ""},
            {"storage": STORE, "vmid": 4712, "ctime": old, "size": _GIB, "notes": gone},
        ]
    )
    report = night.night()
    assert report.well and len(night.archives()) == 4
    assert [(line.storage, line.archives, line.size) for line in report.of(ForeignArchives)] == [
        (STORE, 3, 4 * _GIB)
    ]
    assert report.of(MachineLine)[0].archives == 1


def test_a_machine_that_was_renamed_keeps_its_archives(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    notes = archive_notes(ArchiveMark(client="dupont", machine="old-name", contract="C-dupont", days=7))
    stored = {"storage": STORE, "vmid": night.vmid("web-1"), "size": _GIB, "notes": notes}
    night.fake.add_archives(
        [{**stored, "ctime": int(MONDAY_NIGHT.timestamp()) - age * _DAY} for age in (2, 9)]
    )
    report = night.night()
    assert _ages(night, "web-1") == [2, 0], "its archives are found by its number, and their days still count"
    assert report.of(ForeignArchives) == () and report.of(MachineLine)[0].archives == 2


def test_a_machine_that_left_its_file_keeps_its_last_good_backup(night: NightDesk) -> None:
    night.deliver("web-1", "db-1", days=7)
    today = dt.datetime.now(PARIS)
    _seed(night, "db-1", [12, 9], days=7, at=today)
    night.files("web-1", days=7)
    assert night.desk.apply().code == 0
    report = night.night(today + dt.timedelta(minutes=1))
    assert {line.machine for line in report.of(BackupLine)} == {"web-1"}
    (last,) = _ages(night, "db-1")  # made today, when it was retired; the older ones had lived their days
    for days in (20, 40):
        night.night(today + dt.timedelta(days=days))
    assert _ages(night, "db-1") == [last], "its seven days are over, and it is the last good one"


def test_declared_snapshots_are_taken_and_expired_ones_go_and_foreign_ones_are_told(night: NightDesk) -> None:
    night.deliver("web-1")
    night.files("web-1", snapshots=[{"name": "before-migration", "taken_on": "2026-11-23"}])
    vmid = night.vmid("web-1")
    night.fake.add_snapshot(vmid, "by-hand", snaptime=int(MONDAY_NIGHT.timestamp()) - 30 * _DAY)
    report = night.night(MONDAY_NIGHT + dt.timedelta(hours=4), speed=10)
    taken = {line.snapshot: line for line in report.of(SnapshotLine)}
    assert taken["before-migration"].action == "taken", "at two in the morning it is still Monday's night"
    assert taken["by-hand"].action == "foreign"
    assert set(night.desk.machines()["web-1"]["snapshots"]) == {"before-migration", "by-hand"}
    later = night.night(MONDAY_NIGHT + dt.timedelta(days=7, hours=3, minutes=50), speed=10)
    assert [line for line in later.of(SnapshotLine) if line.action == "removed"] == [], (
        "its seven days are not over"
    )
    last = night.night(MONDAY_NIGHT + dt.timedelta(days=7, hours=4, minutes=10))
    assert [line.snapshot for line in last.of(SnapshotLine) if line.action == "removed"] == [
        "before-migration"
    ]
    assert set(night.desk.machines()["web-1"]["snapshots"]) == {"by-hand"}


def test_what_comes_of_age_while_the_night_runs_goes_with_it(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.clock(MONDAY_NIGHT.timestamp() + 60)
    assert night.desk.run("snapshot", "create", "dupont/web-1", "young").code == 0
    night.fake.backup_behaviour(default_seconds=1800)
    night.on_event = lambda event: night.hurry(3600) if event == "backup-started" else None
    report = night.night(MONDAY_NIGHT + dt.timedelta(days=7), speed=60)
    assert [(line.snapshot, line.action) for line in report.of(SnapshotLine)] == [("young", "removed")]


def test_api_calls_do_not_grow_with_the_number_of_archives(night: NightDesk) -> None:
    night.deliver("web-1", "db-1", days=31)
    night.desk.fakes["paris"].control("reset_calls")
    assert night.night(speed=10).well
    few = _calls(night)
    for name in ("web-1", "db-1"):
        _seed(night, name, [age / 100 for age in range(100, 3000)])
    night.desk.fakes["paris"].control("reset_calls")
    assert night.night(MONDAY_NIGHT + dt.timedelta(days=1), speed=10).well
    assert _calls(night) == few, "2,900 archives more for each machine"


def _calls(night: NightDesk) -> dict[str, int]:
    """How often each kind of call came in, without looks at tasks and agents: they depend on how long things last."""
    counted: Counter[str] = Counter()
    for call, count in night.fake.calls().items():
        if not call.endswith(("/status", "/agent/ping", "/status/current")):
            counted[re.sub(r"/qemu/\d+|(?<=/content/).*", "…", call)] += count
    return counted


def test_the_run_says_at_its_start_whether_it_fits_and_begins_nothing_after_the_window_closed(
    night: NightDesk,
) -> None:
    night.deliver("web-1", "db-1", "app-1")
    night.fake.backup_behaviour(default_seconds=7200)
    closes = MONDAY_NIGHT + dt.timedelta(minutes=90)
    night.on_event = lambda event: night.hurry(3600) if event == "backup-started" else None
    report = night.night(speed=60, closes_at=closes)
    night.on_event = None
    results = sorted(line.result for line in report.of(BackupLine))
    assert results == ["done", "not-started", "not-started"] and not report.well
    assert all(
        "the window closed before its turn" in line.message
        for line in report.of(BackupLine)
        if line.result != "done"
    )
    night.fake.backup_behaviour(default_seconds=60)
    learnt, plan = night.night_and_plan(MONDAY_NIGHT + dt.timedelta(days=1), speed=60)
    planned = plan.step(BackupStep).plan
    assert planned.forecast is not None and learnt.well
    expected = {due.job.seconds for due in planned.due.values()}
    assert len(expected) == 2, (
        "the one that was made last night tells how long it takes, the others their size"
    )
    started = next(fields for event, fields in night.events if event == "night-started")
    assert started["fits"] is True and started["backups"] == 3


def test_a_night_that_crosses_the_end_of_summer_time(night: NightDesk) -> None:
    night.deliver("web-1", days=7)
    before = dt.datetime(2026, 10, 24, 22, 0, tzinfo=PARIS)
    for index in range(10):
        assert night.night(before + dt.timedelta(days=index), speed=60).well
    days = [dt.datetime.fromtimestamp(archive["ctime"], PARIS).date() for archive in night.archives()]
    last = dt.date(2026, 11, 2)
    assert days == [last - dt.timedelta(days=age) for age in range(7, -1, -1)][-len(days) :]
    assert len(days) in (7, 8) and days[-1] == last
