"""When a contract is suspended, ends, and may be erased: the calendar, and a law over any history of files."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.contract.calendar import PARIS, add_working_days, is_working_day, working_days_after
from orchestrator.contract.life import REVERSIBILITY_DAYS, ContractLife, Standing
from orchestrator.nightly.contract_ends import Notice, may_erase, to_note
from orchestrator.resources.desired import life_of
from orchestrator.subscriptions.model import Subscription
from orchestrator.subscriptions.offers import check_offers

ONE_MACHINE = {
    "name": "web-1",
    "image": "debian-12",
    "vcpus": 1,
    "memory": "1GiB",
    "disks": [{"name": "system", "size": "4GiB"}],
}
DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2028, 12, 31))


def _evening(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(22), PARIS)


def test_the_thirty_days_are_working_days_of_the_french_calendar() -> None:
    # November has 21 working days left after the 2nd but for Wednesday the 11th, a holiday.
    assert ContractLife(reference="C", notice=dt.date(2026, 11, 2)).last_day == dt.date(2026, 12, 15)
    # Received on a Saturday: the first day is Monday. 25 December and 1 January are holidays.
    assert ContractLife(reference="C", notice=dt.date(2026, 12, 5)).last_day == dt.date(2027, 1, 19)


@given(DAYS, st.integers(0, 60))
def test_counting_forth_and_back_agree(day: dt.date, days: int) -> None:
    end = add_working_days(day, days)
    assert working_days_after(day, end) == days
    assert days == 0 or is_working_day(end)


@given(DAYS, st.integers(-10, 60))
def test_the_days_that_are_left_run_out_on_the_last_day(notice: dt.date, later: int) -> None:
    life = ContractLife(reference="C", notice=notice)
    assert life.last_day is not None
    today = notice + dt.timedelta(days=later)
    left, standing = life.days_left(_evening(today)), life.standing(_evening(today))
    if today < notice:
        assert standing is Standing.ACTIVE
    elif today <= life.last_day:
        assert standing is Standing.ENDING and left == working_days_after(today, life.last_day)
        assert left <= REVERSIBILITY_DAYS
    else:
        assert standing is Standing.ENDED and left == 0


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        ({"status": "suspended"}, "no suspension says since when"),
        ({"status": "terminated"}, "no termination says since when"),
        (
            {"suspension": {"since": "2026-06-01", "reference": "L"}},
            "there is a suspension, yet the status is active",
        ),
        (
            {"termination": {"notice": "2026-06-01", "reference": "L"}},
            "there is a termination, yet the status is",
        ),
        (
            {"status": "terminated", "termination": {"notice": "2020-06-01", "reference": "L"}},
            "2020-06-01 is before the contract",
        ),
    ],
)
def test_a_status_without_its_dates_is_an_error(contract: dict[str, Any], said: str) -> None:
    (finding,) = check_offers(Subscription.model_validate(_file(contract)))
    assert said in finding.message and finding.allowed and finding.severity == "error"


def _file(contract: dict[str, Any]) -> dict[str, Any]:
    base = {"reference": "C-1", "starts": "2026-01-01", "site": "paris"}
    services = [{"offer": "cloud-vm-advanced", "machines": [ONE_MACHINE]}]
    return {"client": "dupont", "contract": base | contract, "services": services}


@st.composite
def _files(draw: st.DrawFn) -> dict[str, Any] | None:
    """One evening's file of a client; None: it is not there, or has an error."""
    if draw(st.integers(0, 4)) == 0:
        return None
    contract: dict[str, Any] = {"reference": draw(st.sampled_from(["C-1", "C-2"]))}
    status = draw(st.sampled_from(["active", "suspended", "terminated", "terminated", "terminated"]))
    contract["status"] = status
    if status == "suspended" or (status == "terminated" and draw(st.booleans())):
        contract["suspension"] = {"since": str(draw(DAYS)), "reference": "L"}
    if status == "terminated":
        notice = draw(st.sampled_from(["2026-02-02", "2026-02-02", "2026-03-02", "2026-04-20"]))
        unpaid = draw(st.booleans())
        contract["termination"] = {"notice": notice, "reference": "L", "default_of_payment": unpaid}
    return _file(contract)


_NIGHTS = st.lists(
    st.tuples(st.integers(0, 40), _files(), st.booleans(), st.sampled_from(["C-1", "C-2"])), max_size=12
)


@settings(max_examples=300)
@given(_NIGHTS, st.booleans())
def test_nothing_is_erased_unless_a_contract_ended_and_its_days_passed(
    nights: list[tuple[int, dict[str, Any] | None, bool, str]], allowed: bool
) -> None:
    """Whatever the files say from night to night, and wherever a night is killed."""
    today = dt.date(2026, 2, 1)
    noted: list[Notice] = []
    for days, text, killed, marked in nights:
        today += dt.timedelta(days=days)
        now = _evening(today)
        life = life_of(Subscription.model_validate(text)) if text else None
        erased = not may_erase("dupont", life, marked, noted, now, allowed=allowed)
        if erased:
            assert allowed and text and text["contract"]["status"] == "terminated"
            assert text["contract"]["reference"] == marked
            notice = dt.date.fromisoformat(text["contract"]["termination"]["notice"])
            assert working_days_after(notice, today - dt.timedelta(days=1)) >= REVERSIBILITY_DAYS
            assert any(item.notice == notice and item.night < today for item in noted), (
                "seen on an earlier night"
            )
        if life and not killed and (fresh := to_note("dupont", life, noted, today)):
            noted.append(fresh)


def test_the_law_can_fail_it_does_erase_in_the_end() -> None:
    text = _file({"status": "terminated", "termination": {"notice": "2026-02-02", "reference": "L"}})
    life = life_of(Subscription.model_validate(text))
    assert life.last_day is not None
    after = _evening(life.last_day + dt.timedelta(days=1))
    seen = [Notice(client="dupont", reference="C-1", notice=dt.date(2026, 2, 2), night=dt.date(2026, 2, 3))]
    assert may_erase("dupont", life, "C-1", seen, after, allowed=True) == ""
    assert may_erase("martin", life, "C-1", seen, after, allowed=True), "another client's notice"
    assert may_erase("dupont", life, "C-1", seen, _evening(life.last_day), allowed=True)
