"""Nights in which a declared snapshot needs the room of those that were taken seven days before (article 3.2)."""

from __future__ import annotations

import datetime as dt

import pytest

from orchestrator.nightly.snapshot_step import SnapshotLine
from tests.api.desk import Desk
from tests.api.night_desk import MONDAY_NIGHT, NightDesk

_WEEK = dt.timedelta(days=7)
_DECLARED = [
    {"name": "aa", "taken_on": "2026-11-23"},
    {"name": "bb", "taken_on": "2026-11-23"},
    {"name": "cc", "taken_on": "2026-11-30"},
]


@pytest.fixture
def night(desk: Desk) -> NightDesk:
    return NightDesk(desk)


def _done(night: NightDesk, at: dt.datetime, speed: float = 300) -> list[tuple[str, str]]:
    report = night.night(at, speed=speed)
    assert report.well, report
    return [(line.snapshot, line.action) for line in report.of(SnapshotLine)]


def _there(night: NightDesk) -> set[str]:
    return set(night.desk.machines()["web-1"]["snapshots"])


def test_snapshots_aa_and_bb_declared_for_day_d_and_cc_for_d_plus_7_one_night_each(night: NightDesk) -> None:
    night.deliver("web-1", days=None)
    night.files("web-1", days=None, snapshots=_DECLARED)
    first = MONDAY_NIGHT + dt.timedelta(minutes=10)
    assert sorted(_done(night, first, speed=20)) == [("aa", "taken"), ("bb", "taken")]
    early = MONDAY_NIGHT + _WEEK  # ten minutes before aa and bb have lived their seven days
    planned = night.preview(early)
    assert "+ snapshot cc dupont/web-1   when another has expired: Mon 2026-11-30 22:" in planned, planned
    held: list[set[str]] = []
    night.on_event = lambda _event: held.append(_there(night))
    done = _done(night, early)
    assert ("aa", "removed") in done and ("cc", "taken") in done, done
    assert done.index(("aa", "removed")) < done.index(("cc", "taken"))
    assert all(len(names) <= 2 for names in held) and {"aa", "bb"} in held, "each is kept its seven days"
    _done(night, early + dt.timedelta(hours=1))
    assert _there(night) == {"cc"}


def test_a_snapshot_that_waits_for_the_expiry_of_others_when_the_night_is_over_is_told(
    night: NightDesk,
) -> None:
    night.deliver("web-1", days=None)
    night.files("web-1", days=None, snapshots=_DECLARED)
    _done(night, MONDAY_NIGHT + dt.timedelta(minutes=30))
    early = MONDAY_NIGHT + _WEEK
    report = night.night(early, closes_at=early + dt.timedelta(minutes=10))
    (line,) = report.of(SnapshotLine)
    assert (line.snapshot, line.action) == ("cc", "failed") and "the night ended before" in line.message
    assert _there(night) == {"aa", "bb"}
