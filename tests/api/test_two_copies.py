"""Redundancy of the backup itself, at one site: two copies of each night's archive (article 3.2)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.nightly.due_backups import BackupLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.second_copy_step import SecondCopyLine
from tests.api.desk import Desk, machine, subscription
from tests.api.night_desk import AGENT, MONDAY_NIGHT, STORE, NightDesk

_SECOND = "backup-lyon-2"
_DAY = dt.timedelta(days=1)


@pytest.fixture
def night(desk: Desk) -> Iterator[NightDesk]:
    found = NightDesk(desk)
    desk.sites["paris"]["backup_storages"].append({"name": _SECOND, "site": "lyon"})
    desk.write_sites()
    found.fake.add_storage(_SECOND, shared=True)
    yield found


def _deliver(night: NightDesk, *, copies: int = 2) -> None:
    _write(night, copies=copies)
    assert night.desk.apply().code == 0
    night.desk.put_in_service()
    files = {**AGENT["files"], "/etc/hostname": "web-1\n"}
    night.fake.guest_agent({"files": files}, vmid=night.vmid("web-1"))


def _write(night: NightDesk, *, copies: int) -> None:
    backup: dict[str, Any] = {"retention_days": 7, **({"copies": copies} if copies > 1 else {})}
    night.desk.write(subscription("dupont", [machine("web-1", backup=backup)]))


def _archives(night: NightDesk) -> dict[str, int]:
    return {name: len(night.fake.archives(name)) for name in (STORE, _SECOND)}


def test_3_2_two_copies_of_the_backup_are_on_two_storages_of_one_site(night: NightDesk) -> None:
    _deliver(night)
    assert "+ second copy dupont/web-1" in night.preview(MONDAY_NIGHT)
    report = night.night()
    assert report.well, report
    assert [line.result for line in report.of(BackupLine)] == ["done"]
    assert [line.result for line in report.of(SecondCopyLine)] == ["done"]
    assert _archives(night) == {STORE: 1, _SECOND: 1}
    assert "Secondes copies" in render_night(report, form="md")
    again = night.night(MONDAY_NIGHT + dt.timedelta(hours=3))
    assert [line.result for line in again.of(SecondCopyLine)] == ["earlier"] and again.well
    assert _archives(night) == {STORE: 1, _SECOND: 1}, "not made twice"
    document = json.loads(night.desk.run("backup", "volume", "--format", "json").out)
    assert document["clients"] == {"dupont": 2 * 1024**3}, "both count"


def test_one_copy_that_fails_is_told_as_one_copy(night: NightDesk) -> None:
    _deliver(night)
    night.fake.set_storage(_SECOND, active=False)
    report = night.night()
    assert [line.result for line in report.of(BackupLine)] == ["done"]
    (second,) = report.of(SecondCopyLine)
    assert second.failed and "no second backup storage at lyon can be used" in second.message, second
    assert _archives(night)[STORE] == 1
    told = render_night(report, form="md", language="en")
    assert "Second copy of the backup failed" in told and "Backup failed" not in told
    night.fake.set_storage(_SECOND, active=True)
    assert night.night(MONDAY_NIGHT + dt.timedelta(hours=3)).well
    assert _archives(night) == {STORE: 1, _SECOND: 1}


def test_retention_lets_both_go_and_keeps_both_of_the_last_good_night(night: NightDesk) -> None:
    _deliver(night)
    night.fake.backup_behaviour(fail={})
    assert night.night().well
    night.fake.backup_behaviour(fail={night.vmid("web-1"): "disk is on fire"})
    night.night(MONDAY_NIGHT + 9 * _DAY)
    assert _archives(night) == {STORE: 1, _SECOND: 1}, "the last good backup, both copies (art. 3.5)"
    night.fake.backup_behaviour(fail={})
    assert night.night(MONDAY_NIGHT + 10 * _DAY).well
    assert _archives(night) == {STORE: 1, _SECOND: 1}, "newer ones let both go"


def test_a_backup_now_makes_both_and_two_copies_need_two_storages_at_one_site(night: NightDesk) -> None:
    _deliver(night, copies=1)
    _write(night, copies=2)
    changes = [change for item in night.desk.plan()["machines"] for change in item["changes"]]
    (change,) = [change for change in changes if change["what"] == "copies of the backup"]
    assert (change["before"], change["after"], change["change_class"]) == ("1", "2", "standard"), change
    assert night.desk.apply().code == 0
    made = night.desk.run("backup", "now", "dupont/web-1")
    assert made.code == 0 and f"{STORE}:" in made.out and f"{_SECOND}:" in made.out, made
    night.desk.sites["paris"]["backup_storages"][1]["site"] = "lille"
    night.desk.write_sites()
    refused = night.desk.run("plan")
    assert refused.code == 1 and "has no two backup storages at one other site (art. 3.2)" in refused.err, (
        refused
    )


def test_the_last_backup_of_a_machine_that_is_retired_has_both_copies(night: NightDesk) -> None:
    twice = machine("web-1", backup={"retention_days": 7, "copies": 2})
    night.desk.write(subscription("dupont", [twice, machine("db-1")]))
    assert night.desk.apply().code == 0
    night.desk.write(subscription("dupont", [machine("db-1")]))
    night.fake.set_storage(_SECOND, active=False)
    refused = night.desk.apply()
    assert refused.code == 1, refused
    text = " ".join(refused.out.split())
    assert "its backup has 2 copies (art. 3.2)" in text and f"only {STORE} is available" in text, refused
    assert _archives(night) == {STORE: 0, _SECOND: 0}, "not one copy for two"
    night.fake.set_storage(_SECOND, active=True)
    assert night.desk.apply().code == 0
    assert _archives(night) == {STORE: 1, _SECOND: 1}
    assert night.desk.apply().code == 0
    assert _archives(night) == {STORE: 1, _SECOND: 1}, "once, not once a run"
