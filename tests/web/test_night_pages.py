"""Pages of nights: what each came to, and its report, which is a file and gets no power over the browser."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contract.calendar import night_of
from orchestrator.interface.scopes import Scope
from orchestrator.nightly.result import NightReport
from orchestrator.operations.publishing import Outlets, publish
from orchestrator.operations.tokens import NewToken, add_token
from orchestrator.web.desk import Desk, open_desk
from orchestrator.web.settings import Settings
from tests.unit.night_samples import eventful_night, good_night
from tests.web import generated_looks
from tests.web.signed_in import Browser, signed_in


def _publish(folder: Path, report: NightReport, nights_ago: int, sites: tuple[str, ...]) -> str:
    """Leave a report as a night of so many nights ago would."""
    night = night_of(dt.datetime.now(dt.UTC)) - dt.timedelta(days=nights_ago)
    publish(
        replace(report, night=night, sites=sites),
        Outlets(folder=folder, language="fr"),
        lambda *_, **__: None,
        print,
    )
    return f"night-{night}" + (f"-{sites[0]}" if len(sites) == 1 else "")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Paris had a good night after a mixed one; lyon's last one did not go well."""
    folder = tmp_path_factory.mktemp("nights")
    settings = Settings(
        public_url="https://panel.example",
        inventory=None,
        history=str(folder / "h.db"),
        reports=folder / "reports",
    )
    with open_desk(settings) as opened:
        generated_looks.keep(opened.database, 10, opened.now(), kept=1)
        _publish(settings.reports, good_night(), 1, ("paris",))
        _publish(settings.reports, eventful_night(), 1, ("lyon",))
        _publish(settings.reports, eventful_night(), 2, ("paris", "lyon"))
        yield opened


@pytest.fixture(scope="module")
def browser(desk: Desk) -> Iterator[Browser]:
    with signed_in(desk, "rachel") as opened:
        yield opened


def _name(nights_ago: int, site: str = "") -> str:
    night = night_of(dt.datetime.now(dt.UTC)) - dt.timedelta(days=nights_ago)
    return f"night-{night}{f'-{site}' if site else ''}"


def test_nights_are_listed_with_what_they_came_to(browser: Browser) -> None:
    text = browser.get("/nights").text
    places = [
        text.index(f'href="/nights/{name}"') for name in (_name(1, "paris"), _name(1, "lyon"), _name(2))
    ]
    assert max(places[:2]) < places[2], "the latest first"
    assert "No report of the last night" not in text
    failures = eventful_night().failures
    assert f"{failures} failures" in text and "good" in text


def test_a_night_names_what_went_wrong_in_english(browser: Browser, desk: Desk) -> None:
    text = browser.get(f"/nights/{_name(1, 'lyon')}").text
    kept = json.loads((desk.settings.reports / f"{_name(1, 'lyon')}.json").read_text())
    assert kept["failures"] == eventful_night().failures and kept["culprits"]
    assert text.count("<li>") >= len(kept["culprits"])
    assert "Nothing." in browser.get(f"/nights/{_name(1, 'paris')}").text


def test_the_overview_has_the_last_nights_that_failed(browser: Browser) -> None:
    text = browser.get("/").text
    assert "1 night failed or missing" in text
    assert f'href="/nights/{_name(1, "lyon")}"' in text and _name(2) not in text


def test_a_report_is_shown_in_a_sandbox(browser: Browser, desk: Desk) -> None:
    name = _name(1, "lyon")
    answer = browser.get(f"/nights/{name}/report")
    assert answer.text == (desk.settings.reports / f"{name}.html").read_text()
    rules = answer.headers["content-security-policy"].split("; ")
    assert rules[0] == "sandbox" and "default-src 'none'" in rules
    assert not any("script" in rule or "allow" in rule for rule in rules)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "name",
    [
        "night-2026-11-30-nowhere",
        "night-2026-13-45",
        "..%2f..%2fetc%2fpasswd",
        "h",
        "night-2026-11-30.html",
        "%00",
    ],
)
def test_what_is_no_night_does_not_exist(browser: Browser, name: str) -> None:
    for path in (f"/nights/{name}", f"/nights/{name}/report"):
        browser.get(path, status=404)


def test_files_that_are_no_reports_are_not_listed_and_a_night_without_summary_is_not_known(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    for name in (
        "night-2026-11-02.html",
        "night-2026-11-01-paris.html",
        "notes.html",
        "night-2026-99-01.html",
    ):
        (folder / name).write_text("<p>made by an earlier version</p>")
    (folder / "night-2026-11-02.json").write_text('{"night": "yesterday"}')
    settings = Settings(
        public_url="https://panel.example", inventory=None, history=str(tmp_path / "h.db"), reports=folder
    )
    with open_desk(settings) as desk, signed_in(desk, "rachel") as browser:
        text = browser.get("/nights").text
        assert text.count('href="/nights/night-') == 2 and text.count("not known") == 2
        assert "left no summary" in browser.get("/nights/night-2026-11-02").text
        os.truncate(folder / "night-2026-11-02.html", 65 * 1024**2)
        assert "larger than" in browser.get("/nights/night-2026-11-02/report", status=409).text
        (folder / "night-2026-11-03.html").write_text("")
        assert browser.get("/nights").text.count('href="/nights/night-') == 3, "the list is read again"


def test_a_site_whose_last_night_left_no_report_is_named(desk: Desk, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    _publish(reports, good_night(), 1, ("paris",))
    _publish(reports, good_night(), 3, ("lyon",))
    settings = replace(desk.settings, reports=reports)
    with open_desk(settings) as opened, signed_in(opened, "rachel") as browser:
        assert "No report of the last night: lyon" in browser.get("/nights").text
        assert "no report of the last night at lyon" in browser.get("/").text


def test_programs_of_the_provider_read_the_nights_and_a_client_does_not(browser: Browser, desk: Desk) -> None:
    def get(token: str, path: str) -> Any:
        return browser.client.get(f"/api/v1/nights{path}", headers={"authorization": f"Bearer {token}"})

    token, _ = add_token(desk, NewToken(name="nights", scopes=[Scope.READ]), who="test")
    listed = get(token, "?size=2").json()
    assert (listed["total"], listed["pages"], len(listed["items"])) == (3, 2, 2)
    (bad,) = [one for one in listed["items"] if one["sites"] == ["lyon"]]
    assert (bad["well"], bad["summary"]["failures"]) == (False, eventful_night().failures)
    assert get(token, f"/{bad['name']}").json() == bad
    report = get(token, f"/{bad['name']}/report")
    assert report.content == (desk.settings.reports / f"{bad['name']}.html").read_bytes()
    assert report.headers["content-type"] == "application/octet-stream"
    assert report.headers["content-disposition"] == f'attachment; filename="{bad["name"]}.html"'
    for name in ("night-2020-01-01", "..%2Fh", "nothing"):
        assert get(token, f"/{name}/report").status_code == 404
    assert get("x", "").status_code == 401
