"""Records of what people declare: append-only, in the history's chain, corrected by new ones."""

import datetime as dt
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.history import History, open_history
from orchestrator.history.declared import (
    KINDS,
    Alarm,
    AlarmAction,
    Approval,
    Credit,
    ExcusableEvent,
    Maintenance,
    Outage,
    Request,
    TakingOver,
)
from orchestrator.history.records import RecordRefused, add, correct, read, withdraw
from orchestrator.history.supervised_outages import outage_begins, outage_ends

NINE = dt.datetime(2026, 11, 10, 8, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
WEB_1 = {"client": "dupont", "machine": "web-1"}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "h.db") as opened:
        yield opened


def outage(machine: str = "web-1", hours: int | None = 1, text: str = "") -> Outage:
    return Outage(
        client="dupont",
        machines=(machine,),
        start=NINE,
        end=None if hours is None else NINE + hours * HOUR,
        text=text,
        notified_by="client",
        notified_at=NINE,
    )


def test_a_record_is_an_entry_of_the_history_with_who_when_and_why(history: History) -> None:
    recorded = add(history, outage(), who="alice", why="INC-1", at=NINE)
    (entry,) = history.entries(client="dupont", machine="web-1")
    assert (entry.sequence, entry.action, entry.who, entry.why, entry.at) == (
        recorded.number,
        "outage",
        "alice",
        "INC-1",
        NINE,
    )
    assert read(history).of(Outage) == (recorded,)
    assert history.verify().ok


def test_a_correction_is_a_new_record_that_names_the_old_one(history: History) -> None:
    old = add(history, outage(hours=1), who="alice", why="INC-1")
    new = correct(history, old.number, outage(hours=2), who="bob", why="it ended later")
    assert read(history).of(Outage) == (new,)
    assert (new.replaces, new.before) == (old.number, (old,))
    assert len(history.entries()) == 2 and history.verify().ok


def test_a_correction_of_a_correction_holds_and_both_before_it_are_shown(history: History) -> None:
    first = add(history, outage(hours=1), who="alice", why="INC-1")
    second = correct(history, first.number, outage(hours=2), who="bob", why="later")
    third = correct(history, second.number, outage(hours=3), who="carol", why="later still")
    (found,) = read(history, client="dupont").of(Outage)
    assert found == third and found.first.number == first.number
    assert [item.said.end for item in found.before] == [NINE + HOUR, NINE + 2 * HOUR]
    with pytest.raises(RecordRefused, match=f"was replaced by record {third.number}"):
        correct(history, first.number, outage(), who="dave", why="late")


def test_what_was_withdrawn_has_no_effect_and_is_still_there(history: History) -> None:
    old = add(history, outage(), who="alice", why="INC-1")
    gone = withdraw(history, old.number, who="bob", why="recorded twice")
    found = read(history)
    assert found.of(Outage) == () and found.lines == (gone,) and gone.before == (old,)
    with pytest.raises(RecordRefused, match="took back"):
        correct(history, gone.number, outage(), who="bob", why="again")


def test_a_record_that_is_not_there_of_another_kind_or_client_is_not_corrected(history: History) -> None:
    old = add(history, outage(), who="alice", why="INC-1")
    planned = Maintenance(client="dupont", start=NINE, end=NINE + HOUR, announced=NINE - HOUR)
    other = outage().model_copy(update={"client": "martin"})
    for number, said, why in [
        (99, outage(), "no record with the number 99"),
        (old.number, planned, "no record with the number 1"),
        (old.number, other, "no record with the number 1"),
    ]:
        with pytest.raises(RecordRefused, match=why):
            correct(history, number, said, who="bob", why="x")
    assert len(history.entries()) == 1


def test_two_people_who_correct_one_record_at_once_leave_the_later_correction(history: History) -> None:
    old = add(history, outage(hours=1), who="alice", why="x")
    correct(history, old.number, outage(hours=2), who="bob", why="x")
    entry = history.entries()[0]
    details = entry.details.replace("10:00:00", "11:00:00")  # as if written before bob's was seen
    later = history.append(
        who="carol",
        why="x",
        client="dupont",
        site="",
        machine="web-1",
        action="outage",
        result="ok",
        run="r",
        details=json.loads(details),
    )
    (found,) = read(history).of(Outage)
    assert found.number == later.sequence and [item.who for item in found.before] == ["alice", "bob"]


