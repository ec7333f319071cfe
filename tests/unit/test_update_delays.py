"""The average delay of updates (article 3.8.3): over updates, those that wait included, in working hours."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.applying.journal import Journal
from orchestrator.applying.machine_update import UpdateTerms
from orchestrator.applying.update_outcome import MachineUpdate
from orchestrator.applying.update_requests import close_requests
from orchestrator.contract.calendar import PARIS, working_hours_after, working_hours_between
from orchestrator.history import open_history, records
from orchestrator.history.declared import Request
from orchestrator.history.delays import INSTALLED, SEEN, Delays, delays, due_details, first_seen
from orchestrator.history.records import Recorded
from orchestrator.history.requests import OpenUpdates, close
from orchestrator.history.store import History
from tests.unit.history_samples import BASE
from tests.unit.night_samples import package

DUPONT = ("dupont", "web-1")


def paris(day: int, hour: int, minute: int = 0, month: int = 11) -> dt.datetime:
    return dt.datetime(2026, month, day, hour, minute, tzinfo=PARIS)


def install(
    history: History,
    at: dt.datetime,
    *published: dt.datetime | None,
    requested: dt.datetime | None = None,
    machine: str = "web-1",
    result: str = "ok",
) -> None:
    packages = [
        {
            "package": f"p{number}",
            "from": "1",
            "to": "2",
            "security": False,
            "published": moment.isoformat() if moment else None,
        }
        for number, moment in enumerate(published)
    ]
    details: dict[str, Any] = {"installed": packages, "automatic": requested is None}
    details["requested_at"] = requested.isoformat() if requested else None
    history.append(
        **BASE, client="dupont", machine=machine, action=INSTALLED, result=result, details=details, at=at
    )


def see(history: History, at: dt.datetime, due: dict[str, str], machine: str = "web-1") -> None:
    """As a night records it: with what the latest look says of the time before."""
    known = first_seen(history.latest(SEEN))
    details = due_details(due, ("dupont", machine), known, at)
    history.append(**BASE, client="dupont", machine=machine, action=SEEN, result="ok", details=details, at=at)


def measured(history: History, now: dt.datetime, **more: Any) -> Delays:
    return delays(history, now, **{"days": 90, "automatic": [DUPONT], **more})


@pytest.fixture
def history(tmp_path: Path) -> Any:
    with open_history(tmp_path / "h.db") as opened:
        yield opened


def test_3_8_3_asked_on_friday_at_17_00_and_installed_on_monday_at_10_00_took_3_hours(
    history: History,
) -> None:
    install(history, paris(16, 10), None, requested=paris(13, 17))
    (one,) = measured(history, paris(20, 9)).installed
    assert (one.hours, one.requested) == (3.0, paris(13, 17))


def test_3_8_3_asked_on_2_november_at_08_00_the_72_hours_are_over_on_12_november_at_10_00() -> None:
    asked = paris(2, 8)
    assert working_hours_after(asked, 72) == paris(12, 10), "the 11th is a holiday"
    assert working_hours_between(asked, paris(12, 10)) == 72.0


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        (paris(13, 17), 1, paris(13, 18)),
        (paris(13, 17), 1.5, paris(16, 8, 30)),
        (paris(13, 20), 2, paris(16, 10)),
        (paris(14, 3), 10, paris(16, 18)),
        (dt.datetime(2026, 10, 23, 15, 30, tzinfo=dt.UTC), 1, dt.datetime(2026, 10, 26, 8, 30, tzinfo=PARIS)),
    ],
)
def test_working_hours_pass_by_day_alone(start: dt.datetime, hours: float, end: dt.datetime) -> None:
    assert working_hours_after(start, hours) == end
    assert working_hours_between(start, end) == pytest.approx(hours)


def test_3_8_3_a_batch_of_a_machine_is_one_update_whatever_the_number_of_its_packages(
    history: History,
) -> None:
    """100 packages after 1 hour and one after 99 would be 1.97 hours on average by packages."""
    install(history, paris(16, 10), *[paris(16, 9)] * 100)
    install(history, paris(27, 12), paris(12, 13), machine="db-1")
    found = measured(history, paris(30, 9))
    assert [item.hours for item in found.installed] == [1.0, 109.0]
    assert (found.average_hours, found.packages, len(found.installed)) == (55.0, 101, 2)


def test_3_8_3_delays_of_3_0_and_100_hours_are_51_5_on_average(history: History) -> None:
    install(history, paris(16, 10), paris(13, 17))
    install(history, paris(16, 18), paris(2, 8), requested=paris(2, 8), machine="db-1")
    assert [item.hours for item in measured(history, paris(17, 9)).installed] == [3.0, 100.0]
    assert measured(history, paris(17, 9)).average_hours == 51.5


def test_an_update_counts_from_the_package_that_was_published_first(history: History) -> None:
    install(history, paris(17, 10), paris(16, 15), paris(16, 9), None)
    assert measured(history, paris(20, 9)).installed[0].hours == 11.0


def test_what_failed_was_not_installed(history: History) -> None:
    install(history, paris(16, 10), result="failed")
    assert measured(history, paris(20, 9)).installed == ()


def test_of_several_updates_on_one_request_the_first_counts(history: History) -> None:
    install(history, paris(16, 10), None, requested=paris(13, 17))
    install(history, paris(27, 10), None, requested=paris(13, 17))
    assert [item.hours for item in measured(history, paris(30, 9)).installed] == [3.0]


def test_3_8_3_what_waits_counts_with_its_age_so_far_and_is_told_apart(history: History) -> None:
    see(history, paris(16, 8), {"a": "1", "b": "1"})
    install(history, paris(17, 10), paris(16, 10), machine="db-1")
    found = measured(history, paris(18, 18))
    (waiting,) = found.waiting
    assert (waiting.machine, waiting.hours, waiting.on_request) == ("web-1", 30.0, False)
    assert waiting.due == paris(25, 10)
    assert found.average_hours == (30.0 + 10.0) / 2
    assert len(found.installed) == 1 and found.to_data()["waiting"][0]["working_hours"] == 30.0


def test_what_is_due_where_updates_are_on_request_waits_for_nobody(history: History) -> None:
    see(history, paris(16, 8), {"a": "1"})
    assert measured(history, paris(18, 18), automatic=[]).waiting == ()


def test_what_was_installed_after_the_last_look_waits_no_more(history: History) -> None:
    see(history, paris(16, 8), {"p0": "2", "p1": "2"})
    install(history, paris(16, 22), paris(16, 8))
    (waiting,) = measured(history, paris(17, 18)).waiting
    assert waiting.hours == 20.0, "p1 is still due"
    install(history, paris(17, 22), paris(16, 8), paris(16, 8))
    assert measured(history, paris(18, 18)).waiting == ()


def test_what_has_waited_for_longer_than_is_counted_keeps_its_whole_age(history: History) -> None:
    see(history, paris(5, 8, month=1), {"a": "1", "b": "1"})
    see(history, paris(6, 8, month=1), {"a": "1", "c": "1"})
    see(history, paris(9, 8), {"a": "1", "d": "1"})
    for now in (paris(10, 8), paris(10, 8, month=12)):
        (waiting,) = measured(history, now, days=2).waiting
        assert waiting.since == paris(5, 8, month=1)


def test_what_an_earlier_version_recorded_without_its_beginning_counts_from_its_entry(
    history: History,
) -> None:
    details = {"due": {"a": "1"}}
    at = paris(5, 8, month=1)
    history.append(**BASE, client="dupont", machine="web-1", action=SEEN, result="ok", details=details, at=at)
    (waiting,) = measured(history, paris(10, 8)).waiting
    assert waiting.since == at


# Requests of the register


def ask(history: History, came: dt.datetime, machine: str = "web-1", **more: Any) -> Recorded[Any]:
    said = Request(client="dupont", machines=(machine,), kind="update", came=came, text="please", **more)
    return records.add(history, said, who="alice", why="x", at=came)


def test_3_8_3_the_delay_counts_from_the_registered_request_until_it_is_answered(history: History) -> None:
    ask(history, paris(2, 8))
    (waiting,) = measured(history, paris(12, 10), automatic=[]).waiting
    assert (waiting.hours, waiting.on_request, waiting.due) == (72.0, True, paris(12, 10))
    install(history, paris(12, 12), paris(12, 9), requested=paris(2, 8))
    found = measured(history, paris(12, 18), automatic=[])
    assert ([one.hours for one in found.installed], found.waiting) == ([74.0], ()), "not closed yet, and done"


def test_an_update_closes_the_open_request_of_its_machine_and_only_if_all_is_well(history: History) -> None:
    first, second = ask(history, paris(13, 17)), ask(history, paris(16, 9), "db-1")
    asked = OpenUpdates.read(history, now=paris(16, 10))
    terms = UpdateTerms(
        ssh=cast(Any, None), journal=cast(Any, None), clock=lambda: paris(16, 10), automatic=False, asked=asked,
        requested_at=paris(16, 10),
    )  # fmt: skip
    assert [terms.requested(("dupont", name)) for name in ("web-1", "db-1", "new-1")] == [
        paris(13, 17), paris(16, 9), paris(16, 10),
    ]  # fmt: skip
    journal = Journal(history=history, who="bob", why="ticket 4", run="r")
    line = MachineUpdate(client="dupont", machine="web-1", site="paris", result="installed")
    ends = [
        replace(line, installed=(package("a", "1", "2"),)),
        replace(line, machine="db-1", result="rolled-back"),
    ]
    close_requests(journal, asked, ends, paris(16, 10))
    closed, open_ = (records.read(history).line_of(one.number) for one in (first, second))
    assert closed is not None and open_ is not None
    assert (closed.said.outcome, closed.said.result) == ("done", "1 package installed")
    assert (closed.who, closed.said.closed) == ("bob", paris(16, 10))
    assert open_.said.closed is None


def test_a_request_with_nothing_due_is_answered_and_no_update(history: History) -> None:
    ask(history, paris(13, 17))
    asked = OpenUpdates.read(history, now=paris(16, 10))
    line = MachineUpdate(client="dupont", machine="web-1", site="paris", result="nothing-due")
    journal = Journal(history=history, who="bob", why="x", run="r")
    close_requests(journal, asked, [line], paris(16, 10))
    found = measured(history, paris(17, 10), automatic=[])
    assert (found.installed, found.waiting, found.average_hours) == ((), (), None)


@pytest.mark.parametrize(("outcome", "hours"), [("done", [3.0]), ("refused", []), ("withdrawn", [])])
def test_a_request_that_somebody_closed_counts_if_it_was_done(
    history: History, outcome: Any, hours: list[float]
) -> None:
    one = ask(history, paris(13, 17))
    close(history, one, outcome=outcome, result="by hand", who="bob", why="x", at=paris(16, 10))
    found = measured(history, paris(17, 10), automatic=[])
    assert ([item.hours for item in found.installed], found.waiting) == (hours, ())


def test_a_machine_waits_once_although_it_was_asked_twice_and_something_was_published(
    history: History,
) -> None:
    ask(history, paris(16, 8))
    ask(history, paris(17, 8))
    see(history, paris(13, 8), {"a": "1"})
    (waiting,) = measured(history, paris(18, 8)).waiting
    assert (waiting.since, waiting.on_request) == (paris(13, 8), True)


def test_3_8_3_one_batch_that_answers_two_requests_is_one_update(history: History) -> None:
    """One that came before was named by hand (``update --requested``), or two people registered one each."""
    first, second = ask(history, paris(13, 16)), ask(history, paris(13, 17))
    install(history, paris(16, 10), paris(16, 9), requested=paris(13, 15))
    for one in (first, second):
        close(history, one, outcome="done", result="1 package", who="bob", why="x", at=paris(16, 10, 1))
    third = ask(history, paris(16, 11))
    close(history, third, outcome="done", result="by hand", who="bob", why="x", at=paris(16, 12))
    found = measured(history, paris(17, 10), automatic=[])
    assert ([item.hours for item in found.installed], found.waiting) == ([5.0, 1.0], ())


def test_an_automatic_update_that_was_also_asked_for_counts_from_the_earlier_of_both(
    history: History,
) -> None:
    ask(history, paris(16, 8))
    packages = [{"package": "a", "from": "1", "to": "2", "published": paris(13, 8).isoformat()}]
    details = {"installed": packages, "automatic": True, "requested_at": paris(16, 8).isoformat()}
    history.append(
        **BASE,
        client="dupont",
        machine="web-1",
        action=INSTALLED,
        result="ok",
        details=details,
        at=paris(16, 18),
    )
    found = measured(history, paris(17, 8))
    assert ([item.hours for item in found.installed], found.waiting) == ([20.0], ())


# Odd histories


def test_an_average_at_a_time_in_the_past_knows_nothing_of_what_came_later(history: History) -> None:
    install(history, paris(16, 10), paris(13, 17))
    install(history, paris(27, 10), paris(13, 17))
    see(history, paris(16, 8), {"a": "1"})
    see(history, paris(27, 8), {"b": "1"})
    ask(history, paris(17, 8), "db-1")
    then = measured(history, paris(20, 0))
    assert [item.hours for item in then.installed] == [3.0]
    assert [(item.machine, item.since) for item in then.waiting] == [
        ("web-1", paris(16, 8)),
        ("db-1", paris(17, 8)),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {"due": {"a": 1}, "since": {"a": "yesterday"}},
        {"due": {"a": ["x"]}, "since": ["a"]},
        {"due": {"a": "1"}, "since": {"a": "2999-01-01T00:00:00+00:00"}},
    ],
)
def test_what_somebody_altered_stops_nothing(history: History, odd: dict[str, Any]) -> None:
    at = paris(16, 8)
    history.append(**BASE, client="dupont", machine="web-1", action=SEEN, result="ok", details=odd, at=at)
    assert [item.since for item in measured(history, paris(17, 8)).waiting] == [at]
