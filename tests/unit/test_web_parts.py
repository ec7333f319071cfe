"""What pages are made of: how they write figures, what a list's address asks for, which links stand beside a page."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, cast

import pytest
from starlette.requests import Request

from orchestrator.interface.accounts import Account
from orchestrator.interface.roles import Right, Role
from orchestrator.web import formatting
from orchestrator.web.listing import Asked, Column
from orchestrator.web.local_address import local_address
from orchestrator.web.navigation import links
from orchestrator.web.rendering import environment
from orchestrator.web.tones import tone_of

AT = dt.datetime(2026, 11, 30, 21, 5, 7, tzinfo=dt.UTC)


class AVisit:
    """As much of a visit as a list reads."""

    def __init__(self, query: str, path: str = "/machines", language: str = "en") -> None:
        self.request = Request(
            {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
        )
        self.query = self.request.query_params
        self.language = language
        self.form_token = "the-token"


def asked(query: str, **more: Any) -> Asked:
    usual = {"sorts": ("name", "memory"), "filters": ("q", "site"), "size": 50}
    return Asked.of(cast("Any", AVisit(query)), **{**usual, **more})


def draw(template: str, language: str = "en", **values: Any) -> str:
    """A page's body made of the parts."""
    source = '{% import "parts.html" as parts with context %}' + template
    made = environment().from_string(source).render(visit=AVisit("", language=language), **values)
    return " ".join(made.split())


def test_a_moment_is_in_paris_and_says_it_to_programs_as_well() -> None:
    assert formatting.when(AT, "en") == (
        '<time datetime="2026-11-30T22:05:07+01:00" title="2026-11-30 22:05:07 CET">2026-11-30\xa022:05\xa0CET</time>'
    )
    assert ">30\xa0nov.\xa02026,\xa022\xa0h\xa005\xa0CET</time>" in formatting.when(AT, "fr")
    # a moment after 23:00 UTC is of the next day in Paris
    assert ">2026-12-01</time>" in formatting.day(AT + dt.timedelta(hours=2), "en")
    assert ">1er\xa0déc.\xa02026</time>" in formatting.day(dt.date(2026, 12, 1), "fr")


@pytest.mark.parametrize(
    ("later", "english", "french"),
    [
        (dt.timedelta(seconds=89), "now", "à l’instant"),
        (dt.timedelta(seconds=90), "1\xa0min ago", "il y a 1\xa0min"),
        (dt.timedelta(hours=49), "2\xa0d ago", "il y a 2\xa0j"),
        (dt.timedelta(hours=-3), "in 3\xa0h", "dans 3\xa0h"),
    ],
)
def test_how_long_ago(later: dt.timedelta, english: str, french: str) -> None:
    assert f">{english}</time>" in formatting.ago(AT, AT + later, "en")
    assert f">{french}</time>" in formatting.ago(AT, AT + later, "fr")


def test_figures_are_in_the_language_of_who_reads_and_what_is_not_there_is_a_dash() -> None:
    assert (formatting.size(4 << 30, "en"), formatting.size(4 << 30, "fr")) == ("4.0\xa0GiB", "4,0\xa0Gio")
    assert formatting.number(10000, "en") == "10,000"
    assert (formatting.percent(99.999, "en"), formatting.percent(Decimal("99.8499"), "fr", 2)) == (
        "99.9%",
        "99,84\xa0%",
    )
    assert formatting.duration(dt.timedelta(hours=4, minutes=41), "en") == "4\xa0h\xa041\xa0min"
    writers = (formatting.when, formatting.day, formatting.size, formatting.duration, formatting.number)
    assert {write(None, "en") for write in writers} == {"–"}


def test_no_text_of_a_page_is_markup_and_every_character_of_it_can_be_seen() -> None:
    hostile = "<b>\u202e\x1b[31m\x00&"
    assert draw("{{ text }} {{ absent }}", text=hostile, absent=None) == r"&lt;b&gt;\u202e\x1b[31m\x00&amp; –"
    said = draw("{{ parts.state(text) }}{{ parts.facts([(text, text)]) }}", text=hostile)
    assert "<b>" not in said and "\u202e" not in said and "\x1b" not in said
    drawn = draw('{{ parts.act("/x", text, hidden={"n": text}) }}', text='"><script>')
    assert "<script" not in drawn and '"&gt;' not in drawn.replace("&#34;&gt;", "")


