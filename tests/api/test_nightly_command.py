"""``orchestrator nightly`` as the timer runs it: its refusals, its lock, its log, its report, and being killed."""

from __future__ import annotations

import datetime as dt
import json
import time

import pytest

from orchestrator.resources.machine_archives import ArchiveMark, archive_notes, read_archive_mark
from tests.api.desk import Answer, Desk, machine, subscription
from tests.api.night_desk import PARIS, STORE, NightDesk

_DAY = 86400


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _run(night: NightDesk, *arguments: str) -> Answer:
    return night.desk.run("nightly", "--in-working-hours", *arguments)


def _reports(night: NightDesk) -> list[str]:
    """What the nights reported, where no folder was named."""
    folder = night.desk.folder / "state" / "orchestrator" / "reports"
    return [path.read_text() for path in folder.glob("*.md")]


def _old_archive(night: NightDesk, name: str, days: float) -> None:
    notes = archive_notes(ArchiveMark(client="dupont", machine=name, contract="C-dupont", days=7))
    ctime = int(time.time() - days * _DAY)
    night.fake.add_archives(
        [{"storage": STORE, "vmid": night.vmid(name), "ctime": ctime, "size": 5, "notes": notes}]
    )


def test_it_does_not_begin_in_working_hours_unless_told(night: NightDesk) -> None:
    night.deliver("web-1")
    for moment in ("2026-11-24T10:00", "2026-11-24T17:59"):
        refused = night.desk.run("nightly", "--at", moment)
        assert refused.code == 1 and "in working hours" in refused.err and "art. 3.5" in refused.err, refused
    assert night.archives() == []
    for moment in ("2026-11-11T10:00", "2026-11-28T10:00", "2026-11-24T07:00", "2026-11-24T18:00"):
        shown = night.desk.run("nightly", "--dry-run", "--at", moment)
        assert shown.code == 0, "a public holiday, a Saturday, the early morning, the evening"
    assert night.desk.run("nightly", "--at", "tonight").err.startswith(
        "error  --at tonight is not a valid time"
    )
    assert "there is no site nowhere" in night.desk.run("nightly", "--site", "nowhere").err


def test_a_night_that_is_started_late_still_makes_its_backups(night: NightDesk) -> None:
    night.deliver("web-1")
    yesterday = dt.datetime.now(PARIS) - dt.timedelta(days=1)
    answer = _run(night, "--at", yesterday.isoformat(timespec="minutes"))
    assert answer.code == 0 and len(night.archives()) == 1, answer


