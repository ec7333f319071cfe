"""The words of the reports: complete in both languages, all in one place; and figures as people say them."""

from __future__ import annotations

import datetime as dt
import re
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.reports.language import Speech
from orchestrator.reports.words import Counted, Text, Words
from orchestrator.shipped_files import template_folder
from tests.unit.night_samples import GIB
from tests.unit.report_readers import plain

TEXTS = {name: text for name, text in vars(Words).items() if isinstance(text, Text | Counted)}


def test_no_text_is_missing_in_either_language() -> None:
    same = {
        "nothing",
        "sites",
        "site",
        "snapshots",
        "snapshot",
        "archive",
        "volume",
        "machine",
        "machines_count",
        "total",
        "archives_count",
        "purpose_machines",
        "client",
        "plan_help",
        "ending_licence",
        "observation",
        "vcpus",
    }
    for name, text in TEXTS.items():
        french, english = (
            (" ".join(text.fr), " ".join(text.en)) if isinstance(text, Counted) else (text.fr, text.en)
        )
        assert french.strip() and english.strip(), name
        assert (french == english) == (name in same), name
        fields = [
            {field for _, field, _, _ in Formatter().parse(said) if field} for said in (french, english)
        ]
        assert fields[0] == fields[1], name


def test_no_text_of_the_catalogue_is_left_unused() -> None:
    folder = template_folder().parent / "orchestrator"
    files = [path for part in ("nightly", "reports") for path in (folder / part).glob("*.py")]
    code = "".join(path.read_text() for path in files if path.name != "words.py")
    assert [name for name in TEXTS if not re.search(rf"words\.{name}\b", code)] == []


@pytest.mark.parametrize("form", ["md", "html"])
@pytest.mark.parametrize("name", ["night", "reversibility"])
def test_templates_hold_no_words_of_their_own(name: str, form: str) -> None:
    source = (template_folder() / "reports" / f"{name}.{form}.j2").read_text()
    for markup in (r"\{#.*?#\}", r"\{\{.*?\}\}", r"\{%.*?%\}", r"<style>.*?</style>", r"<[^>]*>"):
        source = re.sub(markup, "", source, flags=re.DOTALL)
    assert re.findall(r"[^\W\d_]+", source) == []


def test_french_signs_stay_with_the_word_before_them() -> None:
    for text in TEXTS.values():
        for said in text.fr if isinstance(text, Counted) else (text.fr,):
            assert not re.search(r" [:;!?»%]", said), said


@pytest.mark.parametrize(
    ("seconds", "french"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (16860, "4 h 41 min"),
        (100800, "1 j 4 h"),
        (86400 + 59, "1 j"),
    ],
)
def test_durations(seconds: float, french: str) -> None:
    assert plain(Speech("fr").duration(seconds)) == french


@pytest.mark.parametrize(
    ("count", "french", "english"),
    [
        (0, "0 o", "0 B"),
        (1023, "1 023 o", "1,023 B"),
        (1024**2 - 1, "1,0 Mio", "1.0 MiB"),
        (12 * GIB + GIB // 2, "12,5 Gio", "12.5 GiB"),
        (2048 * GIB, "2 048 Gio", "2,048 GiB"),
        (20 * 1024 * GIB, "20,0 Tio", "20.0 TiB"),
    ],
)
def test_sizes(count: int, french: str, english: str) -> None:
    assert plain(Speech("fr").size(count)) == french
    assert plain(Speech("en").size(count)) == english


@given(count=st.integers(1024, 2**60))
def test_a_size_is_within_a_twentieth_of_what_is_meant(count: int) -> None:
    figure, unit = Speech("en").size(count).split("\u00a0")
    said = float(figure.replace(",", "")) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert abs(said - count) <= count / 19


def test_the_first_of_a_month_is_said_as_the_french_do() -> None:
    first = dt.date(2026, 11, 1)
    assert (Speech("fr").day(first), Speech("en").day(first)) == (
        "dimanche 1er novembre 2026",
        "Sunday 1 November 2026",
    )
    assert Speech("fr").share(999, 1000) == "99\u00a0%"


def test_working_hours_and_windows_are_said_as_the_language_does() -> None:
    french, english = Speech("fr"), Speech("en")
    assert plain(french.working_hours(31.24)) == "31,2 h ouvrées"
    assert plain(english.working_hours(1234.96)) == "1,235 working hours"
    assert plain(french.working_hours(72)) == "72 h ouvrées"
    opens, closes = (dt.datetime(2026, 11, 23, hour, 30, tzinfo=dt.UTC) for hour in (21, 23))
    assert plain(french.window(opens, closes)) == "23 nov. 2026, 22 h 30 CET – 0 h 30 CET"
    assert plain(english.window(opens, closes)) == "23 Nov 2026, 22:30 CET – 00:30 CET"


def test_moments_are_said_in_paris_time() -> None:
    winter, summer = (dt.datetime(2026, month, 23, 21, 15, tzinfo=dt.UTC) for month in (11, 7))
    assert plain(Speech("fr").moment(winter)) == "23 nov. 2026, 22 h 15 CET"
    assert plain(Speech("en").moment(winter)) == "23 Nov 2026, 22:15 CET"
    assert plain(Speech("fr").moment(summer)) == "23 juil. 2026, 23 h 15 CEST"