def test_a_form_carries_the_token() -> None:
    for form in (
        'parts.act("/x", "Do")',
        'parts.confirm("/x", "Do", "Really?", "Yes")',
        'parts.form("/x", "Do")',
    ):
        drawn = draw("{{ " + form + " }}")
        assert drawn.count('name="form_token" value="the-token"') == 1
        assert 'method="post" action="/x"' in drawn


def test_a_table_says_each_value_with_its_heading() -> None:
    columns = [
        Column(key="name", heading="Name", sort=True),
        Column(key="memory", heading="Memory", figures=True),
    ]
    text = (
        '{% call(row, column) parts.table("Machines", columns, rows, asked) %}{{ row[column] }}{% endcall %}'
        "{{ parts.pager(asked, 120) }}"
    )
    drawn = draw(
        text, columns=columns, rows=[{"name": "web-1", "memory": 4}], asked=asked("sort=-name&page=2")
    )
    assert '<th scope="row" role="rowheader">web-1</th>' in drawn
    assert '<td role="cell" data-heading="Memory" class="figures">4</td>' in drawn
    assert 'aria-sort="descending"><a href="/machines">Name</a>' in drawn
    assert "51–100 of 120" in drawn
    assert 'href="/machines?sort=-name"' in drawn and 'href="/machines?sort=-name&amp;page=3"' in drawn
    assert draw(
        '{% call(r, c) parts.table("M", columns, []) %}{% endcall %}', language="fr", columns=columns
    ) == ('<p class="nothing">Rien à afficher.</p>')


def test_an_address_asks_for_a_page_of_a_list() -> None:
    found = asked("q=web&site=&sort=-memory&page=3")
    assert (found.filters, found.sort, found.descending, found.offset, found.size) == (
        {"q": "web"},
        "memory",
        True,
        100,
        50,
    )
    assert found.address == "/machines?q=web&sort=-memory&page=3"
    assert found.by("memory") == "/machines?q=web&sort=memory"
    assert found.by("name") == "/machines?q=web"
    assert found.having(site="paris", q="") == "/machines?site=paris&sort=-memory"
    assert (found.pages(0), found.pages(100), found.pages(101)) == (1, 2, 3)
    assert (found.direction("memory"), found.direction("name")) == ("descending", "none")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "1e3", "²", "9" * 400])
def test_what_no_link_of_ours_asks_for_is_as_if_it_were_not_there(page: str) -> None:
    found = asked(f"page={page}&sort=password&q={'x' * 5000}&unknown=1")
    assert (found.page, found.sort, found.descending) == (1, "name", False)
    assert found.filters == {"q": "x" * 200}


def test_a_list_that_begins_with_the_largest_is_turned_by_its_heading() -> None:
    found = asked("", sorts=("-at", "name"))
    assert (found.sort, found.descending, found.by_choice) == ("at", True, "")
    assert found.by("at") == "/machines?sort=at"
    assert asked("sort=at", sorts=("-at", "name")).by("at") == "/machines"


@pytest.mark.parametrize("text", ["/", "/machines?q=a%20b&page=2", "/machines/dupont/web-1"])
def test_an_address_of_ours_is_followed(text: str) -> None:
    assert local_address(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "//evil.example", r"/\evil.example", "https://evil.example/", "javascript:alert(1)", "machines", "/a\nb",
     "/\t/evil.example", "/é", "/" + "a" * 3000, r"/a\b"],
)  # fmt: skip
def test_any_other_address_leads_to_the_first_page(text: str) -> None:
    assert local_address(text) == "/"


def test_the_navigation_has_what_is_there_and_what_whoever_asks_may_see() -> None:
    there = {
        "/": Right.LOOK,
        "/machines": Right.LOOK,
        "/accounts": Right.ACCOUNTS,
        "/portal": None,
        "/login": None,
    }
    reader = Account(name="r", role=Role.READER)
    found = links(reader, "/machines/dupont/web-1", "en", there)
    assert [(link.words, link.current) for link in found] == [("Overview", False), ("Machines", True)]
    chief = Account(name="a", role=Role.ADMINISTRATOR)
    assert [link.path for link in links(chief, "/", "en", there)] == ["/", "/machines", "/accounts"]
    client = Account(name="c", role=Role.CLIENT, client="dupont")
    assert [(link.words, link.current) for link in links(client, "/portal", "fr", there)] == [
        ("Vue d’ensemble", True)
    ]
    assert links(None, "/", "en", there) == ()


def test_a_state_s_tone_follows_its_word() -> None:
    words = ("running", "Failed", "waiting", "suspended", "unknown", "whatever <b>")
    assert [tone_of(word) for word in words] == ["good", "bad", "wait", "warn", "unknown", "off"]