def test_a_dry_run_says_what_the_night_would_do_and_does_nothing(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    _old_archive(night, "web-1", 9)
    _old_archive(night, "web-1", 2)
    day = dt.datetime.now(PARIS).date() + dt.timedelta(days=1)
    night.files("web-1", "db-1", snapshots=[{"name": "before-it", "taken_on": day.isoformat()}])
    night.desk.fakes["paris"].control("reset_calls")
    shown = night.desk.run("nightly", "--dry-run", "--at", f"{day}T22:00")
    assert shown.code == 0, shown
    for told in (
        f"night of {day}: begins {dt.datetime.combine(day, dt.time(22), PARIS):%a %Y-%m-%d %H:%M %Z}, window closes ",
        "+ snapshot before-it dupont/web-1",
        "+ backup dupont/db-1   to backup-lyon",
        "- archive dupont/web-1",
        "? restore test dupont/web-1",
        "2 backups, 1 archive to remove, 1 restore test",
        "they fit",
    ):
        assert told in shown.out, (told, shown.out)
    assert [call for call in night.fake.calls() if not call.startswith("GET ")] == []


def test_what_a_timer_sees(night: NightDesk) -> None:
    night.deliver("web-1")
    metrics, reports, clients = (night.desk.folder / name for name in ("night.prom", "reports", "clients"))
    answer = _run(
        night, "--metrics-file", str(metrics), "--report-dir", str(reports), "--client-reports", str(clients)
    )
    assert answer.code == 0, (answer, [path.read_text() for path in reports.glob("*.md")])
    events = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    assert events[0]["event"] == "night-started" and events[0]["fits"] is True
    done = next(event for event in events if event["event"] == "backup-done")
    assert (done["client"], done["machine"]) == ("dupont", "web-1") and "at" in done
    assert {path.suffix for path in reports.iterdir()} == {".md", ".html", ".json", ".png"}, (
        "and the restore test's picture"
    )
    french = next(reports.glob("*.html")).read_text()
    assert "sauvegarde" in french.lower() and "web-1" in french
    assert next((clients / "dupont").glob("*.md")).read_text().count("web-1")
    assert "orchestrator_nightly_failures 0.0" in metrics.read_text()
    assert events[-1]["event"] == "summary" and events[-1]["text"].endswith("1 of 1 backup, all went well")
    assert len(events) == len(answer.out.splitlines()), "nothing but one JSON object a line"
    assert json.loads(night.desk.run("history", "dupont/web-1", "--format", "json").out)[0]["why"].startswith(
        "night of "
    )


def test_a_bad_night_ends_with_exit_code_1_and_its_reason_in_the_report(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.backup_behaviour(fail={night.vmid("web-1"): "the disk is on fire"})
    reports = night.desk.folder / "reports"
    answer = _run(night, "--report-dir", str(reports), "--language", "en")
    assert answer.code == 1 and "0 of 1 backup, " in answer.out and "see the report" in answer.out
    assert "the disk is on fire" in next(reports.glob("*.md")).read_text()


def test_two_nights_at_once_are_impossible(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.backup_behaviour(default_seconds=240)
    night.fake.clock(None, 1.0)
    first = night.desk.start("nightly", "--in-working-hours", "--log-format", "json")
    assert first.stdout is not None
    while "backup-started" not in first.stdout.readline():
        assert first.poll() is None
    second = _run(night)
    assert (
        second.code == 1
        and f"pid {first.pid}, since " in second.err
        and "the night) is running" in second.err
    )
    night.fake.set_clock(time.time() + 250)
    ended = first.communicate(timeout=120)
    assert first.returncode == 0 and len(night.archives()) == 1, (ended, _reports(night))


def test_a_night_that_is_killed_anywhere_is_finished_by_the_next_run_and_does_nothing_twice(
    night: NightDesk,
) -> None:
    today = dt.datetime.now(PARIS).date().isoformat()
    night.deliver("web-1")
    night.files("web-1", snapshots=[{"name": "before-it", "taken_on": today}])
    kills = 0
    for call in range(0, 200, 3):
        _reset(night)
        answer = night.desk.run_killed(call, "nightly", "--in-working-hours")
        if not answer.killed:
            break
        kills += 1
        again = _run(night)
        assert again.code == 0, (call, again)
        _check(night, call)
    assert kills >= 8, "it was killed at every third call"


def _reset(night: NightDesk) -> None:
    """The evening before: one archive whose days are over and a younger one; nothing of tonight."""
    vmid = night.vmid("web-1")
    for archive in night.archives():
        night.fake.remove_archive(archive["volid"])
    cluster = night.fake.cluster()
    for entry in cluster.get(f"/nodes/pve1/qemu/{vmid}/snapshot"):
        if entry["name"] != "current":
            cluster.run_task("DELETE", f"/nodes/pve1/qemu/{vmid}/snapshot/{entry['name']}")
    night.fake.control("set_config", vmid=vmid, description=night.notes("web-1"))
    _old_archive(night, "web-1", 9)
    _old_archive(night, "web-1", 2)


def _check(night: NightDesk, call: int) -> None:
    vms = night.desk.machines()
    assert set(vms) == {"web-1"}, (call, "no copy is left")
    assert set(vms["web-1"]["snapshots"]) == {"before-it"}, call
    ages = [(time.time() - archive["ctime"]) / _DAY for archive in night.archives()]
    assert sorted(round(age) for age in ages) == [0, 2], (call, "one new, one kept, the old one gone")
    tests = [mark.test for archive in night.archives() if (mark := read_archive_mark(archive["notes"]))]
    assert [test.sound for test in tests if test] == [True], (call, "tested once")


def test_a_backup_that_a_killed_run_had_begun_is_taken_over_and_not_made_twice(night: NightDesk) -> None:
    night.deliver("web-1")
    night.fake.backup_behaviour(default_seconds=4)
    night.fake.clock(None, 1.0)
    first = night.desk.start("nightly", "--in-working-hours", "--log-format", "json")
    assert first.stdout is not None
    while "backup-started" not in first.stdout.readline():
        assert first.poll() is None
    while not [run for run in night.fake.backup_runs() if run["started"]]:
        assert first.poll() is None
    first.kill()
    first.communicate()
    again = _run(night)
    assert again.code == 0, again
    assert len(night.fake.backup_runs()) == 1 and len(night.archives()) == 1


def test_a_mistake_in_one_file_takes_no_backup_away_neither_the_others_nor_its_own(night: NightDesk) -> None:
    night.deliver("web-1")
    _old_archive(night, "web-1", 20)
    broken = night.desk.folder / "subscriptions" / "dupont.yaml"
    broken.write_text(broken.read_text().replace("retention_days: 7", "retention_days: seven"))
    answer = _run(night, "--language", "en", "--report-dir", str(night.desk.folder / "reports"))
    assert answer.code == 1 and "1 of 1 backup" in answer.out, (
        "made as last applied, and the mistake is a failure"
    )
    report = next((night.desk.folder / "reports").glob("*.md")).read_text()
    assert "dupont.yaml:" in report and "cared for as last applied" in report
    assert len(night.archives()) == 1, "the retention that was last applied goes on too"
    broken.unlink()
    night.fake.set_clock(time.time() + 1)
    assert (
        night.desk.run("nightly", "--dry-run", "--at", "2031-01-07T22:00").out.count("+ backup dupont/web-1")
        == 1
    )


def test_what_ends_within_thirty_days_is_in_the_report_and_the_figures_and_is_no_failure(desk: Desk) -> None:
    soon = (dt.datetime.now(PARIS).date() + dt.timedelta(days=12)).isoformat()
    client = subscription("dupont", [machine("web-1")], managed_services={"level": "supervision"})
    client["contract"]["quotes"] = [
        {"reference": "D-12", "valid_until": soon},
        {"reference": "D-far", "valid_until": "2099-12-31"},
    ]
    desk.write(client)
    metrics, reports = desk.folder / "night.prom", desk.folder / "reports"
    answer = desk.run(
        "nightly", "--in-working-hours", "--metrics-file", str(metrics), "--report-dir", str(reports)
    )
    text = metrics.read_text()
    assert 'orchestrator_ends_in_days{client="dupont",kind="quote",name="D-12"} 12.0' in text, answer
    assert "D-far" not in text and 'kind="certificate"' not in text, "the certificate is good for 60 days"
    report = next(reports.glob("*.md")).read_text()
    assert "D-12" in report and "Échéances des trente prochains jours" in report
