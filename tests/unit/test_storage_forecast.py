"""Will the coming nights fit? The forecast against a simulation that goes from night to night."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS, add_calendar_days
from orchestrator.contract.retention import judge
from orchestrator.nightly.forecast import NIGHTS, Forecast, Load, forecast

NIGHT = dt.date(2026, 11, 23)
BEGINS = dt.datetime(2026, 11, 24, 3, tzinfo=PARIS)
ROOM = 10**12
_BEFORE_CLOCKS_CHANGE = (dt.datetime(2026, 3, 26, 2, 30), dt.datetime(2026, 10, 22, 2, 30))


@dataclass(frozen=True, kw_only=True)
class Made:
    """An archive."""

    taken_at: dt.datetime
    days: int = 7
    protected: bool = False
    good: bool = True
    size: int = 0


def made(nights_ago: int, *, days: int = 7, protected: bool = False, good: bool = True) -> Made:
    return Made(taken_at=add_calendar_days(BEGINS, -nights_ago), days=days, protected=protected, good=good)


def load(*archives: tuple[Made, int], size: float = 100, days: int | None = 7, tonight: bool = True) -> Load:
    return Load(size=size, tonight=tonight, days=days, archives=archives)


def of(*loads: Load, total: int = ROOM, used: int | None = None) -> Forecast:
    there = sum(size for item in loads for _, size in item.archives)
    return forecast(loads, begins=BEGINS, night=NIGHT, total=total, used=there if used is None else used)


def after(expected: Forecast) -> list[int]:
    return [used for _, used in expected.nights]


def peaks(expected: Forecast) -> list[int]:
    return [used for _, used in expected.peaks]


MOMENTS = st.sampled_from(_BEFORE_CLOCKS_CHANGE).map(lambda moment: moment.replace(tzinfo=PARIS)) | st.datetimes(
    dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 31), timezones=st.just(PARIS)
)  # fmt: skip


@st.composite
def loads(draw: st.DrawFn, begins: dt.datetime) -> Load:
    days = draw(st.none() | st.integers(1, 12))
    archives = st.builds(
        Made,
        taken_at=st.floats(0, 15 * 24).map(lambda hours: begins - dt.timedelta(hours=hours)),
        days=st.integers(1, 12),
        protected=st.booleans(),
        good=st.booleans(),
    )
    return Load(
        size=draw(st.integers(1, 1000)) if days else 0,
        tonight=draw(st.booleans()),
        days=days,
        archives=tuple(draw(st.lists(st.tuples(archives, st.integers(0, 1000)), max_size=8))),
    )


@dataclass(frozen=True)
class Coming:
    """What the coming nights are foretold from."""

    begins: dt.datetime
    loads: list[Load]
    total: int
    used: int

    def foretold(self) -> Forecast:
        return forecast(self.loads, begins=self.begins, night=NIGHT, total=self.total, used=self.used)


@st.composite
def comings(draw: st.DrawFn) -> Coming:
    begins = draw(MOMENTS)
    machines = draw(st.lists(loads(begins), max_size=5))
    used = sum(size for item in machines for _, size in item.archives) + draw(st.integers(0, 500))
    return Coming(begins, machines, used + draw(st.integers(0, 8000)), used)


def night_by_night(coming: Coming) -> Forecast:
    """Write each night's archives, then let retention judge what is there and remove it; eight times."""
    there = [[replace(archive, size=size) for archive, size in _made(item)] for item in coming.loads]
    used, nights, written, full_on = coming.used, [], [], None
    for index in range(NIGHTS):
        moment, day = add_calendar_days(coming.begins, index), NIGHT + dt.timedelta(days=index)
        new = 0
        for item, held in zip(coming.loads, there, strict=True):
            if item.days is None:
                continue
            # Where tonight's is made already, it may lie on another storage: there, it takes nothing here.
            size = int(item.size) if index or item.tonight else 0
            held.append(Made(taken_at=moment, days=item.days, size=size))
            new += size
        used += new
        written.append((day, used))
        if new and used > coming.total and full_on is None:
            full_on = day
        for item, held in zip(coming.loads, there, strict=True):
            for verdict in judge(list(held), moment, days=item.days, keep_last=True):
                if verdict.goes:
                    held.remove(verdict.archive)
                    used -= verdict.archive.size
        nights.append((day, used))
    return Forecast(nights=tuple(nights), peaks=tuple(written), full_on=full_on)


def _made(item: Load) -> list[tuple[Made, int]]:
    return [(archive, size) for archive, size in item.archives if isinstance(archive, Made)]


@given(comings())
def test_the_forecast_is_what_going_from_night_to_night_gives(coming: Coming) -> None:
    assert coming.foretold() == night_by_night(coming)


