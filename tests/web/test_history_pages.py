"""The history's pages: filters, going on to older entries, one entry, the check of the chain."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.web.signed_in import Browser, signed_in

NOON = dt.datetime(2026, 11, 10, 11, 0, tzinfo=dt.UTC)
UPID = "UPID:pve1:0000ABCD:00112233:6923F0A0:vzdump:100:orchestrator@pve!run:"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A history of 120 entries, one an hour from noon of the 10th."""
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(
        public_url="https://panel.example",
        inventory=None,
        history=str(folder / "history.db"),
        reports=folder,
    )
    with open_desk(settings) as opened:
        for number in range(120):
            opened.history.append(
                who="alice" if number % 2 else "bob",
                why=f"ticket {number}",
                client="dupont" if number % 3 else "martin",
                machine="web-1" if number % 3 else None,
                site="paris",
                action="backup" if number % 3 else "clone",
                result="failed" if number == 7 else "ok",
                message="the storage is full" if number == 7 else "",
                details={"size": number},
                upid=UPID,
                run="r",
                seconds=1.5,
                at=NOON + number * dt.timedelta(hours=1),
            )
        yield opened


@pytest.fixture(scope="module")
def reader(desk: Desk) -> Iterator[Browser]:
    with signed_in(desk, "rachel") as browser:
        yield browser


def tickets(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"ticket (\d+)", text)]


def older(text: str) -> str:
    found = re.search(r'rel="next" href="([^"]+)"', text)
    assert found is not None, text[-2000:]
    return found[1].replace("&amp;", "&")


def test_the_latest_entries_come_first_and_older_ones_follow(reader: Browser) -> None:
    first = reader.get("/history").text
    assert tickets(first) == list(range(119, 69, -1))
    second = reader.get(older(first)).text
    assert tickets(second) == list(range(69, 19, -1)) and 'rel="first" href="/history"' in second
    third = reader.get(older(second)).text
    assert tickets(third) == list(range(19, -1, -1)) and 'rel="next"' not in third


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"client": "martin"}, range(0, 120, 3)),
        (
            {"machine": "web-1", "client": "dupont", "who": "alice"},
            [n for n in range(120) if n % 2 and n % 3],
        ),
        ({"action": "clone", "who": "bob"}, range(0, 120, 6)),
        ({"result": "failed"}, [7]),
        ({"from": "2026-11-12", "to": "2026-11-12"}, range(36, 60)),
        ({"client": "' OR 1=1 --"}, []),
    ],
)
def test_filters_hold_on_every_page(
    reader: Browser, filters: dict[str, str], expected: range | list[int]
) -> None:
    text = reader.get("/history", filters).text
    found = tickets(text)
    while 'rel="next"' in text:
        text = reader.get(older(text)).text
        found += tickets(text)
    assert found == sorted(expected, reverse=True)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"from": "yesterday"}, "from: yesterday is not a day"),
        ({"from": "2026-11-12", "to": "2026-11-10"}, "2026-11-10 is before 2026-11-12"),
        ({"below": "9" * 40}, "ticket 119"),
        ({"below": "0"}, "Nothing was recorded that fits"),
    ],
)
def test_bad_filters_are_told_and_harm_nothing(reader: Browser, filters: dict[str, str], said: str) -> None:
    assert said in reader.get("/history", filters).text


def test_an_entry_has_all_that_was_recorded_and_what_is_none_is_not_found(reader: Browser) -> None:
    text = reader.get("/history/8").text
    for said in ("the storage is full", UPID, "&#34;size&#34;: 7", "/machines/dupont/web-1", "ticket 7"):
        assert said in text, said
    for number in ("0", "121", "x", "-1", "9" * 30):
        reader.get(f"/history/{number}", status=404)


def test_the_chain_is_verified_on_demand_and_says_what_to_note(reader: Browser, desk: Desk) -> None:
    assert "Not checked since this program was started" in reader.get("/history/verify").text
    reader.send("/history/verify", "/history/verify", {})
    desk.check.wait(60)
    text = reader.get("/history/verify").text
    assert "None of 120 entries was altered, removed or moved" in text
    head = re.search(r"120:[0-9a-f]{64}", text)
    assert head is not None
    reader.send("/history/verify", "/history/verify", {"noted": head[0]})
    desk.check.wait(60)
    assert f"Compared with</dt><dd><code>{head[0]}" in reader.get("/history/verify").text
    reader.send("/history/verify", "/history/verify", {"noted": f"120:{'0' * 64}"})
    desk.check.wait(60)
    assert "The history was changed" in reader.get("/history/verify").text
    refused = reader.send("/history/verify", "/history/verify", {"noted": "nonsense"}, status=409)
    assert "a number, a colon and 64 hexadecimal digits" in refused.text


def test_an_altered_entry_is_told_and_still_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("altered")
    settings = Settings(
        public_url="https://panel.example", inventory=None, history=str(folder / "history.db"), reports=folder
    )
    with open_desk(settings) as desk, signed_in(desk, "rachel") as reader:
        desk.history.append(
            who="a", why="b", client="dupont", site="paris", action="clone", result="ok", run="r"
        )
        with desk.database.writing() as connection:
            connection.execute(sa.text("UPDATE history_entries SET details = '{', seconds = 'x', at = 'y'"))
        reader.send("/history/verify", "/history/verify", {})
        desk.check.wait(60)
        assert "The history was changed" in reader.get("/history/verify").text
        assert "{" in reader.get("/history/1").text
        reader.get("/history")


def test_a_client_finds_nothing_at_the_provider_s_history(desk: Desk) -> None:
    with signed_in(desk, "camille") as client:
        for path in ("/history", "/history/1", "/history/verify"):
            client.get(path, status=404)
