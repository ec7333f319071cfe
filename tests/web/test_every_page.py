"""Every page of the program, as links lead to it: all are reached, and no link leads nowhere."""

from __future__ import annotations

import pytest

from orchestrator.web.page import Need
from tests.web.conftest import AsRole
from tests.web.crawl import Found, crawl, get_pages

STARTS = {"administrator": "/", "dupont": "/portal", "": "/login"}
"""Where each begins."""


@pytest.fixture(scope="session")
def found(as_role: AsRole) -> dict[str, Found]:
    """What links lead to, by who follows them."""
    there = {page.path for page in get_pages()}
    return {who: crawl(as_role(who), start) for who, start in STARTS.items() if start in there}


def test_no_link_leads_nowhere(found: dict[str, Found]) -> None:
    assert {who: pages.broken for who, pages in found.items()} == {who: [] for who in found}


def test_links_lead_to_every_page(found: dict[str, Found]) -> None:
    reached = {page for pages in found.values() for page, opened in pages.opened.items() if opened}
    assert {page.path for page in get_pages() if page.need is not Need.PUBLIC} - reached == set()
