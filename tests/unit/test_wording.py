"""A provider words texts of reports otherwise, in one file: every text, and nothing but texts."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.nightly.report import render_night
from orchestrator.reports import spelling, wording
from orchestrator.reports.gap_words import GapWords
from orchestrator.reports.graph_words import GraphWords
from orchestrator.reports.language import Speech
from orchestrator.reports.portal_words import PortalWords
from orchestrator.reports.words import Counted, Text, Words
from tests.unit.night_samples import eventful_night
from tests.unit.report_readers import plain


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    yield
    wording.use_wording(None)


def _file(folder: Path, text: str) -> Path:
    path = folder / "wording.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("language", ["fr", "en"])
def test_what_the_command_prints_is_a_file_of_wording_that_changes_nothing(
    tmp_path: Path, language: str
) -> None:
    printed = CliRunner().invoke(app, ["wording", "--language", language])
    assert printed.exit_code == 0 and len(yaml.safe_load(printed.stdout)[language]) > 300
    path = _file(tmp_path, printed.stdout)
    again = CliRunner().invoke(app, ["wording", "--language", language, "--wording", str(path)])
    assert (again.exit_code, again.stdout) == (0, printed.stdout), again.stderr


def test_a_report_says_it_as_the_provider_does_and_the_next_one_as_we_do(tmp_path: Path) -> None:
    failed = render_night(eventful_night(), form="md")
    ours = Words("fr").failures
    wording.use_wording(_file(tmp_path, 'fr: { failures: "Incidents de la nuit" }\n'))
    theirs = render_night(eventful_night(), form="md")
    assert f"## {ours}" in failed and "## Incidents de la nuit" in theirs and f"## {ours}" not in theirs
    assert "Failures" in render_night(eventful_night(), form="md", language="en"), (
        "the other language is as it was"
    )
    wording.use_wording(None)
    assert render_night(eventful_night(), form="md") == failed


def test_one_and_many_are_worded_apart_and_french_signs_keep_to_their_words(tmp_path: Path) -> None:
    wording.use_wording(
        _file(
            tmp_path, 'fr: { failures_count: ["{n} souci", "{n} soucis"], what_to_do: "Alors : {remedy}" }\n'
        )
    )
    words = Words("fr")
    assert [plain(words.failures_count(n)) for n in (0, 1, 2, 1000)] == [
        "0 souci",
        "1 souci",
        "2 soucis",
        "1 000 soucis",
    ]
    assert words.what_to_do == "Alors\u00a0: {remedy}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense: x", "there is no text nonsense"),
        ('title: "{night.__class__}"', "it has braces that mean nothing here"),
        ('title: "{night!r}"', "it has braces that mean nothing here"),
        ('title: "{night:>9999999}"', "it has braces that mean nothing here"),
        ('title: "{0}"', "it has braces that mean nothing here"),
        ('title: "{night"', "it has braces that mean nothing here"),
        ('title: "{password}"', "the placeholders are {night}"),
        ('all_well: "{n}"', "this text has no placeholders"),
        ("failures_count: none", "it needs two wordings"),
        ("title: [one, two]", "this text needs one wording"),
        ("failures_count: [one]", "failures_count"),
        ('title: ""', "title"),
        (r'title: "\e]0;x\a"', "title"),
        (f"title: {'x' * 2001}", "title"),
    ],
)
def test_a_wrong_wording_is_an_error_with_its_place_and_no_text_changes(
    tmp_path: Path, line: str, said: str
) -> None:
    path = _file(
        tmp_path,
        f'fr:\n  all_well: "Tout va bien"\n  {line}\n' if "all_well" not in line else f"fr:\n\n  {line}\n",
    )
    answer = CliRunner().invoke(app, ["wording", "--wording", str(path)])
    told = " ".join(answer.stderr.split())
    assert answer.exit_code == 1 and f"{path}:3" in told and said in told, answer.output
    assert Words("fr").all_well != "Tout va bien"
    assert "\x1b" not in answer.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["nightly"],
        ["report", "dupont", "--month", "2026-10"],
        ["service-level", "dupont", "--month", "2026-10"],
    ],
    ids=" ".join,
)
def test_a_command_reads_the_wording_before_anything_else(tmp_path: Path, command: list[str]) -> None:
    answer = CliRunner().invoke(app, [*command, "--wording", str(tmp_path / "none.yaml")])
    assert answer.exit_code == 1 and "none.yaml" in answer.stderr and "subscriptions" not in answer.stderr


def test_every_text_has_one_name() -> None:
    names = Counter(
        name
        for table in {owner for table in (PortalWords, GraphWords, GapWords) for owner in table.__mro__}
        for name, text in vars(table).items()
        if isinstance(text, Text | Counted)
    )
    assert [name for name, times in names.items() if times > 1] == []
    assert set(names) == set(wording.texts())


@given(number=st.integers(-(10**12), 10**12), places=st.integers(0, 4))
def test_a_number_is_written_with_all_its_digits(number: int, places: int) -> None:
    exact = Decimal(number).scaleb(-places)
    for language in ("fr", "en"):
        said = spelling.padded(exact, language).replace("\u202f", "").replace("\u2212", "-")
        read = said.replace(",", ".") if language == "fr" else said.replace(",", "")
        assert Decimal(read) == exact and "," not in said[:1]


def test_amounts_and_per_cent_are_written_as_the_language_does() -> None:
    assert plain(spelling.euros(Decimal("1234.5"), "fr")) == "1 234,50 €"
    assert spelling.euros(Decimal("1234.5"), "en") == "€1,234.50"
    assert plain(spelling.percent_exact(Decimal("99.8500"), "fr")) == "99,8500 %"
    assert spelling.percent_exact(Decimal("99.8500"), "en") == "99.8500%"
    assert (plain(Speech("fr").share(2, 3)), Speech("en").share(2, 3)) == ("66 %", "66%")


@given(day=st.dates(dt.date(2020, 1, 1), dt.date(2099, 12, 31)))
def test_days_are_told_apart_in_both_languages(day: dt.date) -> None:
    for language in ("fr", "en"):
        assert str(day.year) in spelling.day(day, language)
        number = "1er" if language == "fr" and day.day == 1 else str(day.day)
        assert (
            number in spelling.day(day, language).split()
            and number in plain(spelling.short_day(day, language)).split()
        )
