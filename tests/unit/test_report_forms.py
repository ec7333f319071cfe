"""Both forms of the report: any night can be told, nothing from outside is markup, tables are what they should be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.nightly.drift_step import DriftLine
from orchestrator.nightly.report import render_night
from orchestrator.nightly.result import NightReport
from orchestrator.pages import Form
from orchestrator.reports.spelling import Language
from tests.unit.night_samples import (
    any_night,
    backup,
    eventful_night,
    machine,
    night,
)
from tests.unit.report_readers import Reader, markdown_tables

LANGUAGES: tuple[Language, ...] = ("fr", "en")
FORMS: tuple[Form, ...] = ("md", "html")


def test_html_from_outside_is_text() -> None:
    report = night(
        problems=('<script>alert("1")</script>',),
        backups=(backup('x" onmouseover="a', "</td>", result="failed", message="<img src=x onerror=a>"),),
        machines=(machine('x" onmouseover="a', "<b>", contract="</style>"),),
    )
    page = render_night(report, form="html")
    reader = Reader(page)
    assert {tag for tag, _ in reader.elements}.isdisjoint({"script", "img", "b", "a", "link", "iframe"})
    assert not [
        attributes for _, attributes in reader.elements if any(name.startswith("on") for name in attributes)
    ]
    assert '<script>alert("1")</script>' in reader.text
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_tables_of_html_are_labelled() -> None:
    reader = Reader(render_night(eventful_night(), form="html"))
    assert len(reader.captions) == len(reader.tables) > 10
    scopes = [attributes.get("scope") for tag, attributes in reader.elements if tag == "th"]
    assert set(scopes) == {"col", "row"}
    assert ("html", {"lang": "fr"}) in reader.elements


@pytest.mark.parametrize(
    "hostile", ["a|b", "x\ny", "**b** _c_ `d` [e](f)", "<b>&amp;", "\\|", "a_b_c", "~~x~~ $y$"]
)
def test_a_markdown_cell_shows_what_was_written(hostile: str) -> None:
    drift = DriftLine(client="c", machine="m", site="s", what=hostile, before=None, after=None, why="w")
    tables = markdown_tables(render_night(night(drift=(drift,)), form="md"))
    assert tables[-1][1] == ["c/m", "s", hostile, "–", "–", "w"]


@given(text=st.text(st.characters(exclude_categories=["C", "M", "Zl", "Zp"]), max_size=40))
def test_any_text_of_one_line_is_read_back_from_markdown_and_html(text: str) -> None:
    shown = " ".join(text.split())
    report = night(problems=(text or "x",))
    cell = markdown_tables(render_night(report, form="md"))[1][1][0]
    assert " ".join(cell.split()) == f"✗ {shown or ('' if text else 'x')}".strip()
    assert " ".join(Reader(render_night(report, form="html")).tables[0][1][0].split()) == (
        shown or ("" if text else "x")
    )


@settings(max_examples=60, deadline=None)
@given(report=any_night, client=st.none() | st.sampled_from(["web-1", "a|b"]))
def test_any_night_can_be_told_in_both_forms_and_languages(report: NightReport, client: str | None) -> None:
    for language in LANGUAGES:
        page = render_night(report, form="html", language=language, client=client)
        reader = Reader(page)
        assert "script" not in {tag for tag, _ in reader.elements}
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page)
        widths = [{len(row) for row in table} for table in reader.tables]
        assert all(len(width) == 1 for width in widths)
        tables = markdown_tables(render_night(report, form="md", language=language, client=client))
        # the same tables, cell for cell in number; the first one of Markdown holds the facts
        assert [(len(t), len(t[0])) for t in tables[1:]] == [(len(t), len(t[0])) for t in reader.tables]
        counted = re.search(r'class="verdict (good|bad)"', page)
        assert counted is not None
        if client is None:
            assert (counted[1] == "good") == report.well
