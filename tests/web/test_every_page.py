"""Every page of the program, as links lead to it: all are reached, and no link leads nowhere."""

from __future__ import annotations

import pytest

from orchestrator.web.page import Need
from tests.web.conftest import AsRole, SignedIn
from tests.web.crawl import Found, crawl, get_pages
from tests.web.looked_at import complaints

UNLINKED = {
    "/account/codes",  # shown once, after a second factor was begun
    "/account/codes.svg",
    "/live/jobs/{number}",  # for a script
    "/portal/reports/reversibility/{form}",  # of a contract that ends
}
"""Tests of their own open these."""

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
    assert {page.path for page in get_pages() if page.need is not Need.PUBLIC} - reached <= UNLINKED


def test_everybody_can_read_and_use_every_page(found: dict[str, Found], signed_in: SignedIn) -> None:
    """In light and dark, wide and narrow; axe has nothing to say (WCAG 2.2 AA), and nothing is asked for elsewhere."""
    complained: list[str] = []
    for who, pages in found.items():
        with signed_in(who) as window:
            page = window.new_page()
            for opened in pages.opened.values():
                for address in opened[:1]:
                    if address in pages.texts:
                        complained += complaints(page, address)
    assert complained == [], "\n".join(complained)
