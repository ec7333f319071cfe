"""The overview and the lists of a large estate: filtered, sorted and paged by the database, in a few queries."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from orchestrator.interface.look_writing import keep_away
from orchestrator.interface.looked import LookedSite
from orchestrator.interface.looks import MachineFilter, MachineSort, machine_rows
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.postgres import postgresql
from tests.web import generated_looks
from tests.web.signed_in import ACCOUNTS, Browser, signed_in

HEAVIEST = 300_000
"""Bytes of a page."""


@contextmanager
def estate(folder: Path, machines: int, *, kept: int = 2, files: int = 0) -> Iterator[Desk]:
    """The desk of a program that has looked at so many machines just now."""
    settings = Settings(
        public_url="https://panel.example",
        inventory=str(folder / "sites.yaml"),
        files=(folder / "subscriptions",),
        history=str(folder / "history.db"),
        reports=folder / "reports",
    )
    (folder / "reports").mkdir(parents=True)
    generated_looks.write_files(folder, min(machines, files))
    with open_desk(settings) as desk:
        generated_looks.keep(desk.database, machines, desk.now(), kept=kept)
        yield desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with estate(tmp_path_factory.mktemp("large"), 1000) as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(desk: Desk) -> Iterator[Browser]:
    with signed_in(desk, "rachel") as opened:
        yield opened


def names(text: str) -> list[str]:
    """The machines of a list, in its order."""
    return re.findall(r'<a href="/machines/[a-z0-9-]+/[a-z0-9-]+">([a-z0-9-]+/[a-z0-9-]+)</a>', text)


def total(text: str) -> str:
    found = re.search(r'<nav class="pager".*?<span>(.*?)</span>', text, re.S)
    assert found is not None
    return " ".join(found[1].split())


def test_machines_are_paged_and_a_page_behind_the_last_is_the_last(browser: Browser) -> None:
    first = browser.get("/machines").text
    assert len(names(first)) == 50 and names(first)[0] == "c1/m5"
    assert total(first).endswith("of 1,000")
    last = browser.get("/machines", {"page": "20"}).text
    assert names(browser.get("/machines", {"page": "99"}).text) == names(last)
    assert not set(names(first)) & set(names(last))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"q": "dupont"}, 5),
        ({"q": "DUPONT m3"}, 1),
        ({"q": "10.0.1.4"}, 1),
        ({"q": "10.0.1"}, 256),
        ({"q": "10042"}, 1),
        ({"client": "c7"}, 5),
        ({"site": "lyon"}, 500),
        ({"node": "pve3", "state": "running"}, 50),
        ({"offer": "cloud-datacenter"}, 333),
        ({"needs": "held"}, 11),
        ({"needs": "restart"}, 16),
        ({"needs": "unread"}, 2),
        ({"needs": "file"}, 0),
        ({"q": "100%"}, 0),
        ({"q": "m_1"}, 0),
        ({"state": "' or 1=1 --"}, 0),
    ],
)
def test_machines_are_filtered(browser: Browser, query: dict[str, str], count: int) -> None:
    text = browser.get("/machines", query).text
    assert total(text).split(" ")[-1] == (f"{count:,}" if count else "0")


def test_machines_without_a_good_backup_are_those_whose_backup_is_on(browser: Browser) -> None:
    text = browser.get("/machines", {"needs": "backup"}).text
    late = {number for number in range(0, 1000, 50) if number % 7 != 6 and number % 5 != 4}
    assert {int(name.rpartition("m")[2]) for name in names(text)} == late


@pytest.mark.parametrize("sort", MachineSort)
def test_machines_are_sorted_both_ways_and_no_page_repeats_another(desk: Desk, sort: MachineSort) -> None:
    for descending in (False, True):
        pages = [
            machine_rows(
                desk.database,
                MachineFilter(),
                desk.now(),
                sort=sort,
                descending=descending,
                page=page,
                size=200,
            )
            for page in range(1, 6)
        ]
        assert len({(row.client, row.machine) for page in pages for row in page.rows}) == 1000


def test_the_largest_come_first_where_asked(browser: Browser) -> None:
    numbers = [
        int(name.rpartition("m")[2]) for name in names(browser.get("/machines", {"sort": "-vcpus"}).text)
    ]
    assert {number % 8 for number in numbers} == {7}


@pytest.mark.parametrize(
    "query", [{"sort": "secret"}, {"page": "-1"}, {"page": "1" * 40}, {"q": "x" * 5000}, {"q": "\x00"}]
)
def test_what_no_link_of_ours_has_is_no_error(browser: Browser, query: dict[str, str]) -> None:
    browser.get("/machines", query)
    browser.get("/clients", query)
    browser.get("/search", query)


def test_clients_are_found_by_quote_and_counted(browser: Browser) -> None:
    text = browser.get("/clients", {"q": "d-995"}).text
    assert "/clients/c199" in text and total(text).endswith("of 1")
    page = browser.get("/clients/c7").text
    assert re.findall(r">(c7/m[0-9]+)<", page) == [f"c7/m{number}" for number in range(35, 40)]
    assert "D-35" in page and "C-c7" in page


def test_a_client_that_does_not_exist_is_missing(browser: Browser) -> None:
    for name in ("nobody", "c7%2f..", "C7"):
        browser.get(f"/clients/{name}", status=404)


def test_the_search_finds_clients_and_machines(browser: Browser) -> None:
    assert "/clients/c12" in browser.get("/search", {"q": "c12"}).text
    assert names(browser.get("/search", {"q": "10.0.1.4"}).text) == ["c52/m260"]
    assert "/clients/c7" in browser.get("/search", {"q": "D-35"}).text
    assert "Nothing fits" in browser.get("/search", {"q": "<b>zzz"}).text
    assert "<b>zzz" not in browser.get("/search", {"q": "<b>zzz"}).text


def test_the_overview_names_what_needs_a_person_with_the_way_to_it(browser: Browser) -> None:
    text = browser.get("/").text
    assert "11 machines held back" in text and 'href="/machines?needs=held"' in text
    assert "2 machines not readable" in text
    assert "end within 30 days" in text
    assert "no report of the last night at lyon" in text
    assert "Nothing needs a person" not in text


def test_pages_say_how_old_what_they_show_is(browser: Browser) -> None:
    for path in ("/", "/machines", "/clients", "/clients/c7", "/search"):
        assert "Observed <time" in browser.get(path).text, path


def test_no_page_is_heavy(browser: Browser) -> None:
    for path in ("/", "/machines", "/clients", "/clients/dupont", "/search?q=m", "/nights"):
        assert len(browser.get(path).text.encode()) < HEAVIEST, path


PARAMETERS = {
    "client": "dupont",
    "machine": "m1",
    "number": "1",
    "name": "night-2026-11-01",
    "timeframe": "day",
}


def _pages(desk: Desk, browser: Browser) -> dict[str, int]:
    """Every GET page of the program, with the queries that it takes."""
    executed: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    found = {}
    addresses = browser.client.app.state.addresses  # type: ignore[attr-defined]
    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        for path in addresses:
            filled = re.sub(r"{(\w+)(?::\w+)?}", lambda match: PARAMETERS.get(match[1], "1"), path)
            executed.clear()
            answer = browser.client.get(filled)
            assert answer.status_code < 500 or "graphs" in path, (filled, answer.text[-2000:])
            found[f"{path} as {desk.settings.public_url}"] = len(executed)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    return found


def test_every_page_takes_the_same_number_of_queries_whatever_the_number_of_machines(tmp_path: Path) -> None:
    counted: dict[int, dict[str, int]] = {}
    for machines in (10, 1000):
        counted[machines] = {}
        for name in ("rachel", "camille"):
            with (
                estate(tmp_path / f"{machines}-{name}", machines, files=200) as desk,
                signed_in(desk, name) as opened,
            ):
                for page, queries in _pages(desk, opened).items():
                    counted[machines][f"{page} {name}"] = queries
    assert counted[10] == counted[1000]
    assert ACCOUNTS["camille"].client == "dupont", "the client that has machines here"
    assert max(counted[1000].values()) <= 60


def test_a_site_that_is_away_keeps_its_machines_and_says_since_when(tmp_path: Path) -> None:
    with estate(tmp_path / "away", 20) as desk, signed_in(desk, "rachel") as opened:
        now = desk.now() + dt.timedelta(seconds=1)
        keep_away(desk.database, LookedSite(site="lyon"), "connection refused", (), now)
        text = opened.get("/machines").text
        assert total(text).endswith("of 20")
        assert (
            "Site lyon could not be read" in text
            and "connection refused" in text
            and "Shown as it was" in text
        )
        assert "1 site away" in opened.get("/").text


def test_nothing_looked_at_yet_is_said(tmp_path: Path) -> None:
    settings = Settings(
        public_url="https://panel.example",
        inventory=None,
        history=str(tmp_path / "h.db"),
        reports=tmp_path / "none",
    )
    with open_desk(settings) as desk, signed_in(desk, "rachel") as opened:
        assert "No site was looked at yet" in opened.get("/").text
        assert "No machines." in opened.get("/machines").text
        assert "No night has left a report here." in opened.get("/nights").text


def test_the_same_lists_come_from_postgresql(tmp_path: Path) -> None:
    with postgresql() as url:
        settings = Settings(public_url="https://panel.example", inventory=None, history=url, reports=tmp_path)
        with open_desk(settings) as desk, signed_in(desk, "rachel") as opened:
            generated_looks.keep(desk.database, 200, desk.now(), kept=1)
            generated_looks.keep(desk.database, 190, desk.now(), kept=1)
            assert total(opened.get("/machines", {"q": "DUPONT"}).text).endswith("of 5")
            for sort in MachineSort:
                assert total(opened.get("/machines", {"sort": f"-{sort}"}).text).endswith("of 190")
            for path in ("/", "/clients?sort=-volume", "/clients/dupont", "/search?q=c7", "/nights"):
                opened.get(path)