@given(comings(), st.data())
def test_larger_backups_longer_retentions_and_more_in_use_never_take_less(
    coming: Coming, data: st.DataObject
) -> None:
    def more(item: Load) -> Load:
        if item.days is None:
            return item
        return replace(
            item,
            size=item.size + data.draw(st.integers(0, 500)),
            days=item.days + data.draw(st.integers(0, 5)),
        )

    grown = replace(
        coming, loads=[more(item) for item in coming.loads], used=coming.used + data.draw(st.integers(0, 500))
    )
    before, with_more = coming.foretold(), grown.foretold()
    assert all(less <= most for less, most in zip(after(before), after(with_more), strict=True))
    assert all(less <= most for less, most in zip(peaks(before), peaks(with_more), strict=True))
    if before.full_on:
        assert with_more.full_on and with_more.full_on <= before.full_on


@given(comings(), st.integers(0, 10_000))
def test_a_larger_storage_is_never_full_earlier(coming: Coming, added: int) -> None:
    before, larger = coming.foretold(), replace(coming, total=coming.total + added).foretold()
    assert larger.nights == before.nights
    assert larger.full_on is None or (before.full_on and larger.full_on >= before.full_on)


@given(st.integers(1, 40), st.integers(0, 40), MOMENTS)
def test_nothing_goes_before_its_days_are_over_and_then_it_goes(
    days: int, ago: int, begins: dt.datetime
) -> None:
    archive = Made(taken_at=add_calendar_days(begins, -ago))
    expected = forecast(
        [Load(size=0, tonight=True, days=days, archives=((archive, 100),))],
        begins=begins, night=NIGHT, total=ROOM, used=100,
    )  # fmt: skip
    ends = add_calendar_days(archive.taken_at, days)
    gone = [used == 0 for used in after(expected)]
    assert gone == [add_calendar_days(begins, index) >= ends for index in range(NIGHTS)]


@given(comings())
def test_the_eight_nights_begin_with_tonight_and_no_peak_is_below_what_stays(coming: Coming) -> None:
    expected = coming.foretold()
    days = [NIGHT + dt.timedelta(days=index) for index in range(NIGHTS)]
    assert [day for day, _ in expected.nights] == [day for day, _ in expected.peaks] == days
    assert all(high >= low for high, low in zip(peaks(expected), after(expected), strict=True))


# Nights that a reader can check


def test_a_machine_without_archives_grows_until_its_retention_is_reached() -> None:
    expected = of(load(days=3))
    assert peaks(expected) == [100, 200, 300, 400, 400, 400, 400, 400]
    assert after(expected) == [100, 200, 300, 300, 300, 300, 300, 300]


def test_a_machine_that_has_all_its_days_takes_one_archive_more_only_while_the_night_lasts() -> None:
    expected = of(load(*((made(ago), 100) for ago in range(1, 8))))
    assert (peaks(expected), after(expected)) == ([800] * 8, [700] * 8)


def test_tonight_does_not_fit_although_it_would_once_the_old_archive_is_gone() -> None:
    machine = load(*((made(ago), 100) for ago in range(1, 8)))
    assert of(machine, total=799).full_on == NIGHT
    assert of(machine, total=800).full_on is None


def test_the_first_night_that_does_not_fit_is_named() -> None:
    assert of(load(days=31), total=450).full_on == NIGHT + dt.timedelta(days=4)


def test_what_is_made_already_is_not_counted_again() -> None:
    expected = of(load((made(0), 100), tonight=False))
    assert peaks(expected)[:3] == [100, 200, 300]


def test_a_protected_archive_stays() -> None:
    assert after(of(load((made(30, protected=True), 40), size=0))) == [40] * 8


def test_an_old_archive_on_a_storage_that_is_no_longer_used_goes_for_a_newer_one_is_elsewhere() -> None:
    assert after(of(load((made(5), 40), size=0))) == [40, 40, 0, 0, 0, 0, 0, 0]


def test_without_backup_archives_run_out_the_days_they_were_made_under_but_for_the_last_good_one() -> None:
    machine = load((made(2, days=4), 10), (made(1, days=3), 20), (made(0, days=1, good=False), 40), size=0,
                   days=None)  # fmt: skip
    assert after(of(machine)) == [70, 30, 20, 20, 20, 20, 20, 20]


def test_the_shares_of_several_storages_are_together_the_whole() -> None:
    assert after(of(*(load(size=100 / 3) for _ in range(3)))) == after(of(load()))


def test_a_storage_that_compresses_never_holds_less_than_nothing() -> None:
    assert after(of(load((made(7), 100), size=10), used=50))[0] == 0


def test_a_storage_that_nothing_is_written_to_is_not_said_to_be_too_small() -> None:
    assert of(load((made(1), 100), size=0), total=50).full_on is None


@pytest.mark.parametrize(("size", "days"), [(-1, 7), (1, None)])
def test_sizes_that_no_night_can_add_are_refused(size: float, days: int | None) -> None:
    with pytest.raises(ValueError, match="no night adds"):
        load(size=size, days=days)
