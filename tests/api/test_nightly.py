"""Nights against a modelled cluster: what is backed up, kept, removed, restored, and what the report says."""

from __future__ import annotations

import pytest

from tests.api.desk import Desk
from tests.api.night_desk import NightDesk


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def test_a_night_backs_up_tests_and_says_so(night: NightDesk) -> None:
    night.deliver("web-1", "db-1")
    night.fake.backup_behaviour(default_seconds=120, default_size=5 * 1024**3)
    report = night.night()
    assert report.well, report
    assert {(line.machine, line.result) for line in report.backups} == {("web-1", "done"), ("db-1", "done")}
    archives = night.archives()
    assert len(archives) == 2
    for archive in archives:
        assert (
            archive["notes"].startswith("dupont / ") and "contract C-dupont, kept 7 days" in archive["notes"]
        )
    assert [line.result for line in report.tests] == ["sound"], "one of 28 a night, at least one"