def test_a_client_reads_its_own_records_and_those_of_whole_sites(history: History) -> None:
    mine = add(history, outage(), who="alice", why="x")
    add(history, outage().model_copy(update={"client": "martin"}), who="alice", why="x")
    everybody = add(
        history, Outage(site="paris", start=NINE, notified_by="bob", notified_at=NINE), who="bob", why="x"
    )
    assert read(history, client="dupont").of(Outage) == (mine, everybody)
    assert everybody.said.concerns("dupont", "web-1", "paris")
    assert not everybody.said.concerns("dupont", "web-1", "lyon")
    assert mine.said.concerns("dupont", "web-1", "paris") and not mine.said.concerns(
        "dupont", "db-1", "paris"
    )


@pytest.mark.parametrize(
    "details",
    [
        "rubbish",
        "[]",
        "{}",
        '{"version": 9}',
        '{"version": 1}',
        '{"version": 1, "said": {"client": "dupont", "from": "never"}}',
        '{"version": 1, "said": {"client": "martin", "from": "2026-11-10T08:00:00Z"}}',
        '{"version": 1, "replaces": [1], "withdrawn": true}',
        '{"version": 1, "replaces": 77, "withdrawn": true}',
        '{"version": 1, "withdrawn": true}',
        "[" * 5000,
    ],
)
def test_a_damaged_record_is_one_unreadable_record_and_is_named(tmp_path: Path, details: str) -> None:
    path = tmp_path / "h.db"
    with open_history(path) as history:
        bad = add(history, outage("web-1"), who="alice", why="x")
        good = add(history, outage("db-1"), who="alice", why="x")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE history_entries SET details = :details WHERE sequence = :number"),
            {"details": details, "number": bad.number},
        )
    engine.dispose()
    with open_history(path) as history:
        found = read(history)
    assert found.of(Outage) == (good,)
    (unreadable,) = found.unreadable
    assert (unreadable.number, unreadable.kind, unreadable.client) == (bad.number, "outage", "dupont")
    assert unreadable.reason and "\n" not in unreadable.reason[:10]


@pytest.mark.parametrize("client", [None, "dupont"])
def test_records_are_found_by_an_index_and_not_among_all_entries(tmp_path: Path, client: str | None) -> None:
    path = tmp_path / "h.db"
    asked: list[tuple[str, object]] = []

    def note(_c: object, _u: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    with open_history(path) as history:
        add(history, outage(), who="alice", why="x")
        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            read(history, client=client)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)
    found = [item for item in asked if "history_entries" in item[0]]
    assert len(found) == 2, "the renames, and the records"
    for statement, parameters in found:
        with sqlite3.connect(path) as connection:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()  # type: ignore[arg-type]
        assert any("history_by_action" in str(row) for row in plan), plan
        assert not any(str(row[-1]).startswith("SCAN history_entries") for row in plan)


