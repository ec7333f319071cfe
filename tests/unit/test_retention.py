"""Retention over calendars (article 3.5): whatever the nights, failures and changes, the days are kept."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS
from orchestrator.contract.retention import judge

_START = dt.date(2026, 2, 1)  # both clock changes lie within the year that follows


@dataclass(frozen=True)
class Archive:
    taken_at: dt.datetime
    days: int
    protected: bool = False
    good: bool = True


@dataclass(frozen=True)
class Night:
    """One night: when it runs, how its backup ends, and what the file says by then."""

    hour: int
    minute: int
    backup: str
    days: int | None
    in_file: bool
    skipped: bool


_nights = st.lists(
    st.builds(
        Night,
        hour=st.sampled_from([18, 20, 22, 23, 0, 1, 2, 3, 5]),
        minute=st.integers(0, 59),
        backup=st.sampled_from(["good", "good", "good", "failed", "bad"]),
        days=st.sampled_from([7, 7, 31, 31, None]),
        in_file=st.sampled_from([True, True, True, False]),
        skipped=st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=90,
)


def _moment(index: int, night: Night) -> dt.datetime:
    """Nights begin in the evening; hours after midnight are the next day's."""
    day = _START + dt.timedelta(days=index + (night.hour < 12))
    return dt.datetime.combine(day, dt.time(night.hour, night.minute), PARIS)


def _local(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(PARIS).replace(tzinfo=None)


@given(_nights, st.sets(st.integers(0, 89)))
def test_no_archive_older_than_its_days_stays_none_younger_goes_and_the_last_good_one_never_does(
    nights: list[Night], protected: set[int]
) -> None:
    kept: list[Archive] = []
    for index, night in enumerate(nights):
        if night.skipped:
            continue
        now = _moment(index, night)
        days = night.days if night.in_file else None
        if days is not None and night.backup != "failed":
            kept.append(Archive(now, days, index in protected, night.backup == "good"))
        keep_last = days is not None or not night.in_file
        verdicts = judge(kept, now, days=days, keep_last=keep_last)
        assert [verdict.archive for verdict in verdicts] == sorted(kept, key=lambda archive: archive.taken_at)
        good = [archive for archive in kept if archive.good]
        newest_good = max(good, key=lambda archive: archive.taken_at) if good else None
        for verdict in verdicts:
            archive = verdict.archive
            lives = dt.timedelta(days=archive.days if days is None else days)
            older = _local(now) >= _local(archive.taken_at) + lives
            if verdict.goes:
                assert older, "none younger goes"
                assert not archive.protected
                assert not (keep_last and archive is newest_good), "the last good one is never removed"
            elif older:
                assert archive.protected or (keep_last and archive is newest_good), "none older stays"
        kept = [verdict.archive for verdict in verdicts if not verdict.goes]
        if keep_last and good:
            assert any(archive.good for archive in kept)


@given(st.integers(0, 364), st.sampled_from([7, 31]), st.integers(0, 23), st.integers(0, 59))
def test_an_archive_lives_its_days_to_the_minute_also_across_clock_changes(
    offset: int, days: int, hour: int, minute: int
) -> None:
    taken = dt.datetime.combine(_START + dt.timedelta(days=offset), dt.time(hour, minute), PARIS)
    archive = Archive(taken, days)
    other = replace(archive, taken_at=taken + dt.timedelta(days=1))
    ends = judge([archive, other], taken, days=days, keep_last=True)[0].ends
    assert _local(ends) == _local(taken) + dt.timedelta(days=days)
    before, after = ends - dt.timedelta(minutes=1), ends
    assert not judge([archive, other], before, days=days, keep_last=True)[0].goes
    assert judge([archive, other], after, days=days, keep_last=True)[0].goes


def test_a_daily_backup_of_seven_days_leaves_seven_archives() -> None:
    kept: list[Archive] = []
    for index in range(40):
        now = dt.datetime.combine(_START + dt.timedelta(days=index), dt.time(22), PARIS)
        kept.append(Archive(now, 7))
        kept = [v.archive for v in judge(kept, now, days=7, keep_last=True) if not v.goes]
    assert len(kept) == 7


def test_three_failed_nights_do_not_stretch_the_days_as_keep_daily_would() -> None:
    nights = [day for day in range(20) if day not in (14, 15, 16)]
    archives = [
        Archive(dt.datetime.combine(_START + dt.timedelta(days=d), dt.time(22), PARIS), 7) for d in nights
    ]
    now = dt.datetime.combine(_START + dt.timedelta(days=19), dt.time(23), PARIS)
    kept = [v.archive.taken_at.date() for v in judge(archives, now, days=7, keep_last=True) if not v.goes]
    assert [(day - _START).days for day in kept] == [13, 17, 18, 19]
