"""A clock that is wrong, anybody's: backups are made, nothing is removed, and the night says so."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from orchestrator.contract.calendar import add_working_days
from orchestrator.contract.retention import judge
from orchestrator.nightly.contract_ends import ContractLine
from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.result import NightReport
from orchestrator.nightly.retention_step import RetentionLine
from orchestrator.resources.machine_archives import ArchiveMark, archive_notes
from orchestrator.resources.snapshot import snapshot_description
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import MONDAY_NIGHT, STORE, NightDesk
from tests.unit.test_retention import Archive

_DAY = dt.timedelta(days=1)


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _seed(night: NightDesk, name: str, taken: float, client: str = "dupont", days: int = 7) -> None:
    mark = ArchiveMark(client=client, machine=name, contract=f"C-{client}", days=days)
    archive = {"storage": STORE, "vmid": night.vmid(name), "ctime": int(taken), "size": 1024**3}
    night.fake.add_archives([{**archive, "notes": archive_notes(mark)}])


def _told(report: NightReport, text: str) -> bool:
    return any(text in problem and "nothing is removed" in problem for problem in report.problems)


def test_while_the_clocks_disagree_backups_are_made_and_nothing_is_removed(night: NightDesk) -> None:
    """The orchestrator's is 70 days ahead, then back again: a contract's end, retention and snapshots wait."""
    night.desk.erasure = True
    night.desk.write_sites()
    backup = {"backup": {"retention_days": 31}}
    leaving = subscription("leaving", [machine("old-1", **backup)])
    night.desk.write(subscription("dupont", [machine("web-1", **backup)]), leaving)
    assert night.desk.apply().code == 0
    night.desk.put_in_service()
    notice = MONDAY_NIGHT.date() - 2 * _DAY
    assert add_working_days(notice, 30) > MONDAY_NIGHT.date()
    leaving["contract"] |= {
        "status": "terminated",
        "termination": {"notice": notice.isoformat(), "reference": "LRAR-1"},
    }
    night.desk.write(subscription("dupont", [machine("web-1", **backup)]), leaving)
    for age in (2, 9, 20):
        _seed(night, "web-1", (MONDAY_NIGHT - age * _DAY).timestamp(), days=31)
    mine = snapshot_description("dupont", "web-1", declared_for=None)
    night.fake.add_snapshot(
        night.vmid("web-1"), "young", snaptime=int(MONDAY_NIGHT.timestamp()) - 86400, description=mine
    )
    first = night.night()
    assert not first.of(RetentionLine) and [line.failed for line in first.of(ContractLine)] == [False], (
        "the notice is recorded"
    )
    before = {item["volid"] for item in night.archives()}

    ahead, _ = night.night_and_plan(MONDAY_NIGHT + 70 * _DAY, site_clock=MONDAY_NIGHT + _DAY)
    # By this computer's clock old-1's contract is over, and it still runs: its backup is made until it is stopped.
    assert before < {item["volid"] for item in night.archives()} and len(night.archives()) == len(before) + 2
    assert [line.result for line in ahead.of(BackupLine)] == ["done", "done"], (
        "dated by the site's clock, and known as its own"
    )
    assert "young" in night.desk.machines()["web-1"]["snapshots"]
    assert set(night.desk.machines()) == {"web-1", "old-1"}, "the contract has not ended"
    assert (
        not ahead.well
        and _told(ahead, "the clock of paris says")
        and "set the wrong clock" in ahead.problems[0]
    )
    (ending,) = ahead.of(ContractLine)
    assert ending.failed and "not erased" in ending.message

    _seed(night, "web-1", (MONDAY_NIGHT - 40 * _DAY).timestamp(), days=31)  # this one is over
    back = night.night(MONDAY_NIGHT + 2 * _DAY)
    assert not back.well and _told(back, "the history's last entry is of"), "its clock went back"
    assert back.of(RetentionLine) == () and {line.result for line in back.of(BackupLine)} == {"done"}
    after = night.night(MONDAY_NIGHT + 3 * _DAY)
    assert [line.result for line in after.of(RetentionLine)] == ["removed"], after.problems

    # Both clocks wrong together look right; the history knows that nobody was here for months.
    _seed(night, "web-1", (MONDAY_NIGHT - 40 * _DAY).timestamp(), days=31)
    count = len(night.archives())
    jumped = night.night(MONDAY_NIGHT + 75 * _DAY)
    assert len(night.archives()) == count + 2 and _told(jumped, "days after the history's last entry")
    assert set(night.desk.machines()) == {"web-1", "old-1"}


def test_the_command_with_a_clock_that_is_an_hour_off(night: NightDesk) -> None:
    """And with an archive that a node's wrong clock dated into the future, which is no backup of any night."""
    night.deliver("web-1", days=7)
    now = time.time()
    _seed(night, "web-1", now - 9 * 86400)
    _seed(night, "web-1", now + 70 * 86400)
    mine = snapshot_description("dupont", "web-1", declared_for=None)
    night.fake.add_snapshot(night.vmid("web-1"), "over", snaptime=int(now) - 9 * 86400, description=mine)
    night.fake.clock(now + 3600)
    reports = night.desk.folder / "reports"
    run = ("nightly", "--in-working-hours", "--language", "en", "--report-dir", str(reports))
    answer = night.desk.run(*run)
    assert answer.code == 1 and "1 of 1 backup" in answer.out, answer
    assert "nothing is removed there tonight" in next(reports.glob("*.md")).read_text()
    assert len(night.archives()) == 3 and "over" in night.desk.machines()["web-1"]["snapshots"]
    refused = night.desk.run("snapshot", "create", "dupont/web-1", "now-1")
    assert refused.code == 1 and "1.0 hours ahead of this computer's" in refused.err, refused
    assert set(night.desk.machines()["web-1"]["snapshots"]) == {"over"}

    night.fake.clock(time.time())
    for item in night.archives():  # tonight's goes: the wrong clock dated it
        if abs(item["ctime"] - now) < 86400:
            night.fake.remove_archive(item["volid"])
    answer = night.desk.run(*run)
    assert answer.code == 1 and "1 of 1 backup" in answer.out, "made, though one of the future is there"
    text = next(reports.glob("*.md")).read_text()
    assert "its date is in the future" in text
    left = sorted(round((item["ctime"] - now) / 86400) for item in night.archives())
    assert left == [0, 70], "what was over is gone, once there was a newer good one"
    assert "over" not in night.desk.machines()["web-1"]["snapshots"]


def test_an_archive_of_the_future_lets_no_other_go() -> None:
    now = MONDAY_NIGHT
    last, future = Archive(now - 40 * _DAY, 7), Archive(now + 70 * _DAY, 7)
    kept = [
        verdict.archive for verdict in judge([last, future], now, days=7, keep_last=True) if not verdict.goes
    ]
    assert kept == [last, future]