def test_what_the_history_would_hide_is_refused_before_anything_is_written(history: History) -> None:
    with pytest.raises(RecordRefused, match="cannot be recorded as it is"):
        add(history, outage(text="see https://user:secret@host/x"), who="alice", why="x")
    assert history.entries() == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"to": NINE - HOUR}, "not after its beginning"),
        ({"to": NINE}, "not after its beginning"),
        ({"from": NINE.replace(tzinfo=None)}, "no time zone"),
        ({"from": NINE.replace(year=1900)}, "between the years"),
        ({"notified_at": None}, "come together"),
        ({"machines": ("web-1", "web-1")}, "named twice"),
        ({"machines": tuple(f"m{n}" for n in range(201))}, "at most 200"),
        ({"site": "paris"}, "not both"),
        ({"client": None}, "not both"),
        ({"client": None, "site": "paris"}, "with their client"),
        ({"text": "x" * 901}, "at most 900"),
        ({"text": "two\nlines"}, "one line"),
        ({"text": "\x1b[31m"}, "one line"),
        ({"colour": "red"}, "not permitted"),
    ],
)
def test_an_outage_that_cannot_be_is_no_outage(changed: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Outage.model_validate({**outage().model_dump(by_alias=True), **changed})


def test_an_excusable_event_needs_a_cause_of_the_article_and_a_reference() -> None:
    good = {"client": "dupont", "from": NINE, "to": NINE + HOUR, "cause": "v", "reference": "OP-1"}
    assert ExcusableEvent.model_validate(good).cause == "v"
    for key, value in [("cause", "vii"), ("reference", None), ("reference", "")]:
        with pytest.raises(ValidationError, match=key):
            ExcusableEvent.model_validate({**good, key: value})


_SAMPLES = [
    outage(),
    ExcusableEvent(site="paris", start=NINE, cause="force-majeure", reference="F-1"),
    Maintenance(client="dupont", start=NINE, end=NINE + HOUR, announced=NINE - HOUR),
    Request(
        client="dupont",
        kind="hardware",
        came=NINE,
        text="a second card",
        closed=NINE + HOUR,
        outcome="done",
        answer="yes",
    ),
    Approval(client="dupont", subject="reversibility-plan", by="M. Dupont", day=dt.date(2026, 11, 3)),
    KINDS["credit request"].model_validate({"client": "dupont", "month": "2026-11", "came": NINE}),
    Credit.model_validate(
        {
            "client": "dupont",
            "machines": ["web-1"],
            "month": "2026-11",
            "issued": "2026-12-05",
            "fee": "400.00",
            "percent": 5,
            "amount": "20.00",
            "request": 3,
        }
    ),
    Alarm(site="paris", start=NINE, fingerprint="0af1", rule="NodeDown", severity="critical"),
    TakingOver(
        client="dupont",
        state="notified",
        day=dt.date(2026, 11, 5),
        documents=("architecture",),
        reference="LRAR-150",
    ),
    AlarmAction(client="dupont", alarm=3, by="alice", at=NINE, result="done", text="restarted it"),
]


def test_each_kind_is_read_as_it_was_written(history: History) -> None:
    for said in _SAMPLES:
        add(history, said, who="alice", why="x")
    assert [item.said for item in read(history).lines] == _SAMPLES
    assert [item.said for item in read(history, kinds=(Request, Approval)).lines] == _SAMPLES[3:5]


@given(st.datetimes(dt.datetime(2001, 1, 1), dt.datetime(2998, 1, 1), timezones=st.timezones()))
def test_any_moment_is_kept_in_utc_and_stays_the_same(moment: dt.datetime) -> None:
    said = Outage(client="dupont", start=moment)
    assert said.start.utcoffset() == dt.timedelta(0) and said.start.timestamp() == moment.timestamp()
    assert Outage.model_validate(said.model_dump(mode="json", by_alias=True)) == said


def test_supervision_records_an_outage_once_however_often_it_says_so(history: History) -> None:
    first = outage_begins(history, **WEB_1, start=NINE, seen=NINE + HOUR, cause="node paris-2 is off")
    assert outage_begins(history, **WEB_1, start=NINE, seen=NINE + 2 * HOUR) == first
    assert outage_begins(history, **WEB_1, start=NINE + HOUR, seen=NINE + 2 * HOUR) == first  # it goes on
    assert first.said.notified_by == "supervision" and first.said.notified_at == NINE + HOUR
    ended = outage_ends(history, **WEB_1, end=NINE + 3 * HOUR)
    assert ended is not None and ended.said.end == NINE + 3 * HOUR and ended.before == (first,)
    assert outage_ends(history, **WEB_1, end=NINE + 3 * HOUR) is None
    assert outage_begins(history, **WEB_1, start=NINE, seen=NINE + HOUR) == ended
    assert len(history.entries()) == 2
    second = outage_begins(history, **WEB_1, start=NINE + 4 * HOUR, seen=NINE + 4 * HOUR)
    assert read(history).of(Outage) == (ended, second)


def test_supervision_undoes_nothing_that_a_person_corrected(history: History) -> None:
    seen = outage_begins(history, **WEB_1, start=NINE, seen=NINE)
    gone = withdraw(history, seen.number, who="alice", why="the probe was wrong")
    assert outage_begins(history, **WEB_1, start=NINE, seen=NINE) == gone
    assert outage_ends(history, **WEB_1, end=NINE + HOUR) is None
    assert read(history).of(Outage) == ()


def test_supervision_refuses_an_end_before_the_beginning(history: History) -> None:
    outage_begins(history, **WEB_1, start=NINE, seen=NINE)
    with pytest.raises(RecordRefused, match="clocks"):
        outage_ends(history, **WEB_1, end=NINE)
