"""The service level's pages: the month of everybody, kept until something changes, and one client's reckoning."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pytest

from orchestrator.history.declared import CreditRequest
from orchestrator.history.records import add
from orchestrator.operations import month_levels, service_level
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.level_world import World, make_world, moment
from tests.web.signed_in import Browser, signed_in

MONTH = {"month": "2026-11"}


class Clock:
    """What the program takes for the time."""

    now = moment("2026-12-15 12:00")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(Desk, "now", lambda _: clock.now)
    return clock


@pytest.fixture
def world(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two machines of dupont, seen up always; web-1 was down for ninety minutes that count (example A1)."""
    made = make_world(tmp_path, monkeypatch)  # type: ignore[arg-type]
    made.observe()
    made.down("2026-11-10 17:30", "2026-11-12 09:00", at="2026-11-13 10:00", reference="TICKET-1")
    return made


@pytest.fixture
def desk(world: World) -> Iterator[Desk]:
    settings = Settings(
        public_url="https://panel.example",
        inventory="inv",
        history=str(world.history),
        reports=world.folder,
    )
    with open_desk(settings) as opened:
        yield opened


@pytest.fixture
def reader(desk: Desk, clock: Clock) -> Iterator[Browser]:
    with signed_in(desk, "rachel") as browser:
        yield browser


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The months that were computed, in their order."""
    done: list[str] = []
    whole = service_level.months_of

    def counted(*arguments: object, **named: object) -> object:
        done.append(str(arguments[1]))
        return whole(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(month_levels, "months_of", counted)
    return done


def test_the_month_of_everybody_has_what_was_promised_kept_and_owed(reader: Browser) -> None:
    text = reader.get("/service-level", MONTH).text
    for said in ("99.7916%", "missed", "100.0000%", "€20.00", "1 h 30 min".replace(" ", "\u00a0")):
        assert said in text, said
    assert re.findall(r'<option value="(20..-..)"', text)[:13] == [
        *(f"2026-{number:02d}" for number in range(12, 0, -1)),
        "2025-12",
    ]
    only = reader.get("/service-level", {**MONTH, "state": "missed"}).text
    assert "/machines/dupont/web-1" in only and "/machines/dupont/db-1" not in only
    none = reader.get("/service-level", {**MONTH, "client": "martin"}).text
    assert "No service fits" in none


def test_a_month_is_computed_once_and_again_when_a_record_or_a_file_changes(
    reader: Browser, world: World, desk: Desk, clock: Clock, computed: list[str]
) -> None:
    reader.get("/service-level", MONTH)
    clock.now += dt.timedelta(hours=3)
    reader.get("/service-level", {**MONTH, "sort": "-amount"})
    desk.history.append(
        who="a", why="b", client="dupont", site="paris", action="backup", result="ok", run="r"
    )
    assert "provisional" not in reader.get("/service-level", MONTH).text
    assert computed == ["2026-11"], "the month is over, and a backup says nothing of it"
    world.down("2026-11-16 09:00", "2026-11-16 10:00", whose="db-1", at="2026-12-18 12:00")
    assert "99.8611%" in reader.get("/service-level", MONTH).text
    assert computed == ["2026-11"] * 2
    clock.now += dt.timedelta(seconds=10)
    world.write(fee="1000.00")
    assert "€50.00" in reader.get("/service-level", MONTH).text
    assert computed == ["2026-11"] * 3


def test_the_month_that_goes_on_is_provisional_and_renewed_when_its_rows_are_a_minute_old(
    reader: Browser, desk: Desk, clock: Clock, computed: list[str]
) -> None:
    assert "provisional: the month goes on" in reader.get("/service-level").text
    clock.now += dt.timedelta(seconds=59)
    reader.get("/service-level")
    assert computed == ["2026-12"]
    clock.now += dt.timedelta(seconds=1)
    reader.get("/service-level")
    with desk.levels._guard:
        assert desk.levels._guard.wait_for(lambda: not desk.levels._working, timeout=60)
    assert computed == ["2026-12"] * 2
    assert "Computed" in reader.get("/service-level").text and len(computed) == 2


def test_a_client_s_month_has_outages_the_reckoning_and_credits(reader: Browser, desk: Desk) -> None:
    asked = CreditRequest(
        client="dupont", machines=("web-1",), month="2026-11", came=moment("2026-12-02 09:00")
    )
    add(desk.history, asked, who="alice", why="letter", at=moment("2026-12-02 10:00"))
    text = reader.get("/service-level/dupont", MONTH).text.replace("\u00a0", " ")
    for said in ("TICKET-1", "43,200", "99.7916%", "counts", "€20.00", "requested"):
        assert said in text, said


@pytest.mark.parametrize("month", ["2026-13", "2027-06", "x", "", "9999-12", "0001-01"])
def test_a_month_that_is_none_or_lies_ahead_is_the_current_one(reader: Browser, month: str) -> None:
    assert "Service level 2026-12" in reader.get("/service-level", {"month": month}).text
    assert "dupont, 2026-12" in reader.get("/service-level/dupont", {"month": month}).text


def test_who_does_not_exist_has_no_month_and_a_client_has_none_here(reader: Browser, desk: Desk) -> None:
    reader.get("/service-level/martin", status=404)
    with signed_in(desk, "camille") as client:
        for path in ("/service-level", "/service-level/dupont"):
            client.get(path, status=404)


def test_files_with_errors_are_named_and_a_site_file_with_errors_is_told(
    reader: Browser, world: World
) -> None:
    (world.folder / "subscriptions" / "broken.yaml").write_text("client: broken\n")
    assert "broken.yaml" in reader.get("/service-level", MONTH).text
    (world.folder / "inv" / "sites.yaml").write_text("sites: 1\n")
    text = reader.get("/service-level", {"month": "2026-10"}).text
    assert "could not be computed" in text or "99." in text
